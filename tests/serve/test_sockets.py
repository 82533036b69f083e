"""Clients over real sockets that leave early, do not read, or send what is no request."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("fastapi")

import httpx
from fastapi import FastAPI
from serving import app, body, connected, listening, offline, request

from nounroll.serve import connection
from nounroll.serve.service import Service


def within(seconds: float, true: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def is_right(address: str) -> bool:
    """Whether a completion is still what the network writes."""
    answer = httpx.post(f"{address}/v1/completions", json=body(seed=1), timeout=20).json()
    return answer["choices"][0]["text"] == bytes(offline(1, 12)).decode(errors="replace")


def parts(served: FastAPI) -> Service:
    return served.state.service


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_memory(stream: bool) -> None:
    served = app(tokens=1_000_000)
    with listening(served) as address:
        pool = parts(served).pool
        with connected(address) as client:
            client.sendall(request("/v1/completions", body(max_tokens=1_000_000, stream=stream)))
            assert within(20, lambda: pool.taken == 1)
        assert within(20, lambda: pool.taken == 0)
        assert pool.leaks() == 0
        assert is_right(address)


def test_a_client_that_does_not_read_is_cut_off() -> None:
    served = app(tokens=1_000_000, send_seconds=0.2)
    with listening(served) as address:
        pool = parts(served).pool
        with connected(address) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            session = httpx.post(f"{address}/v1/sessions", timeout=20).json()["id"]
            httpx.post(f"{address}/v1/sessions/{session}/feed", json={"text": "It was"}, timeout=20)
            sent = {"max_tokens": 1_000_000, "stream": True, "watch": True}
            client.sendall(request(f"/v1/sessions/{session}/sample", sent))
            kept = parts(served).sessions.open[session]
            assert within(20, lambda: kept.in_use)
            assert is_right(address), "others are served meanwhile"
            assert within(60, lambda: not kept.in_use)
        assert pool.taken == 1
        assert httpx.delete(f"{address}/v1/sessions/{session}", timeout=20).status_code == 204


@pytest.mark.parametrize(
    "sent",
    [
        b"\0" * 1000,
        b"GET / HTTX/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",  # and leaves
    ],
    ids=lambda sent: repr(sent[:20]),
)
def test_what_is_no_request_asks_for_nothing(sent: bytes) -> None:
    served = app()
    with listening(served) as address:
        with connected(address) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(1000)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        assert is_right(address)
        assert parts(served).pool.taken == 0


def test_a_client_that_sends_far_too_much_sees_why() -> None:
    with listening(app()) as address:
        answer = httpx.post(f"{address}/v1/completions", content=b" " * 20_000_000, timeout=20)
        assert answer.status_code == 413
        assert "larger than" in answer.json()["error"]["message"]
        assert is_right(address)


def test_a_body_without_an_end_is_refused() -> None:
    def chunks() -> Iterator[bytes]:
        while True:
            yield b" " * 65536

    with listening(app()) as address:
        try:
            status = httpx.post(f"{address}/v1/completions", content=chunks(), timeout=20).status_code
        except (httpx.WriteError, httpx.ReadError):
            status = 413  # the answer was lost with the connection that it closed
        assert status == 413
        assert is_right(address)


HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("before", [b"", HEAD + b"\r\n"], ids=["the first", "a later one"])
@pytest.mark.parametrize("sent", [b"", HEAD], ids=["nothing", "half"])
def test_a_head_that_does_not_come_is_not_waited_for(
    before: bytes, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it comes byte by byte; uvicorn's own deadline is for those that send nothing after an answer."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    with listening(app()) as address, connected(address) as client:
        if before:
            client.sendall(before)
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
        client.sendall(sent)
        client.settimeout(0.05)
        start = time.monotonic()
        while time.monotonic() < start + 20:
            try:
                if sent:
                    client.sendall(b"a")
                if client.recv(1000) == b"":
                    break
            except TimeoutError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                break
        assert time.monotonic() - start < 15
        assert is_right(address)


def test_an_answer_may_take_longer_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    with listening(app()) as address:
        answer = httpx.post(f"{address}/v1/completions", json=body(max_tokens=1000), timeout=60)
        assert answer.json()["usage"]["completion_tokens"] == 1000
