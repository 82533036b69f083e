"""Methods: each is one loss function with its settings."""

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
        student: the student to train.
        teacher: None if no method of the chain has one.
        settings: the recipe's group with the method's name; None if the method has no settings.
        knowable: nats per scored element that can be learnt (``nounroll.rollout.evaluate.knowable``).
        stream: the task is one long sequence that can be read in order (``SequenceTask.stream``).
        chunk: ``smt.chunk``, time steps that are computed together and recomputed for their gradients; 0 is all.
    """

    student: Student
    teacher: Teacher | None
    settings: Any
    knowable: float
    stream: bool = False
    chunk: int = 0


class Method(nn.Module, ABC):
    """A loss of the student and, for some methods, a teacher; or of a baseline that is no student.

    The training loop calls only ``forward``.

    Attributes:
        taught: the method has a teacher.
        trains_teacher: the method trains its teacher; a taught method that does not needs such a method before it.
        has_settings: a recipe has a group with the method's name; only for nounroll's own methods.
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
        """Compute the loss on a batch.

        Args:
            batch: the sequences.
            state: the state that the last step returned; empty before the first step, and always for most methods.
            generator: source of every random choice in the loss (a CPU generator).
            progress: share of this method's budget that is spent, 0 to 1.

        Returns:
            The losses, where "loss" is to be minimised and the others are its parts; and the state for the next step.
        """

    @abstractmethod
    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        """Return the FLOPs of one training step on its longest chain of dependent steps.

        Args:
            per_token: FLOPs of the loss and its gradients, divided by B T.
            cell_step: FLOPs of one forward step of the cell for one row; 0 if there is no cell.
            length: T; 1 for a cell that unrolls by a parallel scan.
        """

    def finish(self) -> None:
        """Complete the student before it is evaluated or saved. Most methods do nothing here."""

    @property
    def carries(self) -> bool:
        """True if a stream is read in order, so that the state of one batch belongs to the next."""
        return False

    @property
    def unaided(self) -> "Method | None":
        """The method that a step without the teacher is a step of, for its cost; None if all steps cost the same."""
        return None

    @property
    def improves_only(self) -> bool:
        """True if the method must hand over the best student it has measured."""
        return True

    @property
    def until_passed(self) -> bool:
        """True if the method ends once the teacher has nothing more to teach."""
        return False
