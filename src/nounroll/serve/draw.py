"""How an element is drawn, and how drawn elements become text."""

import codecs

import torch
from torch import Tensor

from nounroll.batch import Real
from nounroll.data.corpus import ByteCorpus
from nounroll.data.task import SequenceTask
from nounroll.objectives.readout import gaussian


def draw(
    task: SequenceTask, outputs: Tensor, temperature: float, top_k: int | None, generator: torch.Generator
) -> Tensor:
    """An element () or (d,) from one readout (V,), as ``Student.generate`` draws it."""
    if isinstance(task.targets, Real):
        mean, log_scale = gaussian(outputs[None])
        return (mean + temperature * log_scale.exp() * torch.randn(mean.shape, generator=generator))[0]
    if temperature == 0:
        return outputs.argmax(-1)
    logits = outputs / temperature
    if top_k is not None:
        logits = logits.masked_fill(logits < logits.topk(min(top_k, len(logits))).values[-1], -torch.inf)
    return torch.multinomial(logits.softmax(-1)[None], 1, generator=generator)[0, 0]


class Decoder:
    """Elements to text, one at a time: a character of several bytes comes with its last."""

    def __init__(self, task: SequenceTask) -> None:
        self._task = task
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace") if isinstance(task, ByteCorpus) else None

    def add(self, element: Tensor) -> str:
        if self._bytes is None:
            return self._task.decode(element[None]) + " "
        return self._bytes.decode(bytes([int(element)]))

    def end(self) -> str:
        return "" if self._bytes is None else self._bytes.decode(b"", final=True)
