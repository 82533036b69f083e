"""Many sessions for long: each as if it were alone, nothing left behind; and more clients than there is room for."""

import asyncio
import os
import random
import re
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import pytest

pytest.importorskip("fastapi")

import httpx
import torch
from process import Server, process
from serving import body, offline, student

SESSIONS = 64
SLOTS = 85  # of which completions keep 21
MIB = 1 << 20

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says what a process holds")


@dataclass
class Told:
    """One session as its client saw it, to be replayed when nobody's time is taken any more.

    Attributes:
        read: all its inputs, those included that it drew.
        drawn: the places of what it drew.
        logits: after so many inputs.
        memory: at the end.
    """

    read: list[int] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)
    logits: dict[int, torch.Tensor] = field(default_factory=dict)
    memory: torch.Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass
class Seen:
    """What the clients saw.

    Attributes:
        sessions: that came to their end.
        leaked: most free slots that were not cleared, at any look.
        answers: (when, how long it took) of each feed as clients saw it, in seconds.
        served: the same by the server's own clock: without the clients' share of the machine.
        resident: bytes that the server held, at each look.
    """

    sessions: list[Told] = field(default_factory=list)
    leaked: float = 0.0
    served: list[tuple[float, float]] = field(default_factory=list)
    answers: list[tuple[float, float]] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)


async def soak(server: Server, seconds: float) -> Seen:
    seen, end = Seen(), time.monotonic() + seconds
    async with AsyncExitStack() as stack:
        client, *clients = [await stack.enter_async_context(alone(server)) for _ in range(SESSIONS + 1)]
        users = [user(one, seen, end, seed) for seed, one in enumerate(clients)]
        await asyncio.gather(watch(server, client, seen, end), *users)
        text = (await client.get("/metrics")).text
        seen.leaked = max(seen.leaked, gauge(text, "leaked"))
        assert gauge(text, "taken") == 0
    seen.served = server.took()
    return seen


def alone(server: Server) -> httpx.AsyncClient:
    """A client with a connection of its own: to look through those of all takes longer than the server."""
    limits = httpx.Limits(max_connections=1, keepalive_expiry=2)  # before the server would close it
    return httpx.AsyncClient(base_url=server.address, timeout=60, limits=limits, verify=False, trust_env=False)


async def watch(server: Server, client: httpx.AsyncClient, seen: Seen, end: float) -> None:
    while time.monotonic() < end:
        await asyncio.sleep(0.25)
        seen.resident.append(server.resident)
        seen.leaked = max(seen.leaked, gauge((await client.get("/metrics")).text, "leaked"))


def gauge(text: str, name: str) -> float:
    found = re.search(rf"^nounroll_slots_{name} (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


async def user(client: httpx.AsyncClient, seen: Seen, end: float, seed: int) -> None:
    """Opens one session after another; each is fed, writes, stalls, and is closed."""
    source = random.Random(seed)
    while time.monotonic() < end:
        path = f"/v1/sessions/{(await client.post('/v1/sessions')).json()['id']}"
        told = Told()
        read = told.read
        for _ in range(source.randrange(1, 9)):
            if read and source.random() < 0.3:
                wanted = {"max_tokens": source.randrange(1, 9), "temperature": 0.0}
                elements = (await client.post(f"{path}/sample", json=wanted)).json()["elements"]
                told.drawn.extend(range(len(read), len(read) + len(elements)))
                read.extend(elements)
            else:
                inputs = [source.randrange(256) for _ in range(source.randrange(1, 7))]
                start = time.monotonic()
                answer = (await client.post(f"{path}/feed", json={"inputs": inputs})).json()
                seen.answers.append((start, time.monotonic() - start))
                read.extend(inputs)
                told.logits[len(read)] = torch.tensor(answer["logits"])
            if source.random() < 0.3:
                await asyncio.sleep(source.random() * 0.2)
        told.memory = torch.tensor((await client.get(path)).json()["memory"])
        seen.sessions.append(told)
        await client.delete(path)


@torch.no_grad()
def difference(told: Told) -> float:
    """The largest one of any memory, logit or greedy choice from a network that reads the same alone; NaN: infinity."""
    memories = student().rollout(torch.tensor([told.read]))[0]  # index 0 is the empty memory
    alone = student().readout(memories)
    found = [told.memory - memories[-1]]
    found += [values - alone[count] for count, values in told.logits.items()]
    found += [alone[place].max() - alone[place, told.read[place]] for place in told.drawn]  # 0: the most likely
    return max(float(one.abs().max().nan_to_num(torch.inf)) for one in found)


def p99(answers: list[tuple[float, float]]) -> tuple[float, float]:
    """In the first fifth of the time and in the last, in seconds."""
    first, last = min(answers)[0], max(answers)[0]
    fifth = (last - first) / 5
    early = [took for when, took in answers if when < first + fifth]
    late = [took for when, took in answers if when > last - fifth]
    return quantiles(early, n=100)[-1], quantiles(late, n=100)[-1]


def long(gate: float, nightly: float) -> float:
    return nightly if "NOUNROLL_NIGHTLY" in os.environ else gate


@pytest.mark.nightly
def test_every_session_is_as_if_it_were_alone() -> None:
    seconds = long(8, 300)
    with process(slots=SLOTS) as server:
        seen = asyncio.run(soak(server, seconds))
    worst = max(map(difference, seen.sessions))
    settled = seen.resident[len(seen.resident) // 5]
    print(f"{len(seen.sessions)} sessions in {seconds:g} s: off by at most {worst:.1e}, {seen.leaked:g} leaks")
    print(f"memory {settled / MIB:.1f} MiB and {seen.resident[-1] / MIB:.1f} MiB")
    for name, answers in (("the server's", seen.served), ("the clients'", seen.answers)):
        early, late = p99(answers)
        print(f"p99 of {len(answers)} feeds by {name} clock: {early:.3f} s at the start, {late:.3f} s at the end")
    assert len(seen.sessions) > SESSIONS, "no slot was used twice"
    assert worst < 1e-4
    assert seen.leaked == 0
    assert max(seen.resident) < settled + 8 * MIB
    if seconds > 60:  # less is noise
        early, late = p99(seen.served)
        assert late <= 1.2 * early


def test_control_slots_that_are_not_cleared_are_seen() -> None:
    with process(slots=SLOTS, planted="slots are not cleared") as server:
        assert asyncio.run(soak(server, 1)).leaked > 0


@pytest.mark.parametrize(
    ("read", "drawn", "off"), [([1, 2, 3], [], 0.0), ([1, 2, 4], [], 1e-3), ([1, 2, 3], [2], 1e-3)], ids=str
)
@torch.no_grad()
def test_control_other_inputs_or_draws_are_seen(read: list[int], drawn: list[int], off: float) -> None:
    memory = student().rollout(torch.tensor([[1, 2, 3]]))[0, -1]
    found = difference(Told(read=read, drawn=drawn, memory=memory))
    assert found > off if off else found < 1e-5


@pytest.mark.parametrize(("slots", "queue", "refusal"), [(6, 8, 429), (8, 6, 503)])
def test_more_clients_than_there_is_room_for(slots: int, queue: int, refusal: int) -> None:
    """Ten times as many and more: each is served rightly or refused, and soon after all is well."""
    right = {seed: bytes(offline(seed, 12)).decode(errors="replace") for seed in range(80)}
    statuses: Counter[int] = Counter()

    async def insist(client: httpx.AsyncClient, seed: int, end: float) -> None:
        while time.monotonic() < end:
            answer = await client.post("/v1/completions", json=body(seed=seed))
            statuses[answer.status_code] += 1
            if answer.status_code == 200:
                assert answer.json()["choices"][0]["text"] == right[seed]

    async def overload(server: Server) -> None:
        limits = httpx.Limits(max_connections=len(right))
        async with httpx.AsyncClient(base_url=server.address, timeout=60, limits=limits) as client:
            end = time.monotonic() + long(2, 30)
            await asyncio.gather(*[insist(client, seed, end) for seed in right])
            end = time.monotonic() + 5
            while (await client.post("/v1/completions", json=body(seed=1))).status_code != 200:
                assert time.monotonic() < end, "it has not recovered within 5 s"
            text = (await client.get("/metrics")).text
            assert (gauge(text, "taken"), gauge(text, "leaked")) == (0, 0)

    with process(slots=slots, queue=queue) as server:
        asyncio.run(overload(server))
    print(dict(statuses))
    assert set(statuses) == {200, refusal}
