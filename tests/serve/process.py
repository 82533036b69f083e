"""A server in a process of its own: what it takes can be weighed, and it can be killed."""

import os
import resource
import socket
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

from serving import app
from starlette.types import ASGIApp, Receive, Scope, Send

import forked
from nounroll.serve import guard
from nounroll.serve.connection import Connection
from nounroll.serve.pool import Pool
from nounroll.serve.server import Server as Served
from nounroll.serve.settings import ServeSettings
from nounroll.serve.turns import Turns


@dataclass
class Server:
    address: str
    process: BaseProcess
    pipe: Pipe

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
    """Run a server.

    Args:
        how: settings and ``folder`` of the server; ``descriptors``: that it may open; ``log``: a file for its stderr;
            ``planted``: a fault of ``_FAULTS``.
    """
    forked.ensure_running()
    ours, theirs = forked.CONTEXT.Pipe()
    child = forked.CONTEXT.Process(target=_serve, args=(theirs, how))
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


async def _regardless(app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Run an app without looking whether its client is still there."""
    sent = False

    async def replay() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    await app(scope, replay, send)


async def _at_once(turns: Turns) -> None:
    pass


# What each test must catch, by name.
_FAULTS: dict[str, list[tuple[Any, str, Any]]] = {
    "slots are not cleared": [(Pool, "_clear", lambda pool, slot: None)],
    "work goes on without its client": [(guard, "while_present", _regardless)],
    "connections are not bounded": [(Connection, "_make_room", lambda connection: None)],
    "requests take no turns": [(Turns, "wait", _at_once)],
    "sessions may take all slots": [(ServeSettings, "most_sessions", property(lambda settings: settings.slots))],
}


def _serve(pipe: Pipe, how: dict[str, Any]) -> None:
    for place, name, fault in _FAULTS[how.pop("planted")] if "planted" in how else []:
        setattr(place, name, fault)
    if "descriptors" in how:
        limit = how.pop("descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    if "log" in how:
        os.dup2(os.open(how.pop("log"), os.O_WRONLY | os.O_CREAT, 0o600), 2)
    inner = app(**how)
    served = Timed(inner)

    def tell() -> None:
        while True:
            pipe.recv()
            pipe.send(list(served.took))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        pipe.send(listening.getsockname()[1])
        Thread(target=tell, daemon=True).start()
        Served(served, inner.state.service).run(sockets=[listening])
