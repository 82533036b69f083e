"""Pooled cell: an LSTM that also keeps the mean and the maximum of its outputs, a summary of the whole past."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.cells.lstm import LSTMCell
from nounroll.core.batch import Space

_PARTS = 4  # parts of u numbers each: h, c, the mean of h, the maximum of h
_LEAST = 1e-6  # smallest weight of the next step


class PooledCell(nn.Module):
    """The memory is (h, c, mean, most, w): an LSTM's h and c, and the mean and the maximum of every h so far.

        w' = w / (1 + w),   mean' = mean + w' (h' - mean),   most' = max(most, h')

    w in (0, 1) is the weight of the newest h in the mean: 1/n after n steps. The empty memory counts as one step or
    more, and this number is learnt. The readout sees h, mean and most. Each step therefore influences a target at the
    end by two short paths, and the prediction depends less on the last steps (mean and max pooling over time).

    Args:
        inputs: space of x_t.
        memory_shape: (K, d) with K d of at least 5; there are (K d - 1) // 4 units, and up to 3 numbers stay 0.
        width: width of the input embedding; default the number of units.
        keep: see ``nounroll.cells.recurrent.start_keeping``; 0 is torch's own initialisation.
    """

    embeds = True

    @staticmethod
    def default_width(tokens: int, memory_width: int) -> int:
        return (tokens * memory_width - 1) // _PARTS

    def __init__(
        self, inputs: Space, memory_shape: tuple[int, int], *, width: int | None = None, keep: float = 0.0
    ) -> None:
        super().__init__()
        size = memory_shape[0] * memory_shape[1]
        units = (size - 1) // _PARTS
        if units < 1:
            raise ValueError(
                f"cell.tokens * cell.memory_width is {size}; a pooled cell holds (h, c, mean, most, weight), so it must"
                f" be at least {_PARTS + 1}"
            )
        self.memory_shape = memory_shape
        self.lstm = LSTMCell(inputs, (1, 2 * units), width=width or units, keep=keep)
        self.sizes = [2 * units, units, units, 1, size - 1 - _PARTS * units]

    def constrain(self, raw: Float[Tensor, "... K d"]) -> Float[Tensor, "... K d"]:
        lstm, mean, most, weight, unused = self._parts(raw)
        lstm = self.lstm.constrain(lstm.unsqueeze(-2)).squeeze(-2)
        return torch.cat([lstm, mean.tanh(), most.tanh(), weight.sigmoid(), 0 * unused], dim=-1).view_as(raw)

    def observe(self, memory: Float[Tensor, "... K d"]) -> Float[Tensor, "... F"]:
        lstm, mean, most, _, _ = self._parts(memory)
        return torch.cat([lstm.chunk(2, dim=-1)[0], mean, most], dim=-1)

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]:
        lstm, mean, most, weight, unused = self._parts(memory)
        lstm = self.lstm.step(inputs, lstm[:, None])[:, 0]
        hidden = lstm.chunk(2, dim=-1)[0]
        weight = weight.clamp(min=_LEAST)
        weight = weight / (1 + weight)
        mean, most = mean + weight * (hidden - mean), torch.maximum(most, hidden)
        return torch.cat([lstm, mean, most, weight, unused], dim=-1).view_as(memory)

    def unroll_observed(
        self, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B K d"]]:
        """Return h, mean and most after each input from the fused kernel, and the last memory."""
        lstm, *_, unused = self._parts(memory)
        hiddens, last = self.lstm.unroll_observed(inputs, lstm[:, None])
        means, mosts, weights = self._pooled(hiddens, memory)
        last = torch.cat([last[:, 0], means[:, -1], mosts[:, -1], weights[:, -1], unused], dim=-1)
        return torch.cat([hiddens, means, mosts], dim=-1), last.view_as(memory)

    def unroll(self, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"]) -> Float[Tensor, "B T K d"]:
        lstm, *_, unused = self._parts(memory)
        after = self.lstm.unroll(inputs, lstm[:, None])[:, :, 0]
        pooled = self._pooled(after.chunk(2, dim=-1)[0], memory)
        rest = unused[:, None].expand(-1, after.shape[1], -1)
        return torch.cat([after, *pooled, rest], dim=-1).unflatten(-1, self.memory_shape)

    def _pooled(
        self, hiddens: Float[Tensor, "B T u"], memory: Float[Tensor, "B K d"]
    ) -> tuple[Float[Tensor, "B T u"], Float[Tensor, "B T u"], Float[Tensor, "B T 1"]]:
        """Compute mean, most and w after each step. Sums use at least 32 bits."""
        _, mean, most, weight, _ = self._parts(memory)
        kind = torch.promote_types(hiddens.dtype, torch.float32)
        before = 1 / weight.to(kind).clamp(min=_LEAST)[:, None]
        counts = before + torch.arange(1, hiddens.shape[1] + 1, device=hiddens.device, dtype=kind)[:, None]
        means = (before * mean[:, None] + hiddens.to(kind).cumsum(1)) / counts
        mosts = torch.maximum(hiddens.cummax(1).values, most[:, None])
        return means.to(hiddens.dtype), mosts, (1 / counts).to(hiddens.dtype)

    def _parts(self, memory: Float[Tensor, "... K d"]) -> tuple[Tensor, ...]:
        return memory.flatten(-2).split(self.sizes, dim=-1)
