"""Notices: warnings about a run that continues. The command prints each in one line."""

import warnings


class Notice(UserWarning):
    """Something that differs from what the user may expect."""


def notice(text: str) -> None:
    """Give a notice, in one line."""
    warnings.warn(text, Notice, stacklevel=2)
