"""Registry of tasks and corpora by name. Each is one file; add a new one to this list.

``build("retrieval", {"values": 8})`` makes a task from a recipe's plain values; ``describe("retrieval")`` describes the
task and its options. A task's module, and any package that only it needs, is imported on first use.
"""

import inspect
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

from nounroll.core.conversion import convert
from nounroll.core.registry import Registry

if TYPE_CHECKING:
    from nounroll.data.task import SequenceTask

_PLACES = {
    "retrieval": "nounroll.data.retrieval:Retrieval",
    "copy": "nounroll.data.copy:StringCopy",
    "parity": "nounroll.data.parity:Parity",
    "modular_sum": "nounroll.data.modular_sum:ModularSum",
    "modular_arithmetic": "nounroll.data.modular_arithmetic:ModularArithmetic",
    "stack": "nounroll.data.stack:Stack",
    "keys_values": "nounroll.data.keys_values:KeysValues",
    "recency_primacy": "nounroll.data.recency_primacy:RecencyPrimacy",
    "text": "nounroll.data.text:Text",
    "array": "nounroll.data.arrays:TokenArray",
    "digits": "nounroll.data.digits:Digits",
    "mnist": "nounroll.data.mnist:MNIST",
    "mnist_5k": "nounroll.data.mnist_5k:MNIST5k",
    "fashion_mnist": "nounroll.data.fashion_mnist:FashionMNIST",
    "strokes": "nounroll.data.strokes:Strokes",
    "tinystories": "nounroll.data.tinystories:TinyStories",
    "series": "nounroll.data.csv_series:Series",
    "table": "nounroll.data.tables.table:Table",
    "music": "nounroll.data.music:Music",
}
TASKS: Registry[type["SequenceTask"]] = Registry("task.kind", "nounroll.tasks", _PLACES)


class Option(NamedTuple):
    """Option of a task; ``default`` has no meaning if the option is required."""

    name: str
    type: str
    default: Any
    required: bool


def build(kind: str, options: dict[str, Any] | None = None) -> "SequenceTask":
    """Build the task ``kind`` with these options.

    Raises:
        ValueError: the one-line message has the setting, its value and the allowed values.
    """
    return load(kind)(**parsed(kind, options or {}))


def parsed(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Convert the options of a task to their types.

    Raises:
        ValueError: see ``build``.
    """
    from nounroll.core.plain import plain

    task = load(kind)
    known = describe(kind)[1]
    for name in options:
        if name not in [o.name for o in known]:
            allowed = ", ".join(o.name for o in known) or "no options"
            raise ValueError(f"task.options.{name} is not an option of {kind}; it takes {allowed}")
    for option in known:
        if option.required and option.name not in options:
            raise ValueError(f"task.options.{option.name} is not set; {kind} needs it: {option.type}")
    types = _types(task)
    return {name: _parsed(name, types[name], plain(value)) for name, value in options.items()}


def describe(kind: str) -> tuple[str, list[Option]]:
    """Describe a task in one line, with its options in order."""
    task = load(kind)
    types = _types(task)
    options = [
        Option(p.name, _type_name(types[p.name]), None if p.default is p.empty else p.default, p.default is p.empty)
        for p in _parameters(task)
    ]
    return (inspect.getdoc(task) or "").partition("\n")[0], options


def document(kind: str) -> str:
    """Return all documentation of a task: its picture, its optimum if it has one, and the meaning of its options."""
    return inspect.getdoc(load(kind)) or ""


def load(kind: str) -> type["SequenceTask"]:
    """Import the class of a task.

    Raises:
        ValueError: there is no such kind.
    """
    return TASKS.load(kind)


def _parameters(task: type["SequenceTask"]) -> list[inspect.Parameter]:
    """List the parameters of a task's constructor; none if the class defines no constructor."""
    if task.__init__ is object.__init__:
        return []
    return list(inspect.signature(task.__init__).parameters.values())[1:]


def _types(task: type["SequenceTask"]) -> dict[str, Any]:
    """Return the types of a task's options.

    Raises:
        ValueError: a parameter has no annotation, or is variadic.
    """
    types = typing.get_type_hints(task.__init__)
    for one in _parameters(task):
        if one.name not in types or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            raise ValueError(
                f"{task.__module__}.{task.__qualname__}({one}) cannot be named in a recipe;"
                f" annotate each argument of __init__, such as {one.name}: int = 3"
            )
    return types


def _parsed(name: str, expected: Any, value: Any) -> Any:
    """Convert a value to the annotated type, by the rules of the command line."""
    try:
        return convert(expected, value)
    except Exception:  # jsonargparse raises argparse's error type
        raise ValueError(f"task.options.{name} is {value!r}; expected {_type_name(expected)}") from None


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("pathlib.", "")
