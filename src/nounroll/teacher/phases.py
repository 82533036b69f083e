"""Phases rotated by the inputs: positions in the sequence that a cell can carry from step to step."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Inexact
from torch import Tensor, nn

from nounroll.nn.norm import rms_normalise
from nounroll.nn.scan import affine_scan

_PERIODS = (2.0, 128.0)  # initial periods in steps, shortest and longest
_KEPT = 5.0  # initial bias of the gate that retains a phase
_TOLD = 0.3  # initial weight of the phases relative to an input
_NOWHERE = 1e-3  # length below which a phase has no direction


class Phases(nn.Module):
    """A complex linear recurrence, gated and rotated by the inputs (cf. Orvieto et al. 2023, arXiv 2303.06349).

    ::

        z_t = k_t exp(i θ_t) z_{t-1} + (1 - k_t)       k_t in (0, 1) and θ_t read from e_t; z_{-1} = 1

    Initially every input rotates a phase by the same angle, and each phase has another period: a clock. Inputs can
    learn other angles, so that phases count: a push rotates forward and a pop back, or a delimiter resets them.

    Args:
        width: width of e_t.
        size: count of numbers that hold the phases, real parts first; two per phase.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size, self.count = size, size // 2
        self.turn = nn.Linear(width, self.count)
        self.keep = nn.Linear(width, self.count)
        self.enter = nn.Linear(2 * self.count, width, bias=False)
        with torch.no_grad():
            shortest, longest = map(math.log2, _PERIODS)
            nn.init.normal_(self.turn.weight, std=0.02 * width**-0.5)
            nn.init.normal_(self.keep.weight, std=0.1 * width**-0.5)
            self.turn.bias.copy_(2 * math.pi / 2 ** torch.linspace(shortest, longest, self.count))
            self.keep.bias.fill_(_KEPT)
            self.enter.weight.mul_(_TOLD)

    def forward(
        self, inputs: Float[Tensor, "B T width"], before: Inexact[Tensor, "B s"] | None = None
    ) -> tuple[Float[Tensor, "B T size"], Float[Tensor, "B T width"]]:
        """Return the numbers of the phases after each input, and their contribution to the input.

        Args:
            inputs: e_t.
            before: where to continue: z itself (complex), or its numbers in a memory, which is scaled, so that only
                their direction is used; None starts at 1.
        """
        if not inputs.shape[1]:
            return inputs.new_zeros(len(inputs), 0, self.size), inputs
        seen = rms_normalise(inputs)
        precision = torch.promote_types(seen.dtype, torch.float32)  # there are no 16-bit complex numbers
        keep, turn = self.keep(seen).sigmoid().to(precision), self.turn(seen).to(precision)
        slope, offset = torch.polar(keep, turn), torch.complex(1 - keep, torch.zeros_like(keep))
        entered = offset[:, :1] + slope[:, :1] * self._first(slope, before)[:, None]
        phases = affine_scan(slope, torch.cat([entered, offset[:, 1:]], dim=1))
        numbers = torch.cat([phases.real, phases.imag], dim=-1).to(inputs.dtype)
        return F.pad(numbers, (0, self.size - 2 * self.count)), math.sqrt(2) * self.enter(numbers)

    def state(self, numbers: Float[Tensor, "B size"]) -> Complex[Tensor, "B n"]:
        """Return z after the inputs whose last numbers these are, to continue exactly."""
        precision = torch.promote_types(numbers.dtype, torch.float32)
        return torch.complex(*numbers[:, : 2 * self.count].to(precision).chunk(2, dim=-1))

    def _first(self, slope: Tensor, before: Inexact[Tensor, "B s"] | None) -> Tensor:
        """Return z before the first input."""
        if before is None:
            return torch.ones_like(slope[:, 0])
        if before.is_complex():
            return before
        phases = self.state(before)
        return phases / phases.abs().clamp(min=_NOWHERE)
