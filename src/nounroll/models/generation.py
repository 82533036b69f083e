"""Generation: a network continues a sequence, one drawn element after another, at constant cost per element.

A ``Generation`` holds everything that the continuation depends on: the memory, the element that was drawn but not yet
read, and the source of the draws. It can therefore be stopped anywhere and continued exactly.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from nounroll.core.batch import Space
from nounroll.core.ranges import at_least
from nounroll.core.spaces.sampling import Sampling, checked
from nounroll.models.stops import Stops

__all__ = ["Generation", "Sampling", "can_feed"]

_CHUNK = 1024  # elements of a prompt that are read at once
_AT_ONCE = 8  # elements written by one compiled call


class Generation:
    """Rows that one network writes in parallel.

    Args:
        student: network whose cell and readout write.
        rows: B, number of sequences.
        sampling: how elements are drawn.
        generator: source of the draws; torch's global generator by default.
        compiled: write eight elements per call, compiled for this number of rows (``torch.compile``; it needs a C++
            compiler). The first call then takes up to a minute; remaining elements are written one by one. Cells over
            torch's own recurrent modules (gru, lstm, elman) gain nothing, because the compiler cannot look into them.

    Attributes:
        memory: (B, K, d), after everything that was read.
        pending: (B, ...) the last drawn element, which the next step reads first; None before the first draw.
        length: number of inputs read so far.
    """

    def __init__(
        self,
        student: Any,
        rows: int,
        sampling: Sampling | None = None,
        generator: torch.Generator | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        if not can_feed(student.targets, student.inputs):
            raise ValueError(
                f"targets are {student.targets}, inputs {student.inputs}; to generate, a target must be an input"
            )
        self.student, self.sampling, self.generator = student, sampling or Sampling(), generator
        self.memory: Float[Tensor, "B K d"] = student.initial_memory(rows).detach()
        self.pending: Shaped[Tensor, "B *x"] | None = None
        self.length = 0
        options: Any = {"cpp_wrapper": student.empty_memory.device.type == "cpu"}  # no Python code between the kernels
        self._compiled = torch.compile(self._go_on, dynamic=False, options=options) if compiled else None

    @torch.no_grad()
    def read(self, inputs: Shaped[Tensor, "B P *x"], *, chunk: int = _CHUNK) -> "Generation":
        """Read a prompt, or a part of one, ``chunk`` elements at a time; no more memories are held at once.

        Raises:
            ValueError: the prompt has another shape, is empty or outside the space.
        """
        at_least("chunk", chunk, 1)
        shape = self.student.inputs.event_shape
        if inputs.shape[2:] != shape:
            wanted = "".join(f", {n}" for n in shape)
            raise ValueError(f"prompt has shape {tuple(inputs.shape)}; it must be (rows, length{wanted})")
        if inputs.shape[1] < 1:
            raise ValueError("prompt is empty; generation needs at least one input")
        self.student.inputs.check("prompt", inputs)
        if self.pending is not None:
            inputs, self.pending = torch.cat([self.pending[:, None], inputs], dim=1), None
        for part in inputs.split(chunk, dim=1):
            self.memory = self.student.rollout(part, self.memory)[:, -1]
        self.length += inputs.shape[1]
        return self

    @torch.no_grad()
    def write(self, steps: int, stop: Sequence[Any] = ()) -> Shaped[Tensor, "B n *y"]:
        """Write the next ``steps`` elements; each is the next step's input.

        Args:
            steps: n, or the largest number of elements if there are stops.
            stop: symbols, or sequences of symbols. A row ends with the first stop that it writes, and holds -1 from
                there on; its memory no longer changes. n is the length of the longest row. Such steps are never
                compiled.

        Raises:
            ValueError: the network's outputs are not finite, or a stop is not a sequence of symbols.
        """
        at_least("steps", steps, 1)
        if stop:
            return self._write_until(steps, Stops(stop, self.student.targets, len(self.memory)))
        targets, rows, parts, left = self.student.targets, len(self.memory), [], steps
        if self.pending is None:
            outputs = self.student.readout(self.memory)
            self.pending = self.sampling.draw(targets, outputs, self.generator)
            parts, left = [self.pending[:, None]], steps - 1
        while left:
            go_on, count = self._go_on, 1
            if self._compiled is not None and left >= _AT_ONCE:
                go_on, count = self._compiled, _AT_ONCE
            noise = torch.stack([self.sampling.noise(targets, rows, self.generator) for _ in range(count)])
            drawn, self.memory = go_on(self.pending, self.memory, noise)
            self.pending = checked(targets, drawn)[:, -1]
            parts.append(drawn)
            left -= count
            self.length += count
        return torch.cat(parts, dim=1)

    def _write_until(self, steps: int, stops: Stops) -> Int[Tensor, "B n"]:
        parts: list[Tensor] = []
        while len(parts) < steps and not stops.ended.all():
            ended, memory, pending = stops.ended.to(self.memory.device), self.memory, self.pending
            drawn = self.write(1)[:, 0]
            if pending is not None:  # no row has ended before the first element
                self.memory = torch.where(ended[:, None, None], memory, self.memory)
                self.pending = torch.where(ended, pending, drawn)
            parts.append(stops.add(drawn))
        return torch.stack(parts, dim=1)

    def _go_on(
        self, inputs: Shaped[Tensor, "B *x"], memory: Float[Tensor, "B K d"], noise: Float[Tensor, "N B ..."]
    ) -> tuple[Shaped[Tensor, "B N *y"], Float[Tensor, "B K d"]]:
        """Read ``inputs`` and write N elements; the last one is not read yet."""
        student, drawn = self.student, []
        for one in noise.unbind():
            memory = student.step(inputs, memory)
            inputs = self.sampling.choose(student.targets, student.readout(memory), one)
            drawn.append(inputs)
        return torch.stack(drawn, dim=1), memory


def can_feed(targets: Space, inputs: Space) -> bool:
    """Return whether every target is also a valid input."""
    return inputs.holds(targets)
