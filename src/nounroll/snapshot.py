"""Snapshots: a generation as data on disk, continued exactly, by the same network in another process."""

import base64
from pathlib import Path
from typing import Any

import torch

from nounroll.checkpoint import CheckpointError, read, write
from nounroll.generation import Generation, Sampling
from nounroll.student import Student


def save_snapshot(generation: Generation, folder: Path) -> None:
    """Write memory, the element still to be read, how elements are drawn and the state of the draws.

    The network itself is not in it: ``Student.save_pretrained`` writes that.

    Raises:
        ValueError: the generation draws from torch's own generator, or the folder cannot be written.
    """
    if generation.generator is None:
        raise ValueError("generation has no generator of its own; give it one, or its draws cannot be continued")
    tensors = {"memory": generation.memory}
    if generation.pending is not None:
        tensors["pending"] = generation.pending
    state = base64.b64encode(bytes(generation.generator.get_state().tolist())).decode()
    document = {"format": 1, "sampling": vars(generation.sampling), "draws": state}
    write(folder, {"snapshot": tensors}, {"snapshot": document})


def load_snapshot(student: Student, folder: Path, *, compiled: bool = False) -> Generation:
    """The generation that ``save_snapshot`` wrote: it writes on as if it had never stopped.

    Args:
        student: the network that wrote so far.
        folder: where the snapshot is.
        compiled: see ``Generation``.

    Raises:
        ValueError: the folder holds no snapshot, it is damaged, or of a network with memories of another shape.
    """
    tensors, documents = read(folder, student.empty_memory.device)
    try:
        memory, document = tensors["snapshot"]["memory"], documents["snapshot"]
        sampling = Sampling(**document["sampling"])
        draws = torch.Generator()
        draws.set_state(torch.tensor(list(base64.b64decode(document["draws"])), dtype=torch.uint8))
    except (KeyError, TypeError, RuntimeError) as fault:
        raise CheckpointError(f"{folder} is no snapshot of a generation: {' '.join(str(fault).split())}") from fault
    if memory.shape[1:] != student.memory_shape:
        shapes: tuple[Any, ...] = (tuple(memory.shape[1:]), student.memory_shape)
        raise CheckpointError(f"{folder} holds memories of shape {shapes[0]}; this network has {shapes[1]}")
    generation = Generation(student, len(memory), sampling, draws, compiled=compiled)
    generation.memory, generation.pending = memory, tensors["snapshot"].get("pending")
    return generation
