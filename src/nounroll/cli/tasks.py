"""Command ``nounroll tasks``"""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def tasks(*, about: str | None = None) -> dict[str, Any]:
    """List the tasks that a recipe can name, and their options.

    Args:
        about: a task to show, with an example and its options.
    """
    from nounroll import data

    listed = []
    for name in data.TASKS if about is None else [about]:
        summary, options = data.describe(name)
        task = {"name": name, "about": summary, "options": [option._asdict() for option in options]}
        listed.append(task if about is None else {**task, "documentation": data.document(name)})
    return {"tasks": listed}


def show(result: dict[str, Any], console: Console) -> None:
    if "documentation" in result["tasks"][0]:
        console.print(result["tasks"][0]["documentation"], markup=False)
        return
    table = Table("task", "what it is", "options")
    for task in result["tasks"]:
        table.add_row(task["name"], task["about"], escape("\n".join(map(_option, task["options"]))))
    console.print(table)


def _option(option: dict[str, Any]) -> str:
    default = "required" if option["required"] else "null" if option["default"] is None else option["default"]
    return f"{option['name']}: {option['type']} ({default})"
