"""Texts of a session join: no character is cut between two answers, and a stop that is left out was never read."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient
from serving import fed, offline, sampled, server, service

from nounroll.models.generation import Sampling
from nounroll.serve.memories import Memories


@pytest.fixture
def client() -> Iterator[TestClient]:
    with server() as one:
        yield one


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the network draws, in place of what it would: filled by each test."""
    script: list[int] = []

    def draw(sampling: Sampling, space: object, outputs: object, source: object) -> object:
        import torch

        return torch.tensor([script.pop(0)])

    monkeypatch.setattr(Sampling, "draw", draw)
    return script


def texts(client: TestClient, session: str, *counts: int) -> list[str]:
    return [client.post(f"{session}/sample", json={"max_tokens": count}).json()["text"] for count in counts]


def test_a_character_that_is_begun_comes_with_the_answer_that_ends_it(client: TestClient, scripted: list[int]) -> None:
    scripted.extend("a€é".encode())
    assert texts(client, fed(client), 2, 1, 2, 1) == ["a", "", "€", "é"]


def test_a_begun_character_is_completed_in_forks_snapshots_and_after_a_restart(
    tmp_path: Path, scripted: list[int]
) -> None:
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)
        scripted.extend("€".encode()[:2])
        assert texts(client, session, 2) == [""]
        fork = "/v1/sessions/" + client.post(f"{session}/fork").json()["id"]
        snapshot = client.get(f"{session}/snapshot").content
        restored = "/v1/sessions/" + client.post("/v1/sessions/restore", content=snapshot).json()["id"]
        for one in (fork, restored):
            scripted.extend("€".encode()[2:])
            assert texts(client, one, 1) == ["€"]
    with server(folder=tmp_path / "sessions") as client:
        scripted.extend("€".encode()[2:])
        assert texts(client, session, 1) == ["€"]


def test_bytes_that_were_fed_begin_a_character_too(client: TestClient, scripted: list[int]) -> None:
    session = fed(client)
    client.post(f"{session}/feed", json={"inputs": list("€".encode()[:2])})
    scripted.extend("€".encode()[2:])
    assert texts(client, session, 1) == ["€"]


STOPPED = [
    ("abc", "bc", "a"),
    ("xaab", "ab", "xa"),
    ("a€b", "€", "a"),
    ("a€b", "b", "a€"),
    ("a\u00e9\u20acb", "\u20acb", "a\u00e9"),
    ("aabaabaac", "aabaac", "aab"),
    ("ab", "ab", ""),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("drawn", "stop", "text"), STOPPED)
def test_the_memory_is_that_of_the_text(
    client: TestClient, scripted: list[int], drawn: str, stop: str, text: str, stream: bool
) -> None:
    """Bit for bit that of a session which was fed the text, and it goes on from there."""
    session, twin = fed(client), fed(client)
    scripted.extend(drawn.encode())
    how = {"max_tokens": 50, "stop": [stop], "stream": stream}
    answer = client.post(f"{session}/sample", json=how)
    pieces = [json.loads(part[6:]) for part in answer.text.split("\n\n")[:-2]] if stream else [answer.json()]
    assert "".join(piece["text"] for piece in pieces) == text
    assert [element for piece in pieces for element in piece["elements"]] == list(text.encode())
    assert pieces[-1]["finish_reason"] == "stop"
    assert pieces[-1]["read"] == 6 + len(text.encode())
    if text:
        client.post(f"{twin}/feed", json={"inputs": list(text.encode())})
    assert client.get(session).json()["memory"] == client.get(twin).json()["memory"]
    assert client.get(session).json()["read"] == client.get(twin).json()["read"]


def test_control_a_session_that_does_not_go_back_is_seen(
    client: TestClient, scripted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Memories, "go_back", lambda memories, session, mark: None)
    with pytest.raises(AssertionError):
        test_the_memory_is_that_of_the_text(client, scripted, *STOPPED[0], False)


def test_a_stop_that_is_only_begun_is_written(client: TestClient, scripted: list[int]) -> None:
    session = fed(client)
    scripted.extend(b"abab")
    answer = client.post(f"{session}/sample", json={"max_tokens": 4, "stop": "abc"}).json()
    assert (answer["text"], answer["elements"], answer["finish_reason"]) == ("abab", list(b"abab"), "length")
    assert answer["read"] == 10


def test_a_stop_changes_no_draw(client: TestClient) -> None:
    session = fed(client)
    assert sampled(client, session, seed=1, stop=["never drawn, as it is too long"]) == offline(1, 12)
    assert service(client).pool.leaks() == 0
