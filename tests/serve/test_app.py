"""The server: completions as OpenAI's clients know them, sessions, limits, and one line for every mistake."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient
from serving import body, fed, offline, sampled, server, service


@pytest.fixture
def client() -> Iterator[TestClient]:
    with server() as one:
        yield one


def text_of(elements: list[int]) -> str:
    return bytes(elements).decode(errors="replace")


@pytest.mark.parametrize("how", [{"temperature": 0.0}, {}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.6}], ids=str)
def test_a_completion_is_what_generate_writes(client: TestClient, how: dict[str, Any]) -> None:
    answer = client.post("/v1/completions", json=body(seed=3, **how)).json()
    assert answer["choices"][0]["text"] == text_of(offline(3, 12, **how))
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"] == {"prompt_tokens": 6, "completion_tokens": 12, "total_tokens": 18}
    assert service(client).pool.taken == 0


def test_many_at_once_are_each_what_generate_writes(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda seed: client.post("/v1/completions", json=body(seed=seed)).json(), range(24)))
    assert [a["choices"][0]["text"] for a in answers] == [text_of(offline(seed, 12)) for seed in range(24)]
    assert service(client).pool.leaks() == 0


def test_the_official_client(client: TestClient) -> None:
    openai = pytest.importorskip("openai")
    official = openai.OpenAI(api_key="none", base_url="http://testserver/v1", http_client=client)
    assert [model.id for model in official.models.list()] == ["tiny"]
    whole = official.completions.create(model="tiny", prompt="It was", max_tokens=12, seed=3).choices[0].text
    assert whole == text_of(offline(3, 12))
    stream = official.completions.create(model="tiny", prompt="It was", max_tokens=12, seed=3, stream=True)
    assert "".join(piece.choices[0].text for piece in stream) == whole
    counted = official.completions.create(
        model="tiny", prompt="It was", max_tokens=12, seed=3, stream=True, stream_options={"include_usage": True}
    )
    *written, last = counted
    assert "".join(piece.choices[0].text for piece in written) == whole
    assert (last.choices, last.usage.prompt_tokens, last.usage.completion_tokens) == ([], 6, 12)
    stop = whole[5:7]
    stopped = official.completions.create(model="tiny", prompt="It was", max_tokens=12, seed=3, stop=[stop]).choices[0]
    assert (stopped.text, stopped.finish_reason) == (whole[: whole.index(stop)], "stop")
    assert official.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError, match="this server has 'tiny'"):
        official.completions.create(model="other", prompt="It was")
    with pytest.raises(openai.NotFoundError, match="POST /v1/chat/completions is no route of this server"):
        official.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "It was"}])


def test_without_a_seed_each_answer_is_another(client: TestClient) -> None:
    answers = [client.post("/v1/completions", json=body()).json()["choices"][0]["text"] for _ in range(3)]
    assert len(set(answers)) == 3
    session = fed(client)
    fork = "/v1/sessions/" + client.post(f"{session}/fork").json()["id"]
    assert sampled(client, session) != sampled(client, fork)


def test_neutral_settings_are_accepted(client: TestClient) -> None:
    """As clients of OpenAI send them unasked."""
    nothing = {"n": 1, "best_of": 1, "echo": False, "frequency_penalty": 0.0, "presence_penalty": 0, "logit_bias": {}}
    null = dict.fromkeys(["suffix", "logprobs", "stop", "top_p", "max_tokens", "stream"])
    sent = {"model": "tiny", "prompt": ["It was"], "seed": 3, "user": "x", **nothing, **null}
    answer = client.post("/v1/completions", json=sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["text"] == text_of(offline(3, 16))


def test_a_stop_ends_the_text_before_it(client: TestClient) -> None:
    whole = text_of(offline(3, 12))
    stop = whole[5:7]
    answer = client.post("/v1/completions", json=body(seed=3, stop=stop)).json()["choices"][0]
    assert (answer["text"], answer["finish_reason"]) == (whole[: whole.index(stop)], "stop")


def test_what_is_read_is_a_surprise(client: TestClient) -> None:
    session = client.post("/v1/sessions").json()["id"]
    surprise = client.post(f"/v1/sessions/{session}/feed", json={"text": "It was"}).json()["surprise"]
    assert len(surprise) == 5  # the first byte has nothing before it
    assert all(bits > 0 for bits in surprise)


def test_a_session_forks_and_both_go_on(client: TestClient) -> None:
    session = fed(client)
    fork = "/v1/sessions/" + client.post(f"{session}/fork").json()["id"]
    assert sampled(client, session, seed=1) == offline(1, 12)
    assert sampled(client, fork, seed=2) == offline(2, 12), "the first one's writing left it alone"
    for one in (session, fork):
        assert client.delete(one).status_code == 204
        assert client.get(one).status_code == 404
    assert service(client).pool.taken == service(client).pool.leaks() == 0


def test_a_snapshot_goes_on_in_another_server(client: TestClient) -> None:
    session = fed(client)
    snapshot = client.get(f"{session}/snapshot").content
    with server() as other:
        restored = other.post("/v1/sessions/restore", content=snapshot).json()
        assert restored["read"] == 6
        assert sampled(other, f"/v1/sessions/{restored['id']}", seed=1) == offline(1, 12)


def test_a_session_that_has_read_nothing_cannot_write(client: TestClient) -> None:
    session = client.post("/v1/sessions").json()["id"]
    assert client.post(f"/v1/sessions/{session}/sample", json={}).status_code == 400


def test_full_is_429_and_busy_is_503() -> None:
    with server(slots=1) as client:
        session = fed(client)
        answer = client.post("/v1/completions", json=body())
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert client.post(f"{session}/fork").status_code == 429
        service(client).batcher.queue = 0
        assert client.post(f"{session}/sample", json={}).status_code == 503
        client.delete(session)
        assert client.post("/v1/completions", json=body()).status_code == 503
        assert service(client).pool.taken == 0


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
    assert "nounroll_request_seconds_count 1.0" in text
    took = float(text.split("nounroll_request_seconds_sum ")[1].split()[0])
    assert 0 < took < 60
    assert "nounroll_slots_taken 0.0" in text
