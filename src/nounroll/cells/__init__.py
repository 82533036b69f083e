"""Cells: how memory is updated by one input. One cell a file; ``base.py`` says what a cell is."""

from importlib import import_module

from torch import nn

from nounroll.batch import Space
from nounroll.cells.base import CellSettings

CELLS: dict[str, str] = {
    "mlp": "nounroll.cells.mlp:MLPCell",
    "transformer": "nounroll.cells.transformer:TransformerCell",
    "gru": "nounroll.cells.gru:GRUCell",
    "lstm": "nounroll.cells.lstm:LSTMCell",
    "elman": "nounroll.cells.elman:ElmanCell",
    "tape": "nounroll.cells.tape:TapeCell",
    "mingru": "nounroll.cells.mingru:MinGRUCell",
}


def build_cell(settings: CellSettings, inputs: Space) -> nn.Module:
    """The cell that the settings name.

    Raises:
        ValueError: the kind is unknown, or it has no such setting.
    """
    if settings.kind not in CELLS:
        raise ValueError(f"cell.kind is {settings.kind!r}; it must be one of {', '.join(CELLS)}")
    module, name = CELLS[settings.kind].split(":")
    options = {} if settings.layers is None else {"layers": settings.layers}
    try:
        return getattr(import_module(module), name)(inputs, settings.memory_shape, width=settings.width, **options)
    except TypeError as error:
        if "layers" not in str(error):  # a size that is no 64-bit number
            raise
        raise ValueError(f"cell.layers is {settings.layers}; the {settings.kind} cell has one layer") from None
