"""A server that is killed at random instants, over and over: its sessions go on as if it had not been."""

import asyncio
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import httpx
import torch
from process import Server, process
from serving import student

from nounroll.core.seeding import generator

SESSIONS = 8


@dataclass
class Known:
    """A session as its client knows it.

    Attributes:
        read: what its memory has read, of which the server gave answer.
        asked: what it reads after that if the request under way came to its end; empty when none is.
        memory: as the last answer had it.
    """

    path: str
    read: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    memory: object = None


def written(read: list[int], count: int, seed: int) -> list[int]:
    """What the network writes after it has read this, without a server."""
    return student().generate(torch.tensor([read]), count, generator=generator(seed, "generate"))[0].tolist()


async def use(client: httpx.AsyncClient, session: Known, source: random.Random) -> None:
    """Feed it and let it write, until the server is gone."""
    while True:
        if session.read and source.random() < 0.5:
            count, seed = source.randrange(1, 9), source.randrange(1000)
            session.asked = written(session.read, count, seed)
            sent = {"max_tokens": count, "seed": seed, "watch": True}
            answer = (await client.post(f"{session.path}/sample", json=sent)).json()
            assert answer["elements"] == session.asked
        else:
            session.asked = [source.randrange(256) for _ in range(source.randrange(1, 9))]
            sent = {"inputs": session.asked, "watch": True}
            answer = (await client.post(f"{session.path}/feed", json=sent)).json()
        session.read, session.asked, session.memory = session.read + session.asked, [], answer["memory"]
        assert answer["read"] == len(session.read)


async def check(client: httpx.AsyncClient, session: Known) -> None:
    """After a death: nothing that was answered is lost, and what was under way has happened or has not."""
    answer = (await client.get(session.path)).json()
    if answer["read"] == len(session.read):
        assert session.memory in (None, answer["memory"]), "bit for bit"
    else:
        session.read += session.asked
        assert answer["read"] == len(session.read)
    session.asked, session.memory = [], answer["memory"]
    if session.read:
        with torch.no_grad():
            alone = student().rollout(torch.tensor([session.read]))[0, -1]
        torch.testing.assert_close(torch.tensor(answer["memory"]), alone, rtol=0, atol=1e-4)


async def live(server: Server, sessions: list[Known], source: random.Random) -> None:
    """One life of a server, ended by SIGKILL."""
    async with httpx.AsyncClient(base_url=server.address, timeout=60) as client:
        for session in sessions:
            await check(client, session)
        while len(sessions) < SESSIONS:
            sessions.append(Known(f"/v1/sessions/{(await client.post('/v1/sessions')).json()['id']}"))
        at_work = [asyncio.create_task(use(client, session, source)) for session in sessions]
        await asyncio.sleep(0.05 + 0.3 * source.random())
        server.process.kill()
        for ended in await asyncio.gather(*at_work, return_exceptions=True):
            if not isinstance(ended, httpx.TransportError):
                raise AssertionError("a client saw something else than a server that is gone") from ended


def test_killed_servers_lose_nothing(tmp_path: Path) -> None:
    kills = 50 if "NOUNROLL_NIGHTLY" in os.environ else 5
    source, sessions = random.Random(0), list[Known]()
    for _ in range(kills):
        with process(folder=tmp_path / "sessions") as server:
            asyncio.run(live(server, sessions, source))
    with process(folder=tmp_path / "sessions") as server, httpx.Client(base_url=server.address, timeout=60) as client:
        for session in sessions:
            assert client.get(session.path).json()["memory"] is not None
            wanted = {"max_tokens": 12, "seed": 1}
            read = client.get(session.path).json()["read"]
            known = session.read if read == len(session.read) else session.read + session.asked
            assert client.post(f"{session.path}/sample", json=wanted).json()["elements"] == written(known, 12, 1)
    assert min(len(session.read) for session in sessions) > 0
    print(f"{kills} kills, {sum(len(session.read) for session in sessions)} inputs in {SESSIONS} sessions")
