"""Types and shapes checked at calls of the tests: jaxtyping's annotations, by beartype.

jaxtyping's import hook decorates every function and class of the package. Its own decorator binds the arguments of
a call and checks them twice, for the sake of its messages. The one here checks them once.

Checks of axes take a fifth of the time of a test that trains. So the gate checks a function whose arguments have axes
at its first calls in each test, and at some of the later ones. The nightly run checks it at every call.
"""

import dataclasses
import functools
import os
import types
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

# A whole number is a float too, as Python's typing says. What a file's reader refuses as a TypeError, it does here too.
check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))
_context = jaxtyping.jaxtyped
FIRST, LATER = 32, 16  # calls of a function in a test that are checked: the first 32, then each 16th
_tests = 0  # that were begun


def begin() -> None:
    """A test begins: the first calls of all functions are still to come."""
    global _tests
    _tests += 1


def install(package: str) -> None:
    """Check every call of the package, which is not imported yet."""
    jaxtyping.jaxtyped = _decorator
    jaxtyping.install_import_hook(package, "typechecking.check")


def _decorator(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The decorator that the import hook writes above every function and class."""

    def decorate(decorated: Any) -> Any:
        if not isinstance(decorated, type):
            return _checked(decorated, typechecker)
        if dataclasses.is_dataclass(decorated) and "__init__" in vars(decorated):
            decorated.__init__ = _checked(decorated.__init__, typechecker)
        return decorated

    return decorate


def _checked(function: Callable[..., Any], typechecker: Callable[[Any], Any]) -> Callable[..., Any]:
    """The function with every call checked. An axis ("B") has one size within a call, whatever it has in another."""
    known = _without_later_names(function)
    checked = typechecker(known)
    if "jaxtyping" not in repr(typing.get_type_hints(known, include_extras=True)):
        return checked  # no axes

    test = calls = 0
    every = "NOUNROLL_NIGHTLY" in os.environ

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal test, calls
        test, calls = _tests, calls + 1 if test == _tests else 1
        left_out = calls > FIRST and calls % LATER and not every
        if left_out or jaxtyping.config.jaxtyping_disable:
            return function(*arguments, **named)
        with _context("context"):
            return checked(*arguments, **named)

    return call


def _without_later_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, or its like without annotations that name what is not defined yet, or imported for types alone."""
    hints = {name: _defined(hint, function) for name, hint in function.__annotations__.items()}
    if hints == function.__annotations__:
        return function
    like = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    functools.update_wrapper(like, function)
    like.__kwdefaults__, like.__annotations__ = function.__kwdefaults__, hints
    return like


def _defined(hint: Any, function: Callable[..., Any]) -> Any:
    """The hint, or Any where a name in it is not defined."""
    named = types.SimpleNamespace(__annotations__={"hint": hint})
    try:
        typing.get_type_hints(named, function.__globals__)
    except Exception:
        return Any
    return hint
