"""Early end of a method that finds no scored target."""

from nounroll.core.batch import Batch

_MOST = 100  # consecutive batches without a scored target after which a method ends
_WARNING = "nothing was scored in {} batches in a row, so {} ended; the task's mask must be True somewhere"


class Unscored:
    """Counter of consecutive batches in which a method finds no scored target.

    Args:
        name: name of the method.
        whole: time steps of a stream, all of which must be read before the method ends; 0 for other data.
    """

    def __init__(self, name: str, whole: int) -> None:
        self.name, self.whole, self.batches = name, whole, 0

    def warning(self, batch: Batch) -> str:
        """Count a batch, and return the reason why the method ends; empty if it continues."""
        self.batches = 0 if batch.mask.any() else self.batches + 1
        ends = self.batches >= _MOST and self.batches * batch.mask.numel() >= self.whole
        return _WARNING.format(self.batches, self.name) if ends else ""
