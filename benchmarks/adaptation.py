"""What a network of text forgets while it learns another kind of text, and what keeps it from that.

    python benchmarks/adaptation.py                 anchors, about 20 CPU minutes; answers are kept in docs/adapt/
    python benchmarks/adaptation.py --group updates --seeds 0     what learns: all, a low rank, the readout, m_∅
    python benchmarks/adaptation.py --page          docs/adapt/figures.md and its picture from the answers

A network learns Python's standard library by truncated BPTT; then it learns licence texts in 30 CPU seconds: by plain
fine-tuning, BPTT at three learning rates, and by ``nounroll.adapt`` with anchors of several weights, on sequences of
the old text or on those that it writes itself; and with the default anchor, where only some weights learn. Bits are
those of the test parts of both.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from suite_run import ROOT, commit, write

LICENCES = Path("/usr/share/common-licenses")  # Debian's
OUT, LENGTH, LEARNT, ADAPTED = ROOT / "docs" / "adapt", 128, 100.0, 30.0
CONTENDERS: dict[str, dict[str, Any]] = {
    "plain, rate 0.001": {"rate": 1e-3},
    "plain, rate 0.002": {"rate": 2e-3},
    "plain, rate 0.006": {"rate": 6e-3},
    "rehearsal alone": {"anchor": 0.0, "rehearse": 0.25},
    "anchor 0.1": {"anchor": 0.1, "rehearse": 0.25},
    "anchor 0.3": {"anchor": 0.3, "rehearse": 0.25},
    "anchor 0.7, the default": {"anchor": 0.7, "rehearse": 0.25},
    "anchor 2": {"anchor": 2.0, "rehearse": 0.25},
    "anchor 0.7, its own writing": {"anchor": 0.7, "rehearse": 0.25, "own": True},
}
UPDATES: dict[str, dict[str, Any]] = {
    **{name: {"anchor": 0.7, "rehearse": 0.25, "update": name} for name in ("all", "low-rank", "readout", "start")},
    "low-rank, let go": {"anchor": 0.0, "rehearse": 0.0, "update": "low-rank"},
}
GROUPS = {"anchors": CONTENDERS, "updates": UPDATES}
TITLES = {"anchors": "What it is held to", "updates": "What learns, with anchor 0.7"}
RATE = 6e-3  # of all that adapt: the default


def measured(cell: str, seed: int, group: str) -> dict[str, Any]:
    """Bits of both texts, before and after, by contender."""
    time.perf_counter = time.process_time  # the library's seconds are of CPU time then
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    import nounroll
    from nounroll.data.text import Text
    from nounroll.rollout.evaluate import evaluate, validation_batches
    from nounroll.rollout.forgetting import forgetting

    with tempfile.TemporaryDirectory() as folder:
        for file in sorted(LICENCES.iterdir()):
            if not file.is_symlink():
                shutil.copy(file, Path(folder) / f"{file.name}.txt")
        old, new = Text(), Text(path=Path(folder))
        held = {
            name: validation_batches(task, 0, LENGTH, 0, stream="test") for name, task in (("old", old), ("new", new))
        }
        learnt = nounroll.fit(old, method="tbptt", cell=cell, length=LENGTH, seconds=LEARNT, seed=seed).student

        def bits(student: Any) -> dict[str, float]:
            return {name: evaluate(student, batches)["bits"] for name, batches in held.items()}

        found = {"before": {**bits(learnt), "memory_change": 0.0, "steps": 0}}
        for name, how in GROUPS[group].items():
            options: dict[str, Any] = {"length": LENGTH, "seconds": ADAPTED, "seed": seed}
            settings = {"training.learning_rate": how.get("rate", RATE), "training.curriculum": 0}
            if "rate" in how:
                run = nounroll.fit(new, student=learnt, method="bptt", settings=settings, **options)
            else:
                share = (old, how["rehearse"]) if how["rehearse"] and not how.get("own") else how["rehearse"]
                held_to = {"anchor": how["anchor"], "rehearse": share, "update": how.get("update", "all")}
                run = nounroll.adapt(learnt, new, **held_to, settings=settings, **options)
            change = forgetting(learnt, run.student, held["old"], same_readout=False)
            found[name] = {**bits(run.student), **change, "steps": run.metrics["steps"]}
            print(name, found[name], flush=True)
    return {
        "cell": cell,
        "seed": seed,
        "group": group,
        "contenders": found,
        "command": f"python benchmarks/adaptation.py --cells {cell} --group {group} --seeds {seed}",
        "commit": commit(Path(nounroll.__file__).parent),
        "date": str(date.today()),
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}",
    }


def page(answers: list[dict[str, Any]]) -> str:
    """A table a cell and group of contenders: medians over the seeds."""
    from statistics import median

    lines = ["# Adapting a network of text", "", "Written by `python benchmarks/adaptation.py --page`.", ""]
    for cell, group in dict.fromkeys((one["cell"], one.get("group", "anchors")) for one in answers):
        own = [one for one in answers if (one["cell"], one.get("group", "anchors")) == (cell, group)]
        lines += [f"## {TITLES[group]}: {cell}, {len(own)} seed{'s' * (len(own) > 1)}", ""]
        lines += ["| | bits of the new text | bits of the old text | forgotten | memory change | steps |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for name in own[0]["contenders"]:
            rows = [one["contenders"][name] for one in own]
            lost = median(row["old"] - one["contenders"]["before"]["old"] for row, one in zip(rows, own, strict=True))
            new, old, change = (median(row[key] for row in rows) for key in ("new", "old", "memory_change"))
            steps = median(row["steps"] for row in rows)
            lines += [f"| {name} | {new:.3f} | {old:.3f} | {lost:+.3f} | {change:.3f} | {steps:,.0f} |"]
        lines += [""]
    lines += [f"- `{one['command']}` (commit {one['commit'][:9]}, {one['date']}, {one['machine']})" for one in answers]
    return "\n".join(lines) + "\n"


def draw(answers: list[dict[str, Any]], file: Path) -> None:
    """The trade-off: bits of the new text against what was forgotten of the old one."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    own = [one for one in answers if one.get("group", "anchors") == "anchors"]
    for i, name in enumerate(CONTENDERS):
        points = [(one["contenders"][name], one["contenders"]["before"]) for one in own]
        axes.plot(
            [after["old"] - before["old"] for after, before in points],
            [after["new"] for after, _ in points],
            "os^"[i % 3],
            color=f"C{i}",
            label=name,
        )
    axes.set(xlabel="bits forgotten of the old text", ylabel="bits of the new text", title="lower left is better")
    axes.legend(fontsize=7)
    figure.savefig(file, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", default="lstm")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--group", choices=GROUPS, default="anchors")
    parser.add_argument("--page", action="store_true", help="write the page, run nothing")
    options = parser.parse_args()
    if not options.page and not LICENCES.is_dir():
        print(f"{LICENCES} is not there; it holds the licence texts of a Debian system", file=sys.stderr)
        return 2
    OUT.mkdir(parents=True, exist_ok=True)
    for cell in options.cells.split(","):
        for seed in map(int, options.seeds.split(",")):
            named = "" if options.group == "anchors" else f"-{options.group}"
            file = OUT / f"{cell}{named}-seed{seed}.json"
            if not options.page and not file.exists():
                write(measured(cell, seed, options.group), file)
    answers = [json.loads(file.read_text()) for file in sorted(OUT.glob("*-seed*.json"))]
    if answers:
        (OUT / "figures.md").write_text(page(answers))
        draw(answers, OUT / "trade-off.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
