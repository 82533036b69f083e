"""The page of the everyday suite, docs/suite.md, and its picture, from the answers of its runs."""

import io
import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rival_models import RIVALS
from suite_run import OURS
from suite_tasks.measures import Measure, Verdict

NAMES = {"lstm": "nn.LSTM", "gru": "nn.GRU", "transformer": "Transformer", "mingru": "minGRU", "mamba": "Mamba"}
NAMES |= {"xlstm": "xLSTM", OURS: "nounroll"}
_COLOURS: dict[Verdict, str] = {"ahead": "#2e7d32", "level": "#607d8b", "behind": "#c62828"}
_PICTURE = "at-a-glance.png"
_HEAD = """# The everyday suite

Everyday sequence tasks, each with `nounroll.fit(task, length=..., seconds=..., seed=...)` and *nothing else set*,
beside ordinary networks in plain PyTorch (`benchmarks/rivals.py`). Every run is one process of one thread with the same
budget of CPU seconds, evaluations included. Written by `make suite` from the files in `docs/suite/`; runs are of
several commits, named at the end. Rows where both inputs and targets are symbols were measured before gated cells got a
wider table and a linear readout for them ([lab-notes.md](lab-notes.md) compares both).

- **Rivals** have 128 units and are trained by Adam with clipped gradients and a cosine decay, in batches of 32. Their
  learning rate is the best of 1e-3, 3e-3 and 1e-2 on the validation part: seed 0 has the whole budget *three times*,
  once for each; the other seeds keep its rate. The best checkpoint on the validation part is kept. An LSTM's forget
  gate starts with a bias of 1, except where the target is the next input: torch's own start is better there.
- **nounroll** has its budget once.
- **Parts**: both sides choose by the same validation part, and neither sees the test part.
- **Figures** are medians over the seeds, with the worst seed in brackets.
- **Level** means: accuracy, or average precision, within 0.01 of the best rival's; an error, or bits, within 3 % of
  it; a return within 5. Mean squared errors of the adding problem below 0.0001 count as equal, because it is solved.

"""


@dataclass
class Row:
    """The answers of one task.

    Attributes:
        answers: contender -> its answers, by seed.
    """

    task: str
    answers: dict[str, list[dict[str, Any]]]

    @property
    def any(self) -> dict[str, Any]:
        """An answer, for what all have in common."""
        return next(iter(self.answers.values()))[0]

    @property
    def measure(self) -> Measure:
        answer = self.any
        return Measure(answer["measure"], answer["better"], lambda outputs, targets: 0.0, answer["margin"])

    def values(self, contender: str, name: str | None = None) -> list[float]:
        """A figure of every seed."""
        return [answer["scores"][name or self.measure.name] for answer in self.answers.get(contender, [])]

    @property
    def rivals(self) -> list[str]:
        return [contender for contender in self.answers if contender != OURS]

    @property
    def verdict(self) -> Verdict | None:
        """How our median stands to the best rival's; None where one of the two is missing."""
        if not self.values(OURS) or not self.rivals:
            return None
        best = self.measure.best([statistics.median(self.values(rival)) for rival in self.rivals])
        return self.measure.compare(statistics.median(self.values(OURS)), best, self.any["floor"])


def read(folder: Path, contenders: tuple[str, ...] = (OURS, *RIVALS)) -> list[Row]:
    """The answers of some contenders in a folder, in the order of the suite; contenders in theirs."""
    from suite_tasks import TASKS

    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(folder.glob("*-seed*.json")):
        answer = json.loads(file.read_text())
        found[answer["task"]][answer["contender"]].append(answer)
    return [
        Row(task, {name: sorted(found[task][name], key=_seed) for name in contenders if name in found[task]})
        for task in TASKS
        if task in found
    ]


def _seed(answer: dict[str, Any]) -> int:
    return answer["seed"]


def write_page(folder: Path, page: Path) -> None:
    """Write the page, and its picture into the folder of the answers."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(page_text(folder, page))
    if rows := read(folder):
        draw(rows, folder / _PICTURE)


def page_text(folder: Path, page: Path) -> str:
    """What the page says of the answers in a folder."""
    rows = read(folder)
    if not rows:
        return f"{_HEAD}Nothing has been measured yet.\n"
    shown = (folder / _PICTURE).relative_to(page.parent).as_posix()
    text = [_HEAD, summary(rows), f"![Every task: each dot is a seed, each bar a median]({shown})\n"]
    return "\n".join([*text, *_table(rows), *_longer(rows), *_chosen(rows), *commands(rows)]) + "\n"


def summary(rows: list[Row]) -> str:
    """How many tasks are won, level and lost."""
    verdicts = [row.verdict for row in rows]
    counts = [f"**{verdicts.count(verdict)} {verdict}**" for verdict in ("ahead", "level", "behind")]
    missing = verdicts.count(None)
    still_open = f", {missing} open" if missing else ""
    rivals = list(dict.fromkeys(rival for row in rows for rival in row.rivals))
    beside = NAMES[rivals[0]] if len(rivals) == 1 else "the best rival of each task"
    return f"nounroll beside {beside}, on {len(rows)} tasks: {', '.join(counts)}{still_open}.\n"


def _table(rows: list[Row]) -> list[str]:
    contenders = [OURS, *dict.fromkeys(rival for row in rows for rival in row.rivals)]
    head = ["task", "seconds", "measure", *(NAMES[contender] for contender in contenders), "nounroll is"]
    lines = ["## Figures", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        best = [row.measure.best([statistics.median(row.values(rival)) for rival in row.rivals])] if row.rivals else []
        cells = [f"**{row.task}**: {row.any['title']}", f"{row.any['seconds']:g}"]
        cells += [f"{row.measure.name} {'↑' if row.measure.better == 'higher' else '↓'}"]
        for contender in contenders:
            shown = cell(row.measure, row.values(contender))
            is_best = contender != OURS and shown and [statistics.median(row.values(contender))] == best
            cells.append(f"*{shown}*" if is_best else shown)
        lines.append("| " + " | ".join([*cells, f"**{row.verdict}**" if row.verdict else "open"]) + " |")
    return [*lines, "", "The best rival is in italics. ↑: higher is better, ↓: lower is better.", ""]


def cell(measure: Measure, values: list[float]) -> str:
    """The median of a figure over the seeds, and the worst of them."""
    if not values:
        return ""
    median = number(statistics.median(values))
    return f"{median} [{number(measure.worst(values))}]" if len(values) > 1 else f"{median} (1 seed)"


def number(value: float) -> str:
    """A figure in as many digits as it is worth."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1e}" if 0 < abs(value) < 0.01 else f"{value:.3f}"


def _longer(rows: list[Row]) -> list[str]:
    """Further figures of a task: the same network on longer sequences."""
    lines = []
    for row in rows:
        for name in (name for name in row.any["scores"] if name != row.measure.name):
            cells = [f"{NAMES[one]} {cell(row.measure, row.values(one, name))}" for one in row.answers]
            lines.append(f"- {row.task}, {name}: {'; '.join(cells)}")
    return ["## On longer sequences", "", *lines, ""] if lines else []


def _chosen(rows: list[Row]) -> list[str]:
    """What the library decided by itself."""
    head = ["task", "seed", "method", "cell", "why", "steps", "CPU seconds"]
    lines = ["## What nounroll chose", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        for answer in row.answers.get(OURS, []):
            chosen = [str(answer["chosen"].get(name, "")) for name in ("method", "cell", "reason")]
            told = [" ".join(words.replace("|", "/").split()) for words in chosen]
            spent = [f"{answer.get('steps') or 0:,.0f}", f"{answer['cpu_seconds']:.0f}"]
            lines.append("| " + " | ".join([row.task, str(answer["seed"]), *told, *spent]) + " |")
    seconds = "CPU seconds are the budget and, after it, the library's own last figures."
    return [*lines, "", seconds, ""]


def commands(rows: list[Row]) -> list[str]:
    """Where every figure comes from."""
    lines = ["## Runs", ""]
    for row in rows:
        for answers in row.answers.values():
            rate = f", learning rate {answers[0]['rate']:g}" if "rate" in answers[0] else ""
            steps = ", ".join(f"{answer.get('steps') or 0:,.0f}" for answer in answers)
            where = "; ".join(sorted({f"commit {a['commit']}, {a['date']}, {a['machine']}" for a in answers}))
            lines.append(f"- `{answers[0]['command']}` and further seeds{rate}; {steps} steps ({where})")
    return lines


# -- the picture ----------------------------------------------------------------------------------


def draw(rows: list[Row], file: Path) -> None:
    """A panel for every task: a dot for a seed, a bar for a median, the verdict above."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from PIL import Image

    style: Any = {"font.size": 8, "font.family": "DejaVu Sans", "savefig.dpi": 120}
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    contenders = max(len(row.answers) for row in rows)
    with mpl.rc_context(style):
        size = (3.1 * columns, lines * (0.75 + 0.17 * contenders) + 0.2)
        figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
        for axis in axes.flat[len(rows) :]:
            axis.set_visible(False)
        for axis, row in zip(axes.flat, rows, strict=False):
            _panel(axis, row)
        drawn = io.BytesIO()
        figure.savefig(drawn)
        plt.close(figure)
    file.parent.mkdir(parents=True, exist_ok=True)
    palette = Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE)  # a third of the size
    palette.save(file, optimize=True)


def _panel(axis: Any, row: Row) -> None:
    verdict, contenders = row.verdict, list(row.answers)
    for place, contender in enumerate(reversed(contenders)):
        values = [max(value, row.any["floor"]) for value in row.values(contender)]
        colour = (_COLOURS[verdict] if verdict else "#1565c0") if contender == OURS else "#9e9e9e"
        axis.plot(values, [place] * len(values), "o", color=colour, markersize=4, alpha=0.55, markeredgewidth=0)
        axis.plot([statistics.median(values)], [place], "|", color=colour, markersize=12, markeredgewidth=2.5)
    axis.set_yticks(range(len(contenders)), [NAMES[contender] for contender in reversed(contenders)])
    axis.set_ylim(-0.6, len(contenders) - 0.4)
    if row.any["floor"]:
        axis.set_xscale("log")
    axis.margins(x=0.15)
    axis.set_title(row.task, loc="left", fontweight="bold", fontsize=9)
    axis.set_title(verdict or "", loc="right", color=_COLOURS[verdict] if verdict else "black", fontsize=9)
    better = "more is better →" if row.measure.better == "higher" else "← less is better"
    axis.set_xlabel(f"{row.measure.name}   {better}", fontsize=7)
    axis.grid(axis="x", color="#e0e0e0", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)
