"""One table in every kind of file, and in memory, is one task."""

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nounroll import data
from nounroll.core.notices import Notice
from nounroll.data.fingerprint import fingerprint
from nounroll.data.sequences import Sequences

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")

from nounroll.data.tables.table import Table  # noqa: E402  # it needs what is skipped for above

ROLES: dict[str, Any] = {"id": "shop", "time": "day", "target": "sales", "future": "offer", "static": "size"}
SHOPS, DAYS = ("Bonn", "Köln", "Rome"), 30


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        yield


def frame() -> Any:
    """Three shops in turn, day after day; a fifth of the sales are missing."""
    draw = np.random.default_rng(0)
    rows = [
        {
            "shop": shop,
            "day": pd.Timestamp("2024-02-20") + pd.Timedelta(days=day),
            "sales": round(float(1000 + 900 * draw.random()), 2) if draw.random() < 0.8 else np.nan,
            "offer": int(draw.integers(2)),
            "size": ["big", "small", "big"][i],
        }
        for day in range(DAYS)
        for i, shop in enumerate(SHOPS)
    ]
    return pd.DataFrame(rows)


def text(delimiter: str = ",", decimal: str = ".", thousands: str = "", date: str = "%Y-%m-%d", quote: str = "") -> str:
    def number(value: float) -> str:
        if np.isnan(value):
            return ""
        shown = f"{value:,.2f}" if thousands else f"{value:.2f}"
        shown = shown.translate(str.maketrans({",": thousands, ".": decimal}))
        return f'"{shown}"' if delimiter in shown else shown

    lines = [delimiter.join(f"{quote}{name}{quote}" for name in frame().columns)]
    for row in frame().itertuples():
        cells = (f"{quote}{row.shop}{quote}", row.day.strftime(date), number(row.sales), str(row.offer), f"{row.size}")
        lines.append(delimiter.join(cells))
    return "\n".join(lines) + "\n"


def put(name: str, content: bytes) -> str:
    Path(name).write_bytes(content)
    return name


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", content)
    return file.getvalue()


def arrow(opener: Callable[..., Any]) -> bytes:
    file, table = io.BytesIO(), pa.Table.from_pandas(frame(), preserve_index=False)
    with opener(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def records() -> list[dict[str, Any]]:
    rows = frame().assign(day=frame().day.dt.strftime("%Y-%m-%d")).to_dict("records")
    return [{k: None if v != v else v for k, v in row.items()} for row in rows]


def parquet(name: str) -> str:
    frame().to_parquet(name, index=False)
    return name


FILES: dict[str, Callable[[], str]] = {
    "commas": lambda: put("a.csv", text().encode()),
    "semicolons and decimal commas": lambda: put("a.csv", text(";", ",").encode()),
    "thousands": lambda: put("a.csv", text(";", ".", ",").encode()),
    "thousands with points": lambda: put("a.csv", text(";", ",", ".", "%d.%m.%Y").encode()),
    "thousands with spaces": lambda: put("a.csv", text(thousands=" ").encode()),
    "quoted numbers": lambda: put("a.csv", text(thousands=",").encode()),
    "tabs and American dates": lambda: put("a.tsv", text("\t", date="%m/%d/%Y").encode()),
    "bars, and quotes of one stroke": lambda: put("a.txt", text("|", quote="'").encode()),
    "German dates": lambda: put("a.csv", text(date="%d.%m.%Y").encode()),
    "dates with hours": lambda: put("a.csv", text(date="%Y-%m-%dT%H:%M:%S").encode()),
    "Windows' line ends and a mark": lambda: put("a.csv", b"\xef\xbb\xbf" + text().replace("\n", "\r\n").encode()),
    "UTF-16": lambda: put("a.csv", text().encode("utf-16")),
    "gzip": lambda: put("a.csv.gz", gzip.compress(text().encode())),
    "bzip2": lambda: put("a.csv.bz2", bz2.compress(text().encode())),
    "xz": lambda: put("a.csv.xz", lzma.compress(text().encode())),
    "zip": lambda: put("a.csv.zip", zipped(text().encode())),
    "words for gaps": lambda: put("a.csv", text().replace(",,", ",n/a,").encode()),
    "Parquet": lambda: parquet("a.parquet"),
    "Arrow": lambda: put("a.arrow", arrow(pa.ipc.new_file)),
    "Arrow stream": lambda: put("a.feather", arrow(pa.ipc.new_stream)),
    "JSON lines": lambda: put("a.jsonl", "\n".join(map(json.dumps, records())).encode()),
    "JSON lines in gzip": lambda: put("a.jsonl.gz", gzip.compress("\n".join(map(json.dumps, records())).encode())),
    "a JSON list": lambda: put("a.json", json.dumps(records()).encode()),
}


def by_hand() -> Sequences:
    """The same task from arrays, in lines that share nothing with the reader."""
    inputs, targets, times, future, static = [], [], [], [], []
    for shop in SHOPS:
        mine = frame()[frame().shop == shop]
        mine = mine[: int(np.flatnonzero(mine.sales.notna())[-1]) + 1]  # what comes after is to be forecast
        sales = mine.sales.to_numpy()
        inputs.append(sales[:-1])
        targets.append(sales[1:])
        times.append(mine.day.to_numpy()[1:])
        future.append(mine.offer.to_numpy())
        static.append([float(mine["size"].iloc[0] == "big"), float(mine["size"].iloc[0] == "small")])
    return Sequences(inputs, targets=targets, future=future, static=static, times=times, window=256)


def same(one: Sequences, other: Sequences) -> None:
    assert (one.inputs, one.targets, one.length) == (other.inputs, other.targets, other.length)
    for mine, its in ((one, other), (one.validation(), other.validation()), (one.test(), other.test())):
        a, b = (task.take(torch.arange(task.size or 0), task.length) for task in (mine, its))
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.targets, b.targets)
        assert torch.equal(a.mask, b.mask)
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize("form", list(FILES))
def test_a_file_and_arrays_are_one_task(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = data.build("table", {"path": FILES[form](), "roles": ROLES, "freq": "D"})
    assert isinstance(task, Table)
    same(task, by_hand())


@pytest.mark.parametrize("form", ["commas", "Parquet"])
def test_python_may_end_right_after_a_file_is_read(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of pyarrow that still hold the file when Python ends abort the process."""
    monkeypatch.chdir(tmp_path)
    code = "import torch, sys; from nounroll.data.tables.reading import read_table; read_table('path', sys.argv[1])"
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", code, FILES[form]()], capture_output=True, text=True)
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_frame_is_the_task_of_its_file() -> None:
    same(Table.from_frame(frame(), ROLES), by_hand())
    same(Table.from_frame(frame().assign(size=frame()["size"].astype("category")), ROLES), by_hand())


def test_an_arrow_table_and_what_becomes_one_are_frames() -> None:
    table = pa.Table.from_pandas(frame())
    for form in (table, SimpleNamespace(to_arrow=lambda: table)):
        same(Table.from_frame(form, ROLES), by_hand())


def test_the_index_that_pandas_writes_is_no_input(tmp_path: Path) -> None:
    df = frame()
    df.index = np.arange(len(df)) % 30  # as of frames that were put together; 0, 1, 2 ... would be no column
    df.to_parquet(tmp_path / "t.parquet")
    with pytest.warns(Notice, match="left out: __index_level_0__"):
        same(Table(path=tmp_path / "t.parquet", roles=ROLES), by_hand())


def test_the_row_numbers_that_pandas_writes_into_csv_are_no_input(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    frame().to_csv(path)
    with pytest.warns(Notice, match="left out: 0 "):
        same(Table(path=path, roles=ROLES), by_hand())
    assert Table(path=path, test=path, roles=ROLES).reads == Table.from_frame(frame(), ROLES).reads
    with pytest.warns(Notice, match="left out: Unnamed: 0 "):
        same(Table.from_frame(pd.read_csv(path, parse_dates=["day"]), ROLES), by_hand())


def test_a_frame_of_numbered_columns_is_read_back(tmp_path: Path) -> None:
    pd.DataFrame(np.arange(100).reshape(50, 2) / 2).to_csv(tmp_path / "t.csv")
    assert Table(path=tmp_path / "t.csv", roles={"target": "1"}).reads == ["1", "0"]


def test_spaces_around_cells_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text(", "))
    same(Table(path=tmp_path / "t.csv", roles=ROLES), by_hand())


def test_a_first_column_without_a_name_that_does_not_count_the_rows_is_an_input(tmp_path: Path) -> None:
    df = frame()
    df.index = np.arange(len(df)) + 1
    df.to_csv(tmp_path / "t.csv")
    assert "0" in Table(path=tmp_path / "t.csv", roles=ROLES).reads


def test_the_check_of_one_task_can_fail() -> None:
    changed = frame()
    changed.loc[17, "sales"] = 1234.0
    with pytest.raises(AssertionError):
        same(Table.from_frame(changed, ROLES), by_hand())


TS = """# cases
@problemName two
@timestamps false
@classLabel true a b
@data
1,2,3:4,5,6:a
1,?:7,8:b
"""


def test_ts_files_hold_a_case_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "x_TRAIN.ts"
    cases = TS.splitlines()[-2:]
    path.write_text(TS + "\n".join(cases * 9) + "\n")
    task = data.build("table", {"path": str(path)})
    assert isinstance(task, Table)
    assert task.classes == ["a", "b"]
    assert [one.tolist() for one in task._inputs.split()[:2]] == [
        [[1, 4, 0], [2, 5, 0], [3, 6, 0]],
        [[1, 7, 0], [1, 8, 1]],
    ]
    other = tmp_path / "x_TEST.ts"
    other.write_text(TS)
    task = data.build("table", {"path": str(path), "test": str(other)})
    assert [part.size for part in (task, task.validation(), task.test())] == [18, 2, 2]


@pytest.mark.parametrize(("kind", "classes"), [("class", ["1.0", "2.0"]), ("target", [])])
def test_numbers_as_labels_of_ts_files_are_classes_or_targets(kind: str, classes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x_TRAIN.ts"
    path.write_text(f"@{kind}Label true\n@data\n" + "1,2,3:1.0\n1,5,8:2.0\n" * 9)
    task = data.build("table", {"path": str(path), "test": str(path)})
    assert isinstance(task, Table)
    assert task.classes == classes
    assert (task.targets.symbols is None) == (kind == "target")


def test_without_the_extra_one_line_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text())
    for package in ("pandas", "pyarrow"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, package, None)
            with pytest.raises(
                ValueError, match=rf"^table\.path '.*' needs the package {package}; pip install nounroll\[tables\]$"
            ):
                data.build("table", {"path": str(path), "roles": ROLES})
