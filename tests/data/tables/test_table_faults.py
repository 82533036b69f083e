"""What a table may not hold: each fault in one line with its column, row and remedy."""

import gzip
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nounroll import data
from nounroll.core.notices import Notice

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

from nounroll.data.tables.table import Table  # noqa: E402  # it needs what is skipped for above

ROLES: dict[str, Any] = {"id": "id", "time": "t", "target": "y"}
LABELS: dict[str, Any] = {"id": "id", "label": "c", "input": "y"}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        yield


def days(count: int = 12) -> list[str]:
    return [f"2024-01-{1 + i % 6:02}" for i in range(count)]


def text(lines: list[str] | None = None, header: str = "id,t,y", **changes: str) -> str:
    """Two series of six days; ``r3="b,2024-01-01,x"`` puts another line in the place of row 3."""
    lines = lines or [f"{'ab'[i // 6]},{day},{i / 2}" for i, day in enumerate(days())]
    for row, line in changes.items():
        lines[int(row[1:]) - 1] = line
    return "\n".join([header, *lines]) + "\n"


def labelled(**changes: str) -> str:
    return text([f"{i // 2},{i / 2},{'uvw'[i // 2 % 3]}" for i in range(24)], "id,y,c", **changes)


BAD: list[tuple[str, dict[str, Any], str]] = [
    (text(), {"roles": {"id": "ix"}}, "table.roles.id names the column 'ix'; table.path 'a.csv' has id, t, y"),
    (text(), {"roles": {"ident": "id"}}, "table.roles has 'ident'; a role is one of id, time, target, label, input"),
    (
        text(),
        {"roles": {"id": "id", "target": "id"}},
        "table.roles gives column 'id' the role target and id; give it one",
    ),
    (text(), {"roles": {"time": ["t", "y"]}}, "table.roles.time is ['t', 'y']; it must name one column"),
    (text(), {"roles": {"target": "y", "label": "id"}}, "table.roles has label and target, which do not go together"),
    (
        text(),
        {"roles": {"id": "id"}},
        "table.path 'a.csv': no column has the role target or label, so there is nothing",
    ),
    (text(), {"types": {"z": "number"}}, "table.types names the column 'z'; table.path 'a.csv' has id, t, y"),
    (text(), {"types": {"y": "float"}}, "table.types gives 'y' the type 'float'; it must be number, category, time"),
    (
        text(r3="a,2024-01-03,x1"),
        {},
        "column 'y', row 3 is 'x1'; write a number, or nothing for a missing value; or",
    ),
    (text(r3="a,2024-01-03,inf"), {}, "column 'y', row 3 is infinite; write a finite number, or nothing for a missing"),
    (
        text(r3="a,2024-01-03,1"),
        {"freq": "2D"},
        "column 't', row 2: 2024-01-02 of 'a' comes where 2024-01-03 is next with",
    ),
    (text(r3="a,2024-01-03,1"), {"freq": "often"}, "table.freq is 'often'; it must be an offset of pandas, such as"),
    (
        "y\n1\n2\n",
        {"roles": {"target": "y"}, "freq": "D"},
        "table.path 'a.csv': table.freq is 'D', but no column has the role time; give one, or leave out freq",
    ),
    (text(), {"freq": 2}, "table.freq is 2, and column 't' holds dates; it must be an offset of pandas such as 'D'"),
    (text(r4="a,2024-01-03,1"), {}, "column 't', row 4: 2024-01-03 of 'a' is also in row 3; remove one"),
    (
        text(r4="a,2024-01-02,1"),
        {},
        "column 't', row 4: 2024-01-02 of 'a' comes after 2024-01-03; sort the rows by time",
    ),
    (text(r4="a,,1"), {}, "column 't', row 4 is missing; every row needs a time"),
    (text(r4=",2024-01-04,1"), {}, "column 'id', row 4 is missing; every row needs its id"),
    (
        text([f"{i // 2},{i},{'' if i == 4 else 'p'},{i % 4 // 2}" for i in range(8)], "id,x,g,c"),
        {"roles": {"id": "id", "group": "g", "label": "c"}},
        "column 'g', row 5 is missing; every row needs its group",
    ),
    (
        text([f"{i // 2},{i},,{i % 4 // 2}" for i in range(8)], "id,x,g,c"),
        {"roles": {"id": "id", "group": "g", "label": "c"}},
        "column 'g', row 1 is missing; every row needs its group",
    ),
    (
        text([f"{i // 2},{i},{'' if i // 2 == 2 else 'train'},{i % 4 // 2}" for i in range(8)], "id,x,g,c"),
        {"roles": {"id": "id", "part": "g", "label": "c"}},
        "column 'g', row 5 is missing; every row needs its part",
    ),
    (
        text(),
        {"roles": {"time": "t", "target": "y"}},
        "column 't', row 7: 2024-01-01 comes after 2024-01-06; sort the rows by",
    ),
    (text(r4="a,01.04.2024,1"), {}, "column 't', row 4 is '01.04.2024', and others are dates such as"),
    (
        text([f"a,0{1 + i}/0{1 + i // 2}/2024,{i}" for i in range(8)]),
        {},
        "column 't' holds '01/01/2024', which may be read as %d/%m/%Y or as %m/%d/%Y; set dates to one of them",
    ),
    (
        text([f"a,2024-01-0{1 + i}T00:00:00{'+01:00' if i != 4 else ''},{i}" for i in range(8)]),
        {},
        "column 't', row 5 is '2024-01-05T00:00:00', and row 1 has a time zone, '2024-01-01T00:00:00+01:00'; give all",
    ),
    (
        text([f"{r},2024-01-01,{i}" for i, r in enumerate("abcd")]),
        {},
        "sequence 'a' has 1 steps, the first in row 1; predict",
    ),
    (
        text(["a,2024-01-01,", "a,2024-01-02,", "a,2024-01-03,"]),
        {},
        "column 'y' cannot be read by the network, it has no value",
    ),
    (
        text(r3="a,2024-01-03"),
        {},
        "line 4 has 2 cells, and there are 3 columns: correct the row, or set delimiter (',' was guessed)",
    ),
    (text(r3="a,2024-01-03,1,2"), {}, "line 4 has 4 cells, and there are 3 columns: correct the row, or set delimiter"),
    (
        text([f"a;{day};{1 + i},{200 + i}" for i, day in enumerate(days(6))], "id;t;y"),
        {},
        "table.path 'a.csv' holds '1,200', which may be 1200 or 1.200; set table.decimal to ',' or '.'",
    ),
    (text(r3="a,2024-01-03,1e30"), {}, "column 'y' holds 1e+30, which is too large for single precision; scale it"),
    (
        text([f"a,{day},{1e9 + i}" for i, day in enumerate(days(6))]),
        {},
        "column 'y' is near 1e+09 and varies by 5, which single precision does not distinguish; subtract a constant",
    ),
    ("", {}, "table.path 'a.csv' is empty; it must hold a header and rows below it"),
    ("id,t,y\n", {}, "table.path 'a.csv' has no rows; it must hold a header and rows below it"),
    (
        "a\0b,c\n1,2\n",
        {},
        "table.path 'a.csv' is not text in UTF-8 (a zero byte, as in UTF-16 or binary files); convert it",
    ),
    (text(), {"decimal": "x"}, "table.decimal is 'x'; it must be . or ,"),
    (text(), {"delimiter": ", "}, "table.delimiter is ', '; it must be one character"),
    (
        labelled(r4="1,1.5,u"),
        {"roles": LABELS},
        "column 'c', row 4 differs from row 3 of the same sequence '1'; a label column",
    ),
    (
        labelled(r3="1,1.5,", r4="1,1,"),
        {"roles": LABELS},
        "column 'c', row 3 is missing; every sequence needs its label",
    ),
    (
        text([f"{i // 2},{i / 2},u" for i in range(24)], "id,y,c"),
        {"roles": LABELS},
        "labels hold only the class 'u'; there must be two or more",
    ),
    (
        labelled(r5="2,1,z", r6="2,2,z"),
        {"roles": LABELS, "split": [0.5, 0.25, 0.25], "seed": 2},
        "training has no sequence of it; give more of it, leave it out, or draw another split by seed",
    ),
    (
        text([f"{i},{i / 7},name{i}" for i in range(300)], "id,y,k"),
        {"roles": {"target": "y", "ignore": "id", "input": "k"}},
        "column 'k' has 300 categories, such as 'name0'; at most 200 are allowed, one 0/1 column each: leave it out by",
    ),
]


@pytest.mark.parametrize(
    ("content", "options", "message"), BAD, ids=[f"{i}: {bad[2][:50]}" for i, bad in enumerate(BAD)]
)
def test_a_fault_gives_one_line(
    content: str, options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        data.build("table", {"path": "a.csv", "roles": ROLES} | options)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(("table.", "labels"))


FILES: dict[str, tuple[bytes, str]] = {
    "a.parquet": (b"PAR1 cut short", "table.path is 'a.parquet'; it cannot be read ("),
    "a.arrow": (b"ARROW1 cut short", "table.path is 'a.arrow'; it cannot be read ("),
    "a.jsonl": (b'{"a": 1}\n{"a": ', "table.path is 'a.jsonl'; it cannot be read ("),
    "a.json": (b"[1, 2]", "table.path is 'a.json'; it must hold a list of objects, one a row"),
    "a.csv.gz": (b"\x1f\x8b\x08 cut short", "table.path is 'a.csv.gz'; it cannot be read ("),
    "a.csv": (b"PAR1....", "table.path is 'a.csv'; it is a Parquet table, not text; give CSV, Parquet, Arrow, JSON"),
    "a.ts": (
        b"@timestamps true\n1,2:a\n",
        "table.path 'a.ts' has timestamps, which are not supported; give a long table",
    ),
    "b.ts": (
        b"@classLabel true a b\n1,2:3:a\n",
        "table.path 'b.ts', line 2 has 2 dimensions of [1, 2] steps; they must",
    ),
    "c.ts": (
        b"@classLabel true a b\n1,x:a\n",
        "table.path 'c.ts', line 2 holds a value that is not a number; separate",
    ),
    "b.csv": (
        b"a,b\n1,\xff\n2,3\n",
        "table.path is 'b.csv'; it is not text in UTF-8 (byte 0xFF, as in Latin-1, at position 6); convert or",
    ),
    "b.jsonl": (b'{"a": "\xff"}\n', "table.path is 'b.jsonl'; it is not text in UTF-8 (byte 0xFF, as in Latin-1,"),
    "b.csv.gz": (gzip.compress(b"a,b\n1,\xff\n2,3\n"), "table.path is 'b.csv.gz'; it is not text in UTF-8 (byte 0xFF"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_damaged_file_gives_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = FILES[name]
    Path(name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        data.build("table", {"path": name, "roles": {"target": "a"}})
    assert "\n" not in str(error.value)


def test_frames_with_several_time_zones_are_refused() -> None:
    zones = ["Europe/Berlin", "Asia/Tokyo"]
    times = [pd.Timestamp("2024-01-01", tz=zones[i == 3]) + pd.Timedelta(days=i) for i in range(8)]
    df = pd.DataFrame({"t": pd.Series(times, dtype=object), "y": np.arange(8) / 2})
    message = "frame: column 't', row 4 is of time zone Asia/Tokyo, and row 1 of Europe/Berlin; use pd.to_datetime("
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Table.from_frame(df, {"time": "t", "target": "y"})
    df["t"] = pd.to_datetime(df.t, utc=True)
    assert Table.from_frame(df, {"time": "t", "target": "y"}, split=[1, 1, 1]).columns["t"].zone == "UTC"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"y": []}), "frame has no rows; it must hold one row or more"),
        (pd.Series([1.0]), "frame is a Series; it must be a data frame, such as pd.DataFrame(...)"),
        ({"y": [1.0]}, "frame is a dict; it must be a data frame, such as pd.DataFrame(...)"),
    ],
)
def test_what_is_no_frame_gives_one_line(frame: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Table.from_frame(frame, {"target": "y"})


def test_a_frame_with_two_columns_of_one_name_is_refused() -> None:
    df = pd.DataFrame({"t": range(8), "y": np.arange(8) / 2, "kind": list("ab") * 4})
    with pytest.raises(ValueError, match=r"^frame: column 'kind' is there twice; give each column its own name"):
        Table.from_frame(pd.concat([df, df[["kind"]]], axis=1), {"time": "t", "target": "y"})


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nounroll.data.tables import reading

    monkeypatch.setattr(reading, "_MOST", 1 << 20)
    for name in ("a.csv.gz", "a.jsonl.gz"):
        row = b"1,2\n" if "csv" in name else b'{"a": 1}\n'
        (tmp_path / name).write_bytes(gzip.compress(b"a,b\n" * ("csv" in name) + row * 500_000))
        with pytest.raises(
            ValueError, match=r"holds more than the 1 MiB that are read into memory; give a smaller file$"
        ):
            data.build("table", {"path": str(tmp_path / name), "roles": {"target": "a"}})
