"""Any cell as a module with the interface of ``nn.LSTM``."""

import copy
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from nounroll.cells import build_cell
from nounroll.cells.base import CellSettings, observe
from nounroll.cells.lstm import LSTMCell
from nounroll.core.batch import Real, Space
from nounroll.core.modes import drawing_from
from nounroll.core.plain import count
from nounroll.models.network import Network
from nounroll.models.student import Student, standard

State: TypeAlias = Tensor | tuple[Tensor, Tensor]
_TORCHS = ("lstm", "gru", "elman")  # cells over torch's own modules
_TOKENS = 4  # memory tokens of other cells, if this divides the size of the memory


class Recurrent(nn.Module):
    """Replacement for ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN`` with any cell: ``outputs, state = module(x, state)``.

    ``x`` is (T, B, d), (B, T, d) with ``batch_first``, (T, d) for one sequence, or a ``PackedSequence``; its outputs
    are then packed too. The state is (h, c) of an LSTM, each (layers, B, h); for any other cell it is the whole memory,
    (layers, B, K d), or (layers, K d) for one sequence. Without a state the module starts from its empty memory.

    With ``cell="lstm"``, "gru" and "elman" it computes what ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN`` compute: the same
    seed gives the same weights, and the initial state is 0 and not learnt. Each layer's torch module is
    ``module.layers[i].cell.core``. Other cells embed their inputs, and learn their empty memory.

    Args:
        input_size: d, size of an input; or the input space, such as ``nounroll.Categorical(256)``.
        hidden_size: size of an output.
        num_layers: number of networks; each reads the outputs of the one before.
        batch_first: the batch is the first axis of ``x`` and of the outputs, but never of the state.
        cell: a kind (mlp, transformer, gru, lstm, elman, tape, mingru, pooled).
        device, dtype: device and dtype of the weights.

    Attributes:
        layers: the networks.
    """

    def __init__(
        self,
        input_size: int | Space,
        hidden_size: int,
        num_layers: int = 1,
        *,
        batch_first: bool = False,
        cell: str = "lstm",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        space: Any = input_size if hasattr(input_size, "event_shape") else Real(count("input_size", input_size))
        size = count("hidden_size", hidden_size)
        spaces = [space, *[Real(size)] * (count("num_layers", num_layers) - 1)]
        self._hold([_network(cell, one, size) for one in spaces], batch_first)
        self.to(device=device, dtype=dtype)

    @classmethod
    def from_pretrained(cls, student: Student | str | Path, *, batch_first: bool = False) -> "Recurrent":
        """Copy the network of a trained student without its readout; it starts from the student's m_∅, which learns.

        Args:
            student: the student, or its folder. Inputs are in the unit of its data.
            batch_first: see the class.

        Raises:
            ValueError: the folder holds no student.
        """
        found = copy.deepcopy(student) if isinstance(student, Student) else Student.from_pretrained(student).train()
        network = Network(found.inputs, found.cell)
        network.empty_memory = found.empty_memory
        module = cls.__new__(cls)
        nn.Module.__init__(module)
        module._hold([network], batch_first)
        return module

    def _hold(self, networks: list[Network], batch_first: bool) -> None:
        self.layers, self.batch_first, self.num_layers = nn.ModuleList(networks), batch_first, len(networks)
        self.inputs = networks[0].inputs
        self.input_size = self.inputs.entered_size if self.inputs.symbols is None else self.inputs.symbols
        self.hidden_size: int = observe(networks[0].cell, networks[0].empty_memory).shape[-1]

    def flatten_parameters(self) -> None:
        """Arrange the weights of torch's own modules as their kernels need them; other cells need nothing."""
        for module in self.modules():
            if isinstance(module, nn.RNNBase):
                module.flatten_parameters()

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, State]:
        """Compute the outputs after each input, in the form of the inputs, and the state after each sequence.

        Args:
            input: see the class.
            hx: the state to start from.

        Raises:
            ValueError: one of them has another shape than the module takes.
        """
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        axes = 1 + len(self.inputs.event_shape)
        if (
            input.dim() not in (axes, axes + 1)
            or tuple(input.shape[input.dim() - axes + 1 :]) != self.inputs.event_shape
        ):
            raise ValueError(f"input has the shape {tuple(input.shape)}; {self.inputs} needs {self._forms()}")
        single = input.dim() == axes
        rows = input[None] if single else input if self.batch_first else input.transpose(0, 1)
        outputs, memories = self._through(rows, None, self._memories(hx, len(rows), single))
        outputs = outputs[0] if single else outputs if self.batch_first else outputs.transpose(0, 1)
        return outputs, self._state(memories, single)

    def _packed(self, packed: PackedSequence, hx: Any) -> tuple[PackedSequence, State]:
        """Process a packed sequence, whose rows are sorted by length and whose time steps are contiguous."""
        sizes, order, back = packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
        memories = self._memories(hx, int(sizes[0]), False)
        if order is not None:
            memories = [memory[order] for memory in memories]
        outputs, memories = self._through(packed.data, sizes, memories)
        if back is not None:
            memories = [memory[back] for memory in memories]
        return PackedSequence(outputs, sizes, order, back), self._state(memories, False)

    def _through(
        self, x: Shaped[Tensor, "..."], sizes: Int[Tensor, "T"] | None, memories: list[Tensor]
    ) -> tuple[Float[Tensor, "..."], list[Tensor]]:
        """Return the outputs of the last layer, and the memories of all layers, for rows or packed data."""
        after = []
        for layer, memory in zip(self.layers, memories, strict=True):
            assert isinstance(layer, Network)
            x, last = layer.features(x, memory) if sizes is None else _packed_features(layer, x, sizes, memory)
            after.append(last)
        return x, after

    def _memories(self, hx: Any, rows: int, single: bool) -> list[Float[Tensor, "B K d"]]:
        """Convert a state to the memory of each layer."""
        networks: list[Any] = list(self.layers)
        if hx is None:
            return [network.initial_memory(rows) for network in networks]
        parts, given = (2 if self._is_lstm else 1), hx if isinstance(hx, tuple | list) else (hx,)
        size = networks[0].empty_memory.numel() // parts
        wanted = (self.num_layers, size) if single else (self.num_layers, rows, size)
        if len(given) != parts or any(not isinstance(part, Tensor) or tuple(part.shape) != wanted for part in given):
            has = " and ".join(str(tuple(one.shape)) if isinstance(one, Tensor) else repr(one) for one in given)
            what = f"(h, c), each {wanted}" if parts == 2 else f"one tensor {wanted}"
            raise ValueError(f"the state is {has}; it must be {what}")
        whole = torch.cat([part[:, None] if single else part for part in given], dim=-1)
        return [memory.unflatten(-1, n.memory_shape) for memory, n in zip(whole, networks, strict=True)]

    def _state(self, memories: list[Float[Tensor, "B K d"]], single: bool) -> State:
        whole = torch.stack([memory.flatten(1) for memory in memories])
        whole = whole[:, 0] if single else whole
        if not self._is_lstm:
            return whole
        hidden, carry = whole.chunk(2, dim=-1)
        return hidden.contiguous(), carry.contiguous()

    @property
    def _is_lstm(self) -> bool:
        return isinstance(self.layers[0].cell, LSTMCell)

    def _forms(self) -> str:
        event = "".join(f", {n}" for n in self.inputs.event_shape)
        return f"({'B, T' if self.batch_first else 'T, B'}{event}), or (T{event or ','}) of one sequence"


def _network(kind: str, inputs: Space, size: int) -> Network:
    """Build a network whose outputs have the given size."""
    tokens, width = _memory_shape(kind, size)
    settings = CellSettings(kind=kind, tokens=tokens, memory_width=width, keep=0 if kind in _TORCHS else 4.0)  # type: ignore[arg-type]
    if kind not in _TORCHS or not inputs.affine:
        return Network(inputs, build_cell(settings, standard(inputs)))
    with drawing_from(torch.Generator()):  # torch's own modules draw from torch's global generator
        cell: Any = build_cell(CellSettings(**{**vars(settings), "width": inputs.entered_size}), inputs)
        network = Network(inputs, cell)
    cell.embed = nn.Identity()
    cell.core.reset_parameters()
    network.empty_memory.requires_grad_(False).zero_()
    return network


def _memory_shape(kind: str, size: int) -> tuple[int, int]:
    """Return (K, d) of a memory whose output has the given size."""
    if kind == "lstm":
        return 1, 2 * size
    if kind == "pooled":
        if size % 3:
            raise ValueError(
                f"hidden_size is {size}; a pooled cell returns 3 numbers for each unit, so it must be a multiple of 3"
            )
        return 1, 4 * size // 3 + 1
    if kind in _TORCHS or size % _TOKENS:
        return 1, size
    return _TOKENS, size // _TOKENS


def _packed_features(
    network: Network, data: Shaped[Tensor, "N *x"], sizes: Int[Tensor, "T"], memory: Float[Tensor, "B K d"]
) -> tuple[Float[Tensor, "N F"], Float[Tensor, "B K d"]]:
    """Compute the outputs of packed data: steps between which no row ends are read together."""
    found, place = [], 0
    rows, steps = torch.unique_consecutive(sizes, return_counts=True)
    for n, time in zip(rows.tolist(), steps.tolist(), strict=True):
        part = data[place : place + n * time].unflatten(0, (time, n)).transpose(0, 1)
        outputs, last = network.features(part, memory[:n])
        memory = torch.cat([last, memory[n:]])
        found.append(outputs.transpose(0, 1).flatten(0, 1))
        place += n * time
    return torch.cat(found), memory
