"""The open sessions of a server: what they read, what they write, and how they are kept."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.batch import Categorical
from nounroll.checkpoint import CheckpointError
from nounroll.data.task import SequenceTask
from nounroll.generation import Sampling
from nounroll.serve.archive import packed, unpacked
from nounroll.serve.batcher import Batcher
from nounroll.serve.pool import Pool
from nounroll.serve.session import Session
from nounroll.serve.store import Store
from nounroll.snapshot import Snapshot, fingerprint
from nounroll.student import Student


class InUse(Exception):
    """Another request is at work on the session."""


class Sessions:
    """Opens, steps, keeps and closes sessions.

    A request that has been answered is on disk, where there is a folder. One under way when the server dies has
    happened, or it has not.

    Args:
        student, task: what is served.
        pool: of the memories.
        batcher: steps them.
        folder: where sessions are kept, or None.
        remembered: inputs that a session holds for its teacher's judgement.

    Attributes:
        open: by id; the sessions of completions are not among them.
    """

    def __init__(
        self,
        student: Student,
        task: SequenceTask,
        pool: Pool,
        batcher: Batcher,
        folder: Path | None = None,
        remembered: int = 0,
    ) -> None:
        self.student, self.task, self.pool, self.batcher = student, task, pool, batcher
        self.open: dict[str, Session] = {}
        self._network, self._remembered = fingerprint(student), remembered
        self._ending: set[asyncio.Task[None]] = set()
        self._store = None if folder is None else Store(folder, student, self._network)
        if self._store:
            try:
                self._reopen(self._store)
            except BaseException:
                self._store.close()
                raise

    def _reopen(self, store: Store) -> None:
        """The sessions that were kept."""
        kept = list(store.load())
        if len(kept) > len(self.pool.memories):
            raise ValueError(f"slots is {len(self.pool.memories)}; {store.folder} holds {len(kept)} sessions")
        for id, snapshot in kept:
            session = self._restored(snapshot)
            session.id = id
            self.open[id] = session

    async def end(self) -> None:
        """Wait until every session is kept."""
        while self._ending:
            await asyncio.wait(self._ending)
        if self._store:
            self._store.close()

    # -- opening and closing ------------------------------------------------------------------------

    async def create(self) -> Session:
        """Raises pool.Full when no slot is free."""
        return await self._kept(self._new())

    async def fork(self, session: Session) -> Session:
        """A second session that goes on from the same memory."""
        other = self._new(self.pool.memories[session.slot].clone())
        other.read, other.inputs = session.read, session.inputs
        return await self._kept(other)

    async def close(self, session: Session) -> None:
        del self.open[session.id]
        self.pool.release(session.slot)
        if self._store:
            await asyncio.to_thread(self._store.remove, session.id)

    def _new(self, memory: Float[Tensor, "K d"] | None = None) -> Session:
        inputs = [] if self._remembered and memory is None else None
        return Session(secrets.token_urlsafe(12), self.pool.claim(memory), inputs=inputs, limit=self._remembered)

    async def _kept(self, session: Session) -> Session:
        """The session, once it is on disk."""
        try:
            await self._save(session)
        except BaseException:
            self.pool.release(session.slot)
            raise
        self.open[session.id] = session
        return session

    # -- working ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def working(self, session: Session) -> AsyncIterator[Session]:
        """Keep other requests off a session, and take a place in the queue; keep what became of it.

        Raises:
            InUse, Busy: not now.
            CheckpointError: it could not be kept, and is as it was before.
        """
        if session.in_use:
            raise InUse
        self.batcher.enter()
        session.in_use = True
        before = self.pool.memories[session.slot].clone(), session.read, session.inputs
        try:
            yield session
        finally:
            await self._unhurried(self._finish(session, *before))

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[Session]:
        """A session for one completion.

        Raises:
            Full, Busy: not now.
        """
        self.batcher.enter()
        try:
            session = self._new()
        except BaseException:
            self.batcher.leave()
            raise
        try:
            yield session
        finally:
            self.pool.release(session.slot)
            self.batcher.leave()

    async def _unhurried(self, ending: Coroutine[Any, Any, None]) -> None:
        """Let it end, also when the request that waits for it is cancelled."""
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        await asyncio.shield(task)

    async def _finish(self, session: Session, memory: Tensor, read: int, inputs: list[Tensor] | None) -> None:
        """Keep it; or else the memory and what was read are those given here."""
        try:
            await self._save(session)
        except CheckpointError:
            self.pool.memories[session.slot] = memory
            session.read, session.inputs = read, inputs
            raise
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
            outputs = await self.batcher.read(session, value)
        return surprise if measured else None

    async def write(
        self, session: Session, count: int, sampling: Sampling, source: torch.Generator
    ) -> AsyncGenerator[Tensor]:
        """Draw ``count`` elements, each read back in."""
        outputs = self.pool.readout(session.slot)
        for _ in range(count):
            element = sampling.draw(self.task.targets, outputs[None], source)[0]
            outputs = await self.batcher.read(session, element)
            yield element

    # -- keeping ------------------------------------------------------------------------------------

    async def snapshot(self, session: Session) -> bytes:
        """The session as a file.

        Raises:
            CheckpointError: its memory is not finite.
        """
        return await asyncio.to_thread(packed, self._taken(session), self._network)

    async def restore(self, body: bytes) -> Session:
        """A session that goes on where the snapshot was taken.

        Raises:
            ValueError: it is no snapshot, of another model, or holds NaN.
            Full: there is no free slot.
        """
        snapshot = await asyncio.to_thread(unpacked, body, self.student, self._network)
        return await self._kept(self._restored(snapshot))

    async def _save(self, session: Session) -> None:
        if self._store:
            await asyncio.to_thread(self._store.save, session.id, self._taken(session))

    def _taken(self, session: Session) -> Snapshot:
        return Snapshot(memory=self.pool.memories[session.slot][None].clone(), length=session.read)

    def _restored(self, snapshot: Snapshot) -> Session:
        if len(snapshot.memory) != 1 or snapshot.pending is not None:
            raise ValueError("the snapshot is of a generation in Python; a session has one row, and nothing pending")
        session = self._new(snapshot.memory[0])
        session.read = snapshot.length
        return session
