"""Reader of .ts files of aeon and sktime: one case per line, dimensions separated by colons, the label last."""

from pathlib import Path
from typing import Any

from nounroll.data.encoding import read_text
from nounroll.data.sources import optional

CASE, LABEL = "case", "label"


def read_ts(setting: str, path: str | Path) -> Any:
    """Read a table with a row for each step: ``case``, the dimensions ``d0``, ``d1``, ... and ``label``.

    Raises:
        ValueError: a line is not of this form.
    """
    pa = optional("pyarrow", f"{setting} '{path}'", "tables")
    name, head, cases = f"{setting} '{path}'", dict[str, str](), list[tuple[int, list[str]]]()
    for number, line in enumerate(read_text(setting, path).splitlines(), 1):
        line = line.strip()
        if line.startswith("@"):
            key, _, value = line[1:].partition(" ")
            head[key.lower()] = value.strip().lower()
        elif line and not line.startswith("#"):
            cases.append((number, line.split(":")))
    if head.get("timestamps") == "true":
        raise ValueError(f"{name} has timestamps, which are not supported; give a long table with a column of times")
    named = head.get("classlabel", "false").startswith("true")
    labelled = named or head.get("targetlabel", "false").startswith("true")
    columns: dict[str, list[Any]] = {}
    for case, (number, parts) in enumerate(cases):
        values, label = (parts[:-1], parts[-1]) if labelled else (parts, None)
        dimensions = [_floats(name, number, part) for part in values]
        lengths = {len(one) for one in dimensions}
        if len(lengths) != 1 or (columns and len(dimensions) != len(columns) - 1 - labelled):
            raise ValueError(
                f"{name}, line {number} has {len(dimensions)} dimensions of {sorted(lengths)} steps; they must agree"
            )
        steps = lengths.pop()
        columns.setdefault(CASE, []).extend([case] * steps)
        for j, one in enumerate(dimensions):
            columns.setdefault(f"d{j}", []).extend(one)
        if label is not None:
            read = [label.strip()] if named else _floats(name, number, label)
            columns.setdefault(LABEL, []).extend(read * steps)
    if named and columns:  # classes are names, even if they look like numbers
        return pa.table({**columns, LABEL: pa.array(columns[LABEL]).dictionary_encode()})
    return pa.table(columns)


def _floats(name: str, number: int, part: str) -> list[float | None]:
    try:
        return [None if word.strip() in ("?", "NaN", "") else float(word) for word in part.split(",")]
    except ValueError:
        raise ValueError(
            f"{name}, line {number} holds a value that is not a number; separate values by commas, write ? if missing"
        ) from None
