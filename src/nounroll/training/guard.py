"""Response to losses that are not finite: skip the step, roll back, give up.

A step whose loss or gradient is not finite changes nothing. Three in a row take the run back to its last
checkpoint, and the batches of those three are not drawn again. So does a weight that is not finite, so that none is
ever saved. Three ways back from one checkpoint end the run: the fault is then not in the batches.
"""

_BAD_STEPS = 3  # in a row
_ROLLBACKS = 3  # to one checkpoint


class TrainingError(RuntimeError):
    """Error: training cannot continue, since the losses are no longer finite."""


class Guard:
    """Counts the bad steps since the last good one, and the ways back since the last checkpoint.

    Attributes:
        bad: batches of the bad steps in a row.
    """

    def __init__(self) -> None:
        self.bad: list[int] = []
        self._rollbacks = 0

    def stepped(self, batch: int, good: bool) -> bool:
        """Note how the step on a batch went; True when the run has to go back."""
        self.bad = [] if good else [*self.bad, batch]
        return len(self.bad) >= _BAD_STEPS

    def saved(self) -> None:
        """Note that there is a new checkpoint."""
        self.bad, self._rollbacks = [], 0

    def roll_back(self, advice: str) -> list[int]:
        """The batches to avoid from now on.

        Raises:
            TrainingError: the run went back often enough.
        """
        avoid, self.bad = self.bad, []
        self._rollbacks += 1
        if self._rollbacks >= _ROLLBACKS:
            raise TrainingError(f"losses, gradients or weights were not finite {_ROLLBACKS} times {advice}")
        return avoid
