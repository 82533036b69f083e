"""A server in a process of its own: what it takes can be weighed, and it can be killed."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvicorn
from serving import app

from nounroll.serve.pool import Pool

_CONTEXT = get_context("forkserver")  # torch is imported once, so that a server starts at once
_CONTEXT.set_forkserver_preload(["serving"])


@dataclass
class Server:
    address: str
    process: BaseProcess

    @property
    def resident(self) -> int:
        """Bytes of main memory that it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def process(**how: Any) -> Iterator[Server]:
    """Settings and ``folder`` of the server; ``careless``: with a pool that does not clear its slots."""
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        forkserver.ensure_running()
    ours, theirs = _CONTEXT.Pipe()
    child = _CONTEXT.Process(target=_serve, args=(theirs, how))
    child.start()
    try:
        assert ours.poll(60), "the server did not start"
        yield Server(f"http://127.0.0.1:{ours.recv()}", child)
    finally:
        child.kill()
        child.join()


def _serve(started: Connection, how: dict[str, Any]) -> None:
    if how.pop("careless", False):
        Pool._clear = lambda pool, slot: None
    served = app(**how)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        started.send(listening.getsockname()[1])
        uvicorn.Server(uvicorn.Config(served, log_level="critical")).run(sockets=[listening])
