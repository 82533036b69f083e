"""Scale of inputs and targets, measured once on a task's training part, so that any unit trains like unit 1."""

from jaxtyping import Bool
from torch import Tensor

from nounroll.core.batch import Space
from nounroll.data.task import SequenceTask, draw

_STEPS, _LEAST, _MOST = 2**16, 32, 512  # time steps to draw, and bounds on the number of sequences
_NUMBERS = 2**24  # drawn at most


def measured(task: SequenceTask, length: int) -> tuple[Space, Space]:
    """Return the spaces of a task's inputs and targets, with measured scales (``Space.measured``).

    The draws are the same for every run of a task at a length; they do not depend on its seed.

    Args:
        task: the task; its training part is measured.
        length: T.

    Raises:
        ValueError: numbers are too large or too small for single precision, or another space is needed for them.
    """
    spaces = {"inputs": task.inputs, "targets": task.targets}
    unknown = [name for name, space in spaces.items() if space.unmeasured]
    if unknown:
        width = max(sum(spaces[name].event_shape) for name in unknown)
        rows = min(_MOST, max(_LEAST, _STEPS // length), max(2, _NUMBERS // (length * max(1, width))))
        batch = draw(task, rows, length, 0, "scale")
        seen = {"inputs": batch.inputs[steps_read(batch.mask)], "targets": batch.targets[batch.mask]}
        for name in unknown:
            label = f"{type(task).__name__}: {name}"
            spaces[name] = spaces[name].measured(label, seen[name], targets=name == "targets")
    return spaces["inputs"], spaces["targets"]


def steps_read(mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    """Mark the steps up to the last scored step of each row; later steps count as padding."""
    return mask.flip(1).cummax(1).values.flip(1)
