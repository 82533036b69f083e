"""Format of a checkpoint: names, limits, the manifest, and the parsers of its two kinds of files."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

MANIFEST = "manifest.json"
MANIFEST_LIMIT = 1 << 22  # bytes; a manifest has a few hundred for each process that wrote a part
DOCUMENT_LIMIT = 1 << 24  # bytes of a JSON file; those of this project have a few thousand
HEADER_LIMIT = 1 << 23  # bytes that name the tensors of a file; usually a few thousand
TEMPORARY, OLD = ".tmp-", ".old-"
FILE_NAME = re.compile(r"[A-Za-z0-9_-]+\.(safetensors|json)")

Tensors = Mapping[str, Mapping[str, Tensor]]  # by group and name
Fingerprints = dict[str, dict[str, Any]]  # size and SHA-256 of files by name


class CheckpointError(ValueError):
    """Error: a checkpoint cannot be written, or has changed; one line names the file and the fault."""


def one_line(fault: BaseException) -> str:
    """Describe an error without line breaks."""
    reason = fault.strerror if isinstance(fault, OSError) else str(fault)
    return " ".join(str(reason or type(fault).__name__).split())


def temporary_place(folder: Path) -> Path:
    return folder.with_name(f"{TEMPORARY}{folder.name}-{secrets.token_hex(4)}")


def old_place(folder: Path) -> Path:
    return folder.with_name(OLD + folder.name)


def fingerprint(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def manifest(files: Mapping[str, Any]) -> bytes:
    """Encode the manifest in its canonical form: any other bytes count as damage."""
    own = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return (json.dumps({"files": files, "sha256": own}, sort_keys=True, indent=1) + "\n").encode()


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
