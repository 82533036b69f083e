"""Snapshots: a memory as data on disk, from which the same network can continue exactly, also in another process."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from nounroll.models.generation import Generation, Sampling
from nounroll.models.student import Student
from nounroll.storage.checkpoint import CheckpointError, one_line, read, write

MOST_CONTEXT = 8  # symbols; after a word the next token begins with a space, and four make a character


class OtherNetwork(CheckpointError):
    """Error: a snapshot is intact, but belongs to another network."""


def fingerprint(student: Student) -> str:
    """Compute the SHA-256 of all weights: a snapshot is valid only for this network."""
    digest = hashlib.sha256()
    for name, tensor in sorted(student.state_dict().items()):
        numbers = tensor.detach().cpu().flatten().view(torch.uint8)  # NumPy has no bfloat16
        digest.update(name.encode() + numbers.numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """State of a network at one time. The network itself is not included: ``Student.save_pretrained`` writes it.

    Attributes:
        memory: (B, K, d).
        length: number of inputs read so far.
        pending: (B, ...) elements that were drawn and not yet read, or None.
        sampling: how elements are drawn, or None.
        draws: state of the generator of the draws, or None.
        context: the last symbols read that decide how later ones read as text: bytes of an incomplete character, or
            tokens.
    """

    memory: Float[Tensor, "B K d"]
    length: int
    pending: Shaped[Tensor, "B *x"] | None = None
    sampling: Sampling | None = None
    draws: UInt8[Tensor, "S"] | None = None
    context: tuple[int, ...] = ()

    def write(self, folder: Path, network: str) -> None:
        """Write the snapshot atomically, in place of the one before.

        Args:
            folder: folder that holds only this snapshot.
            network: ``fingerprint`` of the student.

        Raises:
            CheckpointError: the memory is not finite, or the folder cannot be written.
        """
        tensors = {"memory": self.memory} | ({} if self.pending is None else {"pending": self.pending})
        document = {
            "format": 1,
            "network": network,
            "length": self.length,
            "sampling": None if self.sampling is None else vars(self.sampling),
            "draws": None if self.draws is None else base64.b64encode(bytes(self.draws.tolist())).decode(),
            "tail": list(self.context),
        }
        write(folder, {"snapshot": tensors}, {"snapshot": document})

    @classmethod
    def read(cls, folder: Path, student: Student, network: str) -> "Snapshot":
        """Read and check the snapshot in a folder, which may come from anywhere.

        Raises:
            CheckpointError: there is no snapshot, or it is damaged, not finite, or belongs to another network.
        """
        tensors, documents = read(folder, student.empty_memory.device)
        try:
            found, document = tensors["snapshot"], documents["snapshot"]
            memory, pending, length = found["memory"], found.get("pending"), document["length"]
            sampling = None if document["sampling"] is None else Sampling(**document["sampling"])
            draws = None if document["draws"] is None else _draws(document["draws"])
            of_network, context = document["network"], _context(document.get("tail", []), student)
            if type(length) is not int or length < 0:
                raise TypeError(f"its length is {length!r}")
            if pending is not None:
                student.inputs.check("its pending element", pending)
        except (KeyError, TypeError, ValueError, RuntimeError) as fault:
            raise CheckpointError(f"{folder} is not a snapshot: {one_line(fault)}") from fault
        if memory.shape[1:] != student.memory_shape:
            held = tuple(memory.shape[1:])
            raise OtherNetwork(f"{folder} holds memories of shape {held}; this network has {student.memory_shape}")
        if memory.dtype != student.empty_memory.dtype:
            raise CheckpointError(f"{folder} holds memories in {memory.dtype}, not {student.empty_memory.dtype}")
        if pending is not None and pending.shape != (len(memory), *student.inputs.event_shape):
            raise CheckpointError(f"{folder} holds pending elements of shape {tuple(pending.shape)}")
        if of_network != network:
            raise OtherNetwork(f"{folder} is of another network")
        if not memory.isfinite().all():
            raise CheckpointError(f"{folder} holds a memory that is not finite")
        return cls(memory=memory, length=length, pending=pending, sampling=sampling, draws=draws, context=context)


def save_snapshot(generation: Generation, folder: Path) -> None:
    """Write the memory, the element that is still to be read, the sampling settings and the state of the draws.

    Raises:
        ValueError: the generation draws from torch's global generator, or the folder cannot be written.
    """
    if generation.generator is None:
        raise ValueError("generation has no generator of its own; give it one, or its draws cannot be continued")
    snapshot = Snapshot(
        memory=generation.memory,
        length=generation.length,
        pending=generation.pending,
        sampling=generation.sampling,
        draws=generation.generator.get_state(),
    )
    snapshot.write(folder, fingerprint(generation.student))


def load_snapshot(student: Student, folder: Path, *, compiled: bool = False) -> Generation:
    """Load the generation that ``save_snapshot`` wrote; it continues exactly where the saved one stopped.

    A snapshot of a server's session has no state of draws, because every request brings a seed: set the generation's
    ``generator``.

    Args:
        student: the network that wrote the generation so far.
        folder: folder of the snapshot.
        compiled: see ``Generation``.

    Raises:
        ValueError: the folder holds no snapshot, or the snapshot is damaged or belongs to another network.
    """
    snapshot = Snapshot.read(folder, student, fingerprint(student))
    draws = None
    if snapshot.draws is not None:
        draws = torch.Generator()
        draws.set_state(snapshot.draws)
    generation = Generation(student, len(snapshot.memory), snapshot.sampling, draws, compiled=compiled)
    generation.memory, generation.pending, generation.length = snapshot.memory, snapshot.pending, snapshot.length
    return generation


def _draws(text: str) -> Tensor:
    state = torch.tensor(list(base64.b64decode(text)), dtype=torch.uint8)
    torch.Generator().set_state(state)  # raises if the state is invalid
    return state


def _context(given: object, student: Student) -> tuple[int, ...]:
    """Check the last symbols read."""
    if not isinstance(given, list) or len(given) > MOST_CONTEXT or any(type(symbol) is not int for symbol in given):
        raise TypeError(f"its tail is {given!r}")
    if given:
        student.inputs.check("its tail", torch.tensor(given))
    return tuple(given)
