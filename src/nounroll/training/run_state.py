"""State of a run, as checkpoints store it and rollbacks restore it.

Every random choice is a pure function of (seed, stream, step). The state therefore consists of the weights, the
optimiser's moments, what the current method passes to its next step, and a few counters.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nounroll.methods.base import State as MethodState
from nounroll.models.student import Student
from nounroll.rollout.transformer import CausalTransformer
from nounroll.storage import checkpoint
from nounroll.teacher import Teacher
from nounroll.training import saving
from nounroll.training.conditions import compare
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine
from nounroll.training.fixed import tell_gone, without_fixed
from nounroll.training.handover import Handover
from nounroll.training.optimizer import load_optimizer_state, optimizer_state, parameter_of
from nounroll.training.saving import State
from nounroll.training.settings import BUDGETS, Budget
from nounroll.training.sharding import as_in, load_weights, own, whole

_KEPT = 2  # number of checkpoints that are kept
_MAY_BE_EMPTY = ("best", "given", "average", "method")
_BUDGETS = {f"training.{name}" for name in BUDGETS}
# May change before a resume. The data itself is identified by its fingerprint, not by its path.
MAY_CHANGE = {"training.device", "training.shard", "task.options.path", "task.options.held_out"}


class RunState:
    """State that changes while a run trains.

    Args:
        engine: engine that holds the optimiser.
        student, teacher: models of the run.
        counters: counters of the run.
        handover: keeper of the best student.

    Attributes:
        method_state: what the current method passes to its next step, for this process's rows.
    """

    def __init__(
        self,
        engine: Engine,
        student: Student | CausalTransformer,
        teacher: Teacher | None,
        counters: Counters,
        handover: Handover,
    ) -> None:
        self.engine, self.student, self.teacher = engine, student, teacher
        self.counters, self.handover = counters, handover
        self.method_state: MethodState = {}
        self._costs = dict(counters.costs)  # counted before the weights were sharded
        self.remembered: State = ({}, {})

    def remember(self) -> None:
        """Copy the state, for ``save`` and ``go_back``.

        Of sharded weights, each process copies its own shards.
        """
        copies = {
            group: {name: own(t.detach()).cpu().clone() for name, t in named.items()}
            for group, named in self._live().items()
        }
        document = optimizer_state(self.engine.optimizer)[1]
        self.remembered = copies, {"counters": self.counters.to_dict(), "optimizer": document}

    def save(self, folder: Path, recipe: Mapping[str, Any], conditions: Mapping[str, Any]) -> None:
        """Write the state that ``remember`` copied as a checkpoint, and delete all but the newest two."""
        tensors, documents = self.remembered
        state = tensors, {**documents, "recipe": recipe, "conditions": conditions}
        saving.write(self.engine, checkpoint.step_folder(folder, self.counters.step), self._live(), state)
        self.engine.by_first(lambda: checkpoint.prune(folder, _KEPT))

    def load(
        self,
        folder: Path | None,
        recipe: Mapping[str, Any],
        conditions: Mapping[str, Any],
        *,
        links: int,
        budget: Budget,
        force: bool = False,
    ) -> bool:
        """Load the newest undamaged checkpoint of a folder; False if there is none.

        Newer damaged checkpoints are set aside with a notice. Conditions that differ give a notice too. If a run is
        finished and its budget is now larger than what it has spent, its last method continues.

        Args:
            folder: folder of the checkpoints.
            recipe: recipe of the run.
            conditions: conditions of this process (see ``nounroll.training.conditions``).
            links: methods of the run's chain.
            budget: current budget of the run.
            force: continue with another recipe or other data than the checkpoint's.

        Raises:
            CheckpointError: all checkpoints are damaged, or the newest belongs to another recipe or other data.
        """
        every = self.engine.by_first(lambda: checkpoint.newest_first(folder) if folder else [])
        found = checkpoint.read_newest(every, lambda one: saving.read(self.engine, one, self._likes()))
        if found is None:
            return False
        newest, (tensors, documents) = found
        kept = documents.get("recipe")
        changes = list(_changes(without_fixed(kept) if isinstance(kept, Mapping) else kept, recipe))
        extended = any(name in _BUDGETS for name, *_ in changes) and _is_extended(documents, budget, links)
        for name, before, now in () if force else changes:
            if extended and name in _BUDGETS:
                continue
            what = f"{name} is {now!r}, and {newest} was trained with {before!r}"
            raise checkpoint.CheckpointError(f"{what}; set it back, train a new run, or continue with --force")
        compare(documents.get("conditions"), conditions, newest, force)
        if isinstance(kept, Mapping):
            tell_gone(kept)
        try:
            self._restore(tensors, documents)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise checkpoint.CheckpointError(f"{newest} does not fit this recipe: {reason}") from error
        if extended:
            self.counters.link, self.counters.extensions = links - 1, self.counters.extensions + 1
        self.engine.by_first(lambda: [checkpoint.set_aside(one) for one in every[: every.index(newest)]])
        self.engine.by_first(lambda: checkpoint.prune(newest.parent, _KEPT))  # left by a process that died
        return True

    def go_back(self) -> None:
        """Restore the last remembered state."""
        self._restore(*self.remembered)

    def hand_over(self, student: Student | CausalTransformer, teacher: Teacher | None) -> None:
        """Replace sharded modules by unsharded modules of the same form, with the gathered weights."""
        for old, new in ((self.student, student), (self.teacher, teacher)):
            if old is not None and new is not None:
                new.load_state_dict({name: whole(t).cpu() for name, t in old.state_dict().items()})
        self.student, self.teacher = student, teacher

    def _live(self) -> dict[str, dict[str, Tensor]]:
        """Collect all tensors of the state, as training holds them."""
        groups = {"student": self.student.state_dict(), "optimizer": optimizer_state(self.engine.optimizer)[0]}
        if self.teacher is not None:
            groups["teacher"] = self.teacher.state_dict()
        found = self.engine.by_each(lambda: {name: t.cpu() for name, t in self.method_state.items()})
        handed = {name: torch.cat([one[name] for one in found], dim=1) for name in self.method_state}
        groups |= {"best": self.handover.best, "given": self.handover.given}
        groups |= {"average": self.handover.average.weights, "method": handed}
        return {name: tensors for name, tensors in groups.items() if tensors or name not in _MAY_BE_EMPTY}

    def _likes(self) -> Callable[[str, str], Tensor | None]:
        """Return a function (group, name) -> the weight that a checkpoint's tensor is, or is a moment of."""
        student, teacher = self.student.state_dict(), self.teacher.state_dict() if self.teacher else {}
        weights = {"student": student, "best": student, "given": student, "average": student, "teacher": teacher}
        moments = partial(parameter_of, self.engine.optimizer)
        return lambda group, name: moments(name) if group == "optimizer" else weights.get(group, {}).get(name)

    def _restore(self, tensors: Mapping[str, Mapping[str, Tensor]], documents: Mapping[str, Any]) -> None:
        load_weights(self.student, tensors["student"])
        if self.teacher is not None:
            load_weights(self.teacher, tensors["teacher"])
        self.engine.updates += 1
        counters = Counters.from_dict(documents["counters"])
        vars(self.counters).update(vars(counters), costs={**self._costs, **counters.costs})
        load_optimizer_state(self.engine.optimizer, tensors["optimizer"], documents["optimizer"])
        device, like = self.engine.device, self.student.state_dict()
        handed = {
            name: t.chunk(self.engine.processes, dim=1)[self.engine.rank].to(device)
            for name, t in tensors.get("method", {}).items()
        }
        memory = handed.get("memory")
        if memory is not None and memory.shape[2:] != self.student.memory_shape:  # type: ignore[union-attr]
            raise ValueError(f"it hands on memories of shape {tuple(memory.shape[2:])}")
        self.method_state = handed

        def put_back(group: str) -> dict[str, Tensor]:
            return {name: as_in(t.to(device, copy=True), like[name]) for name, t in tensors.get(group, {}).items()}

        self.handover.best, self.handover.average.weights = put_back("best"), put_back("average")
        self.handover.given = put_back("given")


def _is_extended(documents: Mapping[str, Any], budget: Budget, links: int) -> bool:
    """Return whether a checkpoint belongs to a finished run that has spent less than a budget."""
    try:
        counters = Counters.from_dict(documents["counters"])
        return counters.link >= links and counters.spent(budget.kind) < budget.amount
    except (KeyError, TypeError, AttributeError):  # a foreign checkpoint, which the restore refuses
        return False


def _changes(kept: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """List each changed setting: (dotted name, in the checkpoint, now).

    A setting that the checkpoint does not have, and that is now 0 or off, counts as unchanged.
    """
    if isinstance(kept, Mapping) and isinstance(now, Mapping):
        for key in {**kept, **now}:
            if key not in kept and now[key] == 0 and name:
                continue
            yield from _changes(kept.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif kept != now and name not in MAY_CHANGE:
        yield name or "recipe", kept, now
