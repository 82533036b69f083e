"""What OpenAI's completions have besides one answer to one prompt: n, lists of prompts, echo, log probabilities."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi")

import torch
from fastapi.testclient import TestClient
from serving import body, offline, server, service, student

from nounroll.core.seeding import generator


@pytest.fixture
def client() -> Iterator[TestClient]:
    with server() as one:
        yield one
        assert service(one).pool.taken == service(one).pool.leaks() == 0


def completed(client: TestClient, **how: Any) -> dict[str, Any]:
    answer = client.post("/v1/completions", json=body(**how))
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client: TestClient, **how: Any) -> list[dict[str, Any]]:
    text = client.post("/v1/completions", json=body(stream=True, **how)).text
    *parts, last = [part.removeprefix("data: ") for part in text.strip().split("\n\n")]
    assert last == "[DONE]"
    return [json.loads(part) for part in parts]


def written(prompt: bytes, count: int, seed: int, answer: int) -> str:
    """What an answer of this number says, without a server."""
    draws = generator(seed, "generate", answer)
    return bytes(student().generate(torch.tensor([list(prompt)]), count, generator=draws)[0].tolist()).decode(
        errors="replace"
    )


@torch.no_grad()
def log_probabilities(symbols: bytes) -> torch.Tensor:
    """Of every symbol after each prefix, (T + 1, V)."""
    return student().readout(student().rollout(torch.tensor([list(symbols)]))[0]).log_softmax(-1)


def test_n_answers_to_each_prompt(client: TestClient) -> None:
    answer = completed(client, prompt=["It was", "A dark"], n=3, seed=4)
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    assert [choice["text"] for choice in answer["choices"]] == [
        written(prompt, 12, 4, number) for prompt in (b"It was", b"A dark") for number in range(3)
    ]
    assert len({choice["text"] for choice in answer["choices"][:3]}) == 3
    assert answer["usage"] == {"prompt_tokens": 12, "completion_tokens": 72, "total_tokens": 84}


def test_a_stream_of_several_answers(client: TestClient) -> None:
    how: dict[str, Any] = {"prompt": [list(b"It was"), list(b"A dark")], "n": 2, "seed": 4}
    *pieces, last = events(client, stream_options={"include_usage": True, "include_obfuscation": False}, **how)
    texts, ends = [""] * 4, [""] * 4
    for piece in pieces:
        (choice,) = piece["choices"]
        texts[choice["index"]] += choice["text"]
        ends[choice["index"]] = choice["finish_reason"]
    assert texts == [choice["text"] for choice in completed(client, **how)["choices"]]
    assert ends == ["length"] * 4
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 48)


def test_answers_that_do_not_fit_are_refused_together() -> None:
    with server(slots=4, queue=3) as client:
        assert client.post("/v1/completions", json=body(n=4)).status_code == 400
        taken = [client.post("/v1/sessions").json()["id"] for _ in range(2)]
        assert client.post("/v1/completions", json=body(n=3)).status_code == 429
        assert service(client).pool.taken == len(taken)
        assert client.post("/v1/completions", json=body(n=2)).status_code == 200
        assert not service(client).batcher.at_work


def test_one_bad_prompt_refuses_the_whole_request(client: TestClient) -> None:
    assert client.post("/v1/completions", json=body(prompt=[[1, 2], [1, 256]])).status_code == 400
    assert not service(client).batcher.at_work


@pytest.mark.parametrize("prompt", ["It was", list(b"It was"), "naïve €"])
def test_echo_puts_the_prompt_before_the_text(client: TestClient, prompt: str | list[int]) -> None:
    given = prompt if isinstance(prompt, str) else "It was"
    plain = completed(client, prompt=prompt, seed=3)["choices"][0]["text"]
    assert completed(client, prompt=prompt, seed=3, echo=True)["choices"][0]["text"] == given + plain


def test_a_prompt_that_ends_within_a_character_goes_on_with_it(client: TestClient) -> None:
    whole, cut = "€".encode(), "€".encode()[:2]
    with_it = completed(client, prompt=list(cut), echo=True, max_tokens=0)["choices"][0]["text"]
    assert with_it == "\ufffd"
    assert completed(client, prompt=list(whole), echo=True, max_tokens=0)["choices"][0]["text"] == "€"


def test_log_probabilities_of_prompt_and_text(client: TestClient) -> None:
    """As tools that score a text ask for them: echo, and the likeliest beside each."""
    choice = completed(client, echo=True, logprobs=2, seed=3, max_tokens=8)["choices"][0]
    said, drawn = choice["logprobs"], offline(3, 8)
    symbols = b"It was" + bytes(drawn)
    known = log_probabilities(symbols)
    assert said["tokens"] == [chr(symbol) if symbol < 128 else f"bytes:\\x{symbol:02x}" for symbol in symbols]
    assert said["token_logprobs"][0] is None
    assert said["top_logprobs"][0] is None
    own = [float(known[t, symbol]) for t, symbol in enumerate(symbols)][1:]
    assert said["token_logprobs"][1:] == pytest.approx(own, abs=1e-4)
    for t, top in enumerate(said["top_logprobs"][1:], start=1):
        assert sorted(top.values())[-2:] == pytest.approx(sorted(known[t].topk(2).values.tolist()), abs=1e-4)
        assert top[said["tokens"][t]] == said["token_logprobs"][t]
    text = choice["text"]
    for token, offset in zip(said["tokens"][:6], said["text_offset"][:6], strict=True):
        assert text[offset] == token
    assert said["text_offset"] == sorted(said["text_offset"])


def test_log_probabilities_without_echo_are_of_the_text_alone(client: TestClient) -> None:
    choice = completed(client, logprobs=0, seed=3, max_tokens=8)["choices"][0]
    assert len(choice["logprobs"]["token_logprobs"]) == 8
    assert choice["logprobs"]["top_logprobs"] is None
    streamed = [piece["choices"][0]["logprobs"] for piece in events(client, logprobs=0, seed=3, max_tokens=8)]
    assert [one for piece in streamed for one in piece["token_logprobs"]] == choice["logprobs"]["token_logprobs"]


def test_no_tokens_at_all(client: TestClient) -> None:
    answer = completed(client, max_tokens=0)
    assert (answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]) == ("", "length")
    assert answer["usage"]["completion_tokens"] == 0
    assert [piece["choices"][0]["text"] for piece in events(client, max_tokens=0)] == [""]


def test_the_official_client_takes_it(client: TestClient) -> None:
    openai = pytest.importorskip("openai")
    official = openai.OpenAI(api_key="none", base_url="http://testserver/v1", http_client=client)
    said = official.completions.create(
        model="tiny", prompt=["It was", "A dark"], n=2, max_tokens=4, logprobs=1, echo=True, seed=1
    )
    assert [choice.index for choice in said.choices] == [0, 1, 2, 3]
    assert said.choices[3].logprobs.token_logprobs[0] is None
    assert len(said.choices[3].logprobs.tokens) == 10
