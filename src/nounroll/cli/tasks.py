"""``nounroll tasks``"""

from typing import Any

from rich.console import Console
from rich.table import Table


def tasks() -> dict[str, Any]:
    """List the tasks that a recipe can name, and their options."""
    from nounroll import data

    listed = []
    for name in data.TASKS:
        about, options = data.describe(name)
        listed.append({"name": name, "about": about, "options": [option._asdict() for option in options]})
    return {"tasks": listed}


def show(result: dict[str, Any], console: Console) -> None:
    table = Table("task", "what it is", "options")
    for task in result["tasks"]:
        table.add_row(task["name"], task["about"], "\n".join(map(_option, task["options"])))
    console.print(table)


def _option(option: dict[str, Any]) -> str:
    default = "required" if option["required"] else "null" if option["default"] is None else option["default"]
    return f"{option['name']}: {option['type']} ({default})"
