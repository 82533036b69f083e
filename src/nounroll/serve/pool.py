"""Fixed pool of memories. A free slot holds NaN, so that a mistaken read shows at once."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.models.student import Student


class Full(Exception):
    """All slots are taken."""


class Pool:
    """Memories of all sessions, (slots, K, d), stepped in one batch.

    ``advance`` may run in another thread, because it gets copies. Everything else belongs to the server's thread.

    Args:
        student: the student of the memories.
        slots: number of memories.
    """

    def __init__(self, student: Student, slots: int) -> None:
        self.student = student
        self.memories = torch.full((slots, *student.memory_shape), torch.nan)
        self._free = list(range(slots))

    @property
    def taken(self) -> int:
        return len(self.memories) - len(self._free)

    def claim(self, memory: Float[Tensor, "K d"] | None = None) -> int:
        """Take a free slot and put ``memory`` into it; m_∅ when None.

        Raises:
            Full: there is no free slot.
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
        """Count the free slots that still hold a session's data. Always 0."""
        return int((~self.memories[self._free].isnan()).flatten(1).any(1).sum())

    @torch.inference_mode()
    def advance(
        self, inputs: Shaped[Tensor, "N *x"], memories: Float[Tensor, "N K d"]
    ) -> tuple[Float[Tensor, "N K d"], Float[Tensor, "N V"]]:
        """Return the memories after one step, and their readouts. The first row pads the batch to a power of two."""
        count = len(inputs)
        padded = [*range(count), *[0] * ((1 << (count - 1).bit_length()) - count)]
        after = self.student.step(inputs[padded], memories[padded])
        return after[:count], self.student.readout(after)[:count]

    @torch.inference_mode()
    def readout(self, memory: Float[Tensor, "K d"]) -> Float[Tensor, "V"]:
        """Return the network's prediction after a memory."""
        return self.student.readout(memory)
