"""The forms in which a table holds sequences, and what each role becomes."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nounroll import data
from nounroll.core.batch import Categorical, Real
from nounroll.core.notices import Notice

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
tzoffset = pytest.importorskip("dateutil.tz").tzoffset

from nounroll.data.tables.table import Table  # noqa: E402  # it needs what is skipped for above


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        yield


def read(task: Table) -> list[Any]:
    return [one.tolist() for one in task._inputs.split()]


def targets(task: Table) -> list[Any]:
    return [one.tolist() for one in task._targets.split()]


def two(**columns: Any) -> Any:
    """Two series of four rows."""
    return pd.DataFrame({"id": ["a"] * 4 + ["b"] * 4, "t": [0, 1, 2, 3] * 2, "y": np.arange(8) / 2} | columns)


def test_a_target_is_read_up_to_now_and_predicted_ahead() -> None:
    roles: dict[str, Any] = {"id": "id", "time": "t", "target": "y", "input": "x", "future": "f"}
    df = two(x=np.arange(8) * 10.0, f=np.arange(8) * 100.0)
    task = Table.from_frame(df, roles, split=[1, 1, 1])
    assert read(task)[0] == [[0, 0, 100], [0.5, 10, 200], [1, 20, 300]]
    assert targets(task)[0] == [[0.5], [1.0], [1.5]]
    one = pd.DataFrame({"t": range(5), "y": np.arange(5) / 2, "x": range(5), "f": np.arange(5) * 100})
    task = Table.from_frame(one, {k: v for k, v in roles.items() if k != "id"}, ahead=2, split=[1, 1, 1])
    assert read(task)[0] == [[0, 0, 200], [0.5, 1, 300], [1, 2, 400]]
    assert targets(task)[0] == [[1.0], [1.5], [2.0]]
    task = Table.from_frame(df, roles, ahead=0, split=[2, 1, 1])
    assert read(task)[1] == [[40, 400], [50, 500], [60, 600], [70, 700]]
    assert targets(task)[1] == [[2.0], [2.5], [3.0], [3.5]]


def test_a_target_alone_can_be_written_on() -> None:
    task = Table.from_frame(two(), {"id": "id", "time": "t", "target": "y"}, split=[1, 1, 1])
    assert task.autoregressive
    assert not Table.from_frame(
        two(f=range(8)), {"id": "id", "target": "y", "future": "f"}, split=[1, 1, 1]
    ).autoregressive


def test_names_alone_are_symbols() -> None:
    task = Table.from_frame(two(y=list("abcacbab")), {"id": "id", "time": "t", "target": "y"}, split=[1, 1, 1])
    assert (task.inputs, task.targets) == (Categorical(3), Categorical(3))
    assert read(task)[0] == [0, 1, 2]
    assert targets(task)[0] == [1, 2, 0]
    assert task.decode(task.encode("c a b")) == "cab"
    assert task.speech()["names"] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="prompt has 'd'; the task has a, b, c"):
        task.encode("a d")


def test_names_beside_numbers_are_columns_and_a_missing_one_is_its_own() -> None:
    df = two(kind=["u", "v", None, "u"] * 2)
    task = Table.from_frame(df, {"id": "id", "time": "t", "target": "y", "input": "kind"}, split=[1, 1, 1])
    assert read(task)[0] == [[0, 1, 0, 0], [0.5, 0, 1, 0], [1, 0, 0, 1]]


def test_wide_and_long_tables_are_one_task() -> None:
    values = np.arange(40.0).reshape(10, 4) ** 1.5
    labels = ["yes", "no"] * 5
    long = pd.DataFrame(
        {
            "case": np.repeat(range(10), 4),
            "label": np.repeat(labels, 4),
            "x": values.flatten(),
            "who": np.repeat(range(10), 4),
        }
    )
    wide = pd.DataFrame(values, columns=["s0", "s1", "s2", "s3"]).assign(label=labels, who=range(10))
    lists = pd.DataFrame({"x": list(values), "label": labels, "who": range(10)})
    tasks = [
        Table.from_frame(long, {"id": "case", "label": "label", "input": "x", "group": "who"}),
        Table.from_frame(wide, {"steps": "s0:s3", "label": "label", "group": "who"}),
        Table.from_frame(lists, {"input": "x", "label": "label", "group": "who"}),
    ]
    for task in tasks:
        assert read(task) == read(tasks[0])
        assert task.classes == ["no", "yes"]
        assert {k: v.tolist() for k, v in task._parts.items()} == {k: v.tolist() for k, v in tasks[0]._parts.items()}


def test_rows_of_steps_end_where_their_cells_end() -> None:
    wide = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [5, np.nan, 6, 7.5], "c": [np.nan, 8, 9, 10.5], "label": [0, 1] * 2})
    task = Table.from_frame(wide, {"steps": ["a", "b", "c"], "label": "label"}, split=[2, 1, 1])
    assert [len(one) for one in read(task)] == [2, 3, 3, 3]
    assert read(task)[1] == [[2, 0], [2, 1], [8, 0]]


def test_wide_and_long_tables_give_the_same_series() -> None:
    wide = pd.DataFrame({"t": range(6), "a": np.arange(6) / 2, "b": np.arange(6) * 3.0})
    long = pd.DataFrame(
        {"id": ["a"] * 6 + ["b"] * 6, "t": [*range(6)] * 2, "y": [*(np.arange(6) / 2), *(np.arange(6) * 3.0)]}
    )
    side = Table.from_frame(wide, {"time": "t", "series": ["a", "b"]}, split=[1, 1, 1])
    below = Table.from_frame(long, {"id": "id", "time": "t", "target": "y"}, split=[1, 1, 1])
    assert read(side) == read(below)
    assert targets(side) == targets(below)
    assert side._pieces.tolist() == below._pieces.tolist()


def test_whole_numbers_as_labels_are_classes_and_others_are_numbers() -> None:
    df = pd.DataFrame({"id": np.repeat(range(12), 2), "x": np.arange(24) / 7, "label": np.repeat([2, 10, 7] * 4, 2)})
    assert Table.from_frame(df, {"id": "id", "label": "label"}).classes == ["2", "7", "10"]
    df["label"] += 0.5
    assert Table.from_frame(df, {"id": "id", "label": "label"}).targets == Real(1)
    told = Table.from_frame(
        df.assign(label=df.label.astype(int)), {"id": "id", "label": "label"}, types={"x": "category"}
    )
    assert isinstance(told.inputs, Categorical)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([10, 2, 7], ["2", "7", "10"]),
        ([0.5, 10.5, 7.5], ["0.5", "7.5", "10.5"]),
        (["2.0", "0"], ["0", "2.0"]),
        ([True, False], ["false", "true"]),
    ],
    ids=["whole", "real", "text", "bool"],
)
def test_categories_of_pandas_may_be_numbers(values: list[float], classes: list[str]) -> None:
    df = pd.DataFrame({"id": np.repeat(range(12), 2), "x": np.arange(24) / 7})
    df["kind"] = np.repeat((values * 6)[:12], 2)
    task = Table.from_frame(df.astype({"id": "category", "kind": "category"}), {"id": "id", "label": "kind"})
    assert task.classes == classes
    assert len(task.layout.names) == 12


def test_intervals_are_categories_and_periods_are_times() -> None:
    df = pd.DataFrame({"t": pd.period_range("2024-01", periods=40, freq="M"), "y": np.arange(40) / 2})
    task = Table.from_frame(df.assign(c=pd.cut(df.y, [-1, 5, 20])), {"time": "t", "target": "y"}, freq="MS")
    assert task.reads == ["y", "c=(-1, 5]", "c=(5, 20]"]


def test_a_time_zone_with_a_name_of_its_own_is_read_in_utc() -> None:
    times = pd.date_range("2024-01-01", periods=40, freq="D", tz=tzoffset("home", 3600))
    task = Table.from_frame(pd.DataFrame({"t": times, "y": np.arange(40) / 2}), {"time": "t", "target": "y"}, freq="D")
    assert task.columns["t"].zone == "UTC"


def test_a_column_names_the_part() -> None:
    names = ["train", "test", "train", "validation", "train", "train"]
    df = pd.DataFrame({"id": np.repeat(range(6), 2), "x": np.arange(12) / 7, "label": np.repeat(list("abbaba"), 2)})
    task = Table.from_frame(df.assign(part=np.repeat(names, 2)), {"id": "id", "label": "label", "part": "part"})
    assert {part: numbers.tolist() for part, numbers in task._parts.items()} == {
        "train": [0, 2, 4, 5],
        "validation": [3],
        "test": [1],
    }


def test_equal_ids_in_the_test_file_are_other_sequences(tmp_path: Path) -> None:
    df = pd.concat([two(), two().assign(id=["c"] * 4 + ["d"] * 4)])
    df.to_csv(tmp_path / "a.csv", index=False)
    two().to_csv(tmp_path / "b.csv", index=False)
    roles = {"id": "id", "time": "t", "target": "y"}
    task = data.build("table", {"path": str(tmp_path / "a.csv"), "test": str(tmp_path / "b.csv"), "roles": roles})
    assert [part.size for part in (task, task.validation(), task.test())] == [3, 1, 2]


def test_columns_without_a_role_are_inputs_and_said() -> None:
    df = two(x=np.arange(8) / 3, z=["u", "v"] * 4)
    with pytest.warns(
        Notice, match=r"^frame: roles that were not given: x is input, z is input \(nounroll data shows all\)"
    ):
        task = Table.from_frame(df, {"id": "id", "time": "t", "target": "y"}, split=[1, 1, 1])
    assert task.inputs == Real(4)
    task = Table.from_frame(df, {"id": "id", "time": "t", "target": "y", "ignore": ["x", "z"]}, split=[1, 1, 1])
    assert task.inputs == Real(1)


def test_interleaved_sequences_are_read() -> None:
    order = [0, 4, 1, 5, 2, 6, 3, 7]
    roles = {"id": "id", "time": "t", "target": "y"}
    one, other = (Table.from_frame(df, roles, split=[1, 1, 1]) for df in (two(), two().iloc[order]))
    assert read(one) == read(other)
    assert torch.equal(one._pieces, other._pieces)


def test_long_numbers_tell_sequences_apart() -> None:
    """Those that double precision would take for one."""
    df = pd.DataFrame({"id": np.repeat([2**60 + 1, 2**60 + 2], 4), "y": np.arange(8) / 2})
    task = Table.from_frame(df, {"id": "id", "target": "y"}, split=[1, 1, 1])
    assert task.layout.names == [str(2**60 + 1), str(2**60 + 2)]


@pytest.mark.parametrize("kind", [int, str, "category"])
def test_long_whole_numbers_are_exact_labels(kind: Any) -> None:
    labels = [2**60 + 1, 2**60 + 2]
    df = pd.DataFrame({"id": np.repeat(range(12), 2), "x": np.arange(24) / 7, "label": np.repeat(labels * 6, 2)})
    df["label"] = df.label.astype(str).astype(kind)
    assert Table.from_frame(df, {"id": "id", "label": "label"}).classes == [str(one) for one in labels]


def test_whole_numbers_in_text_are_classes_and_names() -> None:
    df = pd.DataFrame({"id": np.repeat(range(12), 2), "x": np.arange(24) / 7, "label": np.repeat(["7", "2"] * 6, 2)})
    task = Table.from_frame(df.astype({"id": str}), {"id": "id", "label": "label"})
    assert task.classes == ["2", "7"]
    assert task.layout.names[:2] == ["0", "1"]


@pytest.mark.parametrize("values", [None, [1, 2]])
def test_a_label_without_a_value_gives_one_line(values: Any) -> None:
    df = pd.DataFrame({"id": np.repeat(range(12), 2), "x": np.arange(24) / 7, "label": [values] * 24})
    with pytest.raises(
        ValueError, match=r"^frame: column 'label' of the role label h.*; it must hold numbers or names$"
    ):
        Table.from_frame(df, {"id": "id", "label": "label", "input": "x"})


def test_columns_that_are_left_out_are_said() -> None:
    df = two(x=np.arange(8) / 3, none=[None] * 8)
    with pytest.warns(Notice, match=r"^frame: roles that were not given: t is time; left out: x, none \(nounroll data"):
        Table.from_frame(
            df.assign(t=pd.Timestamp("2024-01-01") + pd.to_timedelta(df.t, unit="D"), w=1.5),
            {"id": "id", "target": "y", "input": "w"},
            split=[1, 1, 1],
        )
