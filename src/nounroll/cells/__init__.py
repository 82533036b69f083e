"""Cells: the update of memory by one input. One file per cell; ``base.py`` defines the interface."""

import inspect
from dataclasses import replace
from typing import Any

from torch import nn

from nounroll.cells.base import CELLS, CellSettings, check_cell
from nounroll.core.batch import Space

_NARROWEST = 8  # smallest width of an embedding of numbers
_NARROWEST_TABLE = 64  # smallest width of a table of symbols: rules of few symbols are learnt late in a narrow one


def complete(settings: CellSettings, inputs: Space | None = None) -> CellSettings:
    """Fill in the sizes that the cell chooses for itself.

    Args:
        settings: settings of the cell.
        inputs: space of x_t. With it, an embedding is no wider than the inputs need: a gated cell spends up to half of
            its work on it, and a wide table of few symbols is memorised.

    Raises:
        ValueError: the kind is unknown.
    """
    cell = CELLS.load(settings.kind)
    tokens, memory_width = settings.memory_shape
    choose = getattr(cell, "default_width", None)
    width = max(1, choose(tokens, memory_width) if choose else tokens * memory_width)
    if getattr(cell, "embeds", False) and inputs is not None:
        narrowest = _NARROWEST if inputs.symbols is None else _NARROWEST_TABLE
        width = min(width, max(narrowest, round(inputs.detail)))
    layers = getattr(cell, "default_layers", 1)
    width = width if takes(settings.kind, "width") else 0
    return replace(settings, width=settings.width or width, layers=settings.layers or layers)


def build_cell(settings: CellSettings, inputs: Space) -> nn.Module:
    """Build the cell that the settings name, from those settings that its constructor takes.

    Raises:
        ValueError: the kind is unknown, or it does not have such a setting.
    """
    settings = complete(settings)
    if settings.layers > 1 and not takes(settings.kind, "layers"):
        raise ValueError(f"cell.layers is {settings.layers}; the {settings.kind} cell has one layer")
    options: dict[str, Any] = {"width": settings.width, "layers": settings.layers, "keep": settings.keep}
    taken = {name: value for name, value in options.items() if takes(settings.kind, name)}
    made = CELLS.make(settings.kind, inputs, settings.memory_shape, **taken)
    return made if settings.kind in CELLS.places else check_cell(made, inputs, inputs.enter(inputs.zeros(2)))


def takes(kind: str, option: str) -> bool:
    """Return whether the constructor of a kind of cell takes an option: width, layers or keep."""
    return option in inspect.signature(CELLS.load(kind)).parameters
