"""Every space in training, evaluation, generation, files, exports and a server: each says what Python says."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

import nounroll
from all_spaces import SPACES, outputs_of, source
from nounroll.cli.samples import foretold, samples
from nounroll.core.seeding import generator
from nounroll.core.spaces import Product, Space
from nounroll.export import export
from nounroll.export.export import FORMATS
from nounroll.models.student import Student
from nounroll.report.numbers import measure
from nounroll.rollout.transformer import CausalTransformer
from nounroll.serve.app import create_app
from nounroll.serve.settings import ServeSettings

TINY = {"readout_width": 8, "cell.memory_width": 8, "teacher.width": 8, "training.batch_size": 4}
FIGURES = {"categorical": "accuracy", "bits": "accuracy", "product": "gap.rmse_log", "chained": "kind.accuracy"}


class Next(nounroll.SequenceTask):
    """Random elements of a space, each of which predicts the next."""

    autoregressive = True

    def __init__(self, space: Space) -> None:
        self.inputs = self.targets = space

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
        outputs = outputs_of(self.inputs, 1, size=0.2).expand(batch_size * (length + 1), -1)
        drawn = self.inputs.sample(outputs, generator).unflatten(0, (batch_size, length + 1))
        return nounroll.Batch.next_step(drawn)


@cache
def trained(name: str) -> nounroll.Run:
    """A run through a teacher."""
    return nounroll.fit(Next(SPACES[name]), method="smt+dmt", cell="gru", length=6, steps=4, settings=TINY)


@cache
def student(name: str) -> Student:
    return trained(name).student.eval()


def elements(name: str, rows: int, length: int) -> torch.Tensor:
    return Next(SPACES[name]).sample(rows, length, source(3)).inputs


@pytest.mark.parametrize("name", SPACES)
def test_it_trains_and_is_measured(name: str) -> None:
    metrics = trained(name).metrics
    assert math.isfinite(metrics["loss"])
    assert math.isfinite(metrics[FIGURES.get(name, "rmse")])
    assert measure(metrics) in metrics
    if name in ("product", "chained"):
        parts = sum(metrics[f"{part}.loss"] for part in ("kind", "gap", "keys", "value"))
        assert metrics["loss"] == pytest.approx(parts, rel=1e-5)


@pytest.mark.parametrize("name", SPACES)
def test_it_is_saved_and_opened(name: str, tmp_path: Path) -> None:
    student(name).save_pretrained(tmp_path / "student")
    opened = Student.from_pretrained(tmp_path / "student")
    x = elements(name, 2, 5)
    assert torch.equal(opened(x)[0], student(name)(x)[0])
    settings = trained(name).recipe.teacher
    transformer = CausalTransformer(SPACES[name], SPACES[name], settings).eval()
    transformer.save_pretrained(tmp_path / "transformer")
    assert torch.equal(CausalTransformer.from_pretrained(tmp_path / "transformer").predict(x), transformer.predict(x))


@pytest.mark.parametrize("name", SPACES)
def test_it_writes_elements_of_the_space(name: str) -> None:
    drawn = student(name).generate(elements(name, 3, 2), 9, generator=source())
    assert drawn.shape == (3, 9, *SPACES[name].event_shape)
    SPACES[name].check("drawn", drawn)


@pytest.mark.parametrize("name", SPACES)
def test_reading_in_parts_is_reading_at_once(name: str) -> None:
    """The stepped student, as it is deployed, and ragged rows whose padding is not read."""
    net, x = student(name), elements(name, 2, 6)
    outputs, memory = net(x)
    torch.testing.assert_close(net.readout(net.stepped_rollout(x)[:, 1:]), outputs, rtol=1e-4, atol=1e-4)
    padded = x.clone()
    padded[1, 4:] = SPACES[name].zeros(2)
    ragged, last = net(padded, lengths=[6, 4])
    torch.testing.assert_close(ragged[1, :4], outputs[1, :4], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(last[0], memory[0], rtol=1e-4, atol=1e-4)


@pytest.mark.nightly
@pytest.mark.parametrize("to", ["torch", "onnx"])
@pytest.mark.parametrize("name", SPACES)
def test_what_is_exported_agrees_over_500_steps(name: str, to: str, tmp_path: Path) -> None:
    assert export(student(name), to, tmp_path)["difference"] <= 1e-3


@pytest.mark.parametrize(("name", "to"), [("product", "onnx"), ("chained", "torch")])
def test_what_is_exported_agrees(name: str, to: str, tmp_path: Path) -> None:
    """Twin of ``test_what_is_exported_agrees_over_500_steps``: the spaces of most operations, one step."""
    pytest.importorskip("onnxscript" if to == "onnx" else "torch")
    _, step = FORMATS[to](student(name), tmp_path)
    x, memory = elements(name, 3, 1)[:, 0], student(name).initial_memory(3).detach()
    after, outputs = step(x, memory)
    with torch.no_grad():
        expected = student(name).step(x, memory)
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(outputs, student(name).readout(expected), rtol=1e-4, atol=1e-4)


def served(name: str) -> TestClient:
    app = create_app(student(name), Next(SPACES[name]), "tiny", ServeSettings())
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("name", SPACES)
def test_a_server_agrees(name: str) -> None:
    """JSON in and out: outputs, surprise and draws are those of Python."""
    net, x = student(name), elements(name, 1, 4)
    space = net.targets  # with the scale that was measured
    with served(name) as client:
        route = f"/v1/sessions/{client.post('/v1/sessions').json()['id']}"
        fed = client.post(f"{route}/feed", json={"inputs": x[0].tolist()}).json()
        drawn = client.post(f"{route}/sample", json={"max_tokens": 5, "seed": 7}).json()
        about = client.get("/v1/about").json()
    with torch.no_grad():
        outputs, _ = net(x)
    np.testing.assert_allclose(fed["logits"], outputs[0, -1].numpy(), rtol=1e-4, atol=1e-4)
    bits = -space.log_prob(outputs[0, :-1], x[0, 1:]) / math.log(2)
    np.testing.assert_allclose(fed["surprise"], bits.numpy(), rtol=1e-3, atol=1e-3)
    expected = net.generate(x, 5, generator=generator(7, "generate", 0))[0]
    np.testing.assert_allclose(drawn["elements"], expected.numpy(), rtol=1e-3, atol=1e-3)
    assert about["symbols"] == space.symbols
    assert about["columns"] == (None if space.symbols else space.columns)


def test_a_server_refuses_what_is_not_of_the_space() -> None:
    with served("product") as client:
        route = f"/v1/sessions/{client.post('/v1/sessions').json()['id']}"
        for row, message in (
            ([2.5, 1, 0, 0, 1], "prompt holds 2.5 at index (0, 0), the column 'kind'; that part is Categorical(n=3)"),
            ([2, 0, 0, 0, 1], "prompt holds 0 at index (0, 1), the column 'gap'; that part is Positive(d=1)"),
            ([2, 1, 0, 3, 1], "prompt holds 3 at index (0, 3), the column 'keys.1'; that part is Bits(n=2)"),
            ([2, 1, 0], "inputs have shape (1, 3); they must be of the space Product("),
        ):
            answer = client.post(f"{route}/feed", json={"inputs": [row]})
            assert answer.status_code == 400
            assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["bits", "chained", "quantiles"])
def test_the_report_shows_it(name: str) -> None:
    task = Next(SPACES[name])
    assert samples(student(name), task, 8, 0) == []
    picture = foretold(student(name), task, 8, 0)
    assert picture is not None
    assert [ax.get_title(loc="left") for ax in picture.figure.axes] == SPACES[name].columns[:3]


@pytest.mark.parametrize("name", ["gaussian", "product"])
def test_transformers_refuses_it_in_one_line(name: str) -> None:
    pytest.importorskip("transformers")
    from nounroll.hub.model import config_of

    with pytest.raises(ValueError, match="transformers needs symbols, each target an input") as caught:
        config_of(student(name))
    assert "\n" not in str(caught.value)


def test_a_product_may_be_read_and_something_else_predicted() -> None:
    class Total(nounroll.SequenceTask):
        inputs = Product(gap=nounroll.Positive(1), kind=nounroll.Categorical(2))
        targets = nounroll.Count(1)

        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
            gap = torch.rand(batch_size, length, 1, generator=generator) + 0.1
            kind = torch.randint(2, (batch_size, length), generator=generator)
            assert isinstance(self.inputs, Product)
            return nounroll.Batch(self.inputs.join(gap=gap, kind=kind), kind.cumsum(1)[..., None])

    run = nounroll.fit(Total(), method="bptt", cell="mlp", length=5, steps=2, settings=TINY)
    assert math.isfinite(run.metrics["rmse"])
    assert run.student.inputs.to_json()["parts"][0][1]["scale"] is not None


class Own(torch.nn.Module):
    """A cell of the user's own, which is given numbers of about unit size."""

    memory_shape = (1, 4)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mix, self.seen = torch.nn.Linear(4 + size, 4), list[Any]()

    def step(self, inputs: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        self.seen.append(inputs.detach().abs().max())
        return torch.tanh(self.mix(torch.cat([memory.flatten(1), inputs], -1))).view_as(memory)


def test_a_cell_of_ones_own_gets_numbers_of_about_unit_size() -> None:
    space = Product(kind=nounroll.Categorical(3), value=nounroll.Real(1), count=nounroll.Count(1))

    class Large(Next):
        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
            kind = torch.randint(3, (batch_size, length + 1), generator=generator)
            value = 1e6 + 50 * torch.randn(batch_size, length + 1, 1, generator=generator)
            count = torch.poisson(torch.full_like(value, 900.0), generator=generator)
            return nounroll.Batch.next_step(space.join(kind=kind, value=value, count=count))

    run = nounroll.fit(Large(space), method="bptt", cell=Own(space.entered_size), length=5, steps=2, settings=TINY)
    assert max(run.student.cell.seen) < 12
