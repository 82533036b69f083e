"""``nounroll forecast``: of a forecaster's folder and of a run on a series."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from commands import Command, one_line
from nounroll import Forecaster


def series(rows: int, start: str = "2001-01-01") -> Any:
    t = np.arange(rows)
    frames = [
        pd.DataFrame({"unique_id": name, "ds": pd.date_range(start, periods=rows, freq="MS"), "y": level + t % 12})
        for name, level in (("007", 5.0), ("b", 50.0))
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    quick: dict[str, Any] = {"method": "bptt", "cell": "gru", "settings": {"cell.memory_width": 8}}
    return Forecaster(4, context=24, steps=3, **quick).fit(series(48))


def test_a_forecaster_needs_no_data_and_takes_newer_history(
    nounroll: Command, fitted: Forecaster, folder: Path
) -> None:
    fitted.save("kept")
    result = json.loads(nounroll("forecast", "kept", "--horizon", 2, "--quantiles", "0.05,0.95", "--json").out)
    assert (result["series"], result["horizon"], result["quantiles"]) == (2, 2, [0.05, 0.95])
    told = fitted.predict(levels=(0.05, 0.95), paths=200)
    rows = result["forecast"]
    assert [row["ds"] for row in rows[:2]] == ["2005-01-01T00:00:00", "2005-02-01T00:00:00"]
    assert [row["q0.95"] for row in rows] == pytest.approx(told["q0.95"][[0, 1, 4, 5]].tolist())
    newer, expected = series(60), fitted.predict(series(60), paths=200)
    newer.to_csv("newer.csv", index=False)
    newer.to_json("newer.json", orient="records", date_format="iso")
    for ending in ("csv", "json"):
        ended = nounroll("forecast", "kept", "--history", f"newer.{ending}", "--out", f"out.{ending}")
        assert ended.error == ""
        assert ended.out == f"wrote 8 rows to out.{ending}\n"
    told = pd.read_csv("out.csv", dtype={"unique_id": str}, parse_dates=["ds"])
    assert told.unique_id.tolist() == ["007"] * 4 + ["b"] * 4
    np.testing.assert_allclose(told["q0.5"], expected["q0.5"])
    assert (told.ds == expected.ds).all()
    again = pd.DataFrame(json.loads(Path("out.json").read_text()))
    np.testing.assert_allclose(again["q0.9"], expected["q0.9"])


def test_parquet_is_read_and_written(nounroll: Command, fitted: Forecaster) -> None:
    pytest.importorskip("pyarrow")
    fitted.save("kept")
    series(60).to_parquet("newer.parquet")
    assert nounroll("forecast", "kept", "--history", "newer.parquet", "--out", "out.parquet").status == 0
    np.testing.assert_allclose(pd.read_parquet("out.parquet")["mean"], fitted.predict(series(60), paths=200)["mean"])


def test_a_run_on_a_series_goes_on_from_its_last_rows_or_from_newer_ones(nounroll: Command) -> None:
    assert nounroll("train", "series.yaml").status == 0
    printed = nounroll("forecast", "runs/series", "--horizon", 3).out.splitlines()
    assert printed[0] == "unique_id,ds,mean,q0.1,q0.5,q0.9"
    assert [line.split(",")[:2] for line in printed[1:]] == [[name, str(t)] for name in "ab" for t in (1, 2, 3)]
    for line in printed[1:]:
        low, middle, high = map(float, line.split(",")[3:])
        assert low <= middle <= high
    assert nounroll("forecast", "runs/series", "--horizon", 3).out.splitlines() == printed
    kept = Path("series.csv").read_text()
    Path("series.csv").unlink()
    Path("newer.csv").write_text("a,b\n" + "".join(f"{i % 7},{i % 5}.5\n" for i in range(150, 200)))
    newer = nounroll("forecast", "runs/series", "--horizon", 3, "--history", "newer.csv").out.splitlines()
    assert newer == printed  # the same last rows
    Path("newer.csv").write_text("a,b\n" + "6,4.5\n" * 8)
    assert nounroll("forecast", "runs/series", "--horizon", 3, "--history", "newer.csv").out.splitlines() != printed
    assert "give newer rows: --history FILE" in one_line(nounroll("forecast", "runs/series"), 2, "nounroll forecast: ")
    Path("series.csv").write_text(kept)
    report = json.loads(nounroll("report", "runs/series", "--sequences", 8, "--json").out)
    assert report["pictures"][0] == "series"


def test_what_cannot_be_forecast_is_one_line(nounroll: Command, fitted: Forecaster) -> None:
    fitted.save("bare", history=False)
    assert nounroll("train", "tiny.yaml").status == 0
    Path("bad.csv").write_text("unique_id,ds,y\nb,2001-01-01,1\nb,someday,2\n")
    Path("twice.csv").write_text("unique_id,ds,y\nb,2001-01-01,1\nb,2001-01-01,2\n")
    for words, said in {
        ("bare", "--history", "twice.csv"): "--history 'twice.csv': column 'ds', row 1: 2001-01-01 00:00:00 of series",
        ("bare", "--history", "bad.csv", "--future", "bad.csv"): "column 'ds', row 1 is 'someday'",
        ("bare",): "--history is not given, and bare was saved without its history; give the series",
        ("bare", "--horizon", 9): "--horizon is 9; this forecaster was trained for 4 steps: fit one with horizon=9",
        ("bare", "--horizon", 0): "--horizon is 0; it must be at least 1",
        ("bare", "--quantiles", "0.1,2"): "--quantiles is '0.1,2'; it must be different numbers between 0 and 1",
        ("bare", "--out", "x.xls"): "--out is 'x.xls'; it must end in .csv, .parquet, .json",
        ("bare", "--out", "no/x.csv"): "--out is 'no/x.csv'; the folder no does not exist; create it first",
        ("bare", "--history", "none.csv"): "--history 'none.csv' cannot be read: No such file or directory",
        ("bare", "--history", "bad.csv"): "--history 'bad.csv': column 'ds', row 1 is 'someday'; it must be a date",
        ("runs/tiny",): "runs/tiny was trained on parity; a forecast needs a run on a series of numbers",
        ("runs/tiny", "--future", "bad.csv"): "runs/tiny has no covariates, leave it out",
        ("nothing",): "nothing holds no run; there is no recipe.yaml in it",
    }.items():
        assert said in one_line(nounroll("forecast", *words), 2, "nounroll forecast: "), words
