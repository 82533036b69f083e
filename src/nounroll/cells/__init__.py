"""Cells: how memory is updated by one input. One cell a file; ``base.py`` says what a cell is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from torch import nn

from nounroll.cells.base import WIDEST, CellSettings
from nounroll.core.batch import Space

_NARROWEST = 8  # width of an embedding


@dataclass(frozen=True)
class Kind:
    """A kind of cell.

    Attributes:
        place: "module:class".
        width: (K, d) -> the inner width that the cell chooses for itself.
        layers: how many it chooses for itself; 0 for a cell that has one and takes no number.
        embeds: the inner width is that of the input's embedding alone.
        gated: it reads ``CellSettings.keep``.
    """

    place: str
    width: Callable[[int, int], int]
    layers: int = 0
    embeds: bool = False
    gated: bool = False


CELLS: dict[str, Kind] = {
    "mlp": Kind("nounroll.cells.mlp:MLPCell", lambda tokens, width: min(tokens * width, WIDEST), layers=2, gated=True),
    "transformer": Kind("nounroll.cells.transformer:TransformerCell", lambda tokens, width: width, layers=2),
    "gru": Kind("nounroll.cells.gru:GRUCell", lambda tokens, width: tokens * width, embeds=True, gated=True),
    "lstm": Kind("nounroll.cells.lstm:LSTMCell", lambda tokens, width: tokens * width // 2, embeds=True, gated=True),
    "elman": Kind("nounroll.cells.elman:ElmanCell", lambda tokens, width: tokens * width, embeds=True),
    "tape": Kind("nounroll.cells.tape:TapeCell", lambda tokens, width: 2 * tokens * width),
    "mingru": Kind("nounroll.cells.mingru:MinGRUCell", lambda tokens, width: tokens * width, layers=2),
    "pooled": Kind(
        "nounroll.cells.pooled:PooledCell", lambda tokens, width: (tokens * width - 1) // 4, embeds=True, gated=True
    ),
}


def complete(settings: CellSettings, inputs: Space | None = None) -> CellSettings:
    """The same with the sizes that the cell chooses for itself written out.

    Args:
        settings: of the cell.
        inputs: space of x_t. With it, an embedding is no wider than the inputs need: a gated cell spends up to half of
            its work on it, and a wide table of few symbols is learnt by heart.

    Raises:
        ValueError: the kind is unknown.
    """
    kind = _kind(settings)
    width = max(1, kind.width(*settings.memory_shape))
    if kind.embeds and inputs is not None:
        width = min(width, max(_NARROWEST, round(inputs.detail)))
    return replace(settings, width=settings.width or width, layers=settings.layers or max(1, kind.layers))


def build_cell(settings: CellSettings, inputs: Space) -> nn.Module:
    """The cell that the settings name.

    Raises:
        ValueError: the kind is unknown, or it has no such setting.
    """
    kind, settings = _kind(settings), complete(settings)
    if not kind.layers and settings.layers > 1:
        raise ValueError(f"cell.layers is {settings.layers}; the {settings.kind} cell has one layer")
    module, name = kind.place.split(":")
    options: dict[str, Any] = {"layers": settings.layers} if kind.layers else {}
    options |= {"keep": settings.keep} if kind.gated else {}
    return getattr(import_module(module), name)(inputs, settings.memory_shape, width=settings.width, **options)


def _kind(settings: CellSettings) -> Kind:
    if settings.kind not in CELLS:
        raise ValueError(f"cell.kind is {settings.kind!r}; it must be one of {', '.join(CELLS)}")
    return CELLS[settings.kind]
