"""Sessions as memories of the pool: new ones, and marks from which they continue."""

import secrets

from nounroll.data.task import SequenceTask
from nounroll.models.snapshot import Snapshot
from nounroll.serve.pool import Pool
from nounroll.serve.session import Mark, Session
from nounroll.serve.text import Decoder


class Memories:
    """Makes sessions and moves them between instants.

    Args:
        task: whose elements they read.
        pool: of the memories.
        remembered: inputs that a session holds for its teacher's judgement.
    """

    def __init__(self, task: SequenceTask, pool: Pool, remembered: int) -> None:
        self.task, self.pool, self._remembered = task, pool, remembered

    def new(self, mark: Mark | None = None) -> Session:
        """Open a session that has read nothing, or that continues from a mark of another.

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
        return Mark(self.pool.memories[session.slot].clone(), session.read, session.inputs, session.decoder.tail)

    def go_back(self, session: Session, mark: Mark) -> None:
        """Let a session be as it was, or as another is."""
        self.pool.memories[session.slot] = mark.memory
        session.read, session.inputs, session.decoder = mark.read, mark.inputs, Decoder(self.task, mark.tail)

    def begin(self, session: Session) -> None:
        """Let a session be as one that has read nothing."""
        empty = self.pool.student.empty_memory.detach()
        self.go_back(session, Mark(empty, 0, [] if self._remembered else None, b""))

    def snapshot(self, session: Session) -> Snapshot:
        """The session as data."""
        mark = self.mark(session)
        return Snapshot(memory=mark.memory[None], length=mark.read, tail=mark.tail)

    def restored(self, snapshot: Snapshot) -> Session:
        """Open a session that continues from a snapshot.

        Raises:
            ValueError: it is of several rows, or of a generation in Python.
            Full: there is no slot for it.
        """
        if len(snapshot.memory) != 1 or snapshot.pending is not None:
            raise ValueError("the snapshot is of a generation in Python; a session has one row, and nothing pending")
        return self.new(Mark(snapshot.memory[0], snapshot.length, None, snapshot.tail))
