"""Predictive-state decoder: a memory must suffice to predict the future."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.nn.block import Transformer
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.outputs import Outputs
from nounroll.nn.shift import TokenShift

if TYPE_CHECKING:
    from nounroll.teacher.base import TeacherSettings


class Decoder(nn.Module, ABC):
    """D: a memory and the inputs after it -> predictions (arXiv 2606.06479, Eq. 2).

    Attributes:
        horizon: T_f, number of targets that it predicts from one memory.
    """

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon

    @abstractmethod
    def forward(
        self, memory: Float[Tensor, "N K d"], future: Shaped[Tensor, "N F *x"], at: Int[Tensor, "N P"] | None = None
    ) -> Float[Tensor, "N P V"]:
        """Predict y_t .. y_{t+F} from m_t and the F inputs after x_t: (N, F + 1, V).

        ``at`` are the only steps that are asked for, 0 .. F: (N, P, V).
        """


class TransformerDecoder(Decoder):
    """A separate causal Transformer over [m_t, x_{t+1}, x_{t+2}, ...].

    ::

        sees       m^1 .. m^K  x_{t+1}  x_{t+2}
        predicts         y_t   y_{t+1}  y_{t+2}
    """

    def __init__(
        self, settings: "TeacherSettings", inputs: Space, targets: Space, memory_shape: tuple[int, int], horizon: int
    ) -> None:
        super().__init__(horizon)
        width = settings.width
        self.embed = InputEmbedding(inputs, width, width**-0.5)
        self.enter = nn.Linear(memory_shape[1], width)
        self.place = nn.Parameter(torch.randn(memory_shape[0], width) * width**-0.5)
        self.shift = TokenShift(width) if settings.token_shift else nn.Identity()
        self.trunk = Transformer(width, settings.decoder_layers, settings.heads, causal=True, rotary=True)
        self.out = Outputs(width, targets)

    def forward(
        self, memory: Float[Tensor, "N K d"], future: Shaped[Tensor, "N F *x"], at: Int[Tensor, "N P"] | None = None
    ) -> Float[Tensor, "N P V"]:
        tokens = self.enter(memory) + self.place
        seen = self.shift(torch.cat([tokens, self.embed(future)], dim=1))
        return self.out(predicting(self.trunk, seen, memory.shape[1] - 1, at))


def predicting(
    trunk: Transformer, seen: Float[Tensor, "N n width"], first: int, at: Int[Tensor, "N P"] | None
) -> Float[Tensor, "N P width"]:
    """Run a decoder's trunk; return the states that predict: all from ``first`` on, or those ``at`` steps after it."""
    return trunk(seen)[:, first:] if at is None else trunk(seen, at=first + at)
