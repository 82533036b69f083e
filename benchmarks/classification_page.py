"""The page and the picture of the classification benchmark, from the answers that are there."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classification_run import CONTENDERS
from classification_sets import SETS

NAMES = {"ours": "nounroll", "lstm": "nn.LSTM", "rocket": "ROCKET", "dtw": "1-NN DTW"}
HEAD = """# Classification of series

`nounroll.SequenceClassifier` with *nothing set but its seconds*, beside a plain `nn.LSTM`, ROCKET and the nearest
neighbour under dynamic time warping. Accuracy on the test part: the mean of the seeds, with the worst in brackets.
Written by `python benchmarks/classification.py` from the files in `docs/classification/`, each of which has its
command, commit and machine; `--page` writes this page alone. An empty cell was not measured.
"""
NOTES = """- **Budget**: each run of a network is a process of one thread with {seconds} seconds of CPU time,
  evaluations and trials included. nounroll may stop early. ROCKET and DTW take what they need.
- **The LSTM** has 128 units, Adam, clipped gradients, a cosine decay and the best checkpoint on a validation part of
  15 % (`benchmarks/rivals.py`). Its learning rate is the best of 1e-3, 3e-3 and 1e-2 on that part, each with the whole
  budget; on vowels, gunpoint and motions it is the rate that [the suite](suite.md) chose in this way.
- **smartwatch** tests on people that training never saw, different ones with each seed. Its goal, 0.889, is the
  published figure for people not seen, on other windows.
- **ROCKET and DTW** are those of aeon (`benchmarks/classification_aeon.py`). ROCKET needs one length: ragged sets are
  stretched for it."""
Answers = dict[tuple[str, str], list[dict[str, Any]]]  # by set and contender, seeds in order


def read(folder: Path) -> Answers:
    """The answers in a folder."""
    found: Answers = {}
    for file in sorted(folder.glob("*-seed*.json")):
        answer = json.loads(file.read_text())
        found.setdefault((answer["set"], answer["contender"]), []).append(answer)
    return found


def mean(answers: Sequence[dict[str, Any]]) -> float:
    """The mean accuracy over the seeds."""
    return statistics.fmean(answer["accuracy"] for answer in answers)


def ranks(answers: Answers, contenders: Sequence[str]) -> dict[str, float]:
    """Mean rank of each contender over the sets that all of them have an answer for; 1 is the best, equals share."""
    sets = [name for name in SETS if all((name, contender) in answers for contender in contenders)]
    found: dict[str, list[float]] = {contender: [] for contender in contenders}
    for name in sets:
        values = {contender: mean(answers[name, contender]) for contender in contenders}
        for contender, value in values.items():
            better = sum(other > value for other in values.values())
            level = sum(other == value for other in values.values())
            found[contender].append(better + (level + 1) / 2)
    return {contender: statistics.fmean(places) for contender, places in found.items() if places}


def figure(answers: Sequence[dict[str, Any]]) -> str:
    """A cell of the table: the mean, and the worst of several seeds."""
    if not answers:
        return ""
    worst = f" [{min(answer['accuracy'] for answer in answers):.3f}]" if len(answers) > 1 else ""
    return f"{mean(answers):.3f}{worst}"


def _listed(places: dict[str, float]) -> str:
    return ", ".join(f"{NAMES[one]} {place:.2f}" for one, place in places.items())


def table(answers: Answers) -> list[str]:
    """A row for each set that anything is known of."""
    rows = ["| set | train, test | goal | " + " | ".join(NAMES[one] for one in CONTENDERS) + " | seeds |"]
    rows.append("|---" * (len(CONTENDERS) + 4) + "|")
    for name in SETS:
        known = [answers[name, one] for one in CONTENDERS if (name, one) in answers]
        if not known:
            continue
        first = known[0][0]
        asked = "" if first["asked"] is None else f"{first['asked']:.3f}"
        cells = [figure(answers.get((name, one), [])) for one in CONTENDERS]
        seeds = ", ".join(str(len(answers.get((name, one), []))) for one in CONTENDERS)
        title = f"**{name}**: {first['title']}"
        rows.append(f"| {title} | {first['train']}, {first['test']} | {asked} | {' | '.join(cells)} | {seeds} |")
    return rows


def write_page(folder: Path, page: Path) -> None:
    """Write the page and the picture."""
    answers = read(folder)
    ours = [answer for (_, contender), some in answers.items() if contender == "ours" for answer in some]
    seconds = sorted({answer["seconds"] for some in answers.values() for answer in some})
    both = ranks(answers, ("ours", "lstm"))
    every = ranks(answers, CONTENDERS)
    lines = [
        HEAD,
        *table(answers),
        "",
        f"Mean rank over the sets that both were measured on: {_listed(both)}.",
        f"Over the sets that all four were measured on: {_listed(every)}." if every else "",
        "",
        "![Accuracy of each contender on each set](classification/accuracy.png)",
        "",
        NOTES.format(seconds=" or ".join(f"{one:g}" for one in seconds)),
        "",
        "| set | seed | method, cell | why | steps | CPU seconds |",
        "|---|---|---|---|---|---|",
    ]
    for answer in sorted(ours, key=lambda one: (list(SETS).index(one["set"]), one["seed"])):
        pair = f"{answer['method']} {answer['cell']}"
        spent = f"{answer['steps']:,} | {answer['cpu_seconds']:.0f}"
        lines.append(f"| {answer['set']} | {answer['seed']} | {pair} | {answer['chosen']} | {spent} |")
    page.write_text("\n".join(lines) + "\n")
    draw(answers, folder / "accuracy.png")


def draw(answers: Answers, file: Path) -> None:
    """A row of dots for each set; a dot is a contender's mean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sets = [name for name in reversed(SETS) if any((name, one) in answers for one in CONTENDERS)]
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(sets) + 1.2), layout="constrained")
    for contender, mark in zip(CONTENDERS, "o^sx", strict=True):
        known = [(row, name) for row, name in enumerate(sets) if (name, contender) in answers]
        values = [mean(answers[name, contender]) for _, name in known]
        axes.plot(values, [row for row, _ in known], mark, label=NAMES[contender], markersize=7)
    for row, name in enumerate(sets):
        asked = next(answers[name, one][0]["asked"] for one in CONTENDERS if (name, one) in answers)
        if asked is not None:
            axes.plot([asked, asked], [row - 0.3, row + 0.3], color="black", linewidth=1)
    axes.set_yticks(range(len(sets)), sets)
    axes.set(xlabel="accuracy on the test part; a line is the goal")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
    figure.savefig(file, dpi=120)
    plt.close(figure)
