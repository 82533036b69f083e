"""The page without a browser: its files, what it asks the server, and what it is told of the memory."""

import re
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")

import torch
from fastapi.testclient import TestClient
from serving import fed, judge, server, student

from nounroll.objectives.dynamics import dynamics
from nounroll.serve.routes.page import FILES


@pytest.fixture
def client() -> Iterator[TestClient]:
    with server(judge=judge(length=16)) as one:
        yield one


def scripts(client: TestClient) -> list[str]:
    return [client.get(path).text for path in FILES if path.endswith(".js")]


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_served_and_needs_nothing_from_elsewhere(path: str) -> None:
    with server(token="secret") as client:
        answer = client.get(path)  # the files hold nothing of the model, so they need no token
        assert client.get("/v1/about").status_code == 401
    assert answer.status_code == 200
    assert answer.headers["content-type"] == FILES[path][1]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert len(answer.text) > 500
    assert not re.findall(r"https?:|//cdn|@import|url\(", answer.text)


def test_the_html_and_the_scripts_name_files_that_are_there(client: TestClient) -> None:
    named = set(re.findall(r'(?:href|src)="([\w.]+)"', client.get("/").text))
    for script in scripts(client):
        named |= set(re.findall(r'from "\./([\w.]+)"', script))
    assert {f"/{name}" for name in named} == FILES.keys() - {"/"}


def test_every_control_has_a_name(client: TestClient) -> None:
    html = client.get("/").text
    labelled = set(re.findall(r'<label for="(\w+)"', html))
    for label in re.findall(r"<label[^>]*>(.*?)</label>", html, re.DOTALL):
        labelled |= set(re.findall(r'<(?:input|textarea)[^>]*id="(\w+)"', label))
    assert set(re.findall(r'<(?:input|textarea) id="(\w+)"', html)) <= labelled
    assert html.count("<canvas") == html.count('role="img"')


def test_the_scripts_find_what_they_look_for(client: TestClient) -> None:
    html, script = client.get("/").text, "".join(scripts(client))
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) <= set(re.findall(r'id="([\w-]+)"', html))
    classes = {name for names in re.findall(r'class="([\w -]+)"', html) for name in names.split()}
    assert set(re.findall(r'find\("\.([\w-]+)', script)) <= classes


def test_about(client: TestClient) -> None:
    about = client.get("/v1/about").json()
    assert about["model"] == "tiny"
    assert (about["writes"], about["text"], about["image"], about["symbols"]) == (True, True, None, 256)
    assert about["prompt"] == [10]
    assert about["memory_shape"] == [2, 8]
    assert about["memory_bytes"] == 2 * 8 * 4
    assert about["teacher_length"] == 16
    assert about["most_tokens"] == 4096


@torch.no_grad()
def test_a_session_is_watched_beside_its_teacher(client: TestClient) -> None:
    """Drift is that of the analysis: the squared distance from the teacher's memory by the teacher's variance."""
    session, said = fed(client), list(b"It was")
    answer = client.post(f"{session}/sample", json={"max_tokens": 3, "seed": 1, "watch": True}).json()
    seen = torch.tensor([said + answer["elements"]])
    own, own_judge = student().rollout(seen)[0, -1], judge()
    label = own_judge.teacher.memories(seen)[0, -1]
    torch.testing.assert_close(torch.tensor(answer["memory"]), own, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.tensor(answer["teacher"]), label, rtol=0, atol=1e-5)
    assert answer["drift"] == pytest.approx(float(dynamics(own, label)) / own_judge.variance, rel=1e-3)
    assert client.get(session).json()["drift"] == pytest.approx(answer["drift"])


def test_a_fork_has_a_drift_of_its_own(client: TestClient) -> None:
    session = fed(client)
    fork = "/v1/sessions/" + client.post(f"{session}/fork").json()["id"]
    drifts = [
        client.post(f"{one}/feed", json={"text": t, "watch": True}).json()["drift"]
        for one, t in ((session, "a"), (fork, "z"))
    ]
    assert None not in drifts
    assert drifts[0] != drifts[1]


def test_drift_is_none_without_a_judgement(client: TestClient) -> None:
    session = fed(client)
    snapshot = client.get(f"{session}/snapshot").content
    longer = client.post(f"{session}/feed", json={"text": "x" * 11, "watch": True}).json()
    assert (longer["read"], longer["drift"], longer["teacher"]) == (17, None, None)  # longer than the teacher's 16
    restored = client.post("/v1/sessions/restore", content=snapshot).json()["id"]
    assert client.get(f"/v1/sessions/{restored}").json()["drift"] is None  # what it had read is not known
    with server() as without:
        seen = without.get(fed(without)).json()
        assert seen["drift"] is None
        assert len(seen["memory"]) == 2
