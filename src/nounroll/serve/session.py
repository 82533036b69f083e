"""A session: one memory of the pool, and what is known about it."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(eq=False)
class Session:
    """One memory and what may be done with it, one request at a time.

    Attributes:
        id: its name in routes.
        slot: of its memory in the pool.
        read: inputs so far.
        inputs: all of them, where a teacher judges them and there are at most ``limit``; else None.
        limit: how many inputs are held at most.
        in_use: a request is at work on it.
        step_seconds: that its last step took, for it and all that stepped with it.
    """

    id: str
    slot: int
    read: int = 0
    inputs: list[Tensor] | None = None
    limit: int = 0
    in_use: bool = False
    step_seconds: float | None = None

    def heard(self, value: Tensor) -> None:
        """Its memory has read one more input."""
        self.read += 1
        if self.inputs is not None:
            self.inputs = [*self.inputs, value] if self.read <= self.limit else None
