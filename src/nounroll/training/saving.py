"""Checkpoint of a run, written and read by all its processes: each handles its own rows of sharded weights."""

from collections import ChainMap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from nounroll.storage import checkpoint, parts
from nounroll.training.engine import Engine
from nounroll.training.sharding import is_in_parts

State = tuple[dict[str, dict[str, Tensor]], dict[str, Any]]  # tensors by group and name; JSON documents


def write(engine: Engine, folder: Path, live: checkpoint.Tensors, state: State) -> None:
    """Write a checkpoint atomically. Every process must call this, and must have access to the folder.

    Args:
        engine: engine of the run.
        folder: folder of the checkpoint.
        live: the tensors on the device, from which the sharding is known.
        state: copies of this process's own shards of them, and the documents.

    Raises:
        CheckpointError: in all processes, if one of them could not write.
    """
    tensors, documents = state
    if not engine.sharded:
        return engine.by_first(lambda: checkpoint.write(folder, tensors, documents))
    shapes = {g: {name: tuple(t.shape) for name, t in named.items() if is_in_parts(t)} for g, named in live.items()}
    files = parts.files_of(tensors, shapes, (engine.rank, engine.processes))
    documents = {} if engine.rank else {**documents, parts.DOCUMENT: shapes}
    draft = engine.by_first(lambda: checkpoint.Draft.begin(folder))
    try:
        added = engine.by_each(lambda: draft.add(checkpoint.contents(files, documents)))
        engine.by_first(lambda: draft.publish(dict(ChainMap(*added))))
    except checkpoint.CheckpointError:
        if engine.rank == 0:
            draft.discard()
        raise


def read(engine: Engine, folder: Path, like: Callable[[str, str], Tensor | None]) -> State:
    """Read this process's rows of a checkpoint, for any number of processes that wrote it.

    Args:
        engine: engine of the run.
        folder: folder of the checkpoint.
        like: (group, name) -> the tensor on the device, from which the sharding is known.

    Raises:
        CheckpointError: in all processes, if one of them finds the checkpoint damaged.
    """
    if not engine.sharded:
        return engine.by_first(lambda: checkpoint.read(folder))

    def rows(group: str, name: str, shape: parts.Shape) -> tuple[int, int] | None:
        present = like(group, name)
        in_parts = present is not None and is_in_parts(present) and shape == present.shape
        return parts.share(shape[0], engine.rank, engine.processes) if in_parts else None

    found: list[State] = []
    engine.by_each(lambda: found.append(checkpoint.read(folder, rows=rows)))
    return found[0]
