"""What the pictures show is what the analysis says."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import make_student, make_teacher
from nounroll.analysis import analyze
from nounroll.core.batch import Batch
from nounroll.data.parity import Parity
from nounroll.data.retrieval import Retrieval
from nounroll.data.task import SequenceTask
from nounroll.report.pictures import pictures
from nounroll.report.style import save
from nounroll.report.training import training_picture
from own_parts import RunningMean


def analysed(task: SequenceTask, teacher: bool = True, horizon: int | None = 4) -> dict[str, Any]:
    student = make_student("mlp", task.inputs, task.targets, dtype=torch.float32)
    beside = make_teacher(student, dtype=torch.float32) if teacher else None
    return analyze(student, beside, task, length=8, sequences=6, horizon=horizon).to_dict()


class Restarting(Parity):
    """Sequences that restart after 3 steps."""

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        resets = torch.zeros(batch_size, length, dtype=torch.bool)
        resets[:, 3] = True
        return dataclasses.replace(super().sample(batch_size, length, generator), resets=resets)


@pytest.mark.parametrize(
    ("task", "teacher", "missing"),
    [
        (Restarting(), True, set()),
        (Parity(), True, set()),
        (RunningMean(), True, set()),
        (Parity(), False, {"drift", "ahead", "packing"}),
        (Retrieval(values=3), True, {"positions"}),  # one step is scored: there is no curve
    ],
)
def test_every_kind_of_run_gets_its_pictures(task: SequenceTask, teacher: bool, missing: set[str]) -> None:
    whole = {"lengths", "positions", "drift", "heatmap", "geometry", "spectrum", "gradients", "ahead", "packing"}
    assert {one.name for one in pictures(analysed(task, teacher))} == whole - missing


def test_a_decoder_that_was_never_trained_is_not_asked() -> None:
    assert "ahead" not in {one.name for one in pictures(analysed(Parity(), horizon=None))}


def test_they_are_saved_under_their_names(tmp_path: Path) -> None:
    paths = save(pictures(analysed(Parity(), teacher=False))[:2], tmp_path / "figures")
    assert {path.name for path in paths} == {path.name for path in (tmp_path / "figures").iterdir()}
    assert all(path.suffix == ".png" and path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_curves_are_those_of_the_analysis() -> None:
    analysis = analysed(Parity())
    found = {one.name: one.figure.axes for one in pictures(analysis)}
    assert list(found["drift"][0].lines[0].get_ydata()) == analysis["drift"]["curve"]
    bptt, smt = found["gradients"][0].lines
    assert list(bptt.get_ydata()) == analysis["student"]["gradients"]["norms"]
    assert list(smt.get_ydata()) == analysis["teacher"]["gradients"]["norms"]
    teacher, student = found["lengths"][0].lines[:2]
    assert list(student.get_ydata()) == [one["student"]["bits"] for one in analysis["lengths"]]
    assert list(teacher.get_ydata()) == [one["teacher"]["bits"] for one in analysis["lengths"]]


def test_targets_are_named_where_they_have_names() -> None:
    def legend(**names: dict[str, str]) -> list[str]:
        (picture,) = (one for one in pictures({**analysed(Parity()), **names}) if one.name == "geometry")
        return [text.get_text() for text in picture.figure.axes[3].get_legend().get_texts()]

    assert legend() == ["0", "1"]
    assert legend(symbols={"0": "'e'", "1": "' '"}) == ["'e'", "' '"]


def test_a_gradient_of_zero_is_said_and_not_drawn() -> None:
    analysis = analysed(Parity())
    norms = analysis["student"]["gradients"]["norms"]
    norms[0], analysis["student"]["gradients"]["ratio"] = 0.0, None
    (picture,) = (one for one in pictures(analysis) if one.name == "gradients")
    line = picture.figure.axes[0].lines[0]
    assert list(line.get_ydata()) == norms[1:]
    assert "beyond float32" in str(line.get_label())


def test_training_curves() -> None:
    def record(event: str, method: str, seconds: float, **values: float) -> dict[str, Any]:
        return {"event": event, "method": method, "seconds": seconds, **values}

    history = [
        record("train", "smt", 1.0, loss=2.0),
        record("evaluation", "smt", 1.5, loss=0.7, accuracy=0.5),
        record("train", "dmt", 2.0, loss=0.1),
        record("evaluation", "dmt", 2.5, loss=0.1, accuracy=1.0),
    ]
    picture = training_picture(history)
    assert picture is not None
    left, right = picture.figure.axes
    assert [line.get_label() for line in left.lines] == ["smt", "dmt"]
    assert list(right.lines[0].get_ydata()) == [0.5, 1.0]
    assert training_picture(history[:1]) is None
