"""LSTM cell (Hochreiter & Schmidhuber 1997), over torch's fused nn.LSTM."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.cells.recurrent import start_keeping, stepped
from nounroll.core.batch import Space
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.transforms import is_transformed, lstm_cell
from nounroll.nn.unread import unread_costs_nothing


class LSTMCell(nn.Module):
    """The memory is (h, c): the first half of its K d coordinates is h, in (-1, 1), the second is c.

    The readout sees only h, as usual. ``core`` is the torch module; its weights load into the cell
    and back by ``state_dict``.

    Args:
        inputs: space of x_t.
        memory_shape: (K, d) with even K d; the LSTM has K d / 2 units.
        width: width of the input embedding; default K d / 2.
        keep: see ``nounroll.cells.recurrent.start_keeping``; 0 is torch's own initialisation.
    """

    embeds = True

    @staticmethod
    def default_width(tokens: int, memory_width: int) -> int:
        return tokens * memory_width // 2

    def __init__(
        self, inputs: Space, memory_shape: tuple[int, int], *, width: int | None = None, keep: float = 0.0
    ) -> None:
        super().__init__()
        size = memory_shape[0] * memory_shape[1]
        if size % 2:
            raise ValueError(f"cell.tokens * cell.memory_width is {size}; an LSTM holds (h, c), so it must be even")
        self.memory_shape = memory_shape
        self.embed = InputEmbedding.for_gates(inputs, width or size // 2)
        self.core = nn.LSTM(width or size // 2, size // 2, batch_first=True)
        if keep:
            start_keeping(self.core, keep)

    def weights(self) -> list[Tensor]:
        core = self.core
        return [core.weight_ih_l0, core.weight_hh_l0, core.bias_ih_l0, core.bias_hh_l0]  # type: ignore[list-item]

    def constrain(self, raw: Float[Tensor, "... K d"]) -> Float[Tensor, "... K d"]:
        """Apply tanh for h, three times tanh for c: a gated cell rarely holds more."""
        hidden, carry = raw.flatten(-2).chunk(2, dim=-1)
        return torch.cat([hidden.tanh(), 3 * torch.tanh(carry / 3)], dim=-1).view_as(raw)

    def observe(self, memory: Float[Tensor, "... K d"]) -> Float[Tensor, "... F"]:
        return memory.flatten(-2).chunk(2, dim=-1)[0]

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]:
        hidden, carry = memory.flatten(1).chunk(2, dim=-1)
        after = lstm_cell(self.embed(inputs), hidden, carry, self.weights())
        return torch.cat(after, dim=-1).view_as(memory)

    def unroll_observed(
        self, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"]
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B K d"]]:
        """Return h after each input from the fused kernel, and the last memory. The kernel returns only the last c."""
        if is_transformed():
            memories = stepped(self, inputs, memory)
            return self.observe(memories), memories[:, -1]
        hiddens, last = self._kernel(self.embed(inputs), memory)
        return hiddens, last.view_as(memory)

    def unroll(self, inputs: Shaped[Tensor, "B T *x"], memory: Float[Tensor, "B K d"]) -> Float[Tensor, "B T K d"]:
        """Take h from the fused kernel, and recompute c from h: given h, all gates are one matrix product and c is
        an elementwise recurrence. If a loss reads only h, gradients flow through the kernel and not a second time
        through this computation."""
        if is_transformed():
            return stepped(self, inputs, memory)
        x = self.embed(inputs)
        hiddens, _ = self._kernel(x, memory)
        hidden, carry = memory.flatten(1).chunk(2, dim=-1)
        w_x, w_h, b_x, b_h = self.weights()
        before = torch.cat([hidden[:, None], hiddens[:, :-1]], dim=1)
        write, keep, value, _ = (x @ w_x.T + before @ w_h.T + (b_x + b_h)).chunk(4, dim=-1)
        keep, new = keep.sigmoid(), write.sigmoid() * value.tanh()
        carries = []
        for t in range(x.shape[1]):
            carry = torch.addcmul(new[:, t], keep[:, t], carry)
            carries.append(carry)
        rebuilt = unread_costs_nothing(torch.stack(carries, dim=1))
        return torch.cat([hiddens, rebuilt], dim=-1).unflatten(-1, self.memory_shape)

    def _kernel(
        self, x: Float[Tensor, "B T e"], memory: Float[Tensor, "B K d"]
    ) -> tuple[Float[Tensor, "B T h"], Float[Tensor, "B m"]]:
        """Return h after each embedded input, and (h, c) after the last."""
        dtype = self.weights()[1].dtype
        with torch.autocast("cpu", enabled=False):  # few CPUs have this kernel in bfloat16
            start = tuple(part.to(dtype)[None].contiguous() for part in memory.flatten(1).chunk(2, dim=-1))
            hiddens, last = self.core(x.to(dtype), start)
        return hiddens, torch.cat(last, dim=-1)[0]
