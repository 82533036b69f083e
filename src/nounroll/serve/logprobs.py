"""Log probabilities of elements, as OpenAI's completions give them."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from nounroll.data.corpus import ByteCorpus
from nounroll.data.task import SequenceTask
from nounroll.serve.writing import Element

MOST = 5  # likely elements beside the one that is there


def told(task: SequenceTask, count: int) -> Callable[[Tensor, Tensor], dict[str, Any]]:
    """Note an element's log probability at temperature 1, and the ``count`` likeliest in its place."""

    def note(outputs: Tensor, value: Tensor) -> dict[str, Any]:
        known = outputs.log_softmax(-1)
        best, symbols = known.topk(min(count, len(known)))
        top = dict(zip((token(task, symbol) for symbol in symbols), best.tolist(), strict=True))
        here = float(known[int(value)]) if int(value) < len(known) else None  # an input need not be a target
        if count and here is not None:
            top.setdefault(token(task, value), here)
        return {"token": token(task, value), "logprob": here, "top": top if count else None}

    return note


def token(task: SequenceTask, value: Tensor) -> str:
    """An element as text. A byte that is no character by itself is named as OpenAI names it."""
    if isinstance(task, ByteCorpus) and int(value) > 127:
        return f"bytes:\\x{int(value):02x}"
    return task.decode(value[None])


def listed(elements: list[Element]) -> dict[str, Any]:
    """Elements that ``told`` has noted, as lists."""
    return {
        "tokens": [one.note["token"] for one in elements],
        "token_logprobs": [one.note["logprob"] for one in elements],
        "top_logprobs": [one.note["top"] for one in elements] if any(one.note["top"] for one in elements) else None,
        "text_offset": [one.start for one in elements],
    }
