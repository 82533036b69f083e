"""Trust: ``--trust`` says that the user vouches for the recipe or run at hand, which may come from a stranger."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_TRUSTED = ContextVar("trusted", default=False)


def is_trusted() -> bool:
    """Return whether links and data outside a recipe's folder may be followed and read."""
    return _TRUSTED.get()


@contextmanager
def trusting(trust: bool = True) -> Iterator[None]:
    """Trust the recipes and runs that are opened within the context."""
    token = _TRUSTED.set(trust)
    try:
        yield
    finally:
        _TRUSTED.reset(token)
