"""Notices: what a user has to know although the work goes on. Python warns of them; the command prints each."""

import warnings


class Notice(UserWarning):
    """Something that differs from what the user may expect."""


def notice(text: str) -> None:
    """Give a notice, in one line."""
    warnings.warn(text, Notice, stacklevel=2)
