"""Decoding of elements to text."""

import codecs

from torch import Tensor

from nounroll.data.corpus import TextCorpus, reads_bytes
from nounroll.data.task import SequenceTask


class Decoder:
    """Decoder of elements, one at a time; a character of several bytes is returned with its last byte.

    Args:
        task: the task of the elements.
        tail: bytes of an incomplete character before the first element.
    """

    def __init__(self, task: SequenceTask, tail: bytes = b"") -> None:
        self._task = task
        self._stream = task.tokenizer.stream() if isinstance(task, TextCorpus) and task.tokenizer else None
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace") if reads_bytes(task) else None
        if self._bytes is not None:
            self._bytes.decode(tail)

    @property
    def tail(self) -> bytes:
        """Return the bytes of an incomplete character at the end."""
        return b"" if self._bytes is None else self._bytes.getstate()[0]

    def add(self, element: Tensor) -> str:
        if self._stream is not None:
            return self._stream(int(element))
        if self._bytes is None:
            return self._task.decode(element[None]) + " "
        return self._bytes.decode(bytes([int(element)]))

    def end(self) -> str:
        return "" if self._bytes is None else self._bytes.decode(b"", final=True)
