"""Recurrent network without a readout: its empty memory, its cell, and their rollout over time."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from nounroll.cells.base import constrain, observe
from nounroll.core.batch import Space, check_resets


class Network(nn.Module):
    """m_{-1} = m_∅,   m_t = f(m_{t-1}, x_t).

    Args:
        inputs: space of x_t.
        cell: f.
    """

    def __init__(self, inputs: Space, cell: nn.Module) -> None:
        super().__init__()
        self.inputs = inputs
        self.cell: Any = cell
        self.memory_shape: tuple[int, int] = tuple(int(n) for n in self.cell.memory_shape)  # type: ignore[assignment]
        self.empty_memory = nn.Parameter(constrain(self.cell, 0.1 * torch.randn(self.memory_shape)).detach())

    # -- one step ---------------------------------------------------------------------------------

    def initial_memory(self, batch_size: int) -> Float[Tensor, "B K d"]:
        """Return a copy of m_∅ for each row."""
        return self.empty_memory.expand(batch_size, *self.memory_shape).clone()

    def reset(self, memory: Float[Tensor, "B K d"], done: Bool[Tensor, "B"] | Sequence[bool]) -> Float[Tensor, "B K d"]:
        """Reset the memory of the rows that are ``done`` to m_∅. Other rows keep theirs.

        Raises:
            ValueError: ``done`` does not have one truth value per row.
        """
        ended = torch.as_tensor(done, device=memory.device)
        if ended.dtype != torch.bool or ended.shape != memory.shape[:1]:
            kind = str(ended.dtype).removeprefix("torch.")
            raise ValueError(f"done is {kind} {tuple(ended.shape)}; it must be bool ({len(memory)},), one for each row")
        return torch.where(ended[:, None, None], self.empty_memory, memory)

    def step(self, inputs: Shaped[Tensor, "B *x"], memory: Float[Tensor, "B K d"]) -> Float[Tensor, "B K d"]:
        """Compute m_t from x_t and m_{t-1}."""
        return self.cell.step(self._enter(inputs), memory)

    def _enter(self, inputs: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Convert inputs to the form that the cell reads: symbols, or standardised vectors of its dtype."""
        if self.inputs.dtype.is_floating_point and not inputs.is_floating_point():  # whole numbers, such as bits
            inputs = self.inputs.convert(inputs)
        entered = self.inputs.enter(inputs)
        return entered.to(self.empty_memory.dtype) if entered.is_floating_point() else entered

    # -- over time --------------------------------------------------------------------------------

    def rollout(
        self,
        inputs: Shaped[Tensor, "B T *x"],
        memory: Float[Tensor, "B K d"] | None = None,
        resets: Shaped[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B T1 K d"]:
        """Compute all memories along ``inputs``: (B, T+1, K, d); index 0 is ``memory`` (m_∅ by default).

        It uses the cell's fused ``unroll`` if there is one; ``stepped_rollout`` is its reference. With ``resets`` (see
        ``Batch``) x_t is read from m_∅ where they are True, and index t is the memory before that reset.
        """
        start = self.initial_memory(inputs.shape[0]) if memory is None else memory
        if resets is not None and hasattr(self.cell, "unroll_reset"):
            check_resets("resets", resets, *inputs.shape[:2])
            after = self.cell.unroll_reset(self._enter(inputs), start, resets, self.empty_memory)
            return torch.cat([start[:, None], after], dim=1)
        if resets is not None:
            after, _ = self._reset_between(lambda x, m: _with_last(self.rollout(x, m)[:, 1:]), inputs, start, resets)
            return torch.cat([start[:, None], after], dim=1)
        if getattr(self.cell, "unroll", None) is None:
            return self.stepped_rollout(inputs, start)
        return torch.cat([start[:, None], self.cell.unroll(self._enter(inputs), start)], dim=1)

    def stepped_rollout(
        self,
        inputs: Shaped[Tensor, "B T *x"],
        memory: Float[Tensor, "B K d"] | None = None,
        resets: Shaped[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "B T1 K d"]:
        """Compute ``rollout`` step by step."""
        memories = [self.initial_memory(inputs.shape[0]) if memory is None else memory]
        inputs = self._enter(inputs)
        for t in range(inputs.shape[1]):
            before = memories[-1] if resets is None else self.reset(memories[-1], resets[:, t])
            memories.append(self.cell.step(inputs[:, t], before))
        return torch.stack(memories, dim=1)

    def features(
        self,
        inputs: Shaped[Tensor, "B T *x"],
        memory: Float[Tensor, "B K d"] | None = None,
        resets: Shaped[Tensor, "..."] | None = None,
    ) -> tuple[Float[Tensor, "B T F"], Float[Tensor, "B K d"]]:
        """Return what the readout's ``head`` sees after each of ``inputs``, and the memory after the last one.

        Both equal those of ``rollout``, up to rounding. This is faster for a cell whose kernel does not return all
        parts of the memory (``unroll_observed``).
        """
        start = self.initial_memory(inputs.shape[0]) if memory is None else memory
        if getattr(self.cell, "unroll_observed", None) is None:
            memories = self.rollout(inputs, start, resets)
            return observe(self.cell, memories[:, 1:]), memories[:, -1]
        if resets is not None:
            return self._reset_between(self.features, inputs, start, resets)
        return self.cell.unroll_observed(self._enter(inputs), start)

    def _reset_between(
        self,
        unroll: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        inputs: Shaped[Tensor, "B T *x"],
        memory: Float[Tensor, "B K d"],
        resets: Shaped[Tensor, "..."],
    ) -> tuple[Shaped[Tensor, "B T *y"], Float[Tensor, "B K d"]]:
        """Unroll the time spans between resets; return the results and the last memory."""
        check_resets("resets", resets, *inputs.shape[:2])
        cuts = [0, *(resets[:, 1:].any(0).nonzero()[:, 0] + 1).tolist()]
        found = []
        for start, stop in zip(cuts, [*cuts[1:], inputs.shape[1]], strict=True):
            values, memory = unroll(inputs[:, start:stop], self.reset(memory, resets[:, start]))
            found.append(values)
        return torch.cat(found, dim=1), memory


def _with_last(memories: Float[Tensor, "B T K d"]) -> tuple[Float[Tensor, "B T K d"], Float[Tensor, "B K d"]]:
    return memories, memories[:, -1]
