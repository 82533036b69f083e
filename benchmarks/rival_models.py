"""Causal sequence models in plain PyTorch. Each maps inputs to features at every step, from that step and those before.

``nn.LSTM`` and ``nn.GRU`` have one layer of 128; the others two blocks of width 128.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, LAYERS, HEADS = 128, 2, 4
State = Any  # of a recurrent model: what it carries from one step to the next; None at the start


class MissingRival(Exception):
    """A rival's package is not installed. The message is one line with the remedy."""


class Model(nn.Module):
    """An embedding, a body and a linear readout.

    Args:
        embed: from inputs to what the body reads.
        body: from that (B, T, E) and a state to features (B, T, W) and a state.
        outputs: numbers that the readout gives at every step.
    """

    def __init__(self, embed: nn.Module, body: nn.Module, outputs: int) -> None:
        super().__init__()
        self.embed, self.body = embed, body
        self.readout = nn.Linear(WIDTH, outputs)

    def features(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """The features at every step (B, T, W), and the state after the last."""
        return self.body(self.embed(inputs), state)

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs at every step (B, T, V)."""
        return self.readout(self.features(inputs)[0])


class Recurrent(nn.Module):
    """One layer of ``nn.LSTM`` or ``nn.GRU``."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], size: int) -> None:
        super().__init__()
        self.layer = kind(size, WIDTH, batch_first=True)

    @torch.no_grad()
    def open_forget_gate(self) -> None:
        """A bias of 1 for the forget gate of an LSTM."""
        if isinstance(self.layer, nn.LSTM):
            self.layer.bias_ih_l0[WIDTH : 2 * WIDTH] = 1.0  # type: ignore[index]
            self.layer.bias_hh_l0[WIDTH : 2 * WIDTH] = 0.0  # type: ignore[index]

    def forward(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        return self.layer(features, state)


class Blocks(nn.Module):
    """Residual blocks: x + mix(norm(x)), then x + MLP(norm(x)); a norm at the end. They carry no state."""

    def __init__(self, mixer: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.mixers = nn.ModuleList(nn.Sequential(nn.LayerNorm(WIDTH), mixer()) for _ in range(LAYERS))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
            for _ in range(LAYERS)
        )
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        assert state is None
        for mixer, mlp in zip(self.mixers, self.mlps, strict=True):
            features = features + mixer(features)
            features = features + mlp(features)
        return self.norm(features), None


class Attention(nn.Module):
    """Causal self-attention with rotary positions."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        shape = (*features.shape[:2], 3, HEADS, WIDTH // HEADS)
        query, key, value = self.project(features).view(shape).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(_rotated(query), _rotated(key), value, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


def _rotated(heads: Tensor) -> Tensor:
    """Turn each pair of coordinates by an angle that grows with the step: scores depend on distances alone."""
    steps, size = heads.shape[-2:]
    rates = 10_000.0 ** (-torch.arange(0, size, 2) / size)
    angle = torch.arange(steps)[:, None] * rates
    left, right = heads.chunk(2, dim=-1)
    return torch.cat([left * angle.cos() - right * angle.sin(), left * angle.sin() + right * angle.cos()], dim=-1)


class MinGRU(nn.Module):
    """minGRU (Feng et al. 2024, arXiv 2410.01201): h_t = (1 - z_t) h_{t-1} + z_t c_t from h = 0.

    Gate z_t and candidate c_t see x_t alone. Step after step is faster on a CPU than a parallel scan.
    """

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, 2 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        gate, candidate = self.project(features).chunk(2, dim=-1)
        held, states = torch.zeros_like(candidate[:, 0]), []
        for share, new in zip(gate.sigmoid().unbind(1), candidate.unbind(1), strict=True):
            held = torch.lerp(held, new, share)
            states.append(held)
        return self.out(torch.stack(states, dim=1))


class Packaged(nn.Module):
    """A body of a package: features to features, without a state."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.norm = body, nn.LayerNorm(WIDTH)

    def forward(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        assert state is None
        return self.norm(self.body(features)), None


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingRival(f"needs the package {package}: pip install --no-deps {package} ({error})") from None


class Mamba(nn.Module):
    """Mamba of the package mambapy, of half the width and state: its scan is slow on a CPU, and steps count more."""

    def __init__(self) -> None:
        super().__init__()
        mamba = _package("mambapy.mamba")
        self.narrow, self.wide = nn.Linear(WIDTH, WIDTH // 2), nn.Linear(WIDTH // 2, WIDTH)
        self.layers = mamba.Mamba(mamba.MambaConfig(d_model=WIDTH // 2, d_state=8, n_layers=LAYERS))

    def forward(self, features: Tensor) -> Tensor:
        return self.wide(self.layers(self.narrow(features)))


class XLSTM(nn.Module):
    """xLSTM of the package of its authors: a block of mLSTM and one of sLSTM."""

    def __init__(self, length: int) -> None:
        super().__init__()
        xlstm = _package("xlstm")
        self.context = length
        self.stack = xlstm.xLSTMBlockStack(
            xlstm.xLSTMBlockStackConfig(
                mlstm_block=xlstm.mLSTMBlockConfig(
                    mlstm=xlstm.mLSTMLayerConfig(conv1d_kernel_size=4, qkv_proj_blocksize=4, num_heads=HEADS)
                ),
                slstm_block=xlstm.sLSTMBlockConfig(
                    slstm=xlstm.sLSTMLayerConfig(backend="vanilla", num_heads=HEADS, conv1d_kernel_size=4),
                    feedforward=xlstm.FeedForwardConfig(proj_factor=1.3, act_fn="gelu"),
                ),
                context_length=length,
                num_blocks=LAYERS,
                embedding_dim=WIDTH,
                slstm_at=[1],
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.stack(features)


BODIES: dict[str, Callable[[int], nn.Module]] = {  # from the longest sequence that a body has to read
    "transformer": lambda length: Blocks(Attention),
    "mingru": lambda length: Blocks(MinGRU),
    "mamba": lambda length: Packaged(Mamba()),
    "xlstm": lambda length: Packaged(XLSTM(length)),
}
RECURRENT: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}
RIVALS = (*RECURRENT, *BODIES)


def build_model(rival: str, symbols: int | None, numbers: int, outputs: int, length: int) -> Model:
    """A rival with fresh weights.

    A recurrent one reads numbers as they are, and symbols by an embedding of half as many numbers as there are symbols,
    8 at least and 64 at most: wider ones cost time, and on the digits they are learnt by heart.

    Args:
        rival: one of ``RIVALS``.
        symbols: size of the input alphabet; None for numbers.
        numbers: coordinates of an input of numbers.
        outputs: numbers that the readout gives at every step.
        length: the longest sequence that it has to read.

    Raises:
        MissingRival: the package is not installed.
    """
    if rival in RECURRENT:
        size = numbers if symbols is None else min(64, max(8, symbols // 2))
        embed = nn.Identity() if symbols is None else nn.Embedding(symbols, size)
        return Model(embed, Recurrent(RECURRENT[rival], size), outputs)
    embed = nn.Linear(numbers, WIDTH) if symbols is None else nn.Embedding(symbols, WIDTH)
    return Model(embed, BODIES[rival](length), outputs)
