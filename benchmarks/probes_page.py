"""The page of the probes, docs/probes.md, and one picture a probe, from the answers of their runs."""

import io
import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probes import CELLS, METHODS, PROBES
from probes_run import SPENT

AXES = {"seconds": "CPU seconds", "tokens": "tokens", "sequential_flops": "sequential FLOPs"}
_LEVEL = 0.01  # accuracies that are no further apart are level
_COLOURS = {"smt+dmt": "#2e7d32", "tbptt": "#1565c0", "bptt": "#c62828"}
_LINES: dict[str, Any] = {"mlp": "-", "transformer": "--", "gru": ":"}
_HEAD = """# Five probes, by method and by cell

The probes of arXiv 2606.06479 at up to three lengths. Each cell is trained by SMT and DMT, by truncated BPTT and by
BPTT. Written by `make probes` from the files in `docs/probes/`; a missing row was not measured.

- **The same for all methods**: task, cell, memory (16 numbers a token, more tokens for probes that must hold more),
  batch size, budget in CPU seconds of one thread, evaluations included. All else is the library's default.
- **Rate**: "of N" is the best of N learning rates on the validation part, each with the whole budget; "of 1" is the
  library's default for the method.
- **Accuracy** is that of the student alone, rolled out from the empty memory. At equal seconds it is taken on the test
  part after the whole budget. At equal tokens, and at equal sequential FLOPs, it is the best on the validation part
  until a run has spent as much as the cheapest of the three methods spent in all. The schedule of the learning rate
  was planned for the whole budget, so the costlier methods may be slightly better there than shown.
- **Ahead** means by more than 0.01; medians over the seeds.
- **Machines**: the rows of one probe, length and cell are of one machine. Those of copy at 32 and 64,
  modular_arithmetic at 128, stack with the MLP, and of the GRU beyond the shortest length, are of a slower one, at
  times shared with other work.

"""


@dataclass(frozen=True)
class Group:
    """The methods of one probe, length and cell, with the curriculum or without.

    Attributes:
        answers: method -> its answers, by seed.
    """

    probe: str
    length: int
    cell: str
    whole: bool
    answers: dict[str, list[dict[str, Any]]]

    def scores(self, method: str, axis: str) -> list[float]:
        """The accuracy of every seed at an equal amount of an axis."""
        if axis == "seconds":
            return [answer["scores"]["accuracy"] for answer in self.answers[method]]
        place = SPENT.index(axis)
        equal = min(answer["curve"][-1][place] for answers in self.answers.values() for answer in answers)
        found = []
        for answer in self.answers[method]:
            reached = [point[-1] for point in answer["curve"] if point[place] <= equal]
            found.append(reached[-1] if reached else 0.0)
        return found

    def ahead(self, axis: str) -> float | None:
        """By how much smt+dmt is ahead of the best other method; None where there is nothing to compare."""
        medians = {method: statistics.median(self.scores(method, axis)) for method in self.answers}
        others = [value for method, value in medians.items() if method != "smt+dmt"]
        return medians["smt+dmt"] - max(others) if others and "smt+dmt" in medians else None


def read(folder: Path) -> list[Group]:
    """All answers of a folder, by probe, length and cell."""
    found: dict[tuple[str, int, str, bool], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(folder.glob("*.json")):
        answer = json.loads(file.read_text())
        probe, _, length = answer["task"].rpartition("-")
        method, cell, *form = answer["contender"].split("/")
        found[probe, int(length), cell, bool(form)][method].append(answer)
    return [
        Group(probe, length, cell, whole, {method: answers[method] for method in METHODS if method in answers})
        for probe, lengths in PROBES.items()
        for whole in (False, True)
        for length in lengths
        for cell in CELLS
        if (answers := found.get((probe, length, cell, whole)))
    ]


def text(folder: Path) -> str:
    """The page."""
    groups = read(folder)
    if not groups:
        return _HEAD + "Nothing has been measured yet.\n"
    lines = _summary(groups)
    for probe in dict.fromkeys(group.probe for group in groups):
        mine = [group for group in groups if group.probe == probe]
        lines += [f"## {probe}", "", f"![{probe} by method]({folder.name}/{probe}.png)", ""]
        for title, whole in (("", False), ("Without the length curriculum:", True)):
            if some := [group for group in mine if group.whole == whole]:
                lines += [*([title, ""] if title else []), *_table(some), ""]
    return _HEAD + "\n".join([*lines, *_runs(groups)]).rstrip() + "\n"


def write_page(folder: Path, page: Path) -> None:
    """Write the page, and the pictures beside the answers."""
    groups = read(folder)
    page.parent.mkdir(parents=True, exist_ok=True)
    for probe in dict.fromkeys(group.probe for group in groups):
        draw([group for group in groups if group.probe == probe], folder / f"{probe}.png")
    page.write_text(text(folder))


def _summary(groups: list[Group]) -> list[str]:
    """How often smt+dmt is ahead of the best other method with the same cell, level with it, and behind."""
    head = ["at equal", "cell", "ahead", "level", "behind"]
    lines = ["smt+dmt beside the better of truncated BPTT and BPTT of the same cell:", ""]
    lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for axis, name in AXES.items():
        for cell in CELLS:
            by = [gap for group in groups if group.cell == cell and (gap := group.ahead(axis)) is not None]
            if by:
                counts = [sum(gap > _LEVEL for gap in by), sum(abs(gap) <= _LEVEL for gap in by)]
                counts += [sum(gap < -_LEVEL for gap in by)]
                lines.append("| " + " | ".join([name, cell, *map(str, counts)]) + " |")
    return [*lines, ""]


def _table(groups: list[Group]) -> list[str]:
    head = ["length", "cell", "method", "rate", *(f"equal {name}" for name in AXES.values()), "steps", "tokens"]
    head += ["sequential FLOPs", "CPU seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for group in groups:
        for method, answers in group.answers.items():
            first, last = answers[0], [statistics.median(column) for column in zip(*_ends(answers), strict=True)]
            seconds, tokens, flops, steps, _ = last
            cells = [f"{group.length:,}", group.cell, method, f"{first['rate']:g} of {len(first['tried'])}"]
            cells += [_accuracy(group, method, axis) for axis in AXES]
            cells += [f"{steps:,.0f}", f"{tokens:,.0f}", f"{flops:.1e}", f"{seconds:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _ends(answers: list[dict[str, Any]]) -> list[list[float]]:
    return [answer["curve"][-1] for answer in answers]


def _accuracy(group: Group, method: str, axis: str) -> str:
    """The median, bold where no other is better by more than what is level; the worst seed in brackets."""
    values = group.scores(method, axis)
    best = max(statistics.median(group.scores(other, axis)) for other in group.answers)
    median = statistics.median(values)
    shown = f"{median:.3f}"
    shown = f"**{shown}**" if best - median <= _LEVEL and len(group.answers) > 1 else shown
    return f"{shown} [{min(values):.3f}]" if len(values) > 1 else shown


def _runs(groups: list[Group]) -> list[str]:
    """Where every figure comes from."""
    lines = ["## Runs", "", "One seed where a row has no worst seed in brackets.", ""]
    for group in groups:
        for answers in group.answers.values():
            where = "; ".join(sorted({f"commit {a['commit']}, {a['date']}, {a['machine']}" for a in answers}))
            lines.append(f"- `{answers[0]['command']}` ({where})")
    return lines


# -- the pictures ---------------------------------------------------------------------------------


def draw(groups: list[Group], file: Path) -> None:
    """Curves of one probe: a row a length, a column an axis, a colour a method, a kind of line a cell."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from PIL import Image

    rows = list(dict.fromkeys((group.whole, group.length) for group in groups))
    style: Any = {"font.size": 8, "font.family": "DejaVu Sans", "savefig.dpi": 110}
    with mpl.rc_context(style):
        figure, axes = plt.subplots(len(rows), 3, figsize=(9, 1.9 * len(rows) + 0.7), squeeze=False, sharey=True)
        for line, (whole, length) in zip(axes, rows, strict=True):
            mine = [group for group in groups if (group.whole, group.length) == (whole, length)]
            for axis, name in zip(line, AXES, strict=True):
                _panel(axis, mine, name)
            line[0].set_ylabel(f"T = {length:,}{', whole' if whole else ''}\naccuracy")
        for axis, name in zip(axes[-1], AXES.values(), strict=True):
            axis.set_xlabel(name)
        methods = [method for method in METHODS if any(method in group.answers for group in groups)]
        cells = [cell for cell in CELLS if any(group.cell == cell for group in groups)]
        used = [Line2D([], [], color=_COLOURS[method], label=method) for method in methods]
        used += [Line2D([], [], color="black", linestyle=_LINES[cell], label=cell) for cell in cells]
        figure.legend(handles=used, loc="upper center", ncols=len(used), frameon=False)
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
        drawn = io.BytesIO()
        figure.savefig(drawn)
        plt.close(figure)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)


def _panel(axis: Any, groups: list[Group], name: str) -> None:
    place = SPENT.index(name)
    for group in groups:
        for method, answers in group.answers.items():
            for answer in answers:
                spent, accuracy = [point[place] for point in answer["curve"]], [point[-1] for point in answer["curve"]]
                axis.plot(spent, accuracy, color=_COLOURS[method], linestyle=_LINES[group.cell], linewidth=1.2)
    if name == "sequential_flops":
        axis.set_xscale("log")
    axis.set_ylim(0, 1.03)
    axis.grid(color="#e0e0e0", linewidth=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
