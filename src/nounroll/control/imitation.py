"""Imitation by dataset aggregation: DAgger (Ross et al. 2011, arXiv 1011.0686).

In the first round the expert acts. In later rounds the student acts, and the expert labels each step with its own
action. Each round trains the student further on all episodes so far. With a method that has a teacher, such as smt+dmt,
DAgger happens twice: the expert relabels the actions, and the teacher relabels the student's memories.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from nounroll.control.episodes import FEWEST, Episodes
from nounroll.control.playing import LIMIT, Expert, Maker, collect
from nounroll.control.returns import Returns
from nounroll.data.checks import whole_number
from nounroll.experiments.run import Run, fit
from nounroll.methods import AUTO, is_taught
from nounroll.models.student import Student

_SEEDS = {"train": 0, "validation": 10**8, "test": 2 * 10**8}  # seed of the first episode of each part
_APART = 10**9  # distance between the seeds of two imitations


@dataclass(frozen=True)
class Imitation:
    """Result of ``imitate``.

    Attributes:
        student: the student of the round with the highest mean return in validation.
        returns: the student's returns in episodes that no choice has seen.
        expert_returns: the expert's returns in the same episodes.
        rounds: the student's validation returns after each round.
        best: the round of ``student``.
        runs: one for each round.
        episodes: all training episodes.
    """

    student: Student
    returns: Returns
    expert_returns: Returns
    rounds: list[Returns]
    best: int
    runs: list[Run] = field(repr=False)
    episodes: Episodes = field(repr=False)


def imitate(
    env: Maker,
    expert: Expert,
    *,
    rounds: int = 4,
    episodes: int = 100,
    validation: int = 20,
    method: str = AUTO,
    cell: str | nn.Module = AUTO,
    length: int | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    noise: float = 0.0,
    limit: int = LIMIT,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> Imitation:
    """Train a student to act like an expert, from observations only.

    Args:
        env: the id of a registered environment, or a function that makes one.
        expert: (environment, observation) -> an action, or None if any action is right. It may see more than the
            student, in ``environment.unwrapped``.
        rounds: rounds of playing and training; one is behaviour cloning.
        episodes: episodes added in each round.
        validation: episodes that choose the best round; as many other episodes measure it.
        method, cell: arguments of ``nounroll.fit``; later rounds keep the choice of "auto" in the first round.
        length: number of first steps of each episode for training; all by default.
        seconds: budget of training without playing, shared equally by the rounds; 120 if ``steps`` is not given either.
        steps: budget in training steps instead of seconds.
        noise: share of random actions in the first round, so that the expert shows recoveries.
        limit: largest length of an episode.
        seed: seed of the episodes, the weights and all random choices.
        settings: further settings of ``nounroll.fit``.
        progress: show bars on stderr.

    Raises:
        ValueError: a setting is invalid, or the environment has a fault; see ``collect``.
    """
    for name, value, least in (("rounds", rounds, 1), ("episodes", episodes, FEWEST), ("validation", validation, 1)):
        whole_number(name, value, least)
    whole_number("seed", seed, 0)
    if seconds is not None and steps is not None:
        raise ValueError(f"seconds is {seconds} and steps is {steps}; give one of them")
    seconds = 120.0 if seconds is None and steps is None else seconds
    first, common = part_seed(seed, "train"), dict[str, Any](limit=limit, progress=progress)

    def returns(part: str, **actor: Any) -> Returns:
        return collect(env, episodes=validation, seed=part_seed(seed, part), **actor, **common).returns

    data = collect(env, expert, episodes=episodes, noise=noise, seed=first, **common)
    runs, found = list[Run](), list[Returns]()
    for number in range(rounds):
        if runs:
            data += collect(env, expert, student=runs[-1].student, episodes=episodes, seed=first + len(data), **common)
        begun = _begun(runs, method, cell)
        task = data.sequences()
        read = None if length is None else min(length, task.length)
        budget = _share(seconds, steps, number, rounds)
        runs.append(fit(task, length=read, seed=seed, settings=settings, progress=progress, **begun, **budget))
        found.append(returns("validation", student=runs[-1].student))
    best = max(range(rounds), key=lambda number: (found[number].mean, number))
    student = runs[best].student
    test, experts = returns("test", student=student), returns("test", expert=expert)
    return Imitation(student, test, experts, found, best, runs, data)


def part_seed(seed: int, part: str) -> int:
    """Return the seed of the first episode for "train", "validation" or "test"; later episodes count up from it."""
    return seed * _APART + _SEEDS[part]


def _share(seconds: float | None, steps: int | None, number: int, rounds: int) -> dict[str, Any]:
    """Return the budget of a round; the first rounds get the remaining steps of the division."""
    if steps is None:
        return {"seconds": None if seconds is None else seconds / rounds}
    return {"steps": max(1, steps // rounds + (number < steps % rounds))}


def _begun(runs: list[Run], method: str, cell: str | nn.Module) -> dict[str, Any]:
    """Build the arguments of a round's training: first a new student, then the previous round's."""
    if not runs:
        return {"method": method, "cell": cell}
    last, method = runs[-1], runs[-1].recipe.method
    return {"method": method, "student": last.student, **({"teacher": last.teacher} if is_taught(method) else {})}
