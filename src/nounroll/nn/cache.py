"""Cache of keys and values of earlier positions in attention, so that they are computed once."""

from jaxtyping import Float
from torch import Tensor


class KeyValueCache:
    """Cache of one layer. Its capacity doubles when it is full, so that copies are rare at any length.

    Attributes:
        length: number of positions in the cache.
    """

    def __init__(self) -> None:
        self.length = 0
        self._room: list[Tensor] = []  # keys and values, with spare capacity

    def append(
        self, key: Float[Tensor, "B H T e"], value: Float[Tensor, "B H T e"]
    ) -> tuple[Float[Tensor, "B H S e"], Float[Tensor, "B H S e"]]:
        """Append T positions; return all keys and all values."""
        start, self.length = self.length, self.length + key.shape[2]
        if not self._room or self._room[0].shape[2] < self.length:
            batch, heads, _, width = key.shape
            room = [key.new_empty(batch, heads, 2 * self.length, width) for _ in range(2)]
            for new, old in zip(room, self._room, strict=False):
                new[:, :, :start] = old[:, :, :start]
            self._room = room
        for kept, new in zip(self._room, (key, value), strict=True):
            kept[:, :, start : self.length] = new
        keys, values = (kept[:, :, : self.length] for kept in self._room)
        return keys, values
