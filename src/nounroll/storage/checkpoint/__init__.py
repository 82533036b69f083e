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

from nounroll.storage.checkpoint.folder import (
    every,
    named,
    newest,
    newest_first,
    prune,
    read_newest,
    remove_unfinished,
    set_aside,
    step_folder,
)
from nounroll.storage.checkpoint.format import (
    DOCUMENT_LIMIT,
    FILE_NAME,
    HEADER_LIMIT,
    MANIFEST,
    MANIFEST_LIMIT,
    OLD,
    TEMPORARY,
    CheckpointError,
    Fingerprints,
    Tensors,
    one_line,
    parse_document,
    parse_tensors,
)
from nounroll.storage.checkpoint.reading import Rows, read, read_files
from nounroll.storage.checkpoint.writing import Draft, contents, remove, write

__all__ = [
    "DOCUMENT_LIMIT",
    "FILE_NAME",
    "HEADER_LIMIT",
    "MANIFEST",
    "MANIFEST_LIMIT",
    "OLD",
    "TEMPORARY",
    "CheckpointError",
    "Draft",
    "Fingerprints",
    "Rows",
    "Tensors",
    "contents",
    "every",
    "named",
    "newest",
    "newest_first",
    "one_line",
    "parse_document",
    "parse_tensors",
    "prune",
    "read",
    "read_files",
    "read_newest",
    "remove",
    "remove_unfinished",
    "set_aside",
    "step_folder",
    "write",
]
