"""docs/performance.md, written from what was measured."""

from typing import Any

Answers = dict[str, dict[str, Any]]


def page(answers: Answers) -> str:
    return ""
