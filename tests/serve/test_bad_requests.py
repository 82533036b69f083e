"""Bad input is refused in one line, the server goes on, and other sessions stay as they are, bit for bit."""

import asyncio
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

import torch
from fastapi.testclient import TestClient
from safetensors.torch import load, save
from serving import body, fed, offline, sampled, server, service, student

from nounroll.models.snapshot import Snapshot, fingerprint
from nounroll.serve.archive import pack
from nounroll.storage.checkpoint import write


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A server with a session that no mistake may touch."""
    with server(token="secret", send_seconds=0.3) as one:
        one.headers["Authorization"] = "Bearer secret"
        other = fed(one)
        before = one.get(other).json()["memory"]
        yield one
        assert one.get(other).json()["memory"] == before
        assert sampled(one, other, seed=1) == offline(1, 12)
        assert service(one).pool.taken == 1
        assert service(one).pool.leaks() == 0


def one_line(answer: Any, status: int, said: str) -> None:
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]["message"]
    assert said in message
    assert "\n" not in message
    assert "/tmp" not in message


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"prompt": ""}, 400, "prompt is empty"),
        ({"prompt": [1, 256]}, 400, "holds the symbol 256"),
        ({"prompt": [1, -1]}, 400, "holds the symbol -1"),
        ({"prompt": [10**30]}, 400, "not an array"),
        ({"prompt": [[1], [256]]}, 400, "holds the symbol 256"),
        ({"prompt": None}, 400, "prompt"),
        ({"prompt": "x" * 9000}, 400, "at most 8192"),
        ({"max_tokens": 5000}, 400, "at most 4096"),
        ({"max_tokens": -1}, 400, "max_tokens is -1; it must be greater than or equal to 0"),
        ({"max_tokens": "7"}, 400, "max_tokens is '7'; it must be a valid integer"),
        ({"temperature": -1}, 400, "temperature is -1; it must be greater than or equal to 0"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"seed": 1.5}, 400, "seed"),
        ({"top_p": 1.5}, 400, "top_p"),
        ({"top_k": 0}, 400, "top_k"),
        ({"stop": 3}, 400, "stop"),
        ({"presence_penalty": 0.5}, 400, "presence_penalty"),
        ({"n": 0}, 400, "n is 0; it must be greater than or equal to 1"),
        ({"n": 129}, 400, "n and prompt ask for 129 answers; this server writes at most 128 at once"),
        ({"prompt": ["a"] * 65, "n": 2}, 400, "n and prompt ask for 130 answers"),
        ({"n": 2, "best_of": 3}, 400, "best_of is 3; "),
        ({"logprobs": 6}, 400, "logprobs is 6; it must be less than or equal to 5"),
        ({"suffix": "x"}, 400, "suffix is unknown to this server"),
        ({"stream_options": {"include": 1}}, 400, "stream_options.include is unknown to this server"),
        (
            {"stream_options": {"include_usage": 1}},
            400,
            "stream_options.include_usage is 1; it must be a valid boolean",
        ),
        ({"stream_options": {"include_obfuscation": True}}, 400, "stream_options.include_obfuscation is True"),
        ({"stop": list("abcde")}, 400, "stop holds 5 texts, the longest of 1 bytes; this server takes at most 4"),
        ({"stop": "é" * 513}, 400, "stop holds 1 texts, the longest of 1026 bytes;"),
        ({"prompt": ["a", 1]}, 400, "prompt"),
        ({"prompt": ["a", ""]}, 400, "prompt is empty"),
        ({"prompt": []}, 400, "prompt is empty"),
        ({"model": "other"}, 404, "this server has 'tiny'"),
        ({"prompt": "x" * 2_000_000}, 413, "larger than"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_completions(client: TestClient, change: dict[str, Any], status: int, said: str) -> None:
    one_line(client.post("/v1/completions", json=body(**change)), status, said)


@pytest.mark.parametrize(
    "sent", [b"", b"{", b"[1, 2]", b'{"model": NaN}', b"\xff\xfe", b"[" * 100_000], ids=lambda sent: repr(sent[:20])
)
def test_bodies_that_are_no_request(client: TestClient, sent: bytes) -> None:
    answer = client.post("/v1/completions", content=sent, headers={"Content-Type": "application/json"})
    one_line(answer, 400, "")


def test_a_body_of_another_type(client: TestClient) -> None:
    """What curl sends unless it is told."""
    answer = client.post(
        "/v1/completions",
        content=b'{"model": "tiny", "prompt": "It was"}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    one_line(answer, 415, "'application/x-www-form-urlencoded'; send JSON, with Content-Type: application/json")


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": [None] * 200_000},
        {"prompt": [[None]] * 100_000},
        {"stop": [1] * 200_000},
        {"logit_bias": {str(i): None for i in range(60_000)}},
        {f"x{i}": 1 for i in range(60_000)},
    ],
    ids=["prompt", "prompts", "stop", "logit_bias", "names"],
)
def test_a_body_of_many_faults_is_refused_at_once(client: TestClient, change: dict[str, Any]) -> None:
    """A fault described takes microseconds, and a body holds hundreds of thousands. The least of three: memory that
    other tests have left is collected at times."""
    took = []
    for _ in range(3):
        start = time.process_time()
        one_line(client.post("/v1/completions", json=body(**change)), 400, "")
        took.append(time.process_time() - start)
    assert min(took) < 1


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({}, "either text or inputs"),
        ({"text": "a", "inputs": [1]}, "either text or inputs"),
        ({"text": ""}, "prompt is empty"),
        ({"inputs": []}, "prompt is empty"),
        ({"inputs": [[0.5], [0.5, 1.0]]}, "not an array"),
        ({"inputs": [[0.5]]}, "of the space"),
        ({"inputs": [256]}, "holds the symbol 256"),
        ({"inputs": "abc"}, "inputs"),
        ({"text": 5}, "text"),
        ({"text": "a", "watch": "yes"}, "watch"),
    ],
    ids=str,
)
def test_feeds(client: TestClient, sent: dict[str, Any], said: str) -> None:
    session = client.post("/v1/sessions").json()["id"]
    one_line(client.post(f"/v1/sessions/{session}/feed", json=sent), 400, said)
    assert client.get(f"/v1/sessions/{session}").json()["read"] == 0
    client.delete(f"/v1/sessions/{session}")


@pytest.mark.parametrize(
    ("method", "route"),
    [("get", ""), ("delete", ""), ("post", "/feed"), ("post", "/sample"), ("post", "/fork"), ("get", "/snapshot")],
)
@pytest.mark.parametrize("id", ["nobody", "%2e%2e", "..%2f..", "x" * 5000])
def test_unknown_sessions(client: TestClient, method: str, route: str, id: str) -> None:
    more = {"json": {"text": "a"} if route == "/feed" else {}} if route in ("/feed", "/sample") else {}
    answer = getattr(client, method)(f"/v1/sessions/{id}{route}", **more)
    one_line(answer, 404, "")


def test_a_token_that_is_not_good_any_more(client: TestClient) -> None:
    """A server that was started again with another token."""
    for sent in ({"Authorization": "Bearer former"}, {"Authorization": "Basic secret"}, {"Authorization": ""}):
        one_line(client.get("/v1/models", headers=sent), 401, "no valid token")


# -- snapshots ----------------------------------------------------------------------------------------


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    sent = io.BytesIO()
    with zipfile.ZipFile(sent, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sent.getvalue()


def forged(folder: Path, memory: torch.Tensor, network: str, **change: Any) -> bytes:
    """A snapshot by the one writer of checkpoints, so that its manifest is right."""
    document = {"format": 1, "network": network, "length": 6, "sampling": None, "draws": None, **change}
    write(folder, {"snapshot": {"memory": memory}}, {"snapshot": document}, allow_nonfinite=True)
    return pack(folder)


def test_bad_snapshots(client: TestClient, tmp_path: Path) -> None:
    good = client.get(f"{fed(client)}/snapshot").content
    client.delete(f"/v1/sessions/{next(reversed(service(client).sessions.open))}")
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    memory, network = load(files["snapshot.safetensors"])["memory"], fingerprint(student())
    flipped = {**files, "snapshot.safetensors": files["snapshot.safetensors"][:-1] + b"\0"}
    nan = {**files, "snapshot.safetensors": save({"memory": memory * torch.nan})}
    Snapshot(memory=memory, length=6).write(tmp_path / "other", fingerprint(student(seed=5)))
    for i, (bad, said) in enumerate(
        [
            (b"", "not a snapshot"),
            (good[:-1], "not a snapshot"),
            (good[: len(good) // 2], "not a snapshot"),
            (zipped(files, zipfile.ZIP_DEFLATED), "not a snapshot"),
            (zipped({**files, "../escaped.json": b"{}"}), "not a snapshot"),
            (zipped({**files, "more.json": b"{}"}), "not in the manifest"),
            (zipped({}), "cannot be read"),
            (zipped(flipped), "is damaged"),
            (zipped(nan), "is damaged"),
            (forged(tmp_path / "nan", memory * torch.nan, network), "not finite"),
            (forged(tmp_path / "inf", memory / 0, network), "not finite"),
            (pack(tmp_path / "other"), "of another network"),
            (forged(tmp_path / "shape", memory[..., :1], network), "holds memories of shape"),
            (forged(tmp_path / "type", memory.double(), network), "holds memories in torch.float64"),
            (forged(tmp_path / "rows", memory.expand(2, -1, -1), network), "a session has one row"),
            (forged(tmp_path / "length", memory, network, length="6"), "is not a snapshot"),
            (forged(tmp_path / "draws", memory, network, draws="////"), "is not a snapshot"),
            (forged(tmp_path / "sampling", memory, network, sampling={"temperature": "hot"}), "is not a snapshot"),
        ]
    ):
        answer = client.post("/v1/sessions/restore", content=bad)
        assert (i, answer.status_code) == (i, 400), answer.text
        one_line(answer, 400, said)
    assert not list(tmp_path.rglob("escaped.json"))


# -- clients that are slow ----------------------------------------------------------------------------


def test_a_slow_reader_is_cut_off(client: TestClient) -> None:
    """Its session is free again, and has read what it wrote."""
    session = fed(client)
    taken: list[Any] = []

    async def receive() -> dict[str, Any]:
        if taken:
            await asyncio.Event().wait()
        taken.append("body")
        sent = json.dumps({"max_tokens": 2000, "stream": True}).encode()
        return {"type": "http.request", "body": sent, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        taken.append(message)
        if len(taken) > 5:
            await asyncio.Event().wait()  # takes no more

    headers = [(b"content-type", b"application/json"), (b"authorization", b"Bearer secret")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "path": f"{session}/sample",
        "raw_path": b"",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": headers,
        "client": ("test", 1),
        "server": ("test", 1),
    }

    async def ask() -> None:
        await asyncio.wait_for(client.app(scope, receive, send), 20)  # type: ignore[arg-type]

    assert client.portal is not None
    client.portal.call(ask)
    assert len(taken) == 6
    read = client.get(session).json()["read"]
    assert 6 < read < 20
    assert client.post(f"{session}/feed", json={"text": "a"}).json()["read"] == read + 1
    client.delete(session)


def test_a_body_that_does_not_come() -> None:
    with server(body_seconds=0.2) as client:

        async def ask() -> list[Any]:
            sent: list[Any] = []

            async def receive() -> dict[str, Any]:
                await asyncio.Event().wait()
                raise AssertionError

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "POST", "path": "/v1/sessions", "headers": [], "query_string": b""}
            await asyncio.wait_for(client.app(scope, receive, send), 20)  # type: ignore[arg-type]
            return sent

        assert client.portal is not None
        assert client.portal.call(ask)[0]["status"] == 408
        assert client.get("/health").status_code == 200
