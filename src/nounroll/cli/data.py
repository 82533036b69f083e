"""Command ``nounroll data``"""

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def data(
    file: str, *, role: tuple[str, ...] = (), type: tuple[str, ...] = (), set: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Show how a table is read: columns, types, roles, gaps, sequences, parts, and oddities.

    Args:
        file: CSV, Parquet, Arrow, JSON lines or .ts; or a recipe (.yaml) whose task is table, with its options.
        role: roles of columns, such as target=sales; may be given several times, or with commas between columns.
            ``nounroll tasks --about table`` lists the roles.
        type: type of a column, if the guess is wrong: number, category or time, such as store=category.
        set: another option of the task table, such as ahead=0.
    """
    import yaml

    from nounroll import data as registry
    from nounroll.data.tables.summary import understood

    options: dict[str, Any] = _of_recipe(file) if file.endswith((".yaml", ".yml")) else {"path": file}
    known = [one.name for one in registry.describe("table")[1]]
    for name, value in _named("--set", set):
        if name not in known:
            raise ValueError(f"--set got {name!r}; the task table has {', '.join(known)}")
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(f"--set got {name}={value!r}, which is no value of YAML; quote it, or mend it") from None
    columns: dict[str, list[str]] = {}
    for name, value in _named("--role", role):
        columns.setdefault(name, []).extend(value.split(","))
    roles = {name: found if len(found) > 1 else found[0] for name, found in columns.items()}
    types = dict(_named("--type", type))
    for name, given in (("roles", roles), ("types", types)):
        if given:
            options[name] = {**(options.get(name) or {}), **given}
    return understood(registry.parsed("table", options))


def _of_recipe(file: str) -> dict[str, Any]:
    """Read the options of a recipe's table.

    Raises:
        ValueError: the file is not a recipe, or its task is not a table.
    """
    from pathlib import Path

    from nounroll.experiments.recipe import load

    task = load(Path(file)).task
    if task.kind != "table":
        raise ValueError(f"{file} has a task of kind {task.kind}; nounroll data shows tables, give a recipe of one")
    return dict(task.options)


def _named(option: str, given: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ValueError(f"{option} got {text!r}; it takes NAME=VALUE")
        yield name.strip(), value.strip()


def show(result: dict[str, Any], console: Console) -> None:
    table = Table("column", "type", "role", "missing", "values")
    for one in result["columns"]:
        role = f"{one['role']} (guessed)" if one["guessed"] else one["role"]
        table.add_row(*(escape(str(v)) for v in (one["name"], one["type"], role, f"{one['missing']:,}", _values(one))))
    console.print(table)
    found = result["sequences"]
    lines = [f"{result['rows']:,} rows"]
    if found:
        lines[0] += f"; {found['count']:,} sequences of {found['shortest']:,} to {found['longest']:,} steps"
    for part, counts in result.get("parts", {}).items():
        lines.append(f"{part}: {counts['pieces']:,} pieces, {counts['scored']:,} scored steps")
    if "inputs" in result:
        lines.append(f"the network reads {result['inputs']} and predicts {result['targets']}")
    lines += [f"odd: {line}" for line in result["advice"]]
    for line in lines:
        console.print(line, markup=False)


def _values(one: dict[str, Any]) -> str:
    if "categories" in one:
        return f"{one['categories']:,}: {', '.join(one['first'])}" + (", ..." if one["categories"] > 5 else "")
    if one["type"] == "time":
        zone = f", {one['zone']}" if one["zone"] else ""
        return f"{one['from']} to {one['to']}{zone}".replace("T00:00:00", "").replace(".000000000", "")
    return f"{one['from']:.6g} to {one['to']:.6g}" if "from" in one else ""
