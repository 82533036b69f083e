"""What a method is: one loss function and its settings."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from nounroll.batch import Batch
from nounroll.methods.carried import Carried


class Method(nn.Module, ABC):
    """A loss over the student and, for some methods, a teacher; or over a baseline that is no student.

    ``forward`` is all that the training loop calls; it returns the loss to minimise under "loss" and
    its parts under their own names.

    Attributes:
        carried: what ``forward`` left for the next one. The loop saves it, and sets it back after a step that failed.
    """

    carried: Carried = ()

    @abstractmethod
    def forward(self, batch: Batch, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        """The loss on a batch.

        Args:
            batch: the sequences.
            generator: source of every random choice in the loss (a CPU generator).
            progress: how much of this method's budget is spent, 0 to 1.
        """

    @abstractmethod
    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        """FLOPs of one training step on its longest chain of dependent steps.

        Args:
            per_token: FLOPs of the loss and its gradients, divided by B T.
            cell_step: FLOPs of one forward step of the cell for one row; 0 where there is no cell.
            length: T; 1 for a cell that unrolls by a parallel scan.
        """

    def finish(self) -> None:
        """Make the student whole (called before it is evaluated or saved). Most methods have nothing to do."""

    @property
    def improves_only(self) -> bool:
        """True when the student that this method hands over must be the best one it has seen."""
        return True

    @property
    def until_passed(self) -> bool:
        """True when there is nothing left to do once the teacher has nothing to teach."""
        return False


def mostly(scored: float) -> bool:
    """Whether targets are dense: at least half of all time steps are scored. Some defaults depend on it."""
    return scored >= 0.5
