"""The open sessions of a server: who may work on one, when it ends, and how it is kept."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from nounroll.checkpoint import CheckpointError
from nounroll.data.task import SequenceTask
from nounroll.serve.archive import packed, unpacked
from nounroll.serve.batcher import Batcher
from nounroll.serve.pool import Full, Pool
from nounroll.serve.session import Mark, Session
from nounroll.serve.settings import ServeSettings
from nounroll.serve.store import Store
from nounroll.serve.text import Decoder
from nounroll.snapshot import Snapshot, fingerprint
from nounroll.student import Student

_LOG = logging.getLogger(__name__)
_SWEEPS = 10  # looks for idle sessions within their idle time
_MOST_SECONDS = 30.0  # from one look to the next


class InUse(Exception):
    """Another request is at work on the session."""


class TooMany(Full):
    """Sessions have all the slots that completions leave to them."""


class Sessions:
    """Opens, keeps and closes sessions.

    A request that has been answered is on disk, where there is a folder. One under way when the server dies has
    happened, or it has not.

    Args:
        student, task: what is served.
        pool: of the memories.
        batcher: steps them.
        settings: of the server.
        folder: where sessions are kept, or None.
        remembered: inputs that a session holds for its teacher's judgement.

    Attributes:
        open: by id; the sessions of completions are not among them.
        set_aside: one line for each damaged session that the folder held.
    """

    def __init__(
        self,
        student: Student,
        task: SequenceTask,
        pool: Pool,
        batcher: Batcher,
        settings: ServeSettings,
        folder: Path | None = None,
        remembered: int = 0,
    ) -> None:
        self.student, self.task, self.pool, self.batcher, self.settings = student, task, pool, batcher, settings
        self.open: dict[str, Session] = {}
        self._opening = 0
        self._network, self._remembered = fingerprint(student), remembered
        self._ending: set[asyncio.Task[None]] = set()
        self.set_aside: list[str] = []
        self._store = None if folder is None else Store(folder, student, self._network)
        if self._store:
            try:
                self._reopen(self._store)
            except BaseException:
                self._store.close()
                raise

    def _reopen(self, store: Store) -> None:
        """Open the sessions that were kept; those that are damaged are set aside."""
        kept, self.set_aside = store.load()
        if len(kept) > len(self.pool.memories):
            raise ValueError(f"slots is {len(self.pool.memories)}; {store.folder} holds {len(kept)} sessions")
        for id, snapshot in kept.items():
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
        """A session that has read nothing.

        Raises:
            Full: there is no slot for it.
        """
        async with self._place():
            return await self._kept(self._new())

    async def fork(self, session: Session) -> Session:
        """A second session that goes on from the same memory."""
        async with self._place():
            return await self._kept(self._from(self.mark(session)))

    async def restore(self, body: bytes) -> Session:
        """A session that goes on where the snapshot was taken.

        Raises:
            ValueError: it is no snapshot, of another model, or holds NaN.
            Full: there is no slot for it.
        """
        async with self._place():
            snapshot = await asyncio.to_thread(unpacked, body, self.student, self._network)
            return await self._kept(self._restored(snapshot))

    async def close(self, session: Session) -> None:
        """Remove it from disk, then from memory.

        Raises:
            InUse: another request is at work on it.
            CheckpointError: it could not be removed, and is still open.
        """
        if session.in_use:
            raise InUse
        session.in_use = True
        await self._unhurried(self._remove(session))

    async def _remove(self, session: Session) -> None:
        try:
            if self._store:
                await asyncio.to_thread(self._store.remove, session.id)
        except CheckpointError:
            session.in_use = False
            raise
        del self.open[session.id]
        self.pool.release(session.slot)

    async def expire(self) -> None:
        """Close sessions that nobody uses, for ever; cancel it to stop."""
        idle = self.settings.idle
        while True:
            await asyncio.sleep(min(idle / _SWEEPS, _MOST_SECONDS))
            late = time.monotonic() - idle
            for session in [one for one in self.open.values() if one.used < late and not one.in_use]:
                try:
                    await self.close(session)
                except CheckpointError as error:
                    _LOG.warning("an idle session is still there: %s", error)
                except InUse:
                    pass

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """A place among the sessions, also while one is still on its way to disk.

        Raises:
            TooMany: completions keep the slots that are left.
        """
        if len(self.open) + self._opening >= self.settings.most_sessions:
            raise TooMany
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    def _new(self, memory: Float[Tensor, "K d"] | None = None) -> Session:
        inputs = [] if self._remembered and memory is None else None
        slot = self.pool.claim(memory)
        return Session(secrets.token_urlsafe(12), slot, Decoder(self.task), inputs=inputs, limit=self._remembered)

    def _from(self, mark: Mark) -> Session:
        session = self._new(mark.memory)
        session.read, session.inputs, session.decoder = mark.read, mark.inputs, Decoder(self.task, mark.tail)
        return session

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
        before = self.mark(session)
        try:
            yield session
        finally:
            await self._unhurried(self._finish(session, before))

    @asynccontextmanager
    async def passing(self, count: int) -> AsyncIterator[list[Session]]:
        """Sessions for the answers of one completion, all or none.

        Raises:
            Full, Busy: not now.
        """
        self.batcher.enter(count)
        sessions: list[Session] = []
        try:
            sessions.extend(self._new() for _ in range(count))
            yield sessions
        finally:
            for session in sessions:
                self.pool.release(session.slot)
            self.batcher.leave(count)

    def mark(self, session: Session) -> Mark:
        """The session as it is now."""
        return Mark(self.pool.memories[session.slot].clone(), session.read, session.inputs, session.decoder.tail)

    def go_back(self, session: Session, mark: Mark) -> None:
        """Let a session be as it was."""
        self.pool.memories[session.slot] = mark.memory
        session.read, session.inputs, session.decoder = mark.read, mark.inputs, Decoder(self.task, mark.tail)

    async def _unhurried(self, ending: Coroutine[Any, Any, None]) -> None:
        """Let it end, also when the request that waits for it is cancelled."""
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        await asyncio.shield(task)

    async def _finish(self, session: Session, before: Mark) -> None:
        """Keep the session; where that fails, it goes back."""
        try:
            await self._save(session)
        except CheckpointError:
            self.go_back(session, before)
            raise
        finally:
            session.in_use, session.used = False, time.monotonic()
            self.batcher.leave()

    # -- keeping ------------------------------------------------------------------------------------

    async def snapshot(self, session: Session) -> bytes:
        """The session as a file.

        Raises:
            CheckpointError: its memory is not finite.
        """
        session.used = time.monotonic()
        return await asyncio.to_thread(packed, self._taken(session), self._network)

    async def _save(self, session: Session) -> None:
        if self._store:
            await asyncio.to_thread(self._store.save, session.id, self._taken(session))

    def _taken(self, session: Session) -> Snapshot:
        mark = self.mark(session)
        return Snapshot(memory=mark.memory[None], length=mark.read, tail=mark.tail)

    def _restored(self, snapshot: Snapshot) -> Session:
        if len(snapshot.memory) != 1 or snapshot.pending is not None:
            raise ValueError("the snapshot is of a generation in Python; a session has one row, and nothing pending")
        return self._from(Mark(snapshot.memory[0], snapshot.length, None, snapshot.tail))
