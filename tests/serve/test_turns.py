"""Turns: in order, apart from each other while the network is at work, and free for all when it is not."""

import asyncio
import time

import pytest

pytest.importorskip("fastapi")

from serving import fed, judge, server, service

from nounroll.serve import turns
from nounroll.serve.turns import Turns


async def taken(of: Turns, count: int) -> tuple[list[int], float]:
    """The order in which requests had their turns, and the seconds that it took."""
    order: list[int] = []

    async def one(number: int) -> None:
        await of.wait()
        order.append(number)

    start = time.monotonic()
    await asyncio.gather(*map(one, range(count)))
    return order, time.monotonic() - start


def test_turns_are_in_order_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network waits here, so that the processor's clock stands and the longest time counts."""
    monkeypatch.setattr(turns, "_LONGEST", 0.05)
    order, took = asyncio.run(taken(Turns(lambda: True), 8))
    assert order == list(range(8))
    assert took > 0.2


def test_without_work_there_is_no_wait() -> None:
    order, took = asyncio.run(taken(Turns(lambda: False), 1000))
    assert order == list(range(1000))
    assert took < 5


def test_whoever_leaves_the_queue_takes_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LONGEST", 0.2)

    async def left() -> float:
        queue = Turns(lambda: True)
        await queue.wait()
        waiting = [asyncio.create_task(queue.wait()) for _ in range(100)]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        start = time.monotonic()
        await queue.wait()
        return time.monotonic() - start

    assert asyncio.run(left()) < 2


def test_a_judgement_holds_no_step_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a thread of its own, and takes a place in the queue."""
    with server(judge=judge(length=16), queue=2) as client:
        session, other = fed(client), fed(client)
        told = service(client).judge
        assert told is not None

        def slow(*given: object) -> object:
            time.sleep(3)
            return verdict(*given)  # type: ignore[arg-type]

        verdict = told.verdict
        object.__setattr__(told, "verdict", slow)
        assert client.portal is not None
        looking = client.portal.start_task_soon(_look, client.app, session)
        end = time.monotonic() + 20
        while not service(client).batcher.at_work:
            assert time.monotonic() < end
        start = time.monotonic()
        assert client.post(f"{other}/sample", json={"max_tokens": 4}).status_code == 200
        assert time.monotonic() - start < 2
        service(client).batcher.queue = 1
        assert client.post(f"{other}/sample", json={"max_tokens": 4}).status_code == 503
        assert looking.result(20) == 200


async def _look(app: object, session: str) -> int:
    import httpx

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", timeout=20
    ) as client:  # type: ignore[arg-type]
        return (await client.get(session)).status_code
