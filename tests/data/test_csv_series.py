import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.core.batch import Real
from nounroll.data.csv_series import Series
from nounroll.data.task import draw


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def weather(path: Path) -> Path:
    """100 hours: the hour, and minus three times the hour."""
    return written(path, "date,up,down\n" + "".join(f"2010-01-01 {i},{i},{-3 * i}\n" for i in range(100)))


def test_standardised_by_the_training_part(tmp_path: Path) -> None:
    task = Series(path=weather(tmp_path / "w.csv"), columns=["down", "up"])
    assert task.inputs == task.targets == Real(2)
    assert task.columns == ["down", "up"]
    assert task.mean == pytest.approx([-3 * 39.5, 39.5])
    assert task.std == pytest.approx([3 * np.arange(80).std(), np.arange(80).std()])
    batch = draw(task, 1, task.max_length or 0, 0, "train")
    whole = torch.cat([batch.inputs, batch.targets[:, -1:]], 1)[0]
    assert whole[3].tolist() == [-9, 3]  # the file's own numbers
    whole = Real(2, tuple(task.mean), tuple(task.std)).standardise(whole)
    assert (task.inputs.shift, task.inputs.scale) == (tuple(task.mean), tuple(task.std))  # type: ignore[union-attr]
    assert whole.shape == (80, 2)
    assert whole.mean(0).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert whole.std(0, correction=0).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])


def test_parts_are_disjoint(tmp_path: Path) -> None:
    task = Series(path=weather(tmp_path / "w.csv"), columns=["up"])
    hours = [
        {round(float(h)) for b in (batch.inputs, batch.targets) for h in b.flatten()}
        for batch in (draw(part, 300, 5, 0, "any") for part in (task, task.validation(), task.test()))
    ]
    assert hours == [set(range(80)), set(range(80, 90)), set(range(90, 100))]


def test_a_person_sees_the_units_of_the_file(tmp_path: Path) -> None:
    task = Series(path=weather(tmp_path / "w.csv"), columns=["up", "down"])
    values = task.encode("7,-21 8,-24.5")
    assert values.dtype == torch.float32
    assert values[0, 0] == 7
    assert task.decode(values) == "7,-21 8,-24.5"
    assert task.decode(task.prompt()) == "39.5,-118.5"
    with pytest.raises(ValueError, match="prompt is '1 2 3'; this task reads numbers between spaces, 2 for each step"):
        task.encode("1 2 3")
    with pytest.raises(ValueError, match="prompt holds nan"):
        task.encode("1 nan")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=30, max_size=60, unique=True))
def test_numbers_survive_the_way_there_and_back(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    task = Series(path=written(tmp_path_factory.mktemp("s") / "s.csv", "\n".join(map(str, values))))
    batch = draw(task, 1, task.max_length or 0, 0, "train")
    back = batch.inputs[0, :, 0].double().numpy()
    assert back == pytest.approx(values[: len(back)], abs=1e-5 * max(map(abs, values)))


def test_forms_of_the_file(tmp_path: Path) -> None:
    rows = "\n\n1, 2\r\n3,5\n4,4\n9,0\n1,1\n2,2\n"
    plain = Series(path=written(tmp_path / "a.csv", rows))
    assert plain.columns == ["0", "1"]
    headed = Series(path=written(tmp_path / "b.csv", "\ufeffa,b" + rows))
    assert headed.columns == ["a", "b"]
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(("1990,1991" + rows).encode()))
    years = Series(path=tmp_path / "c.csv.gz", columns=["1991"])  # named, so the first row is a header
    assert years.mean.tolist() == plain.mean.tolist()[1:] == headed.mean.tolist()[1:] == [3.5]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("", None, r"series\.path '.*' is empty; it must hold rows of numbers"),
        ("a,b\n1,2\n", ["c"], r"series\.columns is 'c'; series\.path '.*' has a, b"),
        ("a,b\n1,2\n", [], r"series\.columns is \[\]; series\.path '.*' has a, b"),
        ("a,b\n1,2\n3,x\n", None, r"line 3, column 'b' is 'x'; it must be a finite number"),
        ("a,b\n1,2\n3,nan\n", None, r"line 3, column 'b' is 'nan'; it must be a finite number"),
        ("a,b\n1,-inf\n", None, r"line 2, column 'b' is '-inf'"),
        ("a,b\n1,1e999\n", None, r"line 2, column 'b' is '1e999'"),
        ("a,b\n1,\n", None, r"line 2, column 'b' is ''"),
        ("a,b\n1,2,3\n", None, r"line 2 has 3 cells; the first row has 2"),
        ("a,b\n1,2\n3,4\n", None, r"holds 2 elements; at least 6 are needed"),
        ("a,b\n" + "1,2\n2,2\n" * 9, None, r"column 'b' is constant \(2\.0\); leave it out"),
        ("a\n" + "1e308\n-1e308\n" * 9, None, r"column 'a' is too large or too small to be standardised"),
        ("a\n" + "1e-320\n0\n" * 9, None, r"column 'a' is too large or too small to be standardised"),
        ("a\n" + "1\n2\n" * 9 + "1e300\n", None, r"column 'a' is too large or too small to be standardised"),
        ('a\n"1\n2\n', None, r"line 3 is not a row of a CSV file \(unexpected end of data\); correct its quotes"),
        ("a\n1\x002\n", None, r"not text in UTF-8 \(a zero byte, .* at position 3, line 2\)"),
        ("a\n" + "1e9\n1000000100\n" * 9, None, r"column 'a' is near 1e\+09 and varies by 50, which single precision"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, columns: list[str] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Series(path=written(tmp_path / "s.csv", text), columns=columns)
    assert "\n" not in str(error.value)
    assert "series." in str(error.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"^series\.path is '.*'; it is not text in UTF-8 \(its mark says UTF-16, and"):
        Series(path=path)
    path.write_bytes(b"\x1f\x8b\x08 cut short")
    with pytest.raises(ValueError, match=r"^series\.path is '.*'; it cannot be read"):
        Series(path=path)
    with pytest.raises(ValueError, match=r"^series\.path is 'no\.csv'; there is no such file or folder$"):
        Series(path="no.csv")
    with pytest.raises(ValueError, match=r"^series\.path is '.*'; it cannot be read \(Is a directory\)$"):
        Series(path=tmp_path)


def test_a_file_of_0_and_1_alone_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("a,b\n" + "0,1\n1,0\n0,0\n" * 20)
    with pytest.raises(ValueError, match=r"^series.path '.*notes.csv' are 0 and 1 alone, .*; take nounroll\.Bits\(2\)"):
        Series(path=path)
    path.write_text("a,b\n" + "0,1\n1,0\n0,0.5\n" * 20)
    assert Series(path=path).inputs.event_shape == (2,)
