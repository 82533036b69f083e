"""Observation of a run: student and teacher on held-out sequences, and the state of their memories."""

import math
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.data.task import SequenceTask
from nounroll.methods import SMT
from nounroll.methods.base import Method
from nounroll.models.student import Student
from nounroll.rollout import collapse
from nounroll.rollout import packing as packs
from nounroll.rollout.evaluate import constant_guess, evaluate_task, evaluate_teacher, knowable, validation_batches
from nounroll.rollout.transformer import CausalTransformer
from nounroll.teacher import Teacher
from nounroll.training.engine import Engine

_CUTS = 2  # of sequences, at which packing is measured while a method trains
_KEPT = 2**22  # numbers of labels that are kept from one measurement to the next


class _Labels:
    """The teacher's memories of held-out inputs, made once for all measurements between two steps of training."""

    def __init__(self, teacher: Teacher, engine: Engine) -> None:
        self.teacher, self.engine = teacher, engine
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._at = -1  # updates of the engine's weights when they were made

    def __call__(self, inputs: Shaped[Tensor, "B T *x"]) -> Float[Tensor, "B T1 K d"]:
        if self._at != self.engine.updates:
            self._kept, self._at = [], self.engine.updates
        for known, labels in self._kept:
            if known.shape == inputs.shape and torch.equal(known, inputs):
                return labels
        labels = self.teacher.memories(inputs)
        if sum(kept.numel() for _, kept in self._kept) + labels.numel() <= _KEPT:
            self._kept.append((inputs, labels))
        return labels


class Observer:
    """Measures the models of a run. All processes have to ask, and get the same answer.

    Args:
        task: source of the sequences.
        length: T of the recipe.
        seed: of the run.
        engine: where the models are.
        student, teacher: what is measured.
    """

    def __init__(
        self,
        task: SequenceTask,
        length: int,
        seed: int,
        engine: Engine,
        student: Student | CausalTransformer,
        teacher: Teacher | None,
    ) -> None:
        self.task, self.length, self.seed, self.engine = task, length, seed, engine
        self.student, self.teacher = student, teacher
        self._labels = None if teacher is None else _Labels(teacher, engine)
        self.validation = validation_batches(task, 0, length, seed)
        self.warning = ""  # what was found wrong at the last look, in a few words

    def test_batches(self) -> list[Batch]:
        """Held-out sequences that no choice has seen."""
        return validation_batches(self.task, 0, self.length, self.seed, stream="test")

    def measure(self, batches: list[Batch] | None = None) -> dict[str, float]:
        """The student's figures, on the validation batches when left out; with its drift where there is a teacher."""
        training = self.student.training
        self.student.eval()
        batches = self.validation if batches is None else batches
        metrics = self.engine.gathered(lambda: evaluate_task(self.task, self.student, batches, self._labels))
        self.student.train(training)
        return self.engine.agreed(metrics)

    def measure_teacher(self, batches: list[Batch]) -> dict[str, float]:
        """The teacher's figures, by the readout that was trained on its memories."""
        student, labels = self.student, self._labels
        assert isinstance(student, Student)
        assert labels is not None
        metrics = self.engine.gathered(lambda: evaluate_teacher(student, batches, labels))
        return self.engine.agreed(metrics)

    def losses(self, length: int) -> tuple[float, float, float]:
        """Measure the student alone, its teacher and the best constant guess, on validation sequences of a length."""
        batches = self.validation
        if length != self.length:
            batches = validation_batches(self.task, 0, length, self.seed)
        guess = constant_guess(self.student.targets, batches).get("loss", math.nan)
        return self.measure(batches)["loss"], self.measure_teacher(batches)["loss"], guess

    def learning(self, method: Method) -> dict[str, Any]:
        """Collect what is logged beside the student's figures while a method works: memories, teacher, a warning."""
        found = self.collapse()
        if isinstance(method, SMT):
            loss = self.measure_teacher(self.validation)["loss"]
            found |= {"teacher_loss": loss} if math.isfinite(loss) else {}
            found |= self.packing() if method.settings.decoding else {}
        return {**found, **({"warning": said} if (said := self.unscored()) else {})}

    def unscored(self) -> str:
        """A warning where nothing in the validation part is scored, by which no student can be chosen."""
        if any(bool(batch.mask.any()) for batch in self.validation):
            return ""
        name, steps = type(self.task).__name__, len(self.validation) * self.validation[0].mask.numel()
        return f"{name} scores nothing in {steps:,} time steps of its validation part; its mask must be True somewhere"

    def collapse(self) -> dict[str, Any]:
        """Figures of the teacher's memories, and a warning where they have collapsed: the bar shows it too."""
        student, teacher = self.student, self.teacher
        if teacher is None or not isinstance(student, Student):
            return {}
        found = self.engine.gathered(lambda: collapse.guard(student, teacher, self.validation[0]))
        self.warning = collapse.warning(found)
        return {**found, **({"warning": self.warning} if self.warning else {})}

    def packing(self) -> dict[str, Any]:
        """Measure what memories alone tell of later targets, and warn where the teacher only looks back."""
        student, teacher = self.student, self.teacher
        if teacher is None or not isinstance(student, Student):
            return {}
        # Plain values: Fabric looks into what comes out of a module, and refuses frozen dataclasses.
        seen = self.engine.gathered(
            lambda: [asdict(one) for one in packs.packing(student, teacher, self.validation[0], cuts=_CUTS)]
        )
        found = [packs.Packing(**one) for one in seen]
        targets, batches = self.student.targets, self.validation
        guess = constant_guess(targets, batches).get("loss", math.nan)
        self.warning = self.warning or packs.warning(found, guess, knowable(targets, batches))
        return {**packs.mean_packing(found), **({"warning": self.warning} if self.warning else {})}
