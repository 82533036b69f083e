"""Exported function: one step of a student, (inputs, memory) -> (memory, logits)."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from nounroll.core.seeding import generator
from nounroll.models.student import Student

StepFunction: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

CHECKED_STEPS, _CHECKED_ROWS = 500, 3  # rows: neither 1 nor the number of rows in tracing


class Step(nn.Module):
    """Module of one step of a student, without gradients."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    @torch.no_grad()
    def forward(
        self, inputs: Shaped[Tensor, "B *x"], memory: Float[Tensor, "B K d"]
    ) -> tuple[Float[Tensor, "B K d"], Float[Tensor, "B V"]]:
        after = self.student.step(inputs, memory)
        return after, self.student.readout(after)


def example_inputs(student: Student, steps: int, rows: int) -> Shaped[Tensor, "steps rows *x"]:
    """Draw random inputs of the student's space."""
    return student.inputs.example(steps, rows, generator=generator(0, "export"))


def largest_difference(student: Student, exported: StepFunction) -> float:
    """Return the largest difference of memories and (scaled) outputs over 500 steps on random inputs.

    Each side continues from its own memory, so differences can accumulate as in use. A non-finite value counts as an
    infinite difference. Outputs that are one rounding apart are equal: far from 0 that is much of a small scale.
    """
    step = Step(student)
    ours = theirs = student.initial_memory(_CHECKED_ROWS).detach()
    largest = 0.0
    for inputs in example_inputs(student, CHECKED_STEPS, _CHECKED_ROWS):
        ours, wanted = step(inputs, ours)
        theirs, given = exported(inputs, theirs)
        given = torch.where(_are_neighbours(wanted, given), wanted, given)
        for one, other in ((ours, theirs), (student.targets.relative(wanted), student.targets.relative(given))):
            difference = float((one - other).abs().max())
            largest = max(largest, difference if difference == difference else float("inf"))
    return largest


def _are_neighbours(one: Float[Tensor, "*n"], other: Float[Tensor, "*n"]) -> Bool[Tensor, "*n"]:
    """Return where no number lies between two."""
    return torch.nextafter(one, other) == other
