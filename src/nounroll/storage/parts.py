"""Tensors in parts: rows of them in a file of each of several processes; whole again, or cut for other processes.

Part r of n of a tensor is what ``share`` says; one part after another, the rows are the tensor. Files are named as on
the Hugging Face Hub, ``model-00001-of-00008.safetensors``, and the document ``parts.json`` has the whole shapes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

DOCUMENT = "parts"
NAME = re.compile(r"([A-Za-z0-9_-]+)-(\d{5})-of-(\d{5})")

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]  # of the tensors of a group that are in parts
Place = tuple[int, int]  # rank of a process, and how many there were
Rows = Callable[[str, Shape], tuple[int, int] | None]  # of a tensor of a name and shape: from, to; None for all


def share(rows: int, rank: int, count: int) -> tuple[int, int]:
    """The rows, from and to, that one of several processes has of a tensor: as torch.chunk and FSDP cut."""
    each = -(-rows // count)
    return min(rank * each, rows), min((rank + 1) * each, rows)


def files_of(
    tensors: Mapping[str, Mapping[str, Tensor]], shapes: Mapping[str, Shapes], place: Place
) -> dict[str, dict[str, Tensor]]:
    """List what one process writes, by file: its rows, and, the first process, all that is not sharded.

    Args:
        tensors: by group and name; this process's rows of those in ``shapes``.
        shapes: whole ones, by group.
        place: of the process.
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
    """The group of a file, and which part it is; None when its tensors are whole."""
    part = NAME.fullmatch(stem)
    return (part[1], (int(part[2]) - 1, int(part[3]))) if part else (stem, None)


def parse_shapes(document: Any) -> dict[str, dict[str, Shape]]:
    """The shapes in ``parts.json``, by group and name.

    Raises:
        Exception: whatever becomes of a document that is none.
    """
    return {g: {name: tuple(map(int, shape)) for name, shape in named.items()} for g, named in document.items()}


def has_any(shapes: Shapes, place: Place, rows: Rows) -> bool:
    """Return whether a file has some of the wanted rows of any tensor."""
    return any(_inside(shape, place, rows(name, shape)) is not None for name, shape in shapes.items())


def taken(tensors: Mapping[str, Tensor], shapes: Shapes | None, place: Place | None, rows: Rows) -> dict[str, Tensor]:
    """Take the wanted rows of a file.

    Args:
        tensors: of the file.
        shapes: whole ones of the group, where it has tensors in parts.
        place: which part the file is; None when its tensors are whole.
        rows: which are wanted.

    Raises:
        ValueError: a tensor has not the shape of its part.
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
    """Join the rows of one file after another into whole tensors.

    Raises:
        ValueError: not all wanted rows are there.
    """
    joined = {name: found[0] if len(found) == 1 else torch.cat(found) for name, found in pieces.items()}
    for name, shape in shapes.items():
        wanted = len(range(*(rows(name, shape) or (0, shape[0]))))
        there = len(joined[name]) if name in joined else 0
        if name not in joined or there != wanted:
            raise ValueError(f"{name} has {there} of {wanted} rows")
    return joined


def _inside(shape: Shape, place: Place, rows: tuple[int, int] | None) -> slice | None:
    """Find the wanted rows among the rows of a part; None when it has none of them."""
    if rows is None:
        return slice(None)
    start, stop = share(shape[0], *place)
    low, high = max(rows[0], start), min(rows[1], stop)
    if low < high:
        return slice(low - start, high - start)
    return slice(0, 0) if rows[0] == rows[1] and place[0] == 0 else None  # there are processes that have no rows
