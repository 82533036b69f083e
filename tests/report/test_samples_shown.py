"""Surprise-coloured text and foretold series show what the network said."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import make_student
from nounroll.cli.samples import foretold, samples
from nounroll.core.batch import Categorical
from nounroll.data.csv_series import Series
from nounroll.data.text import Text
from nounroll.report.series import series_picture
from nounroll.report.surprise import coloured


def test_characters_have_the_bits_of_their_bytes() -> None:
    text = "aé日".encode()
    spans = coloured(text, [1.5, 2.0, 3.0, 0.25, 0.25, 0.25])
    assert [(one["text"], one["bits"], one["shade"]) for one in spans] == [
        ("a", 1.5, 1),
        ("é", 5.0, 5),
        ("日", 0.75, 0),
    ]
    assert coloured(b"x", [100.0])[0]["shade"] == 8


@pytest.mark.parametrize("text", [b"\xff\xffa", b"a\xe6\x97", b"\xc3a", b"", b"\xa9"])
def test_no_bit_is_lost_where_bytes_are_no_text(text: bytes) -> None:
    spans = coloured(text, [1.0] * len(text))
    assert "".join(one["text"] for one in spans) == text.decode(errors="replace")
    assert sum(one["bits"] for one in spans) == len(text)


def test_the_text_is_held_out_and_its_bits_are_the_networks(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("tick tock " * 90 + "Zanzibar, " * 10)
    student = make_student("gru", Categorical(256), Categorical(256), dtype=torch.float32)
    _, shown = samples(student, Text(path=tmp_path / "book.txt"), 8, seed=0)
    said = "".join(one["text"] for one in shown["coloured"])
    assert "Zanzibar" in said
    assert "tick" not in said
    read = torch.tensor(list(said.encode()))
    logits = student.readout(student.rollout(read[None, :-1])[0, 1:])  # from the second character on
    bits = torch.nn.functional.cross_entropy(logits, read[1:], reduction="none") / math.log(2)
    given = torch.tensor([one["bits"] for one in shown["coloured"]][1:])
    # Both have read all but the byte before the passage, which an untrained network soon forgets.
    torch.testing.assert_close(given[30:], bits[30:], atol=1e-2, rtol=0)
    assert (given[30:] - bits[29:-1]).abs().max() > 0.1  # control: those of the character before


def test_a_series_is_drawn_in_the_units_of_its_file(tmp_path: Path) -> None:
    rows = "".join(f"{1000 + 50 * math.sin(i / 5)},{i % 7}\n" for i in range(400))
    (tmp_path / "waves.csv").write_text("height,day\n" + rows)
    task = Series(path=tmp_path / "waves.csv")
    student = make_student("mlp", task.inputs, task.targets, dtype=torch.float32)
    picture = foretold(student, task, 20, seed=0)
    assert picture is not None
    height, day = picture.figure.axes
    assert (height.get_title(loc="left"), day.get_title(loc="left")) == ("height", "day")
    truth = height.lines[0].get_ydata()
    assert len(truth) == 20
    assert 950 <= min(truth) <= max(truth) <= 1050
    assert [text.get_text() for text in picture.figure.legends[0].texts] == [
        "held-out data",
        "predicted, one step ahead",
        "90 % of its forecasts",
        "50 % of its forecasts",
        "their median",
    ]


def test_a_series_shows_at_most_three_columns() -> None:
    some = np.zeros((8, 5))
    picture = series_picture("abcde", some, some, some + 1, np.zeros((2, 3, 5)))
    assert [ax.get_title(loc="left") for ax in picture.figure.axes] == ["a", "b", "c"]


def test_there_is_no_series_in_text(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("tick tock " * 90)
    student = make_student("mlp", Categorical(256), Categorical(256), dtype=torch.float32)
    assert foretold(student, Text(path=tmp_path / "book.txt"), 8, seed=0) is None
