"""Fan charts, reliability, classes and surprise: what is drawn is what was given."""

import numpy as np
import pytest
import torch

from helpers import make_student
from nounroll.cli.samples import classes
from nounroll.core.batch import Categorical
from nounroll.data.parity import Parity
from nounroll.data.sequences import Sequences
from nounroll.report.classes import class_scores, classes_picture, confusion
from nounroll.report.fan import Fan, fan_picture
from nounroll.report.reliability import reliability_picture
from nounroll.report.steps import steps_picture


def test_a_fan_has_bands_a_median_and_the_truth() -> None:
    quantiles = {level: np.full(3, 10 * level) for level in (0.05, 0.25, 0.5, 0.95)}
    fan = Fan("a", range(5), np.arange(5.0), range(5, 8), quantiles, np.array([4.0, np.nan, 6.0]))
    (ax,) = fan_picture([fan]).figure.axes
    assert [text.get_text() for text in ax.figure.legends[0].texts] == ["history", "90 %", "median", "what followed"]
    (band,) = ax.collections  # 0.25 has no partner
    assert band.get_paths()[0].vertices[:, 1].min() == pytest.approx(0.5)
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(9.5)
    history, end, median, truth = ax.lines
    assert history.get_ydata().tolist() == [0, 1, 2, 3, 4]
    assert end.get_xdata()[0] == 4
    assert median.get_ydata().tolist() == [5, 5, 5]
    assert truth.get_ydata()[[0, 2]].tolist() == [4, 6]


def test_reliability_is_drawn_beside_the_diagonal() -> None:
    (ax,) = reliability_picture([0.1, 0.9], np.array([0.2, 0.7]), 40).figure.axes
    assert ax.lines[1].get_ydata().tolist() == [0.2, 0.7]


def test_classes_are_counted_and_scored() -> None:
    counts = confusion(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 1]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 3, 0], [0, 0, 0]]
    scores = class_scores(counts)
    np.testing.assert_allclose(scores[:2], [[1, 1 / 2, 2 / 3], [3 / 4, 1, 6 / 7]])
    assert np.isnan(scores[2]).all()
    picture = classes_picture(counts, ["a", "b", "c"])
    assert "4 of 5 sequences, 80.0%, are classified correctly" in picture.caption
    assert [text.get_text() for text in picture.figure.axes[0].texts] == ["1", "1", "0", "0", "3", "0", "0", "0", "0"]


def test_surprise_marks_the_most_surprising_steps() -> None:
    nats = np.array([0.0, 1, 1, 9, 1, 1, 1, 1])
    (ax,) = steps_picture(["a"], [nats], 1.0, [True]).figure.axes
    assert 3 in ax.lines[2].get_xdata()
    assert ax.get_title(loc="left").startswith("a: an anomaly")


def test_held_out_classes_of_a_task_are_those_that_the_network_tells() -> None:
    rows = [torch.randint(4, (6,), generator=torch.Generator().manual_seed(i)) for i in range(30)]
    task = Sequences(
        rows, labels=[int(row[0]) for row in rows], split=["train"] * 20 + ["validation"] * 5 + ["test"] * 5
    )
    student = make_student("gru", Categorical(4), Categorical(4), dtype=torch.float32)
    picture = classes(student, task, 6, seed=0)
    assert picture is not None
    told = student.readout(student.rollout(torch.stack(rows[25:30]))[:, -1]).argmax(-1)
    right = int((told == torch.stack(rows[25:30])[:, 0]).sum())
    assert picture.caption.startswith(f"{right} of 5 sequences")
    every_step = make_student("gru", Categorical(2), Categorical(2), dtype=torch.float32)
    assert classes(every_step, Parity(), 8, seed=0) is None  # a target at every step
