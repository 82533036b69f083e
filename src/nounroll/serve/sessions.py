"""Sessions: each has a memory in the pool, and knows how much it has read."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from nounroll.batch import Categorical
from nounroll.data.task import SequenceTask
from nounroll.generation import Sampling
from nounroll.seeding import generator
from nounroll.serve.batcher import Batcher
from nounroll.serve.pool import Pool
from nounroll.student import Student


class InUse(Exception):
    """Another request is at work on the session."""


@dataclass(eq=False)
class Session:
    """One memory and what may be done with it, one request at a time."""

    id: str
    slot: int
    read: int = 0  # inputs so far
    in_use: bool = False


class Sessions:
    """The open sessions of a server."""

    def __init__(self, student: Student, task: SequenceTask, pool: Pool, batcher: Batcher) -> None:
        self.student, self.task, self.pool, self.batcher = student, task, pool, batcher
        self.open: dict[str, Session] = {}
        digest = hashlib.sha256()
        for name, tensor in sorted(student.state_dict().items()):
            digest.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
        self.model = digest.hexdigest()  # a snapshot is good for this model alone

    def create(self, memory: Tensor | None = None, read: int = 0) -> Session:
        """Raises pool.Full when no slot is free."""
        session = Session(secrets.token_urlsafe(12), self.pool.claim(memory), read)
        self.open[session.id] = session
        return session

    def close(self, session: Session) -> None:
        del self.open[session.id]
        self.pool.release(session.slot)

    def fork(self, session: Session) -> Session:
        """A second session that goes on from the same memory."""
        return self.create(self.pool.memories[session.slot].clone(), session.read)

    @contextmanager
    def working(self, session: Session) -> Iterator[None]:
        """Keep other requests off a session, and take a place in the queue."""
        if session.in_use:
            raise InUse
        self.batcher.enter()
        session.in_use = True
        try:
            yield
        finally:
            session.in_use = False
            self.batcher.leave()

    async def feed(self, session: Session, values: Tensor) -> list[float] | None:
        """Read (P,) or (P, d) inputs. The surprise of each in bits, where the targets are the next inputs."""
        measured = self.task.autoregressive and isinstance(self.task.targets, Categorical)
        outputs = self.pool.readout(session.slot)
        surprise = []
        for value in values:
            if measured and session.read:
                symbol = int(value)
                known = symbol < len(outputs)
                surprise.append(float(-outputs.log_softmax(-1)[symbol] / torch.tensor(2.0).log()) if known else 0.0)
            outputs = await self.batcher.read(session.slot, value)
            session.read += 1
        return surprise if measured else None

    async def write(self, session: Session, count: int, sampling: Sampling, seed: int) -> AsyncIterator[Tensor]:
        """Draw ``count`` elements, each read back in."""
        source = generator(seed, "generate")
        outputs = self.pool.readout(session.slot)
        for _ in range(count):
            element = sampling.draw(self.task.targets, outputs[None], source)[0]
            outputs = await self.batcher.read(session.slot, element)
            session.read += 1
            yield element

    def snapshot(self, session: Session) -> bytes:
        """The memory as a safetensors file."""
        about = {"model": self.model, "read": str(session.read)}
        return save({"memory": self.pool.memories[session.slot].clone()}, metadata=about)

    def restore(self, snapshot: bytes) -> Session:
        """A session that goes on where the snapshot was taken.

        Raises:
            ValueError: it is no snapshot, of another model, or holds NaN.
        """
        try:
            memory, about = load(snapshot)["memory"], _metadata(snapshot)
            read = int(about["read"])
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise ValueError("the body is no snapshot of a session") from error
        if about.get("model") != self.model:
            raise ValueError("the snapshot is of another model")
        if memory.shape != self.student.memory_shape or memory.dtype != torch.float32 or read < 0:
            raise ValueError("the snapshot does not fit this model's memory")
        if not memory.isfinite().all():
            raise ValueError("the snapshot's memory is not finite")
        return self.create(memory, read)


def _metadata(snapshot: bytes) -> dict[str, str]:
    """What safetensors keeps beside the tensors: its header is a JSON object after 8 bytes of length."""
    import json

    length = int.from_bytes(snapshot[:8], "little")
    return json.loads(snapshot[8 : 8 + length])["__metadata__"]
