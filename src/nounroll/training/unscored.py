"""The end of a method that has nothing to learn from."""

from nounroll.core.batch import Batch

_MOST = 100  # batches in a row without a scored target, after which a method ends
_WARNING = "nothing was scored in {} batches in a row, so {} ended; the task's mask must be True somewhere"


class Unscored:
    """Counts the batches in a row in which a method finds no scored target.

    Args:
        name: of the method.
        whole: time steps of a stream, all of which must have been read; 0 of other data.
    """

    def __init__(self, name: str, whole: int) -> None:
        self.name, self.whole, self.batches = name, whole, 0

    def warning(self, batch: Batch) -> str:
        """Count a batch, and return why the method ends with it; empty where it goes on."""
        self.batches = 0 if batch.mask.any() else self.batches + 1
        ends = self.batches >= _MOST and self.batches * batch.mask.numel() >= self.whole
        return _WARNING.format(self.batches, self.name) if ends else ""
