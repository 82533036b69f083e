"""Tasks without data."""

from typing import Any, NoReturn

from nounroll.core.batch import Space
from nounroll.data.task import SequenceTask


def bare(kind: type[SequenceTask], inputs: Space, targets: Space) -> SequenceTask:
    """Create a task of a class without running its constructor."""

    def refuse(self: SequenceTask, *_: Any) -> NoReturn:
        raise ValueError(f"{kind.__name__} was opened without its data, and this needs its sequences")

    methods: Any = dict.fromkeys(("sample", "take", "validation", "test", "stored"), refuse)
    task: SequenceTask = object.__new__(type(kind.__name__, (kind,), {**methods, "__doc__": kind.__doc__}))
    task.inputs, task.targets = inputs, targets
    return task
