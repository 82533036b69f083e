"""Decoding of elements to text."""

import codecs
from collections import deque
from collections.abc import Iterable

from torch import Tensor

from nounroll.data.corpus import TextCorpus, reads_bytes
from nounroll.data.task import SequenceTask
from nounroll.models.snapshot import MOST_CONTEXT


class Decoder:
    """Decoder of elements, one at a time; a character of several bytes is returned with its last byte.

    Args:
        task: the task of the elements.
        context: ``context`` of another decoder, after which this one goes on.
    """

    def __init__(self, task: SequenceTask, context: Iterable[int] = b"") -> None:
        self._task = task
        self._stream = task.tokenizer.stream() if isinstance(task, TextCorpus) and task.tokenizer else None
        self._last = deque[int](maxlen=MOST_CONTEXT)
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace") if reads_bytes(task) else None
        for symbol in context if self._reads else ():
            self._add(symbol)

    @property
    def _reads(self) -> bool:
        return self._stream is not None or self._bytes is not None

    @property
    def context(self) -> tuple[int, ...]:
        """Return the last elements that decide how later ones read: bytes of a character, or tokens."""
        return (*self.tail, *self._last)

    @property
    def tail(self) -> bytes:
        """Return the bytes of an incomplete character at the end."""
        return b"" if self._bytes is None else self._bytes.getstate()[0]

    def add(self, element: Tensor) -> str:
        if not self._reads:
            return self._task.decode(element[None]) + " "
        return self._add(int(element))

    def _add(self, symbol: int) -> str:
        """Add a byte or a token."""
        if self._stream is not None:
            self._last.append(symbol)
            return self._stream(symbol)
        assert self._bytes is not None
        return self._bytes.decode(bytes([symbol]))

    def end(self) -> str:
        return "" if self._bytes is None else self._bytes.decode(b"", final=True)
