"""Forecasts of a series that a client sends."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from serving import server

from helpers import make_student
from nounroll.core.seeding import generator
from nounroll.data.csv_series import Series
from nounroll.models.generation import Sampling
from nounroll.models.student import Student
from nounroll.serve.app import create_app
from nounroll.serve.settings import ServeSettings


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Series:
    path = tmp_path_factory.mktemp("series") / "waves.csv"
    path.write_text("height,day\n" + "".join(f"{10 + math.sin(i / 5)},{i % 7}\n" for i in range(100)))
    return Series(path=path)


@pytest.fixture(scope="module")
def student(task: Series) -> Student:
    return make_student("gru", task.inputs, task.targets, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def client(task: Series, student: Student) -> Iterator[TestClient]:
    with TestClient(create_app(student, task, "waves", ServeSettings(tokens=50)), raise_server_exceptions=False) as one:
        yield one


def test_quantiles_are_those_of_paths_of_the_network(client: TestClient, student: Student) -> None:
    assert client.get("/v1/about").json()["series"] == ["height", "day"]
    rows = [[10.0 + i / 8, float(i % 7)] for i in range(300)]  # more than are read at once
    body = {"inputs": rows, "steps": 3, "paths": 20, "levels": [0.1, 0.9], "seed": 4}
    answer = client.post("/v1/forecast", json=body).json()
    assert (answer["columns"], answer["levels"]) == (["height", "day"], [0.1, 0.9])
    assert answer["history"] == rows
    with torch.no_grad():
        memory = student.rollout(torch.tensor([rows]))[:, -1].repeat_interleave(20, dim=0)
        source, drawn = generator(4, "generate"), []
        for _ in range(3):
            drawn.append(Sampling().draw(student.targets, student.readout(memory), source))
            memory = student.step(drawn[-1], memory)
    expected = np.quantile(torch.stack(drawn, dim=1).double().numpy(), [0.1, 0.9], axis=0)
    np.testing.assert_allclose(answer["quantiles"], expected, rtol=1e-4)
    text = client.post("/v1/forecast", json={**{k: v for k, v in body.items() if k != "inputs"}, "text": "1,2\n3,4"})
    assert text.json()["history"] == [[1, 2], [3, 4]]


def test_a_forecast_waits_in_the_queue_and_not_among_requests_without_steps(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise AssertionError("it took a turn")

    monkeypatch.setattr(client.app.state.service.turns, "turn", fails)  # type: ignore[attr-defined]
    assert client.post("/v1/forecast", json={"inputs": [[10.0, 1.0]], "steps": 2}).status_code == 200


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": ""}, "prompt is empty"),
        ({"text": "one"}, "prompt is 'one'; this task reads numbers between spaces"),
        ({"text": "1,2", "inputs": [[1.0, 2.0]]}, "give either text or inputs"),
        ({}, "give either text or inputs"),
        ({"text": "1,2", "steps": 51}, "steps is 51; this server takes at most 50"),
        ({"text": "1,2", "paths": 1000}, "paths is 1000; this server takes at most 256"),
        ({"text": "1,2", "levels": [0.5, 2.0]}, "levels are [0.5, 2.0]; they must be numbers between 0 and 1"),
        ({"inputs": [[1.0]]}, "inputs have shape (1, 1)"),
        ({"text": "1,2", "steps": 0}, "steps"),
    ],
)
def test_what_cannot_be_forecast_is_one_line(client: TestClient, changes: dict[str, Any], said: str) -> None:
    answer = client.post("/v1/forecast", json=changes)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_a_model_of_text_forecasts_nothing() -> None:
    with server() as text:
        assert text.get("/v1/about").json()["series"] is None
        answer = text.post("/v1/forecast", json={"text": "1"})
        assert "does not predict a series of numbers" in answer.json()["error"]["message"]
