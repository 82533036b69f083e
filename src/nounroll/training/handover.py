"""Handover: which student a method passes on, and when a method ends early. One rule serves all methods.

A method hands over the best of the student that it received and the students that it trained, judged on the
validation part. If labels are counted, the last student replaces the best one when their errors differ by at most one
standard error (Breiman et al. 1984): a handful of labels cannot tell which of two students is better, and only the
last one has trained through the whole decay of the learning rate. SMT is the exception: it trains student and teacher
together, so it hands over the last student. If neither has learnt anything, the student from before SMT is restored.

The result of the whole chain, including SMT, is also compared with the student of the warm start, or with the student
from before an extension of the budget: the final student is never worse than that one.

A method ends early if SMT's teacher has nothing more to teach, or if validation has risen for so many evaluations
that patience is exhausted. These evaluations are counted only after a student was better than a constant guess: a
network that has learnt nothing cannot overfit. Every threshold on a loss is a share of the knowable loss
(``nounroll.rollout.evaluate.knowable``).
"""

import math

from torch import Tensor

from nounroll.methods.base import Method
from nounroll.models.student import Student
from nounroll.rollout.evaluate import constant_guess
from nounroll.rollout.spread import fit_spread
from nounroll.rollout.transformer import CausalTransformer
from nounroll.training.average import Average
from nounroll.training.counters import Counters
from nounroll.training.observer import Observer

_AHEAD = 0.025  # share of the knowable loss by which a student must beat its teacher
_KNOWS = 0.1  # share of it by which a teacher must beat a constant guess to be of use
_PASSED = 2  # consecutive evaluations after which a teacher counts as passed
_RISEN = 0.05  # share of it by which a validation loss must rise to count
_TIE = 1e-3  # weight of the loss relative to the share of errors


class Handover:
    """Keeper of the student that the current method may have to restore.

    Args:
        student: student of the run.
        observer: measures the student.
        counters: counters of the run; ``best`` and ``passed`` are kept there, so that they are saved.
        knowable: nats per scored element between the best constant guess and the best possible prediction.
        by_errors: judge students by the share of labels that they get wrong, and break ties by the loss; students that
            predict numbers are judged by the logarithm of their root mean squared error; that of several numbers is
            standardised. A network that has memorised a few labels grows more and more confident, even where it is
            wrong.
        patience: consecutive evaluations with a clearly worse student after which a method ends; 0 for no early end.
    """

    def __init__(
        self,
        student: Student | CausalTransformer,
        observer: Observer,
        counters: Counters,
        *,
        knowable: float,
        by_errors: bool,
        patience: int,
    ) -> None:
        self.student, self.observer, self.counters = student, observer, counters
        self.knowable, self.by_errors, self.patience = knowable, by_errors, patience
        self.average = Average(student)
        self.best: dict[str, Tensor] = {}
        self.given: dict[str, Tensor] = {}

    def score(self, metrics: dict[str, float]) -> float:
        """Score for ranking students, lower is better; infinite for a student that is not finite."""
        loss = metrics["loss"]
        if not math.isfinite(loss):
            return math.inf
        if self.by_errors and "accuracy" in metrics:
            return 1 - metrics["accuracy"] + _TIE * loss / (1 + loss)
        error = self._error_of_numbers(metrics) if self.by_errors else None
        numbers = math.prod(self.student.targets.event_shape)
        return numbers * math.log(error) if error else loss  # in nats, like the loss of Gaussians with the best scale

    def _error_of_numbers(self, metrics: dict[str, float]) -> float | None:
        """Return the root mean squared error of targets that are numbers, in one unit; None for other targets."""
        targets = self.student.targets
        if targets.event_shape == (1,):
            return metrics.get("rmse")
        return metrics.get("rmse_standardised", metrics.get("rmse")) if targets.affine else None

    def begin(self, method: Method, is_last: bool) -> None:
        """Keep the student from before SMT. The other methods keep theirs by ``note``."""
        if method.until_passed and not is_last:
            self._keep()

    def give(self, metrics: dict[str, float]) -> None:
        """Keep the current student: no handover may pass on a worse one."""
        self.counters.given = self.score(metrics)
        self.given = {name: t.detach().clone() for name, t in self.student.state_dict().items()}

    def settle(self) -> bool:
        """Restore the given student if the trained one is worse; return whether it was."""
        given, self.given = self.given, {}
        if not given or self.score(self.observer.measure()) <= self.counters.given:
            return False
        self.student.load_state_dict(given)
        return True

    def note(self, method: Method, metrics: dict[str, float]) -> None:
        """Record an evaluation, and keep the student if it is the best of its method so far."""
        c, score = self.counters, self.score(metrics)
        risen = score > c.best + (2 * self._error(c.best) or _RISEN * self.knowable)
        c.waited = c.waited + 1 if risen and self._knows(c.best) else 0
        if score <= c.best and math.isfinite(score):
            c.best = score
            if method.improves_only:
                self._keep()

    def look(self, method: Method, is_last: bool, length: int, progress: float) -> None:
        """Count the consecutive evaluations in which SMT's teacher had nothing to teach, at the current length."""
        if method.until_passed and not is_last:
            self.counters.passed = self.counters.passed + 1 if self._is_passed(length, progress) else 0

    def is_over(self, method: Method) -> str:
        """Return the reason for an early end of the method; empty while it continues."""
        if self.counters.passed >= _PASSED:
            return "passed"
        if self.patience and method.improves_only and self.counters.waited >= self.patience:
            return "exhausted"
        return ""

    def end(self, method: Method, length: int, metrics: dict[str, float]) -> str:
        """Restore the student to hand over. Return "restart" if SMT has taught nothing.

        Args:
            method: the method that ends.
            length: T of the last training step.
            metrics: metrics of the current student.
        """
        found, best = "", self.counters.best
        self.average.settle()
        if self.best and method.improves_only:
            if not self.score(metrics) <= best + self._error(best):
                self.student.load_state_dict(self.best)
        elif self.best and self._knows_nothing(length):
            self.student.load_state_dict(self.best)
            found = "restart"
        if method.improves_only and self.counters.link_step:
            self._fit_spread()
        self.best = {}
        self.counters.passed, self.counters.best, self.counters.waited = 0, math.inf, 0
        return found

    def stop(self, method: Method) -> None:
        """Restore the best student if a run is interrupted and the current student is worse."""
        self.average.settle()
        if method.improves_only and self.best and not self.score(self.observer.measure()) <= self.counters.best:
            self.student.load_state_dict(self.best)
        self.settle()

    def _fit_spread(self) -> None:
        """Fit the spread of a student that was chosen by the errors of its means alone."""
        student = self.student
        if not isinstance(student, Student) or self.observer.engine.sharded:
            return
        if self.by_errors and student.targets.has_spread:
            fit_spread(student, self.observer.validation)

    def _knows(self, score: float) -> bool:
        """Return whether a student with this score is better than the best constant guess."""
        guess = constant_guess(self.student.targets, self.observer.validation)
        return not guess or score < self.score(guess)

    def _error(self, score: float) -> float:
        """Return the standard error of a share of errors on the validation part; 0 if losses are compared."""
        labels = sum(int(batch.mask.sum()) for batch in self.observer.validation)
        if not self.by_errors or self.student.targets.symbols is None or not labels or not math.isfinite(score):
            return 0.0
        errors = min((score * labels + 1) / (labels + 2), 0.5)  # Laplace's estimate: 0 errors of ten are no certainty
        return math.sqrt(errors * (1 - errors) / labels)

    def _keep(self) -> None:
        weights = self.average.weights or self.student.state_dict()
        self.best = {name: t.detach().clone() for name, t in weights.items()}

    def _is_passed(self, length: int, progress: float) -> bool:
        """Return whether the student alone predicts better than its teacher and than a constant guess.

        In the second half of the budget, also return True if a constant guess is nearly as good as the teacher. Before,
        both may know nothing yet, and it is chance which of them is less wrong.
        """
        student, teacher, guess = self.observer.losses(length)
        behind = progress >= 0.5 and guess < teacher + _KNOWS * self.knowable
        return student < min(teacher - _AHEAD * self.knowable, guess) or behind

    def _knows_nothing(self, length: int) -> bool:
        """Return whether a constant guess is nearly as good as the teacher, and as the student alone."""
        student, teacher, guess = self.observer.losses(length)
        return guess < min(student, teacher) + _KNOWS * self.knowable
