"""Every cell of a CSV file is read as it stands, or refused in one line that says where and what to do."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from nounroll.core.notices import Notice
from nounroll.data import csv_table
from nounroll.data.csv_series import Series
from nounroll.data.csv_table import read_columns
from nounroll.data.task import draw

ROWS = [f"{i % 7}.5,{i % 5}.25" for i in range(40)]
LEFT, RIGHT = [i % 7 + 0.5 for i in range(40)], [i % 5 + 0.25 for i in range(40)]


def read(folder: Path, header: str, rows: list[str], columns: list[str] | None = None) -> tuple[list[str], np.ndarray]:
    (folder / "a.csv").write_text("\n".join([header, *rows] if header else rows) + "\n")
    return read_columns("series.path", folder / "a.csv", columns)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("load,load", ["load.0", "load.1"]),
        (",load", ["0", "load"]),
        (",", ["0", "1"]),
        ('"",""', ["0", "1"]),
    ],
)
def test_equal_or_missing_names_are_numbered_with_a_notice(tmp_path: Path, header: str, names: list[str]) -> None:
    with pytest.warns(
        Notice, match=r"^series\.path '.*' has columns with equal or missing names, .* by numbers: "
    ) as said:
        found, table = read(tmp_path, header, ROWS)
    assert len(said) == 1
    assert found == names
    assert table.T.tolist() == [LEFT, RIGHT]
    with warnings.catch_warnings(action="error"):  # who names columns has seen them
        assert read(tmp_path, header, ROWS, [names[1]])[1][:, 0].tolist() == RIGHT


def test_the_numbers_of_the_rows_are_no_column_unless_they_are_asked_for(tmp_path: Path) -> None:
    rows = [f"{i},{row}" for i, row in enumerate(ROWS)]
    with pytest.warns(Notice, match=r"column '0' holds the numbers of the rows, as pandas writes them; it is left out"):
        found, table = read(tmp_path, ",load,heat", rows)
    assert found == ["load", "heat"]
    assert table.T.tolist() == [LEFT, RIGHT]
    assert read(tmp_path, ",load,heat", rows, ["0", "load"])[0] == ["0", "load"]
    assert read(tmp_path, "day,load,heat", rows)[0] == ["day", "load", "heat"]  # it has a name
    with pytest.warns(Notice, match="replaced by numbers"):
        assert read(tmp_path, ",load,heat", rows[1:])[0] == ["0", "load", "heat"]  # it counts something else


def test_control_names_that_are_not_told_apart_read_one_column_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_table, "_unique", lambda name, header, columns: header)
    monkeypatch.setattr(csv_table, "_places", lambda name, names, columns: [names.index(n) for n in names])
    assert read(tmp_path, "load,load", ROWS)[1].T.tolist() == [LEFT, LEFT]


@pytest.mark.parametrize(
    ("header", "columns", "names"),
    [
        ("1990,1991", ["1991"], ["1991"]),
        ("0,1", ["1"], ["1"]),
        ("date,2020", ["2020"], ["2020"]),
        ("a,2020", None, ["a", "2020"]),
        ("a, b", None, ["a", "b"]),
    ],
)
def test_headers(tmp_path: Path, header: str, columns: list[str] | None, names: list[str]) -> None:
    found, table = read(tmp_path, header, ROWS, columns)
    assert found == names
    assert table[:, -1].tolist() == RIGHT


def test_a_first_row_of_numbers_is_data(tmp_path: Path) -> None:
    for first in ("3.5,7.25", "20,21.5", "5,1"):
        found, table = read(tmp_path, first, ROWS)
        assert (found, len(table)) == (["0", "1"], 41)
    assert len(read(tmp_path, "20", ["0.5"] * 9 + ["1.5"])[1]) == 11
    assert len(read(tmp_path, "0,1", ["1,0"] * 20)[1]) == 21  # whole numbers below: states, say


@pytest.mark.parametrize(
    ("header", "rows", "columns", "said"),
    [
        ("1990,1991", ROWS, None, "begins with 1990, 1991, which may be names or numbers; write a first row of words"),
        ("1990,1991", ["5,7", "6,8"] * 9, None, "begins with 1990, 1991, which may be names or numbers"),
        ("0,1", ["5,7.5", "6,8"] * 9, None, "begins with 0, 1, which may be names or numbers"),
        ("0", ["0.5", "1.5"] * 9, None, "begins with 0, which may be names or numbers"),
        ("5,1", ROWS, ["1"], "has these in its first row, and columns of these numbers as well"),
        ("load,load", ROWS, ["load"], r"series\.columns is 'load'; series\.path '.*' has load\.0, load\.1"),
        ("a,a,a.1", [f"{row},1" for row in ROWS], None, "has columns of the same name, a is a.0, a is a.1"),
        ("a,b", ROWS, ["a", "a"], r"series\.columns is \['a', 'a'\]; it names 'a' twice"),
        ("a,NA", ROWS, None, "has 'NA' for the name of a column; write a first row of names"),
        ("NA,NA", ROWS, None, "for the name of a column"),
        ("a,b", ["2020_01_15,3", *ROWS], None, "line 2, column 'a' is '2020_01_15'; .* holds dates or words"),
        ("a,b", ["2020-01-15,3", *ROWS], None, "line 2, column 'a' is '2020-01-15'; .* holds dates or words"),
        ("d,b", [f"202001{i + 10},{i}" for i in range(20)], None, "column 'd' holds dates such as 20200110; pick"),
        ("a,b", ['"1,234",3', *ROWS], None, "column 'a' is '1,234'; .*, without separators of thousands"),
        ("a,b", ["1 234,3", *ROWS], None, "column 'a' is '1 234'; .*, without separators of thousands"),
        ("a,b", ['"1,5",3', *ROWS], None, "column 'a' is '1,5'; .*, with a point for its decimals"),
        ("a;b", ["1;2", "2;3"] * 9, None, "column 'a;b' is '1;2'; .*: cells are separated by commas"),
        ("a;b", ["1,5;2"] * 9, None, "line 2 has 2 cells; the first row has 1. Cells are separated by commas, and"),
        ("a", ROWS, None, "line 2 has 2 cells; the first row has 1"),
        ("a,b", [*ROWS, "1"], None, "line 42 has 1 cells; the first row has 2"),
        ("a,b", [*ROWS[:3], "", *ROWS], None, "line 5 is empty; fill in the missing values, or remove the line"),
        ("a,b", ["1,", *ROWS], None, "line 2, column 'b' is ''; .*: fill it in, or remove the row"),
        ("a,b", ["1,NA", *ROWS], None, "line 2, column 'b' is 'NA'; .*: fill it in, or remove the row"),
        ("a,b", ['1,"2"3', *ROWS], None, "line 2 is not a row of a CSV file .*; correct its quotes"),
        ("a,b", ['1,"2', *ROWS], None, "line 42 is not a row of a CSV file .*; correct its quotes"),
        ("a,b", ["m,s", *ROWS], None, "line 2, column 'a' is 'm'"),
        ("a,b", ["٣,1", *ROWS], None, "line 2, column 'a' is '٣'"),
        ("a,b", ["1e999,1", *ROWS], None, "line 2, column 'a' is '1e999'"),
    ],
)
def test_what_may_be_misread_is_refused(
    tmp_path: Path, header: str, rows: list[str], columns: list[str] | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as error:
        read(tmp_path, header, rows, columns)
    assert "\n" not in str(error.value)
    assert columns == ["a", "a"] or "a.csv" in str(error.value)


def test_dates_that_were_asked_for_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, "d,b", [f"202001{i + 10},{i}" for i in range(20)], ["d"])[1][0, 0] == 20200110


# --- missing values in a file of one column -------------------------------------------------------


def in_units(task: Series, values: torch.Tensor) -> list[float]:
    """Values of one column as a person reads them."""
    return [float(word) for word in task.decode(values).split()]


def gappy(path: Path, empty: str = "") -> Series:
    """400 steps, 40 of them missing."""
    values = [empty if 100 <= i < 140 else f"{i}" for i in range(400)]
    path.write_text("\n".join(["y", *values]) + "\n\n")
    return Series(path=path)


@pytest.mark.parametrize("empty", ["", '""', "  "])
def test_an_empty_line_is_a_missing_value_that_keeps_its_step(tmp_path: Path, empty: str) -> None:
    with pytest.warns(Notice, match=r"40 of 400 values are missing, the first in row 101; .* and not scored$"):
        task = gappy(tmp_path / "a.csv", empty)
    assert len(task._data) + len(task._held_out) == 400
    batch = draw(task, 1, task.max_length or 0, 0, "train")  # the whole training part: steps 0 to 319
    values = in_units(task, batch.inputs[0])
    expected = np.array([99 if 100 <= i < 140 else i for i in range(319)])
    np.testing.assert_allclose(values, expected, atol=1e-3)  # carried forward, never backward: no future is seen
    assert torch.nonzero(~batch.mask[0])[:, 0].tolist() == list(range(99, 139))
    known = [i for i in range(320) if not 100 <= i < 140]
    assert task.mean[0] == pytest.approx(np.mean(known))
    assert draw(task.validation(), 9, 20, 0, "v").mask.all()


def test_values_missing_in_what_is_held_out_are_not_scored(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("y\n" + "\n".join("" if 345 <= i < 355 else str(i) for i in range(400)))
    with pytest.warns(Notice):
        task = Series(path=tmp_path / "a.csv")
    parts = (task, task.validation(), task.test())
    assert [bool(draw(part, 9, part.max_length or 0, 0, "t").mask.all()) for part in parts] == [True, False, True]


def test_values_before_the_first_are_left_out_and_a_part_needs_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("y\n\n\n" + "\n".join(map(str, range(40))))
    with pytest.warns(Notice, match="2 of 42 values are missing, the first in row 1;"):
        assert len(Series(path=tmp_path / "a.csv")._data) == 32
    (tmp_path / "a.csv").write_text("y\n" + "\n".join("" if 32 <= i < 36 else str(i) for i in range(40)))
    with (
        pytest.warns(Notice),
        pytest.raises(ValueError, match=r"has no value in its validation part; fill in what is missing"),
    ):
        Series(path=tmp_path / "a.csv")


# --- another file that is held out, and what a person types ----------------------------------------


def test_held_out_names_another_file(tmp_path: Path) -> None:
    for name, start in (("train", 0), ("later", 100)):
        (tmp_path / f"{name}.csv").write_text("b,a\n" + "".join(f"{-i},{i}\n" for i in range(start, start + 40)))
    task = Series(path=tmp_path / "train.csv", columns=["a"], held_out=tmp_path / "later.csv")
    parts = [draw(part, 1, part.max_length or 0, 0, "t") for part in (task, task.validation(), task.test())]
    firsts = [round(in_units(task, batch.inputs[0])[0]) for batch in parts]
    assert (firsts, [len(batch.inputs[0]) + 1 for batch in parts]) == ([0, 100, 120], [40, 20, 20])
    (tmp_path / "other.csv").write_text("c,d\n1,2\n")
    with pytest.raises(ValueError, match=r"^series\.columns is 'a'; series\.held_out '.*' has c, d$"):
        Series(path=tmp_path / "train.csv", columns=["a"], held_out=tmp_path / "other.csv")


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_typed_numbers_are_scaled_as_those_of_the_file(tmp_path: Path, offset: float) -> None:
    values = [offset + i % 13 for i in range(200)]
    (tmp_path / "a.csv").write_text("\n".join(["y", *map(repr, values)]))
    task = Series(path=tmp_path / "a.csv")
    typed = task.encode(" ".join(map(repr, values[:160])))
    assert torch.equal(typed, torch.from_numpy(np.asarray(task._data)))
    assert in_units(task, typed) == pytest.approx(values[:160], abs=0.01)
    with pytest.raises(ValueError, match=r"^prompt is '1_000'; this task reads numbers between spaces$"):
        task.encode("1_000")
