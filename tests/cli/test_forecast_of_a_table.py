"""``nounroll forecast`` of a run on a table: from the last targets of each sequence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import TINY, Command, one_line
from nounroll.data.tables.continued import continued
from nounroll.data.tables.summary import columns_of
from nounroll.data.tables.table import Table

pytest.importorskip("pyarrow")
DAYS = np.datetime64("2024-01-01") + np.arange(64)


def table(ahead: int = 4, gaps: bool = True, **roles: Any) -> str:
    """Two shops of 60 days, and the offers of some days ahead."""
    lines = ["shop,day,sales,offer,size"]
    for shop, level in (("Bonn", 10), ("Rome", 500)):
        for i in range(60 + ahead):
            missing = i >= 60 or (gaps and i % 11 == 5)
            sales = "" if missing else f"{level * (1 + 0.5 * (i % 2))}"
            lines.append(f"{shop},{DAYS[i]},{sales},{i % 2},{'big' if level > 10 else 'small'}")
    return "\n".join(lines)


ROLES = "{id: shop, time: day, target: sales, future: offer, static: size}"


def trained(nounroll: Command, text: str, roles: str = ROLES, freq: str = "D", steps: int = 4) -> None:
    Path("t.csv").write_text(text)
    options = f"{{path: t.csv, roles: {roles}, window: 16{', freq: ' + freq if freq else ''}}}"
    tiny = TINY.replace("steps: 4", f"steps: {steps}")
    Path("t.yaml").write_text(f"task: {{kind: table, options: {options}}}\n{tiny}")
    ended = nounroll("train", "t.yaml")
    assert ended.status == 0, ended.error


def test_it_goes_on_from_the_last_targets_with_what_is_known_ahead(nounroll: Command) -> None:
    trained(nounroll, table(), steps=150)
    result = json.loads(nounroll("forecast", "runs/t", "--quantiles", "0.1,0.9", "--json").out)
    assert (result["series"], result["horizon"]) == (2, 4)
    rows = result["forecast"]
    assert [row["unique_id"] for row in rows] == ["Bonn"] * 4 + ["Rome"] * 4
    assert [row["ds"][:10] for row in rows[:4]] == [str(day) for day in DAYS[60:64]]
    mean = np.array([row["mean"] for row in rows]).reshape(2, 4)
    assert (mean[1] > 5 * mean[0].clip(1)).all(), "each shop has its own level"
    assert all(row["q0.1"] < row["q0.9"] for row in rows)
    shorter = json.loads(nounroll("forecast", "runs/t", "--horizon", 2, "--json").out)["forecast"]
    assert [row["mean"] for row in shorter[:2]] == [row["mean"] for row in rows[:2]]
    nounroll("forecast", "runs/t", "--out", "out.csv")
    assert len(Path("out.csv").read_text().splitlines()) == 9


def test_newer_rows_of_the_file_are_read(nounroll: Command) -> None:
    trained(nounroll, table(ahead=4))
    words = ("forecast", "runs/t", "--horizon", 1, "--json")
    before = json.loads(nounroll(*words).out)["forecast"]
    lines = Path("t.csv").read_text().splitlines()
    lines[61] = f"Bonn,{DAYS[60]},99,0,small"  # the first of those that had no sales
    Path("t.csv").write_text("\n".join(lines))
    after = json.loads(nounroll(*words).out)["forecast"]
    assert [row["ds"][:10] for row in after] == [str(DAYS[61]), str(DAYS[60])]
    assert after[0]["mean"] != before[0]["mean"]
    assert after[1] == before[1]


def test_without_columns_ahead_any_horizon_is_forecast(nounroll: Command) -> None:
    rows = "\n".join(["a,b", *(f"{i % 5}.5,{i % 3}.25" for i in range(80))])
    trained(nounroll, rows, roles="{target: [a, b]}", freq="")
    result = json.loads(nounroll("forecast", "runs/t", "--horizon", 30, "--json").out)
    assert [row["unique_id"] for row in result["forecast"]] == ["a"] * 30 + ["b"] * 30
    assert [row["ds"] for row in result["forecast"][:30]] == list(range(1, 31))
    assert json.loads(nounroll("forecast", "runs/t", "--json").out)["horizon"] == 24


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
def test_what_is_read_is_what_training_reads(tmp_path: Path, gaps: bool) -> None:
    """The inputs up to the last target, and those of the horizon, are those of a table in which its targets are."""
    text = table(ahead=4, gaps=gaps)
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "later.csv").write_text(_with_later_targets(text))
    roles: Any = {"id": "shop", "target": "sales", "future": "offer", "static": "size", "ignore": "day"}
    task, later = (Table(path=tmp_path / name, roles=roles) for name in ("t.csv", "later.csv"))
    assert task.sequence(0).shape[1] == later.sequence(0).shape[1] == (4 if not gaps else 5)
    assert len(task.sequence(0)) == 59, "the horizon is none of what is trained on"
    for i, one in enumerate(continued(task, 12, 3)):
        whole = later.sequence(i)
        assert torch.equal(one.inputs, whole[48:60])
        filled = task.with_values(one.ahead, torch.full((2, 1), 7.0))
        assert torch.equal(filled, whole[60:62])
        assert not torch.equal(filled, whole[59:61])  # control: another time knows another offer


def _with_later_targets(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(line.replace(",,", ",7,") if line.split(",")[1] >= str(DAYS[60]) else line for line in lines)


def test_rows_to_be_forecast_may_be_added_after_training(nounroll: Command) -> None:
    trained(nounroll, table(ahead=0, gaps=False))
    assert "has 0 rows after its last target" in one_line(nounroll("forecast", "runs/t"), 2)
    before = json.loads(nounroll("evaluate", "runs/t", "--json").out)
    Path("t.csv").write_text(table(ahead=3, gaps=False))
    rows = json.loads(nounroll("forecast", "runs/t", "--json").out)["forecast"]
    assert [row["ds"][:10] for row in rows[:3]] == [str(day) for day in DAYS[60:63]]
    after = json.loads(nounroll("evaluate", "runs/t", "--json").out)
    assert after["metrics"] == before["metrics"], "the figures are those of the same steps"
    lines = table(ahead=3, gaps=False).splitlines()
    lines[62] = lines[62].replace(",0,small", ",,small").replace(",1,small", ",,small")
    Path("t.csv").write_text("\n".join(lines))
    line = one_line(nounroll("forecast", "runs/t"), 2)
    assert "column 'offer', row 62 is missing, and no value of this column was missing in training; give" in line


def test_an_offer_that_is_missing_ahead_reads_as_the_one_before(tmp_path: Path) -> None:
    lines = table(ahead=4, gaps=False).splitlines()
    for i in (10, 62, 63):  # in the past; then the second and the third of the horizon
        lines[i] = ",".join("" if j == 3 else word for j, word in enumerate(lines[i].split(",")))
    (tmp_path / "t.csv").write_text("\n".join(lines))
    (tmp_path / "later.csv").write_text(
        "\n".join(line.replace(",,", ",7,", 1) if i > 60 else line for i, line in enumerate(lines))
    )
    roles: Any = {"id": "shop", "target": "sales", "future": "offer", "ignore": ["day", "size"]}
    task, later = (Table(path=tmp_path / name, roles=roles) for name in ("t.csv", "later.csv"))
    filled = task.with_values(continued(task, 12, 4)[0].ahead, torch.full((3, 1), 7.0))
    assert torch.equal(filled, later.sequence(0)[60:63])
    assert filled[:, 2].tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("freq", [None, "D"], ids=str)
def test_times_of_the_horizon_are_those_of_its_rows(tmp_path: Path, freq: str | None) -> None:
    """Where the table has not so many rows, they follow by freq, and without it they are counted."""
    (tmp_path / "t.csv").write_text(table(ahead=4))
    roles: Any = {"id": "shop", "time": "day", "target": "sales", "ignore": ["offer", "size"]}
    task = Table(path=tmp_path / "t.csv", roles=roles, freq=freq)
    days = np.datetime64("2024-01-01") + np.arange(70)
    for horizon in (1, 4, 6):
        for one in continued(task, 12, horizon):
            if freq is None and horizon > 4:
                assert one.times == [1, 2, 3, 4, 5, 6]
            else:
                assert [np.datetime64(time, "D") for time in one.times] == list(days[60 : 60 + horizon])


@pytest.mark.parametrize("freq", ["D", "MS"])
def test_times_of_a_zone_stay_in_it(freq: str) -> None:
    """Midnight in Berlin is 22:00 or 23:00 of the day before in UTC, in which a table holds it."""
    pd = pytest.importorskip("pandas")
    days = pd.date_range("2024-03-01", periods=43, freq=freq, tz="Europe/Berlin")
    df = pd.DataFrame({"day": days[:42], "sales": [*np.arange(40.0), np.nan, np.nan]})
    task = Table.from_frame(df, {"time": "day", "target": "sales"}, freq=freq)
    assert continued(task, 12, 2)[0].times == list(days[40:42])
    assert continued(task, 12, 3)[0].times == list(days[40:])
    (told, _) = columns_of(task.columns, task.roles)
    assert (told["from"][:10], told["to"][:10], told["zone"]) == ("2024-03-01", str(days[41])[:10], "Europe/Berlin")
    with pytest.raises(
        ValueError, match=r"row 3: 2024-\d\d-\d\d 00:00:00\+0[12]:00 of 'all' comes where 2024-\d\d-\d\d 00"
    ):
        Table.from_frame(df.drop(index=2), {"time": "day", "target": "sales"}, freq=freq)


def test_a_last_row_with_its_target_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(table(ahead=0))
    roles: Any = {"id": "shop", "target": "sales", "input": "offer", "ignore": ["day", "size"]}
    task = Table(path=tmp_path / "t.csv", roles=roles)
    one = continued(task, 5, 1)[0]
    assert one.inputs[-1].tolist() == [15.0, 1.0, 0.0]  # sales and offer of the last day, and that they are there
    assert torch.equal(one.inputs[:-1], task.sequence(0)[-4:])


LABELLED = ["shop,sales,size", *(f"{i // 8},{i % 3},{'ab'[i // 8 % 2]}" for i in range(160))]


@pytest.mark.parametrize(
    ("text", "roles", "said"),
    [
        (
            table(ahead=2),
            ROLES,
            "sequence 'Bonn' has 2 rows after its last target, and column 'offer' is needed for each of 3 steps ahead",
        ),
        (
            table(ahead=0),
            "{id: shop, target: sales, input: offer, ignore: [day, size]}",
            "column 'offer' of the role input is not known 3 steps ahead; ask for --horizon 1",
        ),
        (
            "\n".join(LABELLED),
            "{id: shop, label: size, input: sales}",
            "a forecast needs numbers that are predicted",
        ),
    ],
    ids=["too few rows ahead", "an input", "labels"],
)
def test_what_cannot_be_forecast_is_one_line(nounroll: Command, text: str, roles: str, said: str) -> None:
    trained(nounroll, text, roles=roles, freq="")
    ended = nounroll("forecast", "runs/t", "--horizon", 3)
    assert ended.status == 2
    *_, line = ended.error.splitlines()  # after what is noticed of the table
    assert line.startswith("nounroll forecast: ")
    assert said in line
    for option in ("--history", "--future"):
        line = one_line(nounroll("forecast", "runs/t", option, "t.csv"), 2, f"nounroll forecast: {option} is 't.csv'; ")
        assert "runs/t continues from the end of its table: put the rows there, and leave it out" in line


def test_a_column_that_is_missing_for_the_first_time_is_told(tmp_path: Path) -> None:
    text = table(ahead=0, gaps=False)
    (tmp_path / "t.csv").write_text(text.removesuffix(text.splitlines()[-1]) + f"Rome,{DAYS[59]},750.0,,big")
    roles: Any = {"id": "shop", "target": "sales", "input": "offer", "ignore": ["day", "size"]}
    task = Table(path=tmp_path / "t.csv", roles=roles)
    with pytest.raises(ValueError, match="column 'offer', row 120 is missing, and no value of this column was missing"):
        continued(task, 5, 1)


CATEGORIES = (ROLES, "{id: shop, time: day, target: offer, ignore: [sales, size]}")


@pytest.mark.parametrize("roles", CATEGORIES, ids=["inputs", "symbols"])
def test_other_categories_than_in_training_are_refused(nounroll: Command, roles: str) -> None:
    """There are as many as before, so the network would read each as another one."""
    rows = table().replace(",0,", ",no,").replace(",1,", ",yes,")
    trained(nounroll, rows, roles=roles)
    words = ("evaluate", "runs/t", "--json") if "target: offer" in roles else ("forecast", "runs/t", "--json")
    before = nounroll(*words)
    assert before.status == 0, before.error
    Path("t.csv").write_text(rows.replace(",yes,", ",maybe,"))
    *_, line = nounroll(*words).error.splitlines()
    assert line.startswith(f"nounroll {words[0]}: runs/t was trained on data whose input ")
    assert "no' is now " in line
    assert line.endswith(": the data differs; put back what it was trained with, or train a new run")
    Path("t.csv").write_text(rows)
    assert nounroll(*words).out == before.out
