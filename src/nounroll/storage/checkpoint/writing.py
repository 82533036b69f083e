"""Writing a checkpoint: all of it, or nothing."""

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from nounroll.storage.checkpoint.format import (
    FILE_NAME,
    MANIFEST,
    CheckpointError,
    Fingerprints,
    Tensors,
    fingerprint,
    manifest,
    old_place,
    one_line,
    temporary_place,
)
from nounroll.storage.checkpoint.reading import read_manifest
from nounroll.storage.files import sync_folder


def write(
    folder: Path,
    tensors: Tensors,
    documents: Mapping[str, Any],
    *,
    allow_nonfinite: bool = False,
) -> None:
    """Write a checkpoint atomically, replacing one of the same name.

    Args:
        folder: place of the checkpoint. It may exist only as a checkpoint or as an empty folder.
        tensors: groups of named tensors, one ``GROUP.safetensors`` each. Tensors do not share memory after loading.
        documents: JSON values, one ``NAME.json`` each. As usual in JSON, tuples become lists and keys become strings.
        allow_nonfinite: accept tensors that contain NaN or infinity.

    Raises:
        CheckpointError: something cannot be saved. The previous content of ``folder`` is still there.
    """
    files = contents(tensors, documents, allow_nonfinite=allow_nonfinite)
    draft = Draft.begin(folder)
    try:
        draft.publish(draft.add(files))
    except CheckpointError:
        draft.discard()
        raise


@dataclass(frozen=True)
class Draft:
    """Unfinished checkpoint: a temporary folder, until all files are written.

    The process that begins it publishes or discards it; any process with access to the folder may add files.

    Attributes:
        folder: final place of the checkpoint.
        temporary: temporary place of its files.
    """

    folder: Path
    temporary: Path

    @classmethod
    def begin(cls, folder: Path) -> "Draft":
        """Create an empty draft.

        Raises:
            CheckpointError: the temporary folder cannot be created. Other methods raise it too.
        """
        draft = cls(folder, temporary_place(folder.resolve()))
        with draft._saving():
            draft.temporary.parent.mkdir(parents=True, exist_ok=True)
            draft.temporary.mkdir()
        return draft

    def add(self, files: Mapping[str, bytes]) -> Fingerprints:
        """Write files and fsync them."""
        with self._saving():
            for name, data in files.items():
                write_file(self.temporary / name, data)
        return {name: fingerprint(data) for name, data in files.items()}

    def publish(self, files: Fingerprints) -> None:
        """Move the checkpoint to its place; ``files`` lists all added files, of all processes."""
        target = self.folder.resolve()
        with self._saving():
            _refuse_foreign(target, files)
            write_file(self.temporary / MANIFEST, manifest(files))
            sync_folder(self.temporary)
            _put_in_place(self.temporary, target)
        with contextlib.suppress(OSError):  # saved: a later write or prune cleans up
            remove_folder(old_place(target))

    def discard(self) -> None:
        """Remove the added files."""
        shutil.rmtree(self.temporary, ignore_errors=True)

    @contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except (OSError, CheckpointError) as error:
            fault = error.__cause__ if isinstance(error, CheckpointError) else error
            if not isinstance(fault, OSError):  # a fault of the existing files, not of the disk
                raise
            raise CheckpointError(f"{self.folder} was not saved: {one_line(fault)}") from fault


def contents(tensors: Tensors, documents: Mapping[str, Any], *, allow_nonfinite: bool = False) -> dict[str, bytes]:
    """Return the bytes of every file but the manifest. See ``write``."""
    for name in (*tensors, *documents):
        if not FILE_NAME.fullmatch(f"{name}.json") or name == Path(MANIFEST).stem:
            raise CheckpointError(f"{name} cannot be saved: names are letters, digits, '_' and '-', and not 'manifest'")
    files = {f"{name}.safetensors": _pack(name, group, allow_nonfinite) for name, group in tensors.items()}
    return files | {f"{name}.json": _dump(name, document) for name, document in documents.items()}


def _pack(group: str, tensors: Mapping[str, Tensor], allow_nonfinite: bool) -> bytes:
    try:
        # Copies, because safetensors accepts neither strides nor two names for the same memory.
        copies = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
        for name, tensor in copies.items():
            if not allow_nonfinite and not _is_finite(tensor):
                raise ValueError(f"{name} holds NaN or infinity")
            if name == "__metadata__":
                raise ValueError(f"{name} is a name that the format keeps for itself")
        return safetensors.torch.save(copies)
    except Exception as fault:
        raise CheckpointError(f"{group}.safetensors cannot be saved: {one_line(fault)}") from fault


def _is_finite(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex()) or bool(torch.isfinite(tensor).all())


def _dump(name: str, document: Any) -> bytes:
    try:
        return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as fault:
        raise CheckpointError(f"{name}.json cannot be saved: {one_line(fault)}") from fault


def _refuse_foreign(target: Path, files: Collection[str]) -> None:
    """Refuse to replace a folder that holds anything but a checkpoint with the same files."""
    names = set(os.listdir(target)) if target.exists() else set()
    foreign = names - {*files, MANIFEST, *(read_manifest(target) if MANIFEST in names else ())}
    if foreign:
        raise CheckpointError(f"{target} was not saved: it holds {min(foreign)}, which is not a checkpoint's")


def write_file(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove(folder: Path) -> None:
    """Remove a checkpoint and its old copy, atomically.

    Raises:
        CheckpointError: the checkpoint cannot be removed.
    """
    target = folder.resolve()
    try:
        for path in (old_place(target), target):  # the old copy first: alone, it would be restored
            if path.exists():
                remove_folder(path)
        sync_folder(target.parent)
    except OSError as fault:
        raise CheckpointError(f"{folder} was not removed: {one_line(fault)}") from fault


def _put_in_place(temporary: Path, target: Path) -> None:
    """Rename ``temporary`` to ``target``; on failure, restore the old ``target``."""
    old = old_place(target)
    if target.exists():
        if old.exists():  # left by a process that died after the replacement was in place
            remove_folder(old)
        os.rename(target, old)
    try:
        os.rename(temporary, target)
        sync_folder(target.parent)
    except OSError:
        if target.exists():
            os.rename(target, temporary)
        if old.exists():
            os.rename(old, target)
        raise


def remove_folder(folder: Path) -> None:
    """Remove a folder after renaming it: a half-removed checkpoint must never look like a checkpoint."""
    removed = temporary_place(folder)
    os.rename(folder, removed)
    shutil.rmtree(removed)
