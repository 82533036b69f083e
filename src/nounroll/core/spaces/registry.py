"""Registry of spaces by their names in files."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from nounroll.core.registry import installed, load_entry
from nounroll.core.spaces.base import Space

S = TypeVar("S", bound=type[Space])
GROUP = "nounroll.spaces"  # entry points of installed packages
_SPACES: dict[str, type[Space]] = {}


def register_space(kind: str) -> Callable[[S], S]:
    """Register a class of spaces under its name in files: ``@nounroll.register_space("ordinal")``.

    A student with such a space can be opened after the class's file was imported, or if an installed package has an
    entry point ``ordinal`` in the group ``nounroll.spaces``.

    Raises:
        ValueError: another class has the name.
    """

    def named(space: S) -> S:
        known = _SPACES.get(kind)
        if known is not None and (known.__module__, known.__qualname__) != (space.__module__, space.__qualname__):
            raise ValueError(f"the space {kind!r} is {known.__module__}.{known.__qualname__}; take another name")
        space.kind = kind
        _SPACES[kind] = space
        return space

    return named


def space_to_json(space: Space) -> dict[str, Any]:
    """Describe a space in plain values, for ``space_from_json``.

    Raises:
        ValueError: the space has no name.
    """
    if _SPACES.get(space.kind) is not type(space):
        name = type(space).__name__
        raise ValueError(f"{name} has no name in files; decorate it: @nounroll.register_space({name.lower()!r})")
    return {"kind": space.kind, **space.to_json()}


def space_from_json(document: Mapping[str, Any]) -> Space:
    """Build the space that ``space_to_json`` described.

    Raises:
        ValueError: there is no space with this name.
    """
    kind, rest = document["kind"], {name: value for name, value in document.items() if name != "kind"}
    return _class(kind).from_json(rest)


def _class(kind: str) -> type[Space]:
    if kind not in _SPACES and (entry := installed(GROUP).get(kind)):
        register_space(kind)(load_entry(entry))
    if kind not in _SPACES:
        raise ValueError(
            f"the space {kind!r} is not known; import the file that registers it, or install its package"
            f" (known are {', '.join(sorted(_SPACES))})"
        )
    return _SPACES[kind]
