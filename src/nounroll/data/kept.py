"""Record of a run's task, so that a trained network can encode and decode without its training data."""

from collections.abc import Mapping
from typing import Any

from nounroll import data
from nounroll.core.batch import Space
from nounroll.data.bare import bare
from nounroll.data.fingerprint import fingerprint
from nounroll.data.sequences import Sequences
from nounroll.data.task import SequenceTask

CUSTOM = "custom"  # kind of a user's task object


def keep(task: SequenceTask, kind: str) -> dict[str, Any]:
    """Return the record of a task, as plain values.

    Args:
        task: the training task.
        kind: the task's name in recipes.
    """
    return {
        "kind": kind,
        "fingerprint": fingerprint(task),
        "autoregressive": task.autoregressive,
        "max_length": task.max_length,
        "speech": task.speech(),
    }


def without_data(document: Mapping[str, Any], inputs: Space, targets: Space) -> SequenceTask:
    """Rebuild a task without data from its record: it encodes prompts and decodes draws, but has no sequences.

    Args:
        document: result of ``keep``; it may be untrusted.
        inputs, targets: the network's spaces.

    Raises:
        ValueError: the document is invalid.
    """
    try:
        kind = document["kind"]
        task = bare(Sequences if kind == CUSTOM else data.load(kind), inputs, targets)
        task.autoregressive, task.max_length = bool(document["autoregressive"]), document["max_length"]
        if not isinstance(task.max_length, int | None):
            raise TypeError(f"max_length is {task.max_length!r}")
        task.speak(document["speech"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        fault = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise ValueError(f"the description of its task in the network's folder cannot be read ({fault})") from error
    return task
