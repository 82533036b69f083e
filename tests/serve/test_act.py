"""Sessions of the server act as a policy does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from helpers import make_student
from nounroll.core.spaces import Bits, Categorical, Product, Real, Space
from nounroll.data.kept import CUSTOM, without_data
from nounroll.experiments.run_folder import open_alone
from nounroll.models.student import Student
from nounroll.serve.app import create_app
from nounroll.serve.settings import ServeSettings

SEEN = [[0.1, -0.2], [0.3, 0.4], [-0.5, 0.2], [0.9, 0.9]]


def kept() -> dict[str, Any]:
    return {"kind": CUSTOM, "fingerprint": None, "autoregressive": False, "max_length": 9, "speech": {}}


def client_of(inputs: Space, targets: Space) -> tuple[TestClient, Student]:
    student = make_student("gru", inputs, targets, dtype=torch.float32).eval()
    app = create_app(student, without_data(kept(), inputs, targets), "pole", ServeSettings())
    return TestClient(app, raise_server_exceptions=False), student


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[TestClient, Student]]:
    client, student = client_of(Real(2), Categorical(3))
    with client:
        yield client, student


def act(client: TestClient, id: str, observation: Any, **more: Any) -> Any:
    return client.post(f"/v1/sessions/{id}/act", json={"observation": observation, **more})


def test_a_session_acts_as_the_network_does(served: tuple[TestClient, Student]) -> None:
    client, student = served
    one, other = (client.post("/v1/sessions").json()["id"] for _ in range(2))
    memory = student.initial_memory(1)
    for shown in SEEN:
        act(client, other, [5.0, 5.0])  # in between, with a memory of its own
        answer = act(client, one, shown).json()
        memory = student.step(torch.tensor([shown]), memory)
        torch.testing.assert_close(torch.tensor(answer["logits"]), student.readout(memory)[0].detach())
        assert answer["action"] == int(student.readout(memory).argmax())
    assert answer["read"] == len(SEEN)


def test_an_episode_begins_anew(served: tuple[TestClient, Student]) -> None:
    """The control: without the word, the past shows."""
    client, _ = served
    id = client.post("/v1/sessions").json()["id"]
    first = [act(client, id, shown).json()["logits"] for shown in SEEN]
    goes_on = act(client, id, SEEN[0]).json()
    begun = act(client, id, SEEN[0], begin=True, watch=True).json()
    assert begun["logits"] == pytest.approx(first[0], abs=1e-6)
    assert goes_on["logits"] != pytest.approx(first[0], abs=1e-6)
    assert begun["read"] == 1
    assert len(begun["memory"]) == 2


def test_a_seed_and_a_step_decide_the_draw(served: tuple[TestClient, Student]) -> None:
    client, _ = served

    def drawn(seed: int) -> list[int]:
        id = client.post("/v1/sessions").json()["id"]
        return [act(client, id, shown, temperature=9, seed=seed).json()["action"] for shown in SEEN * 4]

    assert drawn(1) == drawn(1) != drawn(2)
    assert len(set(drawn(1))) > 1


@pytest.mark.parametrize(
    ("inputs", "targets", "observation"),
    [
        (Categorical(4), Bits(2), 3),
        (Product(sign=Categorical(2), place=Real(1)), Real(2), [1, 0.5]),
    ],
    ids=["a symbol", "several parts"],
)
def test_other_spaces(inputs: Space, targets: Space, observation: Any) -> None:
    client, _ = client_of(inputs, targets)
    with client:
        id = client.post("/v1/sessions").json()["id"]
        answer = act(client, id, observation).json()
    targets.check("action", torch.tensor([answer["action"]], dtype=targets.dtype))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"observation": 3}, "inputs have shape"),
        ({"observation": [1.0]}, "inputs have shape"),
        ({"observation": "left"}, "observation"),
        ({}, "observation"),
        ({"observation": [1.0, 2.0], "temperature": -1}, "temperature"),
        ({"observation": [1.0, 2.0], "reset": True}, "reset"),
    ],
    ids=str,
)
def test_a_faulty_act_request_is_refused_and_changes_nothing(
    served: tuple[TestClient, Student], body: dict[str, Any], said: str
) -> None:
    client, _ = served
    id = client.post("/v1/sessions").json()["id"]
    answer = client.post(f"/v1/sessions/{id}/act", json=body)
    assert answer.status_code in (400, 422)
    assert said in answer.json()["error"]["message"]
    assert client.get(f"/v1/sessions/{id}").json()["read"] == 0


@pytest.mark.parametrize("observation", [1.7, -0.9, 0.5], ids=str)
def test_a_symbol_with_a_fraction_is_refused(observation: float) -> None:
    """The control: a whole number is taken in either form."""
    client, _ = client_of(Categorical(4), Categorical(3))
    with client:
        id = client.post("/v1/sessions").json()["id"]
        answer = act(client, id, observation)
        assert answer.status_code == 400
        assert f"inputs hold {observation}; symbols" in answer.json()["error"]["message"]
        assert client.get(f"/v1/sessions/{id}").json()["read"] == 0
        assert [act(client, id, whole).status_code for whole in (1, 1.0)] == [200, 200]


def test_a_student_that_was_saved_alone_is_served(tmp_path: Path) -> None:
    student = make_student("gru", Real(2), Categorical(3), dtype=torch.float32)
    student.save_pretrained(tmp_path / "untrained")
    with pytest.raises(ValueError, match="untrained holds a student that was never trained"):
        open_alone(tmp_path / "untrained")
    student.trained_on = kept()
    student.save_pretrained(tmp_path / "pole")
    task, again = open_alone(tmp_path / "pole")
    assert (task.inputs, task.targets) == (again.inputs, again.targets) == (Real(2), Categorical(3))
    with pytest.raises(ValueError, match="was opened without its data"):
        task.sample(1, 1, torch.Generator())
