"""Real data of any unit trains, is measured, kept, generated and exported as that of unit 1."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import nounroll
from nounroll.core.batch import Real, Space
from nounroll.experiments import facts
from nounroll.export import export
from nounroll.models.student import Student

SCALES = (1.0, 1e-5, 1e5, 1e9)
SMALL = {
    "teacher.width": 16,
    "teacher.layers": 1,
    "cell.memory_width": 8,
    "cell.tokens": 2,
    "readout_width": 16,
    "training.learning_rate": 6e-3,
    "smt.share": 0.5,
}


class Waves(nounroll.SequenceTask):
    """Sines of a random phase, in some unit and above some level."""

    inputs = targets = Real(1)
    autoregressive = True

    def __init__(self, unit: float, level: float = 0.0) -> None:
        self.unit, self.level = unit, level

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
        phase = 6.28 * torch.rand(batch_size, 1, generator=generator)
        waves = torch.sin(torch.arange(length + 1) * 0.3 + phase)[..., None]
        return nounroll.Batch.next_step(self.unit * (self.level + waves))


def trained(unit: float, method: str, cell: str = "gru", level: float = 0.0) -> nounroll.Run:
    return nounroll.fit(Waves(unit, level), method=method, cell=cell, length=16, steps=40, settings=SMALL)


def errors(method: str, cell: str = "gru", level: float = 0.0) -> list[float]:
    """rmse in standard deviations, at every scale."""
    return [trained(unit, method, cell, level).metrics["rmse"] / (unit * math.sqrt(0.5)) for unit in SCALES]


@pytest.mark.parametrize("method", ["bptt", "tbptt", "smt+dmt", "transformer"])
def test_rmse_in_standard_deviations_hangs_on_no_unit(method: str) -> None:
    found = errors(method)
    assert found == pytest.approx([found[0]] * len(SCALES), rel=0.05)
    assert found[0] < 0.95


@pytest.mark.nightly
def test_nor_on_a_level_far_from_0() -> None:
    found = errors("bptt", level=1000.0)
    assert found == pytest.approx(errors("bptt"), rel=0.05)


def test_control_without_a_measured_scale_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(task: nounroll.SequenceTask, length: int) -> tuple[Space, Space]:
        return task.inputs, task.targets

    monkeypatch.setattr(facts, "measured", own)
    found = errors("bptt")
    assert max(found) > 1.5 * min(found)


class OwnCell(torch.nn.Module):
    """A cell of the user's own: what comes to it is standardised."""

    memory_shape = (1, 8)

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.largest = torch.nn.Linear(9, 8), 0.0

    def step(self, inputs: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        self.largest = max(self.largest, float(inputs.abs().max()))
        return torch.tanh(self.mix(torch.cat([inputs, memory.flatten(1)], 1)))[:, None]


def test_a_cell_of_ones_own_sees_standardised_inputs() -> None:
    cell = OwnCell()
    nounroll.fit(Waves(1e9), method="bptt", cell=cell, length=8, steps=3, settings={"readout_width": 8})
    assert 1 < cell.largest < 2


@pytest.fixture(scope="module")
def large() -> nounroll.Run:
    return nounroll.fit(Waves(1e5, 3.0), method="bptt", cell="gru", length=16, steps=150, settings=SMALL)


def test_a_student_speaks_the_unit_of_its_data(large: nounroll.Run, tmp_path: Path) -> None:
    student, batch = large.student, Waves(1e5, 3.0).sample(4, 30, torch.Generator().manual_seed(0))
    mean, log_scale = student.outputs(batch.inputs)[0].detach().chunk(2, dim=-1)
    assert float((mean[:, 15:] - batch.targets[:, 15:]).square().mean().sqrt()) < 3e4
    assert 1e3 < float(log_scale[:, 15:].exp().mean()) < 1e5
    drawn = student.generate(batch.inputs, 20, temperature=0)
    assert 1.5e5 < float(drawn.min()) <= float(drawn.max()) < 4.5e5
    assert large.metrics["rmse_standardised"] == pytest.approx(large.metrics["rmse"] / (1e5 * math.sqrt(0.5)), rel=0.05)
    scale = student.targets.scale[0]  # type: ignore[union-attr, index]
    assert large.metrics["loss_standardised"] == pytest.approx(large.metrics["loss"] - math.log(scale))
    student.save_pretrained(tmp_path / "student")
    opened = Student.from_pretrained(tmp_path / "student")
    assert dataclasses.astuple(opened.inputs) == dataclasses.astuple(student.inputs)
    assert torch.equal(opened.generate(batch.inputs, 20, temperature=0), drawn)


@pytest.mark.parametrize("to", ["onnx", "torch"])
@pytest.mark.nightly
def test_what_is_exported_does_too(large: nounroll.Run, to: str, tmp_path: Path) -> None:
    if to == "onnx":
        pytest.importorskip("onnxscript")
    assert export(large.student, to, tmp_path)["difference"] < 1e-3
    values, memory = 1e5 * torch.full((2, 1), 3.5), large.student.initial_memory(2).detach()
    wanted = large.student.readout(large.student.step(values, memory)).detach()
    found: Any
    if to == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(tmp_path / "step.onnx", providers=["CPUExecutionProvider"])
        found = torch.from_numpy(session.run(None, {"inputs": values.numpy(), "memory": memory.numpy()})[1])
    else:
        found = torch.export.load(tmp_path / "step.pt2").module()(values, memory)[1]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=0)


def test_several_columns_of_several_units_are_exported(tmp_path: Path) -> None:
    space = Real(3, (1e5, 0.0, -2.0), (5e3, 1e-4, 1.0))
    student = Student(space, space).eval()
    assert export(student, "torch", tmp_path)["difference"] < 1e-3
    assert (tmp_path / "step.json").read_text().count('"scale"') == 2


def test_ragged_sequences_in_any_unit() -> None:
    sources = torch.Generator().manual_seed(0)
    waves = [torch.sin(torch.arange(10 + i % 7) * 0.3 + 6 * torch.rand(1, generator=sources)) for i in range(60)]

    def error(unit: float) -> float:
        task = nounroll.Sequences([unit * (3 + w) for w in waves], labels=[[unit * float(w[0])] for w in waves])
        run = nounroll.fit(task, method="bptt", cell="gru", steps=60, settings=SMALL)
        return run.metrics["rmse"] / unit

    found = [error(unit) for unit in (1.0, 1e-5, 1e9)]
    assert found == pytest.approx([found[0]] * 3, rel=0.05)


def test_students_without_a_scale_open_as_they_were(tmp_path: Path) -> None:
    student = Student(Real(2), Real(2)).eval()
    student.save_pretrained(tmp_path / "s")
    assert '"scale"' not in (tmp_path / "s" / "config.json").read_text()
    opened = Student.from_pretrained(tmp_path / "s")
    assert isinstance(opened.inputs, Real)
    assert opened.inputs.scale is None


def test_a_scale_from_a_stranger_is_checked(tmp_path: Path) -> None:
    from nounroll.models.student import space_from_json

    for scale in ([0.0], [float("nan")], [1.0, 2.0], "1"):
        with pytest.raises((ValueError, TypeError)):
            space_from_json({"kind": "real", "d": 1, "shift": [0.0], "scale": scale})
