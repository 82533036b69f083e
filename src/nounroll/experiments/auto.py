"""``auto``: choose a method and a cell by short trials within the budget, on validation data.

Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943) in two rounds. Every candidate trains for 1.5 % of
the budget, then the better two train until 3 %. The best one continues to the end of the budget and keeps its trained
weights. All trials together take at most 15 %. Candidates are compared by their validation loss at the current length
of the curriculum. The first candidate is the usual choice for the kind of data. It gets a bonus of 5 % of the
knowable loss, because a model that learns fast at first does not always learn most. Candidates that do not beat a
constant guess count as equal. Under a budget other than
wall-clock seconds, the choice depends on the data and the seed alone, and a run that was interrupted during its trials
resumes to the same choice.
"""

import copy
import json
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from nounroll.core.machine import launched
from nounroll.data.task import SequenceTask
from nounroll.experiments.assembly import make_loop
from nounroll.experiments.footprint import check_memory
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.resolve import Facts, Resolved, resolve
from nounroll.experiments.run_folder import write, write_json
from nounroll.experiments.warm_start import Start
from nounroll.methods import AUTO
from nounroll.rollout.evaluate import constant_guess, validation_batches
from nounroll.storage.checkpoint import one_line
from nounroll.storage.files import LOG_LIMIT, read_bytes
from nounroll.training.guard import TrainingError
from nounroll.training.loop import Loop
from nounroll.training.schedule import length_at
from nounroll.training.settings import Budget

_FIRST, _SECOND = 0.015, 0.03  # shares of the budget that a trial has used after rounds 1 and 2
_HEAD_START = 0.05  # share of the knowable loss by which another candidate must beat the first one
_LEAST = {"seconds": 0.4, "steps": 10.0}  # minimum of a trial in the first round; a shorter trial is not informative
TRIALS = "trials"  # folder of the trials
_CHOSEN = "chosen.json"


@dataclass(frozen=True)
class Chosen:
    """Decision of ``auto``.

    Attributes:
        method, cell: the chosen chain, and the chosen kind of cell (or the class name of the user's own cell).
        reason: one line with the figures behind the choice.
        trials: one entry for each candidate: its method and cell, and for each round that it was in: the validation
            loss ("losses", None if it diverged), the length of that measurement ("lengths") and the optimiser steps so
            far ("steps").
    """

    method: str
    cell: str
    reason: str
    trials: list[dict[str, Any]] = field(default_factory=list, repr=False)

    @classmethod
    def read(cls, folder: Path | None) -> "Chosen | None":
        """Read the decision from a run's folder; None if the folder has no decision.

        Raises:
            ValueError: the decision's file is damaged.
        """
        path = folder / _CHOSEN if folder else None
        if path is None or not path.is_file():
            return None
        try:
            return cls(**json.loads(read_bytes(path)))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path} cannot be read: {one_line(error)}; remove it: it only reports the choice"
            ) from error


def candidates(recipe: Recipe, facts: Facts, cell: nn.Module | None) -> list[tuple[str, str]]:
    """List the candidates (method, cell) for this kind of data; the first is used if no trial is possible."""
    if recipe.teacher.kind == "transformers":  # no other method can learn from a pretrained language model
        pairs = [("smt+dmt", kind) for kind in ("gru", "lstm", "mlp", "transformer")]
    elif facts.stream:
        pairs = [("tbptt", "lstm"), ("tbptt", "gru"), ("tbptt", "mlp"), ("bptt", "lstm"), ("smt+tbptt", "transformer")]
    elif facts.at_end and facts.small:  # a trial has only a few steps, too few to judge a teacher
        pairs = [("bptt", "pooled"), ("bptt", "lstm"), ("bptt", "gru")]
    elif "numbers at most steps" in facts.kinds:  # a window's MLP is ahead after few steps and behind in the end
        pairs = [("bptt", "lstm"), ("bptt", "gru"), ("tbptt", "gru"), ("smt+dmt", "transformer")]
    elif facts.scored >= 0.5:
        pairs = [("bptt", "lstm"), ("bptt", "gru"), ("bptt", "tape"), ("tbptt", "mlp"), ("smt+dmt", "transformer")]
    else:
        pairs = [("bptt", "lstm"), ("bptt", "gru"), ("smt+dmt", "gru"), ("smt+dmt", "mlp"), ("smt+dmt", "transformer")]
    if cell is not None:
        pairs = [(method, type(cell).__name__) for method, _ in pairs]
    elif recipe.cell.kind != AUTO:
        pairs = [(method, recipe.cell.kind) for method, _ in pairs]
    if recipe.method != AUTO:
        pairs = [(recipe.method, kind) for _, kind in pairs]
    return list(dict.fromkeys(pairs))


def choose(
    recipe: Recipe,
    opened: Resolved,
    task: SequenceTask,
    cell: nn.Module | None,
    *,
    folder: Path | None,
    resume: bool,
    force: bool,
    progress: bool,
    stop: Callable[[], bool],
    start: Start | None = None,
) -> tuple[Loop, Resolved, Chosen | None]:
    """Try the candidates, and return the loop of the best one, ready to continue.

    Args:
        recipe: the recipe as the user gave it.
        opened: the same recipe with every setting decided, except those that the trials decide.
        task, cell: task and cell of the run; the cell is copied for every candidate.
        folder: folder of the run; the trials are kept in it until the choice is made.
        resume: continue trials that the folder holds.
        force: see ``nounroll.experiments.run.train``.
        progress: report progress on stderr.
        stop: see ``Loop.run``.
        start: the weights that every candidate starts from.

    Returns:
        The loop, its resolved recipe, and the decision; the decision is None if ``stop`` ended the trials.

    Raises:
        ValueError: several processes share the run. ``nounroll.experiments.run.train`` lists the other causes.
    """
    if launched()[1] > 1:
        raise ValueError("method or cell.kind is 'auto'; several processes need both named, such as tbptt and lstm")
    facts, total = opened.facts, recipe.training.budget
    pairs = candidates(opened.recipe, facts, cell)
    reason = _too_short(total, opened.recipe) if len(pairs) > 1 else ""
    pairs = pairs[:1] if reason else pairs
    left = share_left(len(pairs))
    trials = [
        _Trial(recipe, task, cell, facts, pair, left, folder / TRIALS if folder else None, start) for pair in pairs
    ]
    trials[0].head_start = _HEAD_START * facts.knowable
    if resume:
        for trial in trials:
            trial.load(force)
    rounds = [share / left for share in (_FIRST, _SECOND)] if len(pairs) > 1 else []
    best = _tried(trials, rounds, stop, progress)
    if len(best.losses) < len(rounds):
        return best.loop, best.resolved, None
    chosen = Chosen(*best.pair, reason or _reason(best, trials), [trial.to_dict() for trial in trials])
    if progress:
        print(f"auto: {chosen.reason}", file=sys.stderr, flush=True)
    best.loop.progress = progress
    if folder is not None:
        _move(best, chosen, folder)
    return best.loop, best.resolved, chosen


def share_left(candidates: int) -> float:
    """Compute the share of the budget that is left after the trials of the other candidates."""
    return 1 - ((candidates - 2) * _FIRST + _SECOND) if candidates > 1 else 1.0


def _too_short(budget: Budget, recipe: Recipe) -> str:
    """Explain why a budget is too short for trials; empty if it is long enough."""
    tokens = float(recipe.training.batch_size * recipe.length)  # of one step, at most
    least = {**_LEAST, "tokens": _LEAST["steps"] * tokens}.get(budget.kind, 0.0)
    if budget.amount * _FIRST >= least:
        return ""
    needed = math.ceil(round(least / _FIRST, 6))
    return f"{budget.amount:g} {budget.kind} are too few to try anything, at least {needed:,} are needed"


def _tried(trials: list["_Trial"], rounds: list[float], stop: Callable[[], bool], progress: bool) -> "_Trial":
    """Run all rounds and return the best trial; or the trial that was running when ``stop`` ended them."""
    running = trials
    for number, until in enumerate(rounds, start=1):
        for trial in running:
            if progress:
                print(f"auto: trying {trial.name}", file=sys.stderr, flush=True)
            if not trial.run(number, until, stop):
                return trial
        running = sorted(running, key=lambda trial: trial.rank)[:2]
    return running[0]


class _Trial:
    """Trial of one candidate: a loop that pauses after each round; its budget excludes the other trials' share."""

    def __init__(
        self,
        recipe: Recipe,
        task: SequenceTask,
        cell: nn.Module | None,
        facts: Facts,
        pair: tuple[str, str],
        share: float,
        folder: Path | None,
        start: Start | None,
    ) -> None:
        self.pair, self.task = pair, task
        method, kind = pair
        changes: dict[str, Any] = {"method": method, "training.budget": recipe.training.budget.part(share)}
        if cell is None:
            changes["cell.kind"] = kind
        self.resolved = resolve(recipe.with_given(changes), task, facts)
        check_memory(self.resolved.recipe, task, cell, kept=folder is not None)
        self.folder = folder / self.name.replace(" ", "-") if folder else None
        self.loop = make_loop(self.resolved, task, copy.deepcopy(cell), folder=self.folder, start=start)
        self.head_start = 0.0
        self.losses: list[float] = []
        self.lengths: list[int] = []
        self.steps: list[int] = []

    @property
    def name(self) -> str:
        return " ".join(self.pair)

    @property
    def rank(self) -> float:
        """Score for ranking candidates, lower is better; a loss above a constant guess's counts as the guess's."""
        loss = self.losses[-1]
        batches = validation_batches(self.task, 0, self.lengths[-1], self.loop.settings.seed)
        guess = constant_guess(self.loop.student.targets, batches).get("loss", math.inf)
        return (min(loss, guess) if math.isfinite(loss) else loss) - self.head_start

    def to_dict(self) -> dict[str, Any]:
        """Return the trial's entry in ``Chosen.trials``."""
        losses = [loss if math.isfinite(loss) else None for loss in self.losses]
        found = {"losses": losses, "lengths": self.lengths, "steps": self.steps}
        return {"method": self.pair[0], "cell": self.pair[1], **found}

    def load(self, force: bool) -> None:
        """Restore the state in which an interrupted run left the trial."""
        path = self.folder / "rounds.json" if self.folder else None
        if path is not None and path.is_file():
            try:
                self.losses, self.lengths, self.steps = _parse_rounds(json.loads(read_bytes(path)))
            except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                raise ValueError(f"{path} cannot be read: {one_line(error)}; remove it to try again") from error
        self.loop.load(force)

    def run(self, round_number: int, until: float, stop: Callable[[], bool]) -> bool:
        """Train until a share of the trial's budget is spent, and measure; False if ``stop`` ended the round.

        A round that was measured before an interruption is not repeated.
        """
        if len(self.losses) >= round_number:
            return True
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        loop, diverged = self.loop, False
        try:
            if loop.run(stop, until) == "stopped":
                return False
        except TrainingError:
            diverged = True
        link = loop.chain[min(loop.counters.link, len(loop.chain) - 1)]
        length = length_at(self.resolved.stages, until)
        loss = loop.look(link, validation_batches(self.task, 0, length, loop.settings.seed))["loss"]
        self.losses.append(loss if math.isfinite(loss) and not diverged else math.inf)
        self.lengths.append(length)
        self.steps.append(loop.counters.step)
        if self.folder is not None:
            rounds = {"losses": self.losses, "lengths": self.lengths, "steps": self.steps}
            write_json(self.folder / "rounds.json", rounds)
        return True


def _parse_rounds(document: Any) -> tuple[list[float], list[int], list[int]]:
    """Parse the records that ``_Trial.run`` wrote after each round.

    Raises:
        ValueError, TypeError, KeyError: the document has another form.
    """
    losses = [float(loss) for loss in document["losses"]]
    lengths, steps = ([int(number) for number in document[name]] for name in ("lengths", "steps"))
    if not len(losses) == len(lengths) == len(steps):
        raise ValueError("its lists differ in length")
    return losses, lengths, steps


def _reason(best: _Trial, trials: list[_Trial]) -> str:
    """Describe the choice and the figures of all candidates in one line."""
    if len(trials) == 1:
        return f"took {best.name}, the only candidate"
    if not best.losses:
        return f"took {best.name}: no candidate was measured in its share of the budget; give more"
    others = sorted((trial for trial in trials if trial is not best), key=lambda trial: -len(trial.losses))
    figures, share = [], _share(best)
    for trial in others:
        when = "" if _share(trial) == share else f"after {_share(trial)} "
        figures.append(f"{when}{trial.name} {trial.losses[-1]:.4g}" if trial.losses else f"{trial.name} not measured")
        share = _share(trial)
    first = f"validation loss {best.losses[-1]:.4g} after {_share(best)} of the budget"
    return f"chose {best.name}: {first}; {', '.join(figures)}"


def _share(trial: _Trial) -> str:
    """Format the share of the budget that a trial had used at its last measurement."""
    return f"{100 * (_FIRST if len(trial.losses) <= 1 else _SECOND):g} %"


def _move(best: _Trial, chosen: Chosen, folder: Path) -> None:
    """Move the best trial into the run's folder. The recipe moves last: until then a resumed run chooses again."""
    if best.folder is not None and (best.folder / "metrics.jsonl").is_file():
        write(folder / "metrics.jsonl", read_bytes(best.folder / "metrics.jsonl", LOG_LIMIT).decode())
    best.loop.folder = folder
    if best.losses:
        best.loop.save()
    write_json(folder / _CHOSEN, asdict(chosen))
    write(folder / "recipe.yaml", best.resolved.to_yaml(folder))
    drop_trials(folder)


def drop_trials(folder: Path) -> None:
    """Remove the trials from a run's folder once the choice is made."""
    shutil.rmtree(folder / TRIALS, ignore_errors=True)
