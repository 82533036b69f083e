"""Methods side by side on text, with a GRU and an LSTM, and plain PyTorch, at equal seconds and at equal tokens.

    python benchmarks/text.py                                  everything; what has an answer is not run again
    python benchmarks/text.py tbptt/lstm lstm --seeds 1        some contenders, one seed
    python benchmarks/text.py --page                           docs/text.md from the answers that are there

A contender is METHOD/CELL of the library, or a rival, which on text is stateful truncated BPTT in plain PyTorch. Every
run is a process of one thread. Answers are kept in docs/text/, one file a run; those of other budgets (``--seconds``,
``--tokens``) in runs/text, which is no place of the repository. A learning rate is chosen with the first seed, for each
contender and budget, and kept for the others.
"""

import argparse
import sys
from pathlib import Path

from suite_jobs import Job, chosen_words, run_all
from suite_run import ROOT
from text_page import write_page
from tuning import Budget

TASK, SECONDS, TOKENS, SEEDS = "text", 30.0, 1_000_000, 3
LIBRARY = tuple(f"{method}/{cell}" for method in ("smt+dmt", "tbptt", "bptt") for cell in ("gru", "lstm"))
CONTENDERS = (*LIBRARY, "gru", "lstm")
ANSWERS, PAGE = ROOT / "docs" / "text", ROOT / "docs" / "text.md"


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("contenders", nargs="*", metavar="CONTENDER", help="all when left out")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds 0, 1, ... of each contender")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="CPU seconds of a run")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens of a run")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--again", action="store_true", help="also those that have an answer")
    parser.add_argument("--out", type=Path, help="folder of the answers")
    parser.add_argument("--page", action="store_true", help="write the page, run nothing")
    options = parser.parse_args()
    options.contenders = chosen_words(options.contenders, list(CONTENDERS), "contender") or list(CONTENDERS)
    for name in ("seeds", "jobs"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} is {getattr(options, name)}; it must be at least 1")
    options.budgets = [Budget("seconds", options.seconds), Budget("tokens", options.tokens)]
    usual = (options.seconds, options.tokens) == (SECONDS, TOKENS)
    options.folder = options.out or (ANSWERS if usual else ROOT / "runs" / "text")
    return options


def main() -> int:
    try:
        options = parsed()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    jobs = [
        Job(TASK, contender, seed, budget, options.folder / budget.folder)
        for budget in options.budgets
        for contender in options.contenders
        for seed in range(options.seeds)
    ]
    good = options.page or run_all(jobs, options.jobs, again=options.again)
    page = PAGE if options.folder == ANSWERS else options.folder / "text.md"
    write_page(options.folder, page, options.budgets, CONTENDERS)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
