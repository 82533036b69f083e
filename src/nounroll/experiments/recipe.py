"""Recipe: all settings of a run as one tree of typed dataclasses, validated once.

The code that uses a group of settings also defines it. This file only combines the groups and reads them
from YAML, from dotted overrides (``teacher.width=128``) and from keyword arguments. If a recipe leaves a setting
out, ``nounroll.experiments.resolve`` decides it for the task's data.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from nounroll.cells.base import CellSettings
from nounroll.core.conversion import convert
from nounroll.core.plain import plain
from nounroll.core.ranges import at_least
from nounroll.data.paths import seen_from, seen_from_here
from nounroll.experiments.former import is_former, renewed
from nounroll.methods import AUTO, TRANSFORMER, AdaptSettings, DMTSettings, SMTSettings, TBPTTSettings, parse_chain
from nounroll.storage.files import opened
from nounroll.storage.trust import is_trusted
from nounroll.teacher import TeacherSettings
from nounroll.training.fixed import tell_gone, without_fixed
from nounroll.training.settings import BUDGETS, Budget, TrainingSettings

_BUDGET = Budget("seconds", 300.0)  # default of a recipe without a budget
_LONGEST = 1 << 18  # characters of a recipe's file; the recipes of this project have a few thousand
_NO_YAML = (yaml.YAMLError, ValueError, RecursionError)  # a date of month 13 and deep brackets raise the others


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """Task of a recipe, and the task's options (``nounroll tasks`` lists both)."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """Place that a recipe was read from.

    Attributes:
        folder: folder of the recipe's file.
        typed: dotted names that the user set in the command.
    """

    folder: Path
    typed: frozenset[str]

    def is_typed(self, name: str) -> bool:
        """Return whether the user set this name, or a group that contains it."""
        return any(name == one or name.startswith(f"{one}.") for one in self.typed)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a whole run.

    Args:
        name: name of the run; its folder is runs/NAME.
        task: source of sequences.
        length: T, in time steps.
        method: a chain such as smt+dmt, tbptt or smt+dmt+bptt; or auto, which is chosen by short trials; or adapt,
            which starts from a trained student.
        readout_width: hidden width of the student's readout; 0 is a linear readout.
        cell, teacher, smt, dmt, tbptt, adapt, training: see the class of each.
        given: dotted names of the settings that were given; ``resolve`` decides the others. None: all were given.
        origin: file that the recipe was read from; None if made in Python (see ``nounroll.experiments.consent``).
    """

    name: str = "run"
    task: TaskSettings
    length: int
    method: str = AUTO
    readout_width: int = 256
    cell: CellSettings = field(default_factory=CellSettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    smt: SMTSettings = field(default_factory=SMTSettings)
    dmt: DMTSettings = field(default_factory=DMTSettings)
    tbptt: TBPTTSettings = field(default_factory=TBPTTSettings)
    adapt: AdaptSettings = field(default_factory=AdaptSettings)
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(budget=_BUDGET))
    given: frozenset[str] | None = field(default=None, compare=False)
    origin: Origin | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.method != AUTO:
            parse_chain(self.method)
        for name, least in {"length": 1, "readout_width": 0}.items():
            at_least(name, getattr(self, name), least)
        if self.name in ("", ".", "..") or Path(self.name).name != self.name:
            raise ValueError(f"name is {self.name!r}; it must be a plain folder name")

    def is_open(self, own_cell: object = None) -> bool:
        """Return whether trials must choose the method, or the cell if it is not the user's own module."""
        return self.method == AUTO or (own_cell is None and self.cell.kind == AUTO and self.method != TRANSFORMER)

    def get(self, name: str) -> Any:
        """Return the setting with a dotted name, such as ``teacher.width``."""
        group, _, setting = name.rpartition(".")
        return getattr(getattr(self, group) if group else self, setting)

    def changed(self, changes: Mapping[str, Any]) -> "Recipe":
        """Copy the recipe with other values of some settings, by their dotted names; ``given`` stays as it is."""
        own = {name: value for name, value in changes.items() if "." not in name}
        groups: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            group, _, setting = name.rpartition(".")
            if group:
                groups.setdefault(group, {})[setting] = value
        for group, values in groups.items():
            own[group] = dataclasses.replace(own.get(group, getattr(self, group)), **values)
        return dataclasses.replace(self, **own)

    def kept_in(self, folder: Path) -> "Recipe":
        """Copy the recipe for a file in another folder: relative paths of data are adjusted."""
        task = dataclasses.replace(self.task, options=seen_from(self.task.options, folder))
        return dataclasses.replace(self, task=task)

    def with_given(self, changes: Mapping[str, Any]) -> "Recipe":
        """Copy the recipe as ``changed`` does, and mark the changes as given."""
        given = None if self.given is None else self.given | frozenset(changes)
        return dataclasses.replace(self.changed(changes), given=given)

    def to_dict(self) -> dict[str, Any]:
        """Return the whole recipe with its defaults as plain values, for ``parse``."""
        tree = dataclasses.asdict(dataclasses.replace(self, given=None, origin=None))
        del tree["given"], tree["origin"]
        return plain({**tree, "training": self.training.to_dict()})

    def given_to_dict(self) -> dict[str, Any]:
        """Return only the given settings as plain values, for ``parse``."""
        whole, tree = self.to_dict(), {}
        for name in sorted(_names(whole) if self.given is None else self.given):
            group, _, setting = name.rpartition(".")
            branch, source = (tree.setdefault(group, {}), whole[group]) if group else (tree, whole)
            is_budget = group == "training" and setting in ("budget", *BUDGETS)
            branch |= self.training.budget.to_dict() if is_budget else {setting: source[setting]}
        return tree

    def to_yaml(self) -> str:
        """Return ``to_dict`` as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    def given_to_yaml(self) -> str:
        """Return ``given_to_dict`` and the name as YAML."""
        return yaml.safe_dump({"name": self.name, **self.given_to_dict()}, sort_keys=False)


def parse(document: Mapping[str, Any], overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """Build a recipe from nested mappings and overrides: texts ``dotted.name=value``, or a mapping by dotted names.

    Raises:
        ValueError: a name is unknown, or a value has the wrong type or range; the message names it.
    """
    tree = plain(document)
    given = overrides if isinstance(overrides, Mapping) else dict(map(_named, overrides))
    for name, value in given.items():
        *path, last = name.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                raise ValueError(f"{name} cannot be set: {part} is not a group of settings")
        branch[last] = plain(value)
    if isinstance(tree.get("training"), dict):
        _one_budget(tree["training"], given)
    return dataclasses.replace(_own_tokens(_build(Recipe, tree, "")), given=frozenset(_names(tree)))


def _own_tokens(recipe: Recipe) -> Recipe:
    """Let the pretrained teacher's tokenizer split the text, unless the recipe names a tokenizer."""
    if recipe.teacher.kind != "transformers" or recipe.task.kind != "text":
        return recipe
    options = {"tokenizer": recipe.teacher.path, **recipe.task.options}
    return dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, options=options))


def _named(override: str) -> tuple[str, Any]:
    """Split ``dotted.name=value`` into its name and its value."""
    name, equals, text = override.partition("=")
    if not equals or not all(name.strip().split(".")):
        raise ValueError(f"--set got {override!r}; it takes NAME=VALUE, such as teacher.width=128")
    return name.strip(), _value(text)


def _names(tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield the dotted names of all settings in a tree; the settings of a task count as one."""
    for name, value in tree.items():
        if isinstance(value, dict) and name != "task":
            yield from (f"{name}.{setting}" for setting in value)
        else:
            yield name


def load(path: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read the recipe in a YAML file. Paths of data are relative to the file's folder, or else to the working folder.

    Raises:
        ValueError: the file is missing, is not YAML, or does not hold a valid recipe.
    """
    document = _document(Path(path))
    tell_gone(document)
    return _read(Path(path), document, list(overrides))


def load_kept(path: Path) -> Recipe:
    """Read the recipe that a run keeps, as ``load`` does. Its network was trained by it, so no notice is given."""
    return _read(path, _document(path), [])


def _document(path: Path) -> dict[str, Any]:
    """Read the names and values in a recipe's file.

    Raises:
        ValueError: see ``load``.
    """
    try:
        with opened(path, follow=is_trusted()) as file:
            text = file.read(4 * _LONGEST + 4).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"recipe {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(text) > _LONGEST:
        raise ValueError(f"recipe {path} cannot be read: it has more than {_LONGEST:,} characters")
    try:
        document = yaml.load(text, _Loader)  # a subclass of SafeLoader  # nosec B506
    except _NO_YAML as error:
        raise ValueError(f"recipe {path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ValueError(f"recipe {path} holds {type(document).__name__}; it must hold names and values")
    return renewed(document) if is_former(document) else document


def _read(path: Path, document: dict[str, Any], overrides: list[str]) -> Recipe:
    document = without_fixed(document)
    task = document.get("task")
    if isinstance(task, dict) and isinstance(task.get("options"), dict):
        document["task"] = {**task, "options": seen_from_here(task["options"], path.parent)}
    typed = frozenset(override.partition("=")[0].strip() for override in overrides)
    recipe = parse({"name": path.stem, **document}, overrides)
    return dataclasses.replace(recipe, origin=Origin(path.absolute().parent, typed))


class _Loader(yaml.SafeLoader):
    """Safe YAML loader that refuses duplicate names and aliases, which can grow without limit."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(None, None, "it has an alias, write the values out", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for name, times in names.items():
            if times > 1:
                raise ConstructorError(None, None, f"{name} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _one_budget(training: dict[str, Any], given: Iterable[str]) -> None:
    """Let an override of one budget replace the others."""
    given = set(given)
    chosen = [name for name in BUDGETS if f"training.{name}" in given]
    for name in BUDGETS if chosen else ():
        if name not in chosen:
            training.pop(name, None)


def _build(kind: type, tree: Any, path: str) -> Any:
    """Build a settings dataclass. This function checks names, jsonargparse checks types, the class checks ranges."""
    if not isinstance(tree, dict):
        raise ValueError(f"{path or 'recipe'} is {tree!r}; it must be a group of settings")
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in ("given", "origin", "budget")}
    budgets: dict[str, Any] = dict.fromkeys(BUDGETS if kind is TrainingSettings else ())
    for name in tree:
        if name not in fields and name not in budgets:
            known = f"{path or 'a recipe'} has {', '.join([*budgets, *fields])}"
            raise ValueError(f"{_join(path, name)} is unknown; {_meant(fields, name)}{known}")
    for name, one in fields.items():
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if required and name not in tree:
            raise ValueError(f"{_join(path, name)} is missing; a recipe needs it")
    values: dict[str, Any] = {}
    for name, value in tree.items():
        if name in budgets:
            wanted = int | None if name in ("steps", "tokens") else float | None
            budgets[name] = _typed(_join(path, name), wanted, value)
        elif dataclasses.is_dataclass(fields[name].type):
            values[name] = _build(fields[name].type, value, _join(path, name))  # type: ignore[arg-type]
        else:
            values[name] = _typed(_join(path, name), fields[name].type, value)
    if budgets:
        values["budget"] = Budget.from_names(budgets, _BUDGET)
    return kind(**values)


def _meant(fields: dict[str, dataclasses.Field[Any]], name: object) -> str:
    """Name the groups that have a setting of this name; empty if none has."""
    groups = {group: one.type for group, one in fields.items() if isinstance(one.type, type)}
    found = [f"{g}.{name}" for g, kind in groups.items() if name in getattr(kind, "__dataclass_fields__", ())]
    return f"say {' or '.join(found)}; " if found else ""


def _typed(name: str, wanted: Any, value: Any) -> Any:
    try:
        typed = convert(wanted, value)
    except Exception as error:  # jsonargparse raises argparse's error type
        raise ValueError(f"{name} is {value!r}; it must be {_in_words(wanted)}") from error
    for number in typed if isinstance(typed, tuple) else (typed,):
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(f"{name} is {value!r}; it must be finite")
        if isinstance(number, int) and abs(number) >> 63:
            raise ValueError(f"{name} has {len(str(abs(number)))} digits; it must be less than 2 to the power of 63")
    return typed


def _in_words(wanted: Any) -> str:
    """Describe a type in words: int | None -> "a whole number or null"."""
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    if wanted in plain:
        return plain[wanted]
    inner = get_args(wanted)
    if get_origin(wanted) is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if get_origin(wanted) is tuple:
        return f"a list of {len(inner)}: {', '.join(map(_in_words, inner))}"
    if isinstance(wanted, UnionType) or get_origin(wanted) is Union:  # for example a Literal or None
        return " or ".join(map(_in_words, inner))
    return "a group of names and values"


def _value(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # a subclass of SafeLoader  # nosec B506
    except _NO_YAML:
        return text


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
