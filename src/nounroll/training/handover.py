"""Handover: the student that a method passes on, and the early end of a method. One rule for all methods.

A method hands over the better of the student that it was given and the students that it made, judged on the
validation part. Where labels are counted the last student stands for the best one if it has as few errors within one
standard error (Breiman et al. 1984): a handful of labels cannot tell which of two students is better, and the last one
has the learning rate's whole fall behind it. SMT is the exception: student and teacher move together, so it hands over
the last student, unless neither has learnt anything; then the student is again what it was before.

A student that the run was given, or that it had made when its budget was extended, is compared with the one that the
whole chain has made, SMT's too: what is handed over at the end is never worse than it.

A method ends early when SMT's teacher has nothing more to teach, or when validation has risen for so many evaluations
that patience is exhausted. Evaluations are counted for it only after a student was better than a constant guess: a
network that has learnt nothing cannot overfit. Every threshold on a loss is a share of what there is to know
(``nounroll.rollout.evaluate.knowable``).
"""

import math

from torch import Tensor

from nounroll.methods.base import Method
from nounroll.models.student import Student
from nounroll.rollout.evaluate import constant_guess
from nounroll.rollout.transformer import CausalTransformer
from nounroll.training.average import Average
from nounroll.training.counters import Counters
from nounroll.training.observer import Observer

_AHEAD = 0.025  # share of what there is to know, by which a student is better than its teacher
_KNOWS = 0.1  # share of it, by which a teacher is better than a constant guess, or knows too little
_PASSED = 2  # evaluations in a row after which a teacher has been passed
_RISEN = 0.05  # share of it, by which a validation loss has risen
_TIE = 1e-3  # how much the loss counts beside the share of errors


class Handover:
    """Keeps the student that the method at work may have to go back to.

    Args:
        student: of the run.
        observer: measures it.
        counters: of the run; ``best`` and ``passed`` are kept there, so that they are saved.
        knowable: nats per scored element that there are to know.
        by_errors: students are judged by the share of labels that they get wrong, and by their loss where that is
            the same; those that predict a number by the logarithm of their root mean squared error. A network that
            knows few labels by heart is ever surer of itself, also where it errs.
        patience: evaluations in a row with a clearly worse student after which a method ends; 0 for no end.
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
        """Measure by which students are compared, lower is better; infinite for one that is not finite."""
        loss = metrics["loss"]
        if not math.isfinite(loss):
            return math.inf
        if self.by_errors and "accuracy" in metrics:
            return 1 - metrics["accuracy"] + _TIE * loss / (1 + loss)
        if self.by_errors and self.student.targets.event_shape == (1,) and metrics.get("rmse"):
            return math.log(metrics["rmse"])  # in nats, as the loss is: of a Gaussian with the best scale
        return loss

    def begin(self, method: Method, is_last: bool) -> None:
        """Keep the student that SMT begins with. The others keep theirs by ``note``."""
        if method.until_passed and not is_last:
            self._keep()

    def give(self, metrics: dict[str, float]) -> None:
        """Keep the current student; no student that is handed over may be worse."""
        self.counters.given = self.score(metrics)
        self.given = {name: t.detach().clone() for name, t in self.student.state_dict().items()}

    def settle(self) -> bool:
        """Put back the student that was given where the one made from it is worse; whether it was."""
        given, self.given = self.given, {}
        if not given or self.score(self.observer.measure()) <= self.counters.given:
            return False
        self.student.load_state_dict(given)
        return True

    def note(self, method: Method, metrics: dict[str, float]) -> None:
        """Take in an evaluation, and keep the student if it is the best of its method so far."""
        c, score = self.counters, self.score(metrics)
        risen = score > c.best + (2 * self._error(c.best) or _RISEN * self.knowable)
        c.waited = c.waited + 1 if risen and self._knows(c.best) else 0
        if score <= c.best and math.isfinite(score):
            c.best = score
            if method.improves_only:
                self._keep()

    def look(self, method: Method, is_last: bool, length: int, progress: float) -> None:
        """Count the evaluations in a row at which SMT's teacher had nothing to teach, at the length trained on now."""
        if method.until_passed and not is_last:
            self.counters.passed = self.counters.passed + 1 if self._is_passed(length, progress) else 0

    def is_over(self, method: Method) -> str:
        """Return the reason for an early end of the method; nothing while it continues."""
        if self.counters.passed >= _PASSED:
            return "passed"
        if self.patience and method.improves_only and self.counters.waited >= self.patience:
            return "exhausted"
        return ""

    def end(self, method: Method, length: int, metrics: dict[str, float]) -> str:
        """Put back the student that is to be handed over. Returns "restart" where SMT has taught nothing.

        Args:
            method: that ends.
            length: T that was trained on last.
            metrics: of the student as it is now.
        """
        found, best = "", self.counters.best
        self.average.settle()
        if self.best and method.improves_only:
            if not self.score(metrics) <= best + self._error(best):
                self.student.load_state_dict(self.best)
        elif self.best and self._knows_nothing(length):
            self.student.load_state_dict(self.best)
            found = "restart"
        self.best = {}
        self.counters.passed, self.counters.best, self.counters.waited = 0, math.inf, 0
        return found

    def stop(self, method: Method) -> None:
        """Put back the best student where a run is interrupted and the one at work is worse."""
        self.average.settle()
        if method.improves_only and self.best and not self.score(self.observer.measure()) <= self.counters.best:
            self.student.load_state_dict(self.best)
        self.settle()

    def _knows(self, score: float) -> bool:
        """Return whether a student with this score is better than the best constant guess."""
        guess = constant_guess(self.student.targets, self.observer.validation)
        return not guess or score < self.score(guess)

    def _error(self, score: float) -> float:
        """Standard error of a share of errors on the validation part; 0 where losses are compared."""
        labels = sum(int(batch.mask.sum()) for batch in self.observer.validation)
        if not self.by_errors or self.student.targets.symbols is None or not labels or not math.isfinite(score):
            return 0.0
        errors = min((score * labels + 1) / (labels + 2), 0.5)  # Laplace's estimate: no error of ten is not certainty
        return math.sqrt(errors * (1 - errors) / labels)

    def _keep(self) -> None:
        weights = self.average.weights or self.student.state_dict()
        self.best = {name: t.detach().clone() for name, t in weights.items()}

    def _is_passed(self, length: int, progress: float) -> bool:
        """Return whether the student alone predicts better than its teacher and than a constant guess.

        From half of the way on also whether a constant guess is nearly as good as the teacher. Before, neither may know
        anything yet, and which of the two is less wrong is chance.
        """
        student, teacher, guess = self.observer.losses(length)
        behind = progress >= 0.5 and guess < teacher + _KNOWS * self.knowable
        return student < min(teacher - _AHEAD * self.knowable, guess) or behind

    def _knows_nothing(self, length: int) -> bool:
        """Return whether a constant guess is nearly as good as the teacher, and as the student alone."""
        student, teacher, guess = self.observer.losses(length)
        return guess < min(student, teacher) + _KNOWS * self.knowable
