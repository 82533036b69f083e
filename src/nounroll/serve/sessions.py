"""Open sessions of a server: locking, expiry, and storage on disk."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nounroll.models.snapshot import fingerprint
from nounroll.models.student import Student
from nounroll.serve.archive import packed, unpacked
from nounroll.serve.batcher import Batcher
from nounroll.serve.memories import Memories
from nounroll.serve.pool import Full
from nounroll.serve.session import Mark, Session
from nounroll.serve.settings import ServeSettings
from nounroll.serve.store import Store
from nounroll.storage.checkpoint import CheckpointError

_LOG = logging.getLogger(__name__)
_SWEEPS = 10  # checks for idle sessions per idle time
_MOST_SECONDS = 30.0  # between two checks


class InUse(Exception):
    """Another request is using the session."""


class TooMany(Full):
    """Sessions have all slots that are not reserved for completions."""


class Sessions:
    """Table of the open sessions; it opens, stores and closes them.

    If there is a folder, a session is on disk before its request is answered. When the server dies, an active request
    is either complete or without effect.

    Args:
        student: the served student.
        memories: the sessions' memories.
        batcher: steps them.
        settings: the server's settings.
        folder: stores the sessions; None keeps them in memory only.

    Attributes:
        open: sessions by id, without those of completions.
        set_aside: one line for each damaged session that the folder held.
    """

    def __init__(
        self,
        student: Student,
        memories: Memories,
        batcher: Batcher,
        settings: ServeSettings,
        folder: Path | None = None,
    ) -> None:
        self.student, self.memories, self.batcher, self.settings = student, memories, batcher, settings
        self.open: dict[str, Session] = {}
        self._opening = 0
        self._network = fingerprint(student)
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
        """Open the sessions in the folder, and set damaged ones aside."""
        kept, self.set_aside = store.load()
        if len(kept) > len(self.memories.pool.memories):
            raise ValueError(f"slots is {len(self.memories.pool.memories)}; {store.folder} holds {len(kept)} sessions")
        for id, snapshot in kept.items():
            session = self.memories.restored(snapshot)
            session.id = id
            self.open[id] = session

    async def end(self) -> None:
        """Wait until every session is stored."""
        while self._ending:
            await asyncio.wait(self._ending)
        if self._store:
            self._store.close()

    # -- opening and closing ------------------------------------------------------------------------

    async def create(self) -> Session:
        """Open a session that has read nothing.

        Raises:
            Full: there is no slot for it.
        """
        return await self._opened(self.memories.new)

    async def fork(self, session: Session) -> Session:
        """Open a second session with the same memory."""
        return await self._opened(lambda: self.memories.new(self.memories.mark(session)))

    async def restore(self, body: bytes) -> Session:
        """Open a session from a snapshot.

        Raises:
            ValueError: the body is no snapshot, or it is of another model or holds NaN.
            Full: there is no slot for it.
        """
        snapshot = await asyncio.to_thread(unpacked, body, self.student, self._network)
        return await self._opened(lambda: self.memories.restored(snapshot))

    async def close(self, session: Session) -> None:
        """Remove a session from disk, then from memory.

        Raises:
            InUse: another request is using it.
            CheckpointError: it could not be removed and is still open.
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
        self.memories.pool.release(session.slot)

    async def expire(self) -> None:
        """Close idle sessions for ever; cancel it to stop."""
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

    async def _opened(self, make: Callable[[], Session]) -> Session:
        """Open the session of ``make`` and store it, even if the client leaves meanwhile.

        Raises:
            TooMany: the free slots are reserved for completions.
        """
        if len(self.open) + self._opening >= self.settings.most_sessions:
            raise TooMany
        session = make()
        self._opening += 1
        await self._unhurried(self._open(session))
        return session

    async def _open(self, session: Session) -> None:
        try:
            await self._save(session)
        except BaseException:
            self.memories.pool.release(session.slot)
            raise
        else:
            self.open[session.id] = session
        finally:
            self._opening -= 1

    # -- working ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def working(self, session: Session, *, whole: bool) -> AsyncIterator[Session]:
        """Lock a session for one request, take a place in the queue, and store the result.

        Args:
            session: the session to lock.
            whole: if the work fails or the client leaves, the session returns to its state before.

        Raises:
            InUse, Busy: not now.
            CheckpointError: it could not be stored; its earlier state is restored.
        """
        if session.in_use:
            raise InUse
        self.batcher.enter()
        session.in_use = True
        before = self.memories.mark(session)
        try:
            yield session
        except BaseException:
            if whole:
                self.memories.go_back(session, before)
            raise
        finally:
            await self._unhurried(self._finish(session, before))

    @asynccontextmanager
    async def passing(self, count: int) -> AsyncIterator[list[Session]]:
        """Open sessions for the answers of one completion, all or none.

        Raises:
            Full, Busy: not now.
        """
        self.batcher.enter(count)
        sessions: list[Session] = []
        try:
            sessions.extend(self.memories.new() for _ in range(count))
            yield sessions
        finally:
            for session in sessions:
                self.memories.pool.release(session.slot)
            self.batcher.leave(count)

    async def _unhurried(self, ending: Coroutine[Any, Any, None]) -> None:
        """Wait for ``ending``; it completes even if the waiting request is cancelled."""
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        await asyncio.shield(task)

    async def _finish(self, session: Session, before: Mark) -> None:
        """Store the session; if that fails, restore its state before."""
        try:
            await self._save(session)
        except CheckpointError:
            self.memories.go_back(session, before)
            raise
        finally:
            session.in_use, session.used = False, time.monotonic()
            self.batcher.leave()

    # -- keeping ------------------------------------------------------------------------------------

    async def snapshot(self, session: Session) -> bytes:
        """Return the session as a file.

        Raises:
            CheckpointError: the session's memory is not finite.
        """
        session.used = time.monotonic()
        return await asyncio.to_thread(packed, self.memories.snapshot(session), self._network)

    async def _save(self, session: Session) -> None:
        if self._store:
            await asyncio.to_thread(self._store.save, session.id, self.memories.snapshot(session))
