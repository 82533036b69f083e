"""A session: one memory of the pool, and its records."""

import time
from dataclasses import dataclass, field

from torch import Tensor

from nounroll.serve.text import Decoder


@dataclass(frozen=True)
class Mark:
    """State of a session to return to: its memory (K, d), the inputs read, and the context of its decoder."""

    memory: Tensor
    read: int
    inputs: list[Tensor] | None
    context: tuple[int, ...]


@dataclass(eq=False)
class Session:
    """Session: one memory, used by one request at a time.

    Attributes:
        id: the session's name in routes.
        slot: the place of its memory in the pool.
        decoder: decodes all elements that it reads, fed or drawn.
        read: number of inputs so far.
        inputs: all inputs, if there is a judge and there are at most ``limit``; else None.
        limit: largest length of ``inputs``.
        in_use: whether a request is using the session.
        step_seconds: seconds of its last step, shared by the whole batch.
        used: time of the last use, on the monotonic clock.
    """

    id: str
    slot: int
    decoder: Decoder
    read: int = 0
    inputs: list[Tensor] | None = None
    limit: int = 0
    in_use: bool = False
    step_seconds: float | None = None
    used: float = field(default_factory=time.monotonic)

    def heard(self, value: Tensor) -> None:
        """Record that the memory has read one more input."""
        self.read += 1
        self.decoder.add(value)
        if self.inputs is not None:
            self.inputs = [*self.inputs, value] if self.read <= self.limit else None
