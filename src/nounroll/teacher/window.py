"""The paper's encoder: a bidirectional Transformer over each prefix by itself (arXiv 2606.06479, Sec. 3)."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.nn.block import Transformer
from nounroll.nn.embedding import InputEmbedding
from nounroll.teacher.base import TeacherSettings

CONTEXT = 256  # T_c of the paper: the longest prefix that is read, in time steps
_ROWS = 256  # prefixes that are encoded together if all are needed


class WindowEncoder(nn.Module):
    """A bidirectional encoder of the last ``context`` inputs of each prefix; the state of an added last token is used.

    Every prefix costs one pass: use it to reproduce the paper, and as the baseline for speed.
    """

    all_at_once = False

    def __init__(
        self,
        settings: TeacherSettings,
        inputs: Space,
        targets: Space | None = None,
        memory_shape: tuple[int, int] | None = None,
        *,
        context: int = CONTEXT,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        self.width = width = settings.width
        self.context = context
        self.embed = InputEmbedding(inputs, width, width**-0.5)
        self.summary = nn.Parameter(torch.randn(width) * width**-0.5)
        self.trunk = Transformer(width, settings.layers, settings.heads, causal=False, rotary=True, recompute=recompute)

    def read(self, inputs: Shaped[Tensor, "B T *x"]) -> Shaped[Tensor, "B T *x"]:
        """Return the inputs unchanged: prefixes share no computation."""
        return inputs

    def at(self, inputs: Shaped[Tensor, "B T *x"], positions: Int[Tensor, "B S"] | None) -> Float[Tensor, "B S width"]:
        batch, time = inputs.shape[:2]
        if positions is None:
            positions = torch.arange(time + 1, device=inputs.device).expand(batch, -1)
        rows = torch.arange(batch, device=inputs.device)[:, None].expand_as(positions).flatten()
        parts = [
            self._encode(inputs, row, position)
            for row, position in zip(rows.split(_ROWS), positions.flatten().split(_ROWS), strict=True)
        ]
        return torch.cat(parts).view(*positions.shape, -1)

    def _encode(self, inputs: Tensor, rows: Int[Tensor, "N"], positions: Int[Tensor, "N"]) -> Float[Tensor, "N width"]:
        """Encode windows that end at x_{position - 1}. Places before the start are masked."""
        span = min(self.context, inputs.shape[1])
        times = positions[:, None] - span + torch.arange(span, device=inputs.device)
        window = self.embed(inputs[rows[:, None], times.clamp(min=0)])
        summary = self.summary.expand(window.shape[0], 1, -1)
        visible = torch.nn.functional.pad(times >= 0, (0, 1), value=True)[:, None, None]
        return self.trunk(torch.cat([window, summary], dim=1), visible)[:, -1]
