"""Methods: one loss function and its settings each."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from nounroll.core.batch import Batch
from nounroll.core.registry import Registry
from nounroll.models.student import Student
from nounroll.teacher import Teacher

State: TypeAlias = dict[str, Shaped[Tensor, "_ _ ..."]]
"""What a training step hands on to the next: named tensors whose second axis is the rows of the batch."""

METHODS: Registry["type[Method]"] = Registry(
    "method",
    "nounroll.methods",
    {
        "smt": "nounroll.methods.smt:SMT",
        "dmt": "nounroll.methods.dmt:DMT",
        "tbptt": "nounroll.methods.tbptt:TBPTT",
        "bptt": "nounroll.methods.bptt:BPTT",
    },
)
"""The methods that a chain can name. ``Method.build`` makes one."""


@dataclass(frozen=True)
class Parts:
    """Parts that a method is built from.

    Attributes:
        student: to be trained.
        teacher: None where no method of the chain has one.
        settings: the recipe's group of the method's name; None where the method has none.
        knowable: nats per scored element that there are to know (``nounroll.rollout.evaluate.knowable``).
        stream: the task is one long sequence that may be read in order (``SequenceTask.stream``).
    """

    student: Student
    teacher: Teacher | None
    settings: Any
    knowable: float
    stream: bool = False


class Method(nn.Module, ABC):
    """A loss over the student and, for some methods, a teacher; or over a baseline that is no student.

    ``forward`` is all that the training loop calls.

    Attributes:
        taught: it has a teacher.
        trains_teacher: it trains the teacher that it has; another one needs such a method before it in a chain.
        has_settings: a recipe has a group of its name, as for nounroll's own methods alone.
        summary: a sentence for the report.
    """

    taught: ClassVar[bool] = False
    trains_teacher: ClassVar[bool] = False
    has_settings: ClassVar[bool] = False
    summary: ClassVar[str] = ""

    @classmethod
    def build(cls, parts: Parts) -> "Method":
        """Build the method from its parts; by default from the student alone."""
        return cls(parts.student)

    @abstractmethod
    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        """The loss on a batch.

        Args:
            batch: the sequences.
            state: the state that the step before returned; empty before the first step, and for most methods always.
            generator: source of every random choice in the loss (a CPU generator).
            progress: how much of this method's budget is spent, 0 to 1.

        Returns:
            The losses, "loss" being the one to minimise and the others its parts; and the state for the next step.
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
    def carries(self) -> bool:
        """True when a stream is read in order, as the state of one batch belongs to the next."""
        return False

    @property
    def improves_only(self) -> bool:
        """True when the student that this method hands over must be the best one it has seen."""
        return True

    @property
    def until_passed(self) -> bool:
        """True when there is nothing left to do once the teacher has nothing to teach."""
        return False
