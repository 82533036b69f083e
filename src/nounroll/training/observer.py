"""Observation of a run: metrics of student and teacher on held-out sequences, and statistics of their memories."""

import math
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
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

    def kept(self, inputs: Shaped[Tensor, "B T *x"]) -> tuple[Float[Tensor, "B T1 K d"], Bool[Tensor, "K d"] | None]:
        """Return ``Teacher.kept``; of a teacher that keeps all coordinates, the cached memories."""
        return self.teacher.kept(inputs) if hasattr(self.teacher.encoder, "kept") else (self(inputs), None)


class Observer:
    """Measurement of the models of a run. Every process must call each method, and gets the same result.

    Args:
        task: source of the sequences.
        length: T of the recipe.
        seed: seed of the run.
        engine: engine that holds the models.
        student, teacher: the models to measure.
        taught_length: largest T that the teacher trains on, at which it is measured; default T.
    """

    def __init__(
        self,
        task: SequenceTask,
        length: int,
        seed: int,
        engine: Engine,
        student: Student | CausalTransformer,
        teacher: Teacher | None,
        taught_length: int | None = None,
    ) -> None:
        self.task, self.length, self.seed, self.engine = task, length, seed, engine
        self.student, self.teacher = student, teacher
        self._labels = None if teacher is None else _Labels(teacher, engine)
        self.validation = validation_batches(task, 0, length, seed)
        self.taught_length = taught_length or length
        self.for_teacher = self.validation if self.taught_length == length else self._for_teacher("validation")
        self.warning = ""  # short description of a problem found in the last measurement

    def _for_teacher(self, stream: str) -> list[Batch]:
        """Draw held-out sequences of the longest length that the teacher trains on."""
        return validation_batches(self.task, 0, self.taught_length, self.seed, stream=stream)

    def test_batches(self) -> list[Batch]:
        """Draw held-out sequences that no choice has used."""
        return validation_batches(self.task, 0, self.length, self.seed, stream="test")

    def measure(self, batches: list[Batch] | None = None) -> dict[str, float]:
        """Measure the student, on the validation batches by default; with its drift if there is a teacher."""
        training = self.student.training
        self.student.eval()
        batches = self.validation if batches is None else batches
        labels = None if self._labels is None else self._labels.kept
        metrics = self.engine.gathered(lambda: evaluate_task(self.task, self.student, batches, labels))
        self.student.train(training)
        return self.engine.agreed(metrics)

    def measure_teacher(self, batches: list[Batch] | None = None) -> dict[str, float]:
        """Measure the teacher, with the readout that was trained on its memories; by default on its test batches."""
        student, labels = self.student, self._labels
        assert isinstance(student, Student)
        assert labels is not None
        batches = self._for_teacher("test") if batches is None else batches
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
            loss = self.measure_teacher(self.for_teacher)["loss"]
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
        found = self.engine.gathered(lambda: collapse.guard(student, teacher, self.for_teacher[0]))
        self.warning = collapse.warning(found)
        return {**found, **({"warning": self.warning} if self.warning else {})}

    def packing(self) -> dict[str, Any]:
        """Measure how well memories alone predict later targets, and warn if the teacher only looks back."""
        student, teacher = self.student, self.teacher
        if teacher is None or not isinstance(student, Student):
            return {}
        # Use plain values: Fabric inspects a module's output, and refuses frozen dataclasses.
        seen = self.engine.gathered(
            lambda: [asdict(one) for one in packs.packing(student, teacher, self.for_teacher[0], cuts=_CUTS)]
        )
        found = [packs.Packing(**one) for one in seen]
        targets, batches = self.student.targets, self.for_teacher
        guess = constant_guess(targets, batches).get("loss", math.nan)
        self.warning = self.warning or packs.warning(found, guess, knowable(targets, batches))
        return {**packs.mean_packing(found), **({"warning": self.warning} if self.warning else {})}
