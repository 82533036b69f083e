"""Sharded tensors: each process stores some rows; they can be joined, or divided anew for other processes.

Part r of n of a tensor is given by ``share``; the parts in order give all rows. Files are named as on the Hugging Face
Hub, ``model-00001-of-00008.safetensors``, and the document ``parts.json`` contains the whole shapes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

DOCUMENT = "parts"
NAME = re.compile(r"([A-Za-z0-9_-]+)-(\d{5})-of-(\d{5})")

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]  # of a group's sharded tensors
Place = tuple[int, int]  # rank of a process, and number of processes
Rows = Callable[[str, Shape], tuple[int, int] | None]  # rows of a tensor by name and shape: from, to; None for all


def share(rows: int, rank: int, count: int) -> tuple[int, int]:
    """Return the rows, from and to, of one process's part of a tensor: as torch.chunk and FSDP divide it."""
    each = -(-rows // count)
    return min(rank * each, rows), min((rank + 1) * each, rows)


def files_of(
    tensors: Mapping[str, Mapping[str, Tensor]], shapes: Mapping[str, Shapes], place: Place
) -> dict[str, dict[str, Tensor]]:
    """List the files that one process writes: its own rows and, on rank 0, everything that is not sharded.

    Args:
        tensors: tensors by group and name; for those in ``shapes``, this process's rows.
        shapes: whole shapes, by group.
        place: rank of the process, and number of processes.
    """
    rank, count = place
    files = {}
    for group, named in tensors.items():
        cut = shapes.get(group, {})
        if cut:
            files[f"{group}-{rank + 1:05}-of-{count:05}"] = {name: named[name] for name in cut}
        if rank == 0:
            files[group] = {name: value for name, value in named.items() if name not in cut}
    return files


def place_of(stem: str) -> tuple[str, Place | None]:
    """Split the name of a file into its group and its part; None for a file of whole tensors."""
    part = NAME.fullmatch(stem)
    return (part[1], (int(part[2]) - 1, int(part[3]))) if part else (stem, None)


def parse_shapes(document: Any) -> dict[str, dict[str, Shape]]:
    """Parse the shapes in ``parts.json``, by group and name.

    Raises:
        Exception: any exception, for an invalid document.
    """
    return {g: {name: tuple(map(int, shape)) for name, shape in named.items()} for g, named in document.items()}


def has_any(shapes: Shapes, place: Place, rows: Rows) -> bool:
    """Return whether a file contains some of the wanted rows of any tensor."""
    return any(_inside(shape, place, rows(name, shape)) is not None for name, shape in shapes.items())


def taken(tensors: Mapping[str, Tensor], shapes: Shapes | None, place: Place | None, rows: Rows) -> dict[str, Tensor]:
    """Select the wanted rows of a file.

    Args:
        tensors: tensors of the file.
        shapes: whole shapes of the group's sharded tensors, if there are any.
        place: part of the file; None if its tensors are whole.
        rows: the wanted rows.

    Raises:
        ValueError: a tensor does not have the shape of its part.
    """
    found = {}
    for name, value in tensors.items():
        shape = shapes[name] if place and shapes else tuple(value.shape)
        if place and value.shape != (len(range(*share(shape[0], *place))), *shape[1:]):
            raise ValueError(f"{name} has the shape {tuple(value.shape)}, as part {place[0] + 1} of {shape}")
        inside = _inside(shape, place or (0, 1), rows(name, shape))
        if inside is not None:
            found[name] = value if inside == slice(None) else value[inside].clone()
    return found


def join(pieces: Mapping[str, list[Tensor]], shapes: Shapes, rows: Rows) -> dict[str, Tensor]:
    """Concatenate the rows of all files to whole tensors.

    Raises:
        ValueError: some wanted rows are missing.
    """
    joined = {name: found[0] if len(found) == 1 else torch.cat(found) for name, found in pieces.items()}
    for name, shape in shapes.items():
        wanted = len(range(*(rows(name, shape) or (0, shape[0]))))
        there = len(joined[name]) if name in joined else 0
        if name not in joined or there != wanted:
            raise ValueError(f"{name} has {there} of {wanted} rows")
    return joined


def _inside(shape: Shape, place: Place, rows: tuple[int, int] | None) -> slice | None:
    """Find the wanted rows among the rows of a part; None if the part has none of them."""
    if rows is None:
        return slice(None)
    start, stop = share(shape[0], *place)
    low, high = max(rows[0], start), min(rows[1], stop)
    if low < high:
        return slice(low - start, high - start)
    return slice(0, 0) if rows[0] == rows[1] and place[0] == 0 else None  # some processes have no rows
