"""Export: what is written steps as the student does, for any number of rows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers import CELL_KINDS, SYMBOLS, make_student
from nounroll.core.batch import Categorical, Real, Space
from nounroll.export import ExportError, export
from nounroll.export.export import FORMATS
from nounroll.export.step import Step, StepFunction, largest_difference
from nounroll.models.student import Student

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def student(cell: str = "mlp", inputs: Space = SYMBOLS, targets: Space = SYMBOLS) -> Student:
    return make_student(cell, inputs, targets, dtype=torch.float32)


def test_onnx_has_standard_operators_and_any_number_of_rows(bytes_folder: Path) -> None:
    import numpy as np
    import onnx
    import onnxruntime

    model = onnx.load(bytes_folder / "step.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    about = json.loads((bytes_folder / "step.json").read_text())
    session = onnxruntime.InferenceSession(bytes_folder / "step.onnx")
    for rows in (1, 2, 7):
        memory = np.array([about["initial_memory"]] * rows, dtype=np.float32)
        after, logits = session.run(None, {"inputs": np.arange(rows), "memory": memory})
        assert after.shape == memory.shape
        assert logits.shape == (rows, 256)


def test_the_example_needs_no_torch(bytes_folder: Path) -> None:
    script = (
        "import sys, runpy; sys.argv[1:] = [sys.argv[1], 'def ', '20'];"
        f"runpy.run_path({str(EXAMPLES / 'run_onnx.py')!r}, run_name='__main__'); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script, str(bytes_folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("def ")


@pytest.mark.nightly
@pytest.mark.parametrize("inputs", [Categorical(5), Real(3)], ids=str)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_every_cell_as_onnx(kind: str, inputs: Categorical | Real, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    assert export(student(kind, inputs=inputs), "onnx", tmp_path)["difference"] <= 1e-3


@pytest.mark.nightly
def test_the_time_of_a_step_is_measured() -> None:
    pytest.importorskip("onnxscript")
    command = [sys.executable, str(EXAMPLES.parent / "benchmarks" / "step.py"), "--cells", "elman", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if "elman" in line)
    *times, difference = (float(cell.replace(",", "")) for cell in row.strip("│ ").split("│")[1:])
    assert len(times) == 3
    assert min(times) > 0
    assert 0 <= difference <= 1e-3


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [("gru", Categorical(5)), pytest.param("mlp", Real(3), marks=pytest.mark.nightly)],
    ids=str,
)
def test_torch(kind: str, inputs: Categorical | Real, tmp_path: Path) -> None:
    assert export(student(kind, inputs=inputs), "torch", tmp_path)["difference"] <= 1e-3
    assert (tmp_path / "step.pt2").is_file()


def test_the_exported_network_stays_as_it_is(tmp_path: Path) -> None:
    one = student("mlp").bfloat16().train()
    export(one, "safetensors", tmp_path)
    assert one.training
    assert {weight.dtype for weight in one.parameters()} == {torch.bfloat16}


def test_safetensors(tmp_path: Path) -> None:
    (tmp_path / "step.onnx").write_text("of an export before")
    for _ in range(2):  # the second replaces the first
        assert export(student("lstm"), "safetensors", tmp_path)["difference"] == 0
    assert Student.from_pretrained(tmp_path / "student").memory_shape == student("lstm").memory_shape
    assert (tmp_path / "step.onnx").exists()


def test_an_unknown_format() -> None:
    with pytest.raises(ValueError, match="to is 'gguf'; it must be one of onnx, torch, safetensors"):
        export(student(), "gguf", ".")


@pytest.mark.parametrize("fault", [1e-2, float("nan")])
def test_control_a_step_that_is_off_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: float) -> None:
    def planted(one: Student, folder: Path) -> tuple[list[Path], StepFunction]:
        step = Step(one)
        path = folder / "step.bad"
        path.write_text("")

        def off(inputs: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            after, logits = step(inputs, memory)
            return after, logits + fault

        return [path], off

    monkeypatch.setattr("nounroll.export.step.CHECKED_STEPS", 5)
    monkeypatch.setitem(FORMATS, "bad", planted)
    with pytest.raises(ExportError, match="nothing was kept"):
        export(student(), "bad", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_control_a_small_error_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.export.step.CHECKED_STEPS", 50)
    one = student("elman")
    step = Step(one)

    def rounded(inputs: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return step(inputs, memory * (1 + 1e-5))

    assert largest_difference(one, step) == 0
    assert largest_difference(one, rounded) > 1e-6


def test_outputs_that_are_one_rounding_apart_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.export.step.CHECKED_STEPS", 5)
    one = student("gru", Real(1), Real(1, shift=[100_000.0], scale=[3.0]))  # a rounding is 0.0026 of this scale
    step = Step(one)

    def off(times: int) -> StepFunction:
        def run(inputs: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            after, outputs = step(inputs, memory)
            for _ in range(times):
                outputs = torch.nextafter(outputs, torch.full_like(outputs, torch.inf))
            return after, outputs

        return run

    assert largest_difference(one, off(1)) == 0
    assert largest_difference(one, off(2)) > 0.005
