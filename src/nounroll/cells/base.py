"""Cell interface: one step of a recurrent network, without any handling of time.

A cell is any ``nn.Module`` with

- ``memory_shape``: (K, d), K memory tokens of width d (one token of the whole width is fine);
- ``step(inputs, memory) -> memory``: N rows of x_t, (N,) int64 or (N, d_x) float, and memories
  (N, K, d) to the next memories (N, K, d). Rows are independent of each other.

Five more methods and an attribute are optional:

- ``constrain(raw) -> memory``: (..., K, d) maps any real numbers to memories that the cell can hold. The
  teacher's labels pass through it. Without it, each token is scaled to root mean square 1.
- ``observe(memory) -> features``: (..., K, d) to (..., F), the part that the readout may see. Without it, all of
  the memory.
- ``unroll(inputs, memory) -> memories``: (B, T) inputs and (B, K, d) to (B, T, K, d), the memories after
  each input. A fused kernel that equals T steps.
- ``unroll_observed(inputs, memory) -> (features, memory)``: the result of ``observe`` after each input, (B, T, F), and
  the last memory. It is for a kernel that does not return the other parts of the memories in between.
- ``unroll_reset(inputs, memory, resets, empty) -> memories``: ``unroll`` that sets a row's memory to ``empty``, (K, d),
  before the steps at which ``resets``, (B, T), is True. Without it, time is split at these steps.
- ``parallel``: True if ``unroll`` is a parallel scan, whose matrix products do not depend on each other.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.core.plain import plain
from nounroll.core.ranges import at_least
from nounroll.core.registry import Registry
from nounroll.nn.norm import rms_normalise

WIDEST = 256  # largest default width of an MLP's hidden layers; wider ones are slower and learn no faster
MOST_LAYERS = 1000  # more is a mistake or an attack: each layer is built before its size can be checked
AUTO = "auto"  # only in a recipe: chosen by short trials

CELLS: Registry[Any] = Registry(
    "cell.kind",
    "nounroll.cells",
    {
        "mlp": "nounroll.cells.mlp:MLPCell",
        "transformer": "nounroll.cells.transformer:TransformerCell",
        "gru": "nounroll.cells.gru:GRUCell",
        "lstm": "nounroll.cells.lstm:LSTMCell",
        "elman": "nounroll.cells.elman:ElmanCell",
        "tape": "nounroll.cells.tape:TapeCell",
        "mingru": "nounroll.cells.mingru:MinGRUCell",
        "pooled": "nounroll.cells.pooled:PooledCell",
    },
)
"""The cells that a recipe can name.

One is called with the space of x_t and the memory's (K, d), and with as many of ``width``, ``layers`` and ``keep`` as
its constructor has. Three attributes of its class are optional: ``default_width(K, d)``, K d without it;
``default_layers``, 1 without it; and ``embeds``, True where ``width`` is that of the input's embedding alone, so that
it need be no wider than inputs need.
"""


@runtime_checkable
class Cell(Protocol):
    """Protocol of a cell. This file's docstring describes the optional methods."""

    memory_shape: tuple[int, int]

    def step(self, inputs: Shaped[Tensor, "N *x"], memory: Float[Tensor, "N K d"]) -> Float[Tensor, "N K d"]: ...


@dataclass(frozen=True, kw_only=True)
class CellSettings:
    """Kind and size of the cell.

    Args:
        kind: mlp, transformer, gru, lstm, elman, tape, mingru, pooled, or a kind of an installed package; auto, only in
            a recipe, is chosen by short trials.
        tokens: K, number of memory tokens.
        memory_width: d, width of each token.
        width: inner width of the cell; 0 lets the cell choose (see ``nounroll.cells.complete``).
        layers: blocks (transformer), hidden layers (mlp) or layers (mingru); other cells have one. 0 lets the cell
            choose.
        keep: largest initial bias of the gate that retains values; the biases of units are spread evenly from 0 to it,
            so that units retain values for different times. 0 is torch's own initialisation. Read by gru, lstm, mlp and
            pooled.
    """

    kind: str = "mlp"
    tokens: int = 4
    memory_width: int = 64
    width: int = 0
    layers: int = 0
    keep: float = 4.0

    def __post_init__(self) -> None:
        vars(self).update(plain(vars(self)))  # sizes may be NumPy numbers
        CELLS.check(self.kind, AUTO)
        for name, least in {"tokens": 1, "memory_width": 1, "width": 0, "layers": 0, "keep": 0}.items():
            at_least(f"cell.{name}", getattr(self, name), least)
        if self.layers > MOST_LAYERS:
            raise ValueError(f"cell.layers is {self.layers}; it must be at most {MOST_LAYERS}")

    @property
    def memory_shape(self) -> tuple[int, int]:
        return (self.tokens, self.memory_width)


def constrain(cell: nn.Module, raw: Float[Tensor, "... K d"]) -> Float[Tensor, "... K d"]:
    """Map real numbers to memories that ``cell`` can hold: by its own ``constrain``, or onto the unit-RMS sphere."""
    own = getattr(cell, "constrain", None)
    return own(raw) if own is not None else rms_normalise(raw)


def observe(cell: nn.Module, memory: Float[Tensor, "... K d"]) -> Float[Tensor, "... F"]:
    """Return the part of a memory that the readout may see: the cell's own ``observe``, or all of it."""
    own = getattr(cell, "observe", None)
    return own(memory) if own is not None else memory.flatten(-2)


def check_cell(cell: object, inputs: Space, example: Shaped[Tensor, "N *x"]) -> nn.Module:
    """Check a user's cell on an example, and return it.

    Raises:
        ValueError: the object is not a cell, or its step does not return (N, K, d) floats.
    """
    name = type(cell).__name__
    if not isinstance(cell, nn.Module):
        raise ValueError(f"cell is a {name}; it must be a torch.nn.Module with memory_shape and step(inputs, memory)")
    shape = getattr(cell, "memory_shape", None)
    if not (isinstance(shape, tuple | list | torch.Size) and len(shape) == 2 and all(int(n) >= 1 for n in shape)):
        raise ValueError(f"{name}.memory_shape is {shape!r}; it must be (tokens, width), such as (4, 64)")
    if not callable(getattr(cell, "step", None)):
        raise ValueError(f"{name} has no step(inputs, memory) method; a cell needs one")
    memory = constrain(cell, torch.zeros(example.shape[0], *shape))
    with torch.no_grad():
        after = cell.step(example, memory)  # type: ignore[operator]
    if not isinstance(after, Tensor) or after.shape != memory.shape:
        got = tuple(after.shape) if isinstance(after, Tensor) else type(after).__name__
        raise ValueError(f"{name}.step returned {got}; with this memory_shape it must return {tuple(memory.shape)}")
    return cell
