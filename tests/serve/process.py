"""A server in a process of its own: what it takes can be weighed, and it can be killed."""

import os
import socket
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

import uvicorn
from serving import app
from starlette.types import ASGIApp, Receive, Scope, Send

from nounroll.serve.pool import Pool

_CONTEXT = get_context("forkserver")  # torch is imported once, so that a server starts at once
_CONTEXT.set_forkserver_preload(["serving"])


@dataclass
class Server:
    address: str
    process: BaseProcess
    pipe: Connection

    @property
    def resident(self) -> int:
        """Bytes of main memory that it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def took(self) -> list[tuple[float, float]]:
        """Of each feed by the server's own clock: when it came and how long until its answer was sent, in seconds."""
        self.pipe.send(None)
        pairs = iter(self.pipe.recv())
        return list(zip(pairs, pairs, strict=True))


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
        yield Server(f"http://127.0.0.1:{ours.recv()}", child, ours)
    finally:
        child.kill()
        child.join()


class Timed:
    """Around the whole server: the clock of every feed. Few bytes each, so that the memory stays to be weighed."""

    def __init__(self, served: ASGIApp) -> None:
        self.served, self.took = served, array("d")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.monotonic()
        await self.served(scope, receive, send)
        if scope.get("path", "").endswith("/feed"):
            self.took.extend((start, time.monotonic() - start))


def _serve(pipe: Connection, how: dict[str, Any]) -> None:
    if how.pop("careless", False):
        Pool._clear = lambda pool, slot: None
    served = Timed(app(**how))

    def tell() -> None:
        while True:
            pipe.recv()
            pipe.send(list(served.took))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        pipe.send(listening.getsockname()[1])
        Thread(target=tell, daemon=True).start()
        uvicorn.Server(uvicorn.Config(served, log_level="critical")).run(sockets=[listening])
