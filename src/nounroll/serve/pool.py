"""A fixed pool of memories. A free slot holds NaN, so whatever reads one by mistake shows it at once."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.models.student import Student


class Full(Exception):
    """All slots are taken."""


class Pool:
    """The memories of all sessions, (slots, K, d), stepped in one batch.

    ``advance`` may run in another thread: it sees copies alone. Everything else belongs to the thread of the server.

    Args:
        student: whose memories they are.
        slots: how many.
    """

    def __init__(self, student: Student, slots: int) -> None:
        self.student = student
        self.memories = torch.full((slots, *student.memory_shape), torch.nan)
        self._free = list(range(slots))

    @property
    def taken(self) -> int:
        return len(self.memories) - len(self._free)

    def claim(self, memory: Float[Tensor, "K d"] | None = None) -> int:
        """A slot that holds ``memory``; m_∅ when left out.

        Raises:
            Full: there is none.
        """
        if not self._free:
            raise Full
        slot = self._free.pop()
        self.memories[slot] = self.student.empty_memory.detach() if memory is None else memory
        return slot

    def release(self, slot: int) -> None:
        self._clear(slot)
        self._free.append(slot)

    def _clear(self, slot: int) -> None:
        self.memories[slot] = torch.nan

    def leaks(self) -> int:
        """Free slots that still hold something of a session. Always 0."""
        return int((~self.memories[self._free].isnan()).flatten(1).any(1).sum())

    @torch.inference_mode()
    def advance(
        self, inputs: Shaped[Tensor, "N *x"], memories: Float[Tensor, "N K d"]
    ) -> tuple[Float[Tensor, "N K d"], Float[Tensor, "N V"]]:
        """The memories after one step, and their readouts. The batch is padded to a power of two with its first row."""
        count = len(inputs)
        padded = [*range(count), *[0] * ((1 << (count - 1).bit_length()) - count)]
        after = self.student.step(inputs[padded], memories[padded])
        return after[:count], self.student.readout(after)[:count]

    @torch.inference_mode()
    def readout(self, memory: Float[Tensor, "K d"]) -> Float[Tensor, "V"]:
        """Return the network's prediction after a memory."""
        return self.student.readout(memory)
