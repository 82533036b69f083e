"""The server: completions as OpenAI's clients know them, sessions, limits, and one line for every mistake."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

import torch
from fastapi.testclient import TestClient
from safetensors.torch import load, save

from helpers import make_student
from nounroll.batch import Categorical
from nounroll.data.corpus import ByteCorpus
from nounroll.seeding import generator
from nounroll.serve.app import create_app
from nounroll.serve.settings import ServeSettings
from nounroll.student import Student


@cache
def student() -> Student:
    return make_student("gru", Categorical(256), Categorical(256), dtype=torch.float32).eval()


def task() -> ByteCorpus:
    return ByteCorpus(tokens=np.frombuffer(b"It was a dark and stormy night. " * 9, np.uint8), name="x", first=b"\n")


def server(**settings: Any) -> TestClient:
    app = create_app(student(), task(), "tiny", ServeSettings(**settings))
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def client() -> Iterator[TestClient]:
    with server() as one:
        yield one


def body(**more: Any) -> dict[str, Any]:
    return {"model": "tiny", "prompt": "It was", "max_tokens": 12, **more}


def offline(seed: int, steps: int, **how: Any) -> list[int]:
    prompt = torch.tensor([list(b"It was")])
    return student().generate(prompt, steps, generator=generator(seed, "generate"), **how)[0].tolist()


def text_of(elements: list[int]) -> str:
    return bytes(elements).decode(errors="replace")


@pytest.mark.parametrize(
    "how", [{"temperature": 0.0}, {"seed": 3}, {"seed": 4, "temperature": 0.7, "top_k": 5}, {"top_p": 0.6}], ids=str
)
def test_a_completion_is_what_generate_writes(client: TestClient, how: dict[str, Any]) -> None:
    answer = client.post("/v1/completions", json=body(**how)).json()
    seed = how.get("seed", 0)
    expected = offline(seed, 12, **{name: value for name, value in how.items() if name != "seed"})
    assert answer["choices"][0]["text"] == text_of(expected)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"] == {"prompt_tokens": 6, "completion_tokens": 12, "total_tokens": 18}
    assert client.app.state.pool.taken == 0  # type: ignore[attr-defined]


def test_many_at_once_are_each_what_generate_writes(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda seed: client.post("/v1/completions", json=body(seed=seed)).json(), range(24)))
    assert [a["choices"][0]["text"] for a in answers] == [text_of(offline(seed, 12)) for seed in range(24)]
    assert client.app.state.pool.leaks() == 0  # type: ignore[attr-defined]


def test_the_official_client(client: TestClient) -> None:
    openai = pytest.importorskip("openai")
    official = openai.OpenAI(api_key="none", base_url="http://testserver/v1", http_client=client)
    assert [model.id for model in official.models.list()] == ["tiny"]
    whole = official.completions.create(model="tiny", prompt="It was", max_tokens=12, seed=3).choices[0].text
    assert whole == text_of(offline(3, 12))
    stream = official.completions.create(model="tiny", prompt="It was", max_tokens=12, seed=3, stream=True)
    assert "".join(piece.choices[0].text for piece in stream) == whole
    with pytest.raises(openai.NotFoundError, match="this server has 'tiny'"):
        official.completions.create(model="other", prompt="It was")


def test_a_stop_ends_the_text_before_it(client: TestClient) -> None:
    whole = text_of(offline(3, 12))
    stop = whole[5:7]
    answer = client.post("/v1/completions", json=body(seed=3, stop=stop)).json()["choices"][0]
    assert (answer["text"], answer["finish_reason"]) == (whole[: whole.index(stop)], "stop")


def fed(client: TestClient) -> str:
    session = client.post("/v1/sessions").json()["id"]
    answer = client.post(f"/v1/sessions/{session}/feed", json={"text": "It was"}).json()
    assert answer["read"] == 6
    assert len(answer["surprise"]) == 5  # the first byte has nothing before it
    assert all(bits > 0 for bits in answer["surprise"])
    return f"/v1/sessions/{session}"


def sampled(client: TestClient, session: str, **how: Any) -> list[int]:
    return client.post(f"{session}/sample", json={"max_tokens": 12, **how}).json()["elements"]


def test_a_session_forks_and_both_go_on(client: TestClient) -> None:
    session = fed(client)
    fork = "/v1/sessions/" + client.post(f"{session}/fork").json()["id"]
    assert sampled(client, session, seed=1) == offline(1, 12)
    assert sampled(client, fork, seed=2) == offline(2, 12), "the first one's writing left it alone"
    for one in (session, fork):
        assert client.delete(one).status_code == 204
        assert client.get(one).status_code == 404
    assert client.app.state.pool.taken == client.app.state.pool.leaks() == 0  # type: ignore[attr-defined]


def test_a_snapshot_goes_on_in_another_server(client: TestClient) -> None:
    session = fed(client)
    snapshot = client.get(f"{session}/snapshot").content
    with server() as other:
        restored = other.post("/v1/sessions/restore", content=snapshot).json()
        assert restored["read"] == 6
        assert sampled(other, f"/v1/sessions/{restored['id']}", seed=1) == offline(1, 12)


def test_bad_snapshots(client: TestClient) -> None:
    good = client.get(f"{fed(client)}/snapshot").content
    memory = load(good)["memory"]
    about = {"model": client.app.state.sessions.model, "read": "6"}  # type: ignore[attr-defined]
    for bad, said in [
        (b"", "no snapshot"),
        (good[:-1], "no snapshot"),
        (save({"memory": memory}), "no snapshot"),
        (save({"memory": memory}, {**about, "model": "0"}), "of another model"),
        (save({"memory": memory[:1]}, about), "does not fit"),
        (save({"memory": memory * torch.nan}, about), "not finite"),
    ]:
        answer = client.post("/v1/sessions/restore", content=bad)
        assert answer.status_code == 400
        assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"prompt": ""}, 400, "prompt is empty"),
        ({"prompt": [1, 256]}, 400, "holds the symbol 256"),
        ({"prompt": [10**30]}, 400, "not an array"),
        ({"prompt": "x" * 9000}, 400, "at most 8192"),
        ({"max_tokens": 5000}, 400, "at most 4096"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"temperature": -1}, 400, "temperature"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"seed": 1.5}, 400, "seed"),
        ({"top_p": 1.5}, 400, "top_p"),
        ({"presence_penalty": 0.5}, 400, "presence_penalty"),
        ({"model": "other"}, 404, "this server has 'tiny'"),
        ({"prompt": "x" * 2_000_000}, 413, "larger than"),
    ],
    ids=str,
)
def test_mistakes(client: TestClient, change: dict[str, Any], status: int, said: str) -> None:
    answer = client.post("/v1/completions", json=body(**change))
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert "\n" not in answer.json()["error"]["message"]
    assert client.post("/v1/completions", json=body()).status_code == 200, "the server goes on"
    assert client.app.state.pool.taken == 0  # type: ignore[attr-defined]


def test_a_session_that_has_read_nothing_cannot_write(client: TestClient) -> None:
    session = client.post("/v1/sessions").json()["id"]
    assert client.post(f"/v1/sessions/{session}/sample", json={}).status_code == 400


def test_full_is_429_and_busy_is_503() -> None:
    with server(slots=1) as client:
        session = fed(client)
        assert client.post("/v1/completions", json=body()).status_code == 429
        assert client.post(f"{session}/fork").status_code == 429
        client.app.state.sessions.batcher.queue = 0  # type: ignore[attr-defined]
        assert client.post(f"{session}/sample", json={}).status_code == 503
        client.delete(session)
        assert client.post("/v1/completions", json=body()).status_code == 503
        assert client.app.state.pool.taken == 0  # type: ignore[attr-defined]


ROUTES = [
    ("get", "/v1/models"),
    ("post", "/v1/completions"),
    ("post", "/v1/sessions"),
    ("get", "/metrics"),
    ("get", "/x"),
]


def test_a_token_guards_every_route() -> None:
    with server(token="secret") as client:
        for method, route in ROUTES:
            for sent in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
                assert getattr(client, method)(route, headers=sent).status_code == 401
        assert client.get("/v1/models", headers={"Authorization": "Bearer secret"}).status_code == 200


def test_metrics_count(client: TestClient) -> None:
    client.post("/v1/completions", json=body())
    text = client.get("/metrics").text
    assert "nounroll_elements_total 18.0" in text
    assert 'nounroll_requests_total{status="200"} 1.0' in text
    assert "nounroll_slots_taken 0.0" in text
