"""Log probabilities of elements, in the format of OpenAI's completions."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from nounroll.data.corpus import ByteCorpus
from nounroll.data.task import SequenceTask
from nounroll.serve.writing import Element

MOST = 5  # likely alternatives to an element


def told(task: SequenceTask, count: int) -> Callable[[Tensor, Tensor], dict[str, Any]]:
    """Make a note of an element's log probability at temperature 1 and of the ``count`` likeliest elements."""

    def note(outputs: Tensor, value: Tensor) -> dict[str, Any]:
        known = outputs.log_softmax(-1)
        best, symbols = known.topk(min(count, len(known)))
        top = dict(zip((token(task, symbol) for symbol in symbols), best.tolist(), strict=True))
        here = float(known[int(value)]) if int(value) < len(known) else None  # an input may be no target
        if count and here is not None:
            top.setdefault(token(task, value), here)
        return {"token": token(task, value), "logprob": here, "top": top if count else None}

    return note


def token(task: SequenceTask, value: Tensor) -> str:
    """Return an element as text; bytes that are no whole character get OpenAI's names."""
    if isinstance(task, ByteCorpus) and int(value) > 127:
        return f"bytes:\\x{int(value):02x}"
    return task.decode(value[None])


def listed(elements: list[Element]) -> dict[str, Any]:
    """Collect the notes of ``told`` in lists."""
    return {
        "tokens": [one.note["token"] for one in elements],
        "token_logprobs": [one.note["logprob"] for one in elements],
        "top_logprobs": [one.note["top"] for one in elements] if any(one.note["top"] for one in elements) else None,
        "text_offset": [one.start for one in elements],
    }
