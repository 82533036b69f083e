"""Sessions as memories of the pool: new sessions, and marks to continue from."""

import secrets

from nounroll.data.task import SequenceTask
from nounroll.models.snapshot import Snapshot
from nounroll.serve.pool import Pool
from nounroll.serve.session import Mark, Session
from nounroll.serve.text import Decoder


class Memories:
    """Factory of sessions, which can also move a session to another state.

    Args:
        task: the task whose elements sessions read.
        pool: the memories.
        remembered: largest number of inputs that a session keeps for the judge.
    """

    def __init__(self, task: SequenceTask, pool: Pool, remembered: int) -> None:
        self.task, self.pool, self._remembered = task, pool, remembered

    def new(self, mark: Mark | None = None) -> Session:
        """Open a session that has read nothing, or that continues from another session's mark.

        Raises:
            Full: there is no slot for it.
        """
        slot = self.pool.claim(None if mark is None else mark.memory)
        inputs = [] if self._remembered else None
        session = Session(secrets.token_urlsafe(12), slot, Decoder(self.task), inputs=inputs, limit=self._remembered)
        if mark is not None:
            self.go_back(session, mark)
        return session

    def mark(self, session: Session) -> Mark:
        """Mark the current state of a session."""
        return Mark(self.pool.memories[session.slot].clone(), session.read, session.inputs, session.decoder.context)

    def go_back(self, session: Session, mark: Mark) -> None:
        """Set a session to a marked state, of itself or of another session."""
        self.pool.memories[session.slot] = mark.memory
        session.read, session.inputs, session.decoder = mark.read, mark.inputs, Decoder(self.task, mark.context)

    def begin(self, session: Session) -> None:
        """Reset a session to the empty memory."""
        empty = self.pool.student.empty_memory.detach()
        self.go_back(session, Mark(empty, 0, [] if self._remembered else None, ()))

    def snapshot(self, session: Session) -> Snapshot:
        """Return the session's state as data."""
        mark = self.mark(session)
        return Snapshot(memory=mark.memory[None], length=mark.read, context=mark.context)

    def restored(self, snapshot: Snapshot) -> Session:
        """Open a session that continues from a snapshot.

        Raises:
            ValueError: the snapshot has several rows, or is of a generation in Python.
            Full: there is no slot for it.
        """
        if len(snapshot.memory) != 1 or snapshot.pending is not None:
            raise ValueError("the snapshot is of a generation in Python; a session has one row, and nothing pending")
        return self.new(Mark(snapshot.memory[0], snapshot.length, None, snapshot.context))
