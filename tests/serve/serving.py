"""A tiny server, and what its tests ask of it."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient

from helpers import make_student, make_teacher
from nounroll.core.batch import Categorical
from nounroll.core.seeding import generator
from nounroll.data.corpus import ByteCorpus
from nounroll.models.student import Student
from nounroll.serve.app import create_app
from nounroll.serve.judge import Judge
from nounroll.serve.server import Server
from nounroll.serve.service import Service
from nounroll.serve.settings import ServeSettings

BYTES = Categorical(256)


@cache
def student(seed: int = 0) -> Student:
    return make_student("gru", BYTES, BYTES, seed=seed, dtype=torch.float32).eval()


def task() -> ByteCorpus:
    return ByteCorpus(tokens=np.frombuffer(b"It was a dark and stormy night. " * 60, np.uint8), name="x", first=b"\n")


def judge(length: int = 16) -> Judge:
    teacher = make_teacher(student(), dtype=torch.float32).eval()
    return Judge.of(teacher, student(), task(), length)


def app(*, folder: Path | None = None, judge: Judge | None = None, **settings: Any) -> FastAPI:
    return create_app(student(), task(), "tiny", ServeSettings(**settings), folder=folder, judge=judge)


def server(**how: Any) -> TestClient:
    return TestClient(app(**how), raise_server_exceptions=False)


def service(client: TestClient) -> Service:
    return client.app.state.service  # type: ignore[attr-defined]


@contextmanager
def listening(served: FastAPI, port: int = 0) -> Iterator[str]:
    """A real server in a thread; its address."""
    with socket.create_server(("127.0.0.1", port)) as own:
        running = Server(served, served.state.service)
        thread = Thread(target=running.run, kwargs={"sockets": [own]})
        thread.start()
        try:
            while not running.started:
                thread.join(0.01)
                assert thread.is_alive(), "the server did not start"
            yield f"http://127.0.0.1:{own.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()


# -- requests and what they should say ----------------------------------------------------------------


def body(**more: Any) -> dict[str, Any]:
    return {"model": "tiny", "prompt": "It was", "max_tokens": 12, **more}


def request(path: str, sent: dict[str, Any], length: int | None = None) -> bytes:
    """A request as bytes; ``length`` of its body when it is not as it says."""
    data = json.dumps(sent).encode()
    size = len(data) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + data


def connected(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), 20)


def offline(seed: int, steps: int, **how: Any) -> list[int]:
    """What the network writes after "It was", without a server."""
    prompt = torch.tensor([list(b"It was")])
    return student().generate(prompt, steps, generator=generator(seed, "generate"), **how)[0].tolist()


def fed(client: TestClient) -> str:
    """The route of a session that has read "It was"."""
    session = client.post("/v1/sessions").json()["id"]
    answer = client.post(f"/v1/sessions/{session}/feed", json={"text": "It was"})
    assert answer.json()["read"] == 6, answer.text
    return f"/v1/sessions/{session}"


def sampled(client: TestClient, session: str, **how: Any) -> list[int]:
    return client.post(f"{session}/sample", json={"max_tokens": 12, **how}).json()["elements"]
