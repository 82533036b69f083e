"""Conversion of values to annotated types, by the rules of the command line."""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin


def convert(wanted: Any, value: Any) -> Any:
    """Convert a value to a type; a value that has the type already is returned as it is.

    Raises:
        Exception: the value does not fit the type.
    """
    if _has_type(wanted, value):
        return value
    from jsonargparse import ArgumentParser

    if value is None and type(None) not in get_args(wanted):
        raise TypeError  # the parser would read it as "not set"
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=wanted)
    return parser.parse_object({"value": value})["value"]


def _has_type(wanted: Any, value: Any) -> bool:
    """Return whether the parser would leave a value as it is; to build a parser takes half a millisecond."""
    if get_origin(wanted) is Literal:
        return any(type(value) is type(one) and value == one for one in get_args(wanted))
    if wanted is str or get_origin(wanted) not in (None, UnionType, Union):
        return wanted is str and type(value) is str
    return type(value) in {int, float, bool, type(None)}.intersection(get_args(wanted) or (wanted,))
