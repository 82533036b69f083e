"""The page of the measurement on text, docs/text.md, from the answers of its runs."""

import statistics
from pathlib import Path
from typing import Any

from suite_page import NAMES, Row, cell, commands, read
from tuning import Budget

_HEAD = """# Text: methods side by side

The next byte of Python's standard library, as in the [everyday suite](suite.md): windows of 128 bytes, each scored from
an empty memory, and files of their own for the test. Each method of the library trains a GRU and an LSTM, and `fit`
decides all else. The rivals are `nn.GRU` and `nn.LSTM` with 128 units in plain PyTorch (`benchmarks/rivals.py`),
trained by truncated BPTT whose state is carried along the text. Written by `make text` from the files in
`docs/text/`.

- **Learning rates**: for each contender and each budget the best of three on the validation part. Seed 0 has the whole
  budget *three times*, once for each; the other seeds keep its rate.
- **Budgets** are of one run, in a process of one thread: CPU seconds, evaluations included; or tokens, which are rows
  times steps of the batches trained on. The column of CPU seconds also counts the library's last
  evaluation, which comes after its budget.
- **Level** means: within 3 %.

Fewer bits are better. Figures are medians over the seeds, with the worst seed in brackets, on files that no choice has
seen. Steps, tokens and CPU seconds are medians of a run.

"""
_NOTHING = "Nothing has been measured yet."


def text(folder: Path, budgets: list[Budget], contenders: tuple[str, ...]) -> str:
    """The page: a table for each budget, from the answers in its folder, and where they come from."""
    lines: list[str] = []
    rows: list[Row] = []
    for budget in budgets:
        found = read(folder / budget.folder, contenders)
        lines += [f"## At {budget}", ""]
        lines += [line for row in found for line in (_best(row), "", *_table(row), "")] or [_NOTHING, ""]
        rows += found
    return _HEAD + "\n".join([*lines, *(commands(rows) if rows else [])]).rstrip() + "\n"


def write_page(folder: Path, page: Path, budgets: list[Budget], contenders: tuple[str, ...]) -> None:
    """Write the page."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text(folder, budgets, contenders))


def _best(row: Row) -> str:
    """Who is best, and who is level with it."""
    medians = {one: statistics.median(row.values(one)) for one in row.answers}
    least = row.measure.best(list(medians.values()))
    best = next(one for one, median in medians.items() if median == least)
    level = [one for one in medians if one != best and row.measure.compare(medians[one], least) == "level"]
    beside = f"level with it: {', '.join(_named(one) for one in level)}" if level else "no other is level with it"
    return f"**{_named(best)}** is best, with {cell(row.measure, row.values(best))} {row.measure.name}; {beside}."


def _table(row: Row) -> list[str]:
    head = ["contender", "learning rate", f"{row.measure.name} ↓", "steps", "tokens", "CPU seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for contender, answers in row.answers.items():
        spent = [{"steps": answer["steps"], **answer["spent"]} for answer in answers]
        took = [f"{statistics.median(one[name] for one in spent):,.0f}" for name in ("steps", "tokens", "seconds")]
        cells = [_named(contender), _rate(answers[0]), cell(row.measure, row.values(contender)), *took]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _rate(answer: dict[str, Any]) -> str:
    """The learning rate, and those that it was chosen from."""
    tried = f" (of {', '.join(answer['tried'])})" if len(answer["tried"]) > 1 else ""
    return f"{answer['rate']:g}{tried}"


def _named(contender: str) -> str:
    return f"`{contender}`" if "/" in contender else NAMES[contender]
