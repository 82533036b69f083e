"""A server outlives its clients: those that leave, that never ask, that open all sessions, and that ask without end.

Each test has its control: the same against a server in which the bound is missing.
"""

import asyncio
import os
import re
import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import httpx
from process import Server, process
from serving import body, connected, offline, request

NIGHTLY = "NOUNROLL_NIGHTLY" in os.environ
PROMPT = "x" * 8192

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux says what a process holds")


def until_answered(server: Server, give_up: float) -> float:
    """Seconds until a completion is answered rightly; ``give_up`` where it is not."""
    start = time.monotonic()
    while (took := time.monotonic() - start) < give_up:
        try:
            answer = httpx.post(f"{server.address}/v1/completions", json=body(seed=1), timeout=give_up - took)
        except httpx.TransportError:
            continue
        if answer.status_code == 200:
            assert answer.json()["choices"][0]["text"] == bytes(offline(1, 12)).decode(errors="replace")
            return time.monotonic() - start
        time.sleep(0.05)
    return give_up


def metric(server: Server, name: str) -> float:
    found = re.search(
        rf"^nounroll_{name} (\S+)$", httpx.get(f"{server.address}/metrics", timeout=20).text, re.MULTILINE
    )
    assert found is not None
    return float(found[1])


# -- clients that leave -------------------------------------------------------------------------------


def after_abandoned_prompts(server: Server, count: int, path: str) -> float:
    """Seconds until the next request is answered, after as many clients as the queue takes have left."""
    sent = body(prompt=PROMPT) if path.endswith("/completions") else {"text": PROMPT}
    paths = [path] * count
    if "{}" in path:
        paths = [path.format(httpx.post(f"{server.address}/v1/sessions", timeout=20).json()["id"]) for _ in paths]
    with ExitStack() as stack:
        for one in paths:
            stack.enter_context(connected(server.address)).sendall(request(one, sent))
        end = time.monotonic() + 20
        while metric(server, "slots_taken") < count or metric(server, "elements_total") < count:
            assert time.monotonic() < end, "the server does not read the prompts"
    return until_answered(server, 20)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/sessions/{}/feed"])
def test_work_for_clients_that_have_gone_stops(path: str) -> None:
    count = 128 if NIGHTLY else 16
    with process(queue=count) as server:
        took = after_abandoned_prompts(server, count, path)
        steps = metric(server, "steps_total")
        assert metric(server, "steps_total") == steps, "something steps still"
        sessions = httpx.get(f"{server.address}/v1/sessions", timeout=20).json()["data"]
        assert {one["read"] for one in sessions} <= {0, len(PROMPT)}, "a prompt is read whole or not at all"
    print(f"the next request after {count} abandoned prompts at {path}: {took:.2f} s")
    assert took < 2


@pytest.mark.nightly
def test_control_work_that_goes_on_is_seen() -> None:
    with process(queue=16, planted="work goes on without its client") as server:
        assert after_abandoned_prompts(server, 16, "/v1/completions") > 2


# -- clients that never ask ---------------------------------------------------------------------------

HALVES = {
    "nothing": b"",
    "half a head": b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-",
    "a head without its body": request("/v1/completions", body(), length=900),
    "no request": b"\0\r\n\r\n",
}


@contextmanager
def half_open(server: Server, count: int) -> Iterator[None]:
    """Hold connections that ask for nothing, of all kinds in turn."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 500)), hard))
    try:
        with ExitStack() as stack:
            for i in range(count):
                client = stack.enter_context(connected(server.address))
                with suppress(BrokenPipeError, ConnectionResetError):  # it is closed already
                    client.sendall(list(HALVES.values())[i % len(HALVES)])
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def test_half_open_connections_leave_room_for_others(tmp_path: Path) -> None:
    with process(descriptors=256, log=tmp_path / "log", folder=tmp_path / "sessions") as server:
        with half_open(server, 1000):
            worst = max(until_answered(server, 20) for _ in range(20))
            assert httpx.post(f"{server.address}/v1/sessions", timeout=20).status_code == 201, "files can be opened"
            held = descriptors(server)
        written = (tmp_path / "log").stat().st_size
    print(f"beside 1000 half-open connections: {worst:.2f} s at most, {held} descriptors, {written} bytes of log")
    assert worst < 5
    assert held < 256
    assert written < 1 << 20


@pytest.mark.nightly
def test_control_connections_without_a_bound_are_seen(tmp_path: Path) -> None:
    with (
        process(descriptors=256, log=tmp_path / "log", planted="connections are not bounded") as server,
        half_open(server, 1000),
    ):
        assert until_answered(server, 5) == 5


# -- a client that opens all sessions -----------------------------------------------------------------


@pytest.mark.nightly
def test_sessions_leave_room_for_completions() -> None:
    with process(slots=256) as server, httpx.Client(base_url=server.address, timeout=60) as client:
        answers = [client.post("/v1/sessions") for _ in range(250)]
        assert Counter(answer.status_code for answer in answers) == {201: 192, 429: 58}
        assert "GET /v1/sessions" in answers[-1].json()["error"]["message"]
        assert until_answered(server, 20) < 20
        listed = client.get("/v1/sessions").json()
        assert [one["id"] for one in listed["data"]] == [one.json()["id"] for one in answers[:192]]
        assert listed["most"] == 192
        client.delete(f"/v1/sessions/{listed['data'][0]['id']}")
        assert client.post("/v1/sessions").status_code == 201


def test_control_sessions_that_take_all_slots_are_seen() -> None:
    with process(slots=32, planted="sessions may take all slots") as server:
        for _ in range(32):
            httpx.post(f"{server.address}/v1/sessions", timeout=20)
        assert until_answered(server, 2) == 2


# -- clients that ask without end ---------------------------------------------------------------------


async def loop(server: Server, path: str, end: asyncio.Event) -> int:
    """GET again and again on one connection; how often."""
    host, port = server.address.removeprefix("http://").split(":")
    count = 0
    while not end.is_set():
        reader, writer = await asyncio.open_connection(host, int(port))
        while not end.is_set():
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            count += 1
        writer.close()
    return count


def processor(server: Server) -> float:
    """Seconds of the processor that a server has taken."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def slowdown(server: Server, path: str, rounds: int = 2, tokens: int = 1500) -> tuple[float, float, int]:
    """How many times its time alone a completion takes beside 64 GET loops, the least of both; answers to the loops.

    By the clock, and by the server's processor time, which other work on the machine does not change.
    """
    alone, beside, answered = [], [], 0
    async with httpx.AsyncClient(base_url=server.address, timeout=300, trust_env=False) as client:

        async def timed() -> tuple[float, float]:
            start = time.perf_counter(), processor(server)
            answer = await client.post("/v1/completions", json=body(max_tokens=tokens, seed=1))
            assert answer.status_code == 200
            return time.perf_counter() - start[0], processor(server) - start[1]

        await timed()
        for _ in range(rounds):
            alone.append(await timed())
            end = asyncio.Event()
            running = [asyncio.create_task(loop(server, path, end)) for _ in range(64)]
            await asyncio.sleep(0.5)
            beside.append(await timed())
            end.set()
            answered += sum(await asyncio.gather(*running))
    clock, own = (min(b) / min(a) for a, b in zip(zip(*alone, strict=True), zip(*beside, strict=True), strict=True))
    return clock, own, answered


@pytest.mark.parametrize("path", ["/health", "/v1/sessions", "/metrics", "/nothing"] if NIGHTLY else ["/v1/sessions"])
def test_get_loops_leave_the_network_its_time(path: str) -> None:
    with process() as server:
        clock, own, answered = asyncio.run(slowdown(server, path))
    print(f"beside 64 loops of GET {path}, a completion takes {clock:.2f} times its time alone; {answered} answers")
    print(f"by the server's processor time {own:.2f} times")
    assert answered > 64
    assert own < 2  # by the clock too where nothing else runs: other tests take more from one side than from the other


@pytest.mark.nightly  # a ratio of times, which other tests beside it blur
def test_control_loops_without_turns_are_seen() -> None:
    with process(planted="requests take no turns") as server:
        own = asyncio.run(slowdown(server, "/v1/sessions", rounds=1, tokens=200))[1]
        print(f"without turns {own:.2f} times")
        assert own > 2
