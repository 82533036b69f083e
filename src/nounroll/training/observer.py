"""Observation of a run: metrics of student and teacher on held-out sequences, and statistics of their memories."""

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

_CUTS = 2  # cuts per sequence at which packing is measured during training
_KEPT = 2**22  # largest number of label values that are cached between measurements


class _Labels:
    """Teacher's memories of held-out inputs, computed once for all measurements between two training steps."""

    def __init__(self, teacher: Teacher, engine: Engine) -> None:
        self.teacher, self.engine = teacher, engine
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._at = -1  # the engine's count of updates when the labels were computed

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
    """Measurement of the models of a run. Every process must call each method, and gets the same result.

    Args:
        task: source of the sequences.
        length: T of the recipe.
        seed: seed of the run.
        engine: engine that holds the models.
        student, teacher: the models to measure.
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
        self.warning = ""  # short description of a problem found in the last measurement

    def test_batches(self) -> list[Batch]:
        """Draw held-out sequences that no choice has used."""
        return validation_batches(self.task, 0, self.length, self.seed, stream="test")

    def measure(self, batches: list[Batch] | None = None) -> dict[str, float]:
        """Measure the student, on the validation batches by default; with its drift if there is a teacher."""
        training = self.student.training
        self.student.eval()
        batches = self.validation if batches is None else batches
        metrics = self.engine.gathered(lambda: evaluate_task(self.task, self.student, batches, self._labels))
        self.student.train(training)
        return self.engine.agreed(metrics)

    def measure_teacher(self, batches: list[Batch]) -> dict[str, float]:
        """Measure the teacher, with the readout that was trained on its memories."""
        student, labels = self.student, self._labels
        assert isinstance(student, Student)
        assert labels is not None
        metrics = self.engine.gathered(lambda: evaluate_teacher(student, batches, labels))
        return self.engine.agreed(metrics)

    def losses(self, length: int) -> tuple[float, float, float]:
        """Losses of the student alone, its teacher and the best constant guess, on validation sequences of a length."""
        batches = self.validation
        if length != self.length:
            batches = validation_batches(self.task, 0, length, self.seed)
        guess = constant_guess(self.student.targets, batches).get("loss", math.nan)
        return self.measure(batches)["loss"], self.measure_teacher(batches)["loss"], guess

    def learning(self, method: Method) -> dict[str, Any]:
        """Collect the additional records of a method: statistics of memories, teacher, and a warning."""
        found = self.collapse()
        if isinstance(method, SMT):
            loss = self.measure_teacher(self.validation)["loss"]
            found |= {"teacher_loss": loss} if math.isfinite(loss) else {}
            found |= self.packing() if method.settings.decoding else {}
        return {**found, **({"warning": said} if (said := self.unscored()) else {})}

    def unscored(self) -> str:
        """Return a warning if no target of the validation part is scored, so that no student can be chosen by it."""
        if any(bool(batch.mask.any()) for batch in self.validation):
            return ""
        name, steps = type(self.task).__name__, len(self.validation) * self.validation[0].mask.numel()
        return f"{name} scores nothing in {steps:,} time steps of its validation part; its mask must be True somewhere"

    def collapse(self) -> dict[str, Any]:
        """Measure the teacher's memories, and warn if they have collapsed; the bar shows the warning too."""
        student, teacher = self.student, self.teacher
        if teacher is None or not isinstance(student, Student):
            return {}
        found = self.engine.gathered(lambda: collapse.guard(student, teacher, self.validation[0]))
        self.warning = collapse.warning(found)
        return {**found, **({"warning": self.warning} if self.warning else {})}

    def packing(self) -> dict[str, Any]:
        """Measure how well memories alone predict later targets, and warn if the teacher only looks back."""
        student, teacher = self.student, self.teacher
        if teacher is None or not isinstance(student, Student):
            return {}
        # Use plain values: Fabric inspects a module's output, and refuses frozen dataclasses.
        seen = self.engine.gathered(
            lambda: [asdict(one) for one in packs.packing(student, teacher, self.validation[0], cuts=_CUTS)]
        )
        found = [packs.Packing(**one) for one in seen]
        targets, batches = self.student.targets, self.validation
        guess = constant_guess(targets, batches).get("loss", math.nan)
        self.warning = self.warning or packs.warning(found, guess, knowable(targets, batches))
        return {**packs.mean_packing(found), **({"warning": self.warning} if self.warning else {})}
