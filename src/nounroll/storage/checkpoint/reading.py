"""Reading a checkpoint: every byte is checked before any is parsed."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nounroll.core.machine import total_memory
from nounroll.storage import parts
from nounroll.storage.checkpoint.format import (
    DOCUMENT_LIMIT,
    FILE_NAME,
    HEADER_LIMIT,
    MANIFEST,
    MANIFEST_LIMIT,
    CheckpointError,
    manifest,
    old_place,
    one_line,
    parse_document,
    parse_tensors,
)
from nounroll.storage.files import opened, read_bytes

Rows = Callable[[str, str, parts.Shape], tuple[int, int] | None]  # rows of a group's tensor: from, to; None for all


def read(
    folder: Path, device: torch.device | str = "cpu", rows: Rows = lambda *_: None
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read and verify the tensors and documents of a checkpoint.

    Args:
        folder: folder of the checkpoint.
        device: device of the tensors.
        rows: the wanted rows of a tensor, whether it is stored whole or in parts. Files are read one at a time, and
            those of ``nounroll.storage.parts`` only if they contain some of these rows.

    Raises:
        CheckpointError: a file is missing, extra, damaged, or not a plain file of the formats above.
    """
    documents: dict[str, Any] = {}
    shapes: dict[str, dict[str, parts.Shape]] = {}
    pieces: dict[str, dict[str, list[Tensor]]] = {}
    for name, load in _verified(folder if folder.exists() or not old_place(folder).exists() else old_place(folder)):
        with _reading(folder / name):
            stem, suffix = name.split(".")
            if suffix == "safetensors":
                group, place = parts.place_of(stem)
                wanted, held = partial(rows, group), pieces.setdefault(group, {})
                if place is None or parts.has_any(shapes[group], place, wanted):
                    tensors = parts.taken(parse_tensors(load()), shapes.get(group), place, wanted)
                    for tensor, value in tensors.items():
                        held.setdefault(tensor, []).append(value.to(device))
            elif stem == parts.DOCUMENT:  # documents come first
                shapes = parts.parse_shapes(parse_document(load()))
            else:
                documents[stem] = parse_document(load())
    with _reading(folder / f"{parts.DOCUMENT}.json"):
        groups = {g: parts.join(named, shapes.get(g, {}), partial(rows, g)) for g, named in pieces.items()}
    return groups, documents


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Convert every exception to a CheckpointError, since parsers may raise anything on hostile bytes."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as fault:
        raise CheckpointError(f"{file} cannot be read: {one_line(fault)}") from fault


def read_files(folder: Path, *names: str) -> list[bytes]:
    """Read some files of a folder, checked against its manifest if it has one.

    A folder from elsewhere may have no manifest, and may have other files. The files may be links to regular files,
    as in the cache of the Hugging Face Hub.

    Raises:
        CheckpointError: a file is missing, damaged, too large, or not in the manifest.
    """
    files = read_manifest(folder, follow=True) if (folder / MANIFEST).exists() else None
    found = []
    for name in names:
        path = folder / name
        if files is None:
            found.append(read_file(path, follow=True))
        elif name in files:
            found.append(read_file(path, **files[name], follow=True))
        else:
            raise CheckpointError(f"{path} is not in the manifest")
    return found


def _verified(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield (name, a function that reads and checks the bytes) for every file but the manifest, documents first."""
    try:
        entries = {entry.name: entry for entry in os.scandir(folder)}
    except OSError as fault:
        raise CheckpointError(f"{folder} is not a checkpoint: {one_line(fault)}") from fault
    for name, entry in entries.items():
        if not entry.is_file(follow_symlinks=False):
            raise CheckpointError(f"{folder / name} is not a plain file")
    files = read_manifest(folder)
    for name in sorted(entries.keys() - files.keys() - {MANIFEST}):
        raise CheckpointError(f"{folder / name} is not in the manifest")
    for name in sorted(files, key=lambda name: (Path(name).suffix, name)):
        yield name, partial(read_file, folder / name, **files[name])


def read_manifest(folder: Path, follow: bool = False) -> dict[str, dict[str, Any]]:
    path = folder / MANIFEST
    try:
        data = read_bytes(path, MANIFEST_LIMIT, follow=follow)
        listed = parse_document(data)["files"]
        if data != manifest(listed):
            raise ValueError("it does not match its own SHA-256")
        for name, fingerprint in listed.items():
            if not FILE_NAME.fullmatch(name) or name == MANIFEST:
                raise ValueError(f"it names the file {name!r}")
            if {key: type(value) for key, value in fingerprint.items()} != {"size": int, "sha256": str}:
                raise ValueError(f"it has no size and SHA-256 for {name}")
    except OSError as fault:
        raise CheckpointError(f"{path} cannot be read: {one_line(fault)}") from fault
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as fault:
        raise CheckpointError(f"{path} is damaged: {one_line(fault)}") from fault
    return listed


def read_file(path: Path, size: int | None = None, sha256: str | None = None, follow: bool = False) -> bytes:
    try:
        actual = path.stat().st_size
        if size not in (None, actual):
            raise CheckpointError(f"{path} is damaged: it holds {actual} bytes, the manifest says {size}")
        limit = DOCUMENT_LIMIT if path.suffix == ".json" else total_memory()
        if actual > limit:
            raise CheckpointError(f"{path} cannot be read: it holds {actual} bytes; at most {limit} are read")
        if path.suffix == ".safetensors":
            _check_header(path, actual, follow)
        data = read_bytes(path, limit, follow=follow)
    except (OSError, MemoryError) as fault:
        raise CheckpointError(f"{path} cannot be read: {one_line(fault)}") from fault
    if sha256 not in (None, hashlib.sha256(data).hexdigest()):
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the manifest's")
    return data


def _check_header(path: Path, size: int, follow: bool) -> None:
    """Refuse a file without a valid header, before reading all of it."""
    with opened(path, follow=follow) as file:
        header = int.from_bytes(file.read(8), "little")
    if not 2 <= header <= min(HEADER_LIMIT, size - 8):
        allowed = f"at most {HEADER_LIMIT}, and no more than the file holds"
        raise CheckpointError(f"{path} cannot be read: its header has {header} bytes; it may have {allowed}")
