"""Imitation by dataset aggregation: DAgger (Ross et al. 2011, arXiv 1011.0686).

First the expert acts; then the student does, and the expert says what it would have done there. Each round trains the
student further on all episodes so far. With a method that has a teacher, such as smt+dmt, DAgger is there twice: the
expert relabels the actions of the states that the student visits, and the teacher the memories that it makes.
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

_SEEDS = {"train": 0, "validation": 10**8, "test": 2 * 10**8}  # of the first episode of each part
_APART = 10**9  # between the seeds of two imitations


@dataclass(frozen=True)
class Imitation:
    """Result of ``imitate``.

    Attributes:
        student: of the round with the highest mean return in validation.
        returns: the student's, in episodes that no choice has seen.
        expert_returns: the expert's, in the same episodes.
        rounds: the student's returns in validation after each round.
        best: the round of ``student``.
        runs: one for each round.
        episodes: all that the student was trained on.
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
    """Train a student to act as an expert does, from observations alone.

    Args:
        env: the id of a registered environment, or a function that makes one.
        expert: (environment, observation) -> an action, or None where any will do. It may see more than the student,
            in ``environment.unwrapped``.
        rounds: of playing and training; one is plain imitation of what the expert did.
        episodes: that are added in each round.
        validation: episodes by which the best round is chosen, and as many others by which it is measured.
        method, cell: of ``nounroll.fit``; what "auto" chooses in the first round is kept.
        length: steps of each episode that training reads, the first ones; all when left out.
        seconds: budget of training, 120 when ``steps`` is left out too; each round has an equal share. Playing comes
            on top.
        steps: a budget in training steps in its place.
        noise: share of the actions in the first round that are drawn at random, so that recoveries are shown.
        limit: steps that an episode may have.
        seed: of the episodes, the weights and all random choices.
        settings: further ones of ``nounroll.fit``.
        progress: show bars on stderr.

    Raises:
        ValueError: a setting cannot be used, or the environment is at fault; see ``collect``.
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
    """The seed of the first episode for "train", "validation" or "test"; the others follow it."""
    return seed * _APART + _SEEDS[part]


def _share(seconds: float | None, steps: int | None, number: int, rounds: int) -> dict[str, Any]:
    """The budget of a round; the first ones take the steps that are left over."""
    if steps is None:
        return {"seconds": None if seconds is None else seconds / rounds}
    return {"steps": max(1, steps // rounds + (number < steps % rounds))}


def _begun(runs: list[Run], method: str, cell: str | nn.Module) -> dict[str, Any]:
    """Build the arguments of a round's training: a new student at first, then the student of the round before it."""
    if not runs:
        return {"method": method, "cell": cell}
    last, method = runs[-1], runs[-1].recipe.method
    return {"method": method, "student": last.student, **({"teacher": last.teacher} if is_taught(method) else {})}
