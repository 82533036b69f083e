"""Checkpoints: the only writer of saved state.

A checkpoint is a folder of data-only files::

    step-00001234/
      model.safetensors      one file per group of tensors
      run.json               one file per document
      manifest.json          the size and SHA-256 of every other file, and its own SHA-256

For several processes that each have a part of the weights (``nounroll.storage.parts``), also::

      model-00001-of-00008.safetensors      rows of tensors
      parts.json                            the whole shapes of these tensors: {"model": {"weight": [64, 32]}}

**Writing.** The files go into a sibling folder ``.tmp-…``; each is fsynced, then the folder; a rename
puts it in place and the parent is fsynced. A checkpoint of the same name is first renamed to
``.old-NAME`` and removed last. ``read`` and ``newest`` fall back on ``.old-NAME`` when ``NAME`` is
absent, so a process that dies at any instant leaves the old or the new checkpoint loadable.

**Reading.** Every byte of a file is checked against the manifest before any of it is parsed, and only the
checked bytes are parsed. No file can name a Python object: pickle is not used.

Only one process at a time may write to or remove from a folder of checkpoints.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor

from nounroll.core.machine import total_memory
from nounroll.core.notices import notice
from nounroll.storage import parts
from nounroll.storage.files import opened, read_bytes
from nounroll.storage.files import sync_folder as _sync_folder

MANIFEST = "manifest.json"
MANIFEST_LIMIT = 1 << 22  # bytes; a manifest has a few hundred for each process that wrote a part
DOCUMENT_LIMIT = 1 << 24  # bytes of a JSON file; those of this project have a few thousand
HEADER_LIMIT = 1 << 23  # bytes that name the tensors of a file; usually a few thousand
TEMPORARY, OLD = ".tmp-", ".old-"
_UNFINISHED = re.compile(rf"{re.escape(TEMPORARY)}.+-[0-9a-f]{{8}}")
FILE_NAME = re.compile(r"[A-Za-z0-9_-]+\.(safetensors|json)")
STEP_NAME = re.compile(r"step-(\d{8,})")

T = TypeVar("T")
Tensors = Mapping[str, Mapping[str, Tensor]]  # by group and name
Fingerprints = dict[str, dict[str, Any]]  # size and SHA-256 of files by name
Rows = Callable[[str, str, parts.Shape], tuple[int, int] | None]  # rows of a group's tensor: from, to; None for all


class CheckpointError(ValueError):
    """Error: a checkpoint cannot be written, or has changed; one line names the file and the fault."""


# --------------------------------------------------------------------------------------------------
# Writing


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
        draft = cls(folder, _temporary(folder.resolve()))
        with draft._saving():
            draft.temporary.parent.mkdir(parents=True, exist_ok=True)
            draft.temporary.mkdir()
        return draft

    def add(self, files: Mapping[str, bytes]) -> Fingerprints:
        """Write files and fsync them."""
        with self._saving():
            for name, data in files.items():
                _write_file(self.temporary / name, data)
        return {name: _fingerprint(data) for name, data in files.items()}

    def publish(self, files: Fingerprints) -> None:
        """Move the checkpoint to its place; ``files`` lists all added files, of all processes."""
        target = self.folder.resolve()
        with self._saving():
            _refuse_foreign(target, files)
            _write_file(self.temporary / MANIFEST, _manifest(files))
            _sync_folder(self.temporary)
            _put_in_place(self.temporary, target)
        with contextlib.suppress(OSError):  # saved: a later write or prune cleans up
            _remove(_old(target))

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


def _fingerprint(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _manifest(files: Mapping[str, Any]) -> bytes:
    """Encode the manifest in its canonical form: any other bytes count as damage."""
    own = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return (json.dumps({"files": files, "sha256": own}, sort_keys=True, indent=1) + "\n").encode()


def _refuse_foreign(target: Path, files: Collection[str]) -> None:
    """Refuse to replace a folder that holds anything but a checkpoint with the same files."""
    names = set(os.listdir(target)) if target.exists() else set()
    foreign = names - {*files, MANIFEST, *(_read_manifest(target) if MANIFEST in names else ())}
    if foreign:
        raise CheckpointError(f"{target} was not saved: it holds {min(foreign)}, which is not a checkpoint's")


def _write_file(path: Path, data: bytes) -> None:
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
        for path in (_old(target), target):  # the old copy first: alone, it would be restored
            if path.exists():
                _remove(path)
        _sync_folder(target.parent)
    except OSError as fault:
        raise CheckpointError(f"{folder} was not removed: {one_line(fault)}") from fault


def _put_in_place(temporary: Path, target: Path) -> None:
    """Rename ``temporary`` to ``target``; on failure, restore the old ``target``."""
    old = _old(target)
    if target.exists():
        if old.exists():  # left by a process that died after the replacement was in place
            _remove(old)
        os.rename(target, old)
    try:
        os.rename(temporary, target)
        _sync_folder(target.parent)
    except OSError:
        if target.exists():
            os.rename(target, temporary)
        if old.exists():
            os.rename(old, target)
        raise


def _remove(folder: Path) -> None:
    """Remove a folder after renaming it: a half-removed checkpoint must never look like a checkpoint."""
    removed = _temporary(folder)
    os.rename(folder, removed)
    shutil.rmtree(removed)


def _temporary(folder: Path) -> Path:
    return folder.with_name(f"{TEMPORARY}{folder.name}-{secrets.token_hex(4)}")


def _old(folder: Path) -> Path:
    return folder.with_name(OLD + folder.name)


# --------------------------------------------------------------------------------------------------
# Reading


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
    for name, read_file in _verified(folder if folder.exists() or not _old(folder).exists() else _old(folder)):
        with _reading(folder / name):
            stem, suffix = name.split(".")
            if suffix == "safetensors":
                group, place = parts.place_of(stem)
                wanted, held = partial(rows, group), pieces.setdefault(group, {})
                if place is None or parts.has_any(shapes[group], place, wanted):
                    tensors = parts.taken(parse_tensors(read_file()), shapes.get(group), place, wanted)
                    for tensor, value in tensors.items():
                        held.setdefault(tensor, []).append(value.to(device))
            elif stem == parts.DOCUMENT:  # documents come first
                shapes = parts.parse_shapes(parse_document(read_file()))
            else:
                documents[stem] = parse_document(read_file())
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
    files = _read_manifest(folder, follow=True) if (folder / MANIFEST).exists() else None
    found = []
    for name in names:
        path = folder / name
        if files is None:
            found.append(_read_file(path, follow=True))
        elif name in files:
            found.append(_read_file(path, **files[name], follow=True))
        else:
            raise CheckpointError(f"{path} is not in the manifest")
    return found


def parse_tensors(data: bytes) -> dict[str, Tensor]:
    """Parse the tensors of a safetensors file.

    Raises:
        Exception: any exception of the parser, for invalid bytes.
    """
    header = int.from_bytes(data[:8], "little")
    if header > HEADER_LIMIT:
        raise ValueError(f"its header has {header} bytes; at most {HEADER_LIMIT} are read")
    return safetensors.torch.load(data)


def parse_document(data: bytes) -> Any:
    """Parse the value of a JSON file, which may not contain NaN or infinity.

    Raises:
        ValueError, RecursionError: the bytes are not JSON, or too deeply nested.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(data.decode(), parse_constant=refuse)


def _verified(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield (name, a function that reads and checks the bytes) for every file but the manifest, documents first."""
    try:
        entries = {entry.name: entry for entry in os.scandir(folder)}
    except OSError as fault:
        raise CheckpointError(f"{folder} is not a checkpoint: {one_line(fault)}") from fault
    for name, entry in entries.items():
        if not entry.is_file(follow_symlinks=False):
            raise CheckpointError(f"{folder / name} is not a plain file")
    files = _read_manifest(folder)
    for name in sorted(entries.keys() - files.keys() - {MANIFEST}):
        raise CheckpointError(f"{folder / name} is not in the manifest")
    for name in sorted(files, key=lambda name: (Path(name).suffix, name)):
        yield name, partial(_read_file, folder / name, **files[name])


def _read_manifest(folder: Path, follow: bool = False) -> dict[str, dict[str, Any]]:
    path = folder / MANIFEST
    try:
        data = read_bytes(path, MANIFEST_LIMIT, follow=follow)
        listed = parse_document(data)["files"]
        if data != _manifest(listed):
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


def _read_file(path: Path, size: int | None = None, sha256: str | None = None, follow: bool = False) -> bytes:
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


def one_line(fault: BaseException) -> str:
    """Describe an error without line breaks."""
    reason = fault.strerror if isinstance(fault, OSError) else str(fault)
    return " ".join(str(reason or type(fault).__name__).split())


# --------------------------------------------------------------------------------------------------
# A folder of checkpoints


def step_folder(checkpoints: Path, step: int) -> Path:
    """Return the folder of the checkpoint of a step."""
    return checkpoints / f"step-{step:08d}"


def every(checkpoints: Path) -> list[Path]:
    """List every checkpoint folder by step, damaged ones included."""
    return sorted(path for path in _folders(checkpoints) if STEP_NAME.fullmatch(path.name.removeprefix(OLD)))


def named(folder: Path) -> list[Path]:
    """List every checkpoint of a folder by final name, also if an interrupted replacement left it beside its place.

    Other leftovers of dead processes are removed.
    """
    remove_unfinished(folder)
    return sorted({path.with_name(path.name.removeprefix(OLD)) for path in _folders(folder)})


def remove_unfinished(folder: Path) -> None:
    """Remove the leftovers of processes that died while they wrote to a folder."""
    for path in _folders(folder):
        if _UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path)


def newest(checkpoints: Path) -> Path | None:
    """Return the complete checkpoint with the highest step, or None. ``read`` detects damage."""
    steps = _steps(checkpoints)
    return steps[-1] if steps else None


def newest_first(checkpoints: Path) -> list[Path]:
    """List every checkpoint folder, damaged ones included, from the highest step down; a replacement comes first."""
    found = [(int(path.name.rpartition("-")[2]), path.name, path) for path in every(checkpoints)]
    return [path for *_, path in sorted(found, reverse=True)]


def read_newest(folders: Iterable[Path], read: Callable[[Path], T]) -> tuple[Path, T] | None:
    """Read the first undamaged one of some checkpoints; None if there are none.

    A notice names each damaged checkpoint before it.

    Raises:
        CheckpointError: all checkpoints are damaged, or one must not be read.
    """
    faults: list[CheckpointError] = []
    for folder in folders:
        try:
            found = read(folder)
        except CheckpointError as fault:
            if isinstance(fault.__cause__, PermissionError | MemoryError):
                raise
            faults.append(fault)
            continue
        for fault in faults:
            notice(f"{fault}; {folder} is taken in its place")
        return folder, found
    if faults:
        raise faults[0]
    return None


def set_aside(folder: Path) -> None:
    """Rename a damaged checkpoint, so that it is ignored but can still be inspected.

    Raises:
        CheckpointError: the checkpoint cannot be renamed.
    """
    try:
        os.rename(folder, folder.with_name(f"damaged-{folder.name.removeprefix(OLD)}-{secrets.token_hex(4)}"))
    except OSError as fault:
        raise CheckpointError(f"{folder} was not set aside: {one_line(fault)}") from fault


def prune(checkpoints: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints, and the leftovers of dead processes.

    Raises:
        CheckpointError: a folder cannot be removed.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}; at least 1 checkpoint must stay")
    try:
        for stale in _steps(checkpoints)[:-keep]:
            _remove(stale)
        for path in _folders(checkpoints):
            replaced = path.name.startswith(OLD) and path.with_name(path.name.removeprefix(OLD)).exists()
            if path.name.startswith(TEMPORARY) or replaced:
                shutil.rmtree(path)
    except OSError as fault:
        raise CheckpointError(f"{checkpoints} was not pruned: {one_line(fault)}") from fault


def _steps(checkpoints: Path) -> list[Path]:
    """List the complete checkpoints by step; after an interrupted replacement, the old copy."""
    steps: dict[int, Path] = {}
    for path in sorted(_folders(checkpoints)):  # ".old-…" sorts before "step-…", which replaces it
        match = STEP_NAME.fullmatch(path.name.removeprefix(OLD))
        if match and (path / MANIFEST).is_file():
            steps[int(match[1])] = path
    return [steps[step] for step in sorted(steps)]


def _folders(checkpoints: Path) -> list[Path]:
    entries = os.scandir(checkpoints) if checkpoints.exists() else ()
    return [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
