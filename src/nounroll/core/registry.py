"""Registry of parts of one kind by name: built-in parts, and parts that installed packages add by entry points."""

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Registry(Generic[T]):
    """Parts of one kind, each imported on first use.

    A package adds a part by an entry point, without changing this package::

        [project.entry-points."nounroll.cells"]
        leaky = "my_package.cells:LeakyCell"

    Args:
        setting: dotted name of the setting that selects a part, for messages.
        group: group of the entry points, such as "nounroll.cells".
        places: name -> "module:attribute" of the built-in parts.
    """

    def __init__(self, setting: str, group: str, places: Mapping[str, str]) -> None:
        self.setting, self.group, self.places = setting, group, dict(places)

    def __iter__(self) -> Iterator[str]:
        """Iterate over all names, built-in ones first."""
        return iter(dict.fromkeys([*self.places, *sorted(installed(self.group))]))

    def check(self, name: str, *more: str) -> None:
        """Raise ValueError unless a name is that of a part or one of ``more``."""
        if name not in (*self, *more):
            raise ValueError(f"{self.setting} is {name!r}; it must be one of {', '.join((*more, *self))}")

    def load(self, name: str) -> T:
        """Import the part with a name.

        Raises:
            ValueError: there is no such part, an installed package reuses a built-in name, or the part cannot be
                imported.
        """
        self.check(name)
        added = installed(self.group).get(name)
        if name not in self.places:
            return cast(T, load_entry(cast(EntryPoint, added)))
        if added is not None:
            raise ValueError(
                f"{self.setting} is {name!r}, which is nounroll's own and also {added.value} by the entry points"
                f" {self.group}; remove that package or rename its part"
            )
        module, _, attribute = self.places[name].partition(":")
        return cast(T, getattr(import_module(module), attribute))

    def make(self, name: str, *values: Any, **options: Any) -> Any:
        """Call the part with a name.

        Raises:
            ValueError: see ``load``; or the part does not accept these arguments.
        """
        part: Any = self.load(name)
        try:
            inspect.signature(part).bind(*values, **options)
        except TypeError as error:
            called = ", ".join([*(type(one).__name__ for one in values), *(f"{option}=" for option in options)])
            raise ValueError(
                f"{self.setting} is {name!r}; {part.__qualname__} is called with ({called}): {error}"
            ) from None
        return part(*values, **options)


@cache
def installed(group: str) -> dict[str, EntryPoint]:
    """Map the entry points of a group in the installed packages by name.

    Raises:
        ValueError: two packages use the same name for different parts.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        first = found.setdefault(entry.name, entry)
        if first.value != entry.value:
            raise ValueError(
                f"the entry points {group} have two parts named {entry.name!r}, {first.value} and {entry.value};"
                " remove one of the packages"
            )
    return found


def load_entry(entry: EntryPoint) -> Any:
    """Import the object of an entry point.

    Raises:
        ValueError: the object cannot be imported.
    """
    try:
        return entry.load()
    except Exception as error:  # foreign code may raise anything
        raise ValueError(
            f"the entry point {entry.name} = {entry.value} of {entry.group}: {type(error).__name__}: {error}"
        ) from error
