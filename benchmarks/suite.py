"""The everyday suite: the library with nothing set, beside ordinary networks, at equal CPU time.

    python benchmarks/suite.py                              everything; what has an answer is not run again
    python benchmarks/suite.py digits text --rivals lstm    some tasks, some rivals
    python benchmarks/suite.py --page                       docs/suite.md from the answers that are there

Every run is a process of one thread, and its seconds are CPU time. Answers are kept in docs/suite/, one file a run;
those of another budget (``--seconds-scale``) in runs/suite-x..., which is no place of the repository. A
rival's learning rate is chosen with its first seed and kept for the others.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from rival_models import RIVALS, MissingRival, build_model
from suite_jobs import Job, chosen_words, run_all
from suite_run import OURS, ROOT
from suite_tasks import TASKS, MissingData
from tuning import Budget

ANSWERS, PAGE = ROOT / "docs" / "suite", ROOT / "docs" / "suite.md"


def available(task: str) -> float | None:
    """The budget of a task, or None, with one line, when its data is not installed."""
    try:
        return TASKS[task]().seconds
    except MissingData as error:
        print(f"left out {task}: {error}", file=sys.stderr)
        return None


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="all when left out")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ... of each contender")
    parser.add_argument("--rivals", default="lstm,gru", help=f"some of {', '.join(RIVALS)}; '' for none")
    parser.add_argument("--without-ours", action="store_true", help="the rivals alone")
    parser.add_argument("--seconds-scale", type=float, default=1.0, help="budgets times this")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--again", action="store_true", help="also those that have an answer")
    parser.add_argument("--out", type=Path, help="folder of the answers")
    parser.add_argument("--page", action="store_true", help="write the page, run nothing")
    options = parser.parse_args()
    options.tasks = chosen_words(options.tasks, list(TASKS), "task") or list(TASKS)
    options.rivals = chosen_words([word for word in options.rivals.split(",") if word], list(RIVALS), "rival")
    scale = options.seconds_scale
    if scale <= 0:
        raise ValueError(f"--seconds-scale is {scale:g}; it must be more than 0")
    options.folder = options.out or (ANSWERS if scale == 1 else ROOT / "runs" / f"suite-x{scale:g}")
    for rival in options.rivals:
        build_model(rival, 2, 0, 2, 8)  # before anything is run
    return options


def page(options: argparse.Namespace) -> None:
    """Write the page and its picture beside the answers."""
    from suite_page import write_page

    write_page(options.folder, PAGE if options.folder == ANSWERS else options.folder / "suite.md")


def main() -> int:
    try:
        options = parsed()
    except (ValueError, MissingRival) as error:
        print(error, file=sys.stderr)
        return 2
    if options.page:
        page(options)
        return 0
    budgets: dict[str, Any] = {task: available(task) for task in options.tasks}
    contenders = [*([] if options.without_ours else [OURS]), *options.rivals]
    jobs = [
        Job(task, contender, seed, Budget("seconds", budget * options.seconds_scale), options.folder)
        for task, budget in budgets.items()
        if budget is not None
        for contender in contenders
        for seed in range(options.seeds)
    ]
    good = run_all(jobs, options.jobs, again=options.again)
    page(options)
    return 2 if None in budgets.values() else 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
