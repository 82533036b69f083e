"""docs/control/figures.md: who imitates how well, from the answers of ``benchmarks/control.py``."""

from statistics import mean
from typing import Any

COLUMNS = {
    "auto": "auto",
    "smt+dmt-mlp": "smt+dmt mlp",
    "bptt-tape": "bptt tape",
    "gru-torch": "GRU by BPTT, plain torch",
}

ABOUT = """\
Mean returns of 20 episodes that no choice has seen, with a 95 % confidence interval over them, for each seed.
Written by `python benchmarks/control.py --page` from the answers beside this page.

- All imitate the same expert, which sees what is hidden, on the same numbers of episodes, rounds and CPU seconds of
  training in one thread. They train on the first steps of each episode and are measured on whole episodes.
- RepeatFirst, RepeatPrevious, CountRecall and Autoencode are POPGym's (Morad et al. 2023, arXiv 2303.01859;
  popgym 1.0.7). Its published scores are of reinforcement learning, without an expert: another setting.
- auto has nothing set. smt+dmt mlp has method and cell set. bptt tape has a cell chosen by hand, 40 tokens of 8,
  because a tape can move its memory by one place a step. auto now tries a tape too. It did so for RepeatPrevious
  Medium, CountRecall and Autoencode, but not yet for the other rows. Without a tape it chose an LSTM, which had 0.23
  on RepeatPrevious Medium.
- The GRU has 128 units, batches of 32, Adam with a learning rate of 0.003 that falls by a cosine, and clipped
  gradients; no other rate was tried.
- Budgets in seconds do not repeat exactly. CartPole by smt+dmt mlp was run twice: 347, then 491, which is kept.
"""


def page(answers: list[dict[str, Any]]) -> str:
    """A table of returns, and how each was had."""
    from control_tasks import PROBLEMS

    here = [name for name in PROBLEMS if any(one["problem"] == name for one in answers)]
    lines = ["# Imitation in environments that need a memory", "", ABOUT]
    lines += [f"| environment | CPU seconds | expert | {' | '.join(COLUMNS.values())} |"]
    lines += ["| --- " * (3 + len(COLUMNS)) + "|"]
    for name in here:
        own = [one for one in answers if one["problem"] == name]
        cells = [_cell([one for one in own if one["contender"] == contender]) for contender in COLUMNS]
        expert = mean(own[0]["expert_returns"])
        lines += [f"| {own[0]['title']} | {own[0]['seconds']:g} | {expert:.4g} | {' | '.join(cells)} |"]
    lines += ["", "## Commands", ""]
    lines += [_line(one) for name in here for one in answers if one["problem"] == name]
    return "\n".join(lines) + "\n"


def _cell(own: list[dict[str, Any]]) -> str:
    """The mean return and its interval, of each seed."""
    found = [f"{mean(one['returns']):.4g} [{one['interval'][0]:.4g}, {one['interval'][1]:.4g}]" for one in own]
    return "; ".join(found) or "–"


def _line(one: dict[str, Any]) -> str:
    return (
        f"- `{one['command']}`: {one['chosen']}, {one['episodes']:,} episodes, their first {one['length']:,} steps,"
        f" {one['steps']:,} training steps; {one['cpu_seconds_in_all']:g} CPU seconds with playing and measuring"
        f" (commit {one['commit']}, {one['date']}, {one['machine']})"
    )
