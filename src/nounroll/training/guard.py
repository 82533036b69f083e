"""Response to losses that are not finite: skip the step, roll back, or end the run.

A step whose loss or gradient is not finite changes nothing. Three such steps in a row return the run to its last
checkpoint, and the batches of those three steps are not drawn again. A weight that is not finite has the same effect,
so no such weight is ever saved. Three rollbacks to one checkpoint end the run: the batches are then not the cause.
"""

_BAD_STEPS = 3  # in a row
_ROLLBACKS = 3  # to the same checkpoint


class TrainingError(RuntimeError):
    """Error: training cannot continue because the losses are no longer finite."""


class Guard:
    """Counter of the bad steps since the last good step, and of the rollbacks since the last checkpoint.

    Attributes:
        bad: batches of the consecutive bad steps.
    """

    def __init__(self) -> None:
        self.bad: list[int] = []
        self._rollbacks = 0

    def stepped(self, batch: int, good: bool) -> bool:
        """Record whether the step on a batch was good; return True if the run has to roll back."""
        self.bad = [] if good else [*self.bad, batch]
        return len(self.bad) >= _BAD_STEPS

    def saved(self) -> None:
        """Record that a new checkpoint was saved."""
        self.bad, self._rollbacks = [], 0

    def roll_back(self, advice: str) -> list[int]:
        """Return the batches to avoid from now on.

        Raises:
            TrainingError: the run was rolled back too often.
        """
        avoid, self.bad = self.bad, []
        self._rollbacks += 1
        if self._rollbacks >= _ROLLBACKS:
            raise TrainingError(f"losses, gradients or weights were not finite {_ROLLBACKS} times {advice}")
        return avoid
