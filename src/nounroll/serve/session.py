"""A session: one memory of the pool, and its records."""

import time
from dataclasses import dataclass, field

from torch import Tensor

from nounroll.serve.text import Decoder


@dataclass(frozen=True)
class Mark:
    """State of a session to which it can go back: its memory (K, d), and the inputs read."""

    memory: Tensor
    read: int
    inputs: list[Tensor] | None
    tail: bytes


@dataclass(eq=False)
class Session:
    """One memory and its requests, one at a time.

    Attributes:
        id: its name in routes.
        slot: of its memory in the pool.
        decoder: of all that it reads, fed or drawn.
        read: inputs so far.
        inputs: all of them, where a teacher judges them and there are at most ``limit``; else None.
        limit: how many inputs are held at most.
        in_use: a request is at work on it.
        step_seconds: that its last step took, for it and all that stepped with it.
        used: when it was last used, by the monotonic clock.
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
        """Its memory has read one more input."""
        self.read += 1
        self.decoder.add(value)
        if self.inputs is not None:
            self.inputs = [*self.inputs, value] if self.read <= self.limit else None
