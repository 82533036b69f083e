"""Forecasts 24 months ahead, beside the guess "as a season ago": monthly sunspots and carbon dioxide.

    python benchmarks/forecasts.py sunspots 400 0 [--missing]      series, steps of training, seed

The series are those of statsmodels and pmdarima, which must be installed (suite_packages.txt). The last 480 months of
sunspots, and 120 of carbon dioxide, are in no training.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from suite_tasks import sources

from nounroll import Forecaster
from nounroll.estimators.scores import scores

HORIZON, SEASON, PATHS = 24, 12, 400
MISSING = 0.3  # of the entries, with --missing
WINDOWS = {"sunspots": 20, "co2": 5}
CONTEXT = {"sunspots": 264, "co2": None}  # two solar cycles


def series(name: str) -> Any:
    if name == "sunspots":
        y = np.loadtxt(sources.packaged("pmdarima", "sunspots.txt.gz")[0]).reshape(-1)
        times = pd.date_range("1749-01-01", periods=len(y), freq="MS")
    else:
        weekly = pd.read_csv(sources.packaged("statsmodels", "co2/co2.csv")[0])
        weekly.index = pd.to_datetime(weekly["date"].astype(str))
        monthly = weekly["co2"].resample("MS").mean()
        y, times = monthly.to_numpy(), monthly.index
    return pd.DataFrame({"unique_id": name, "ds": times, "y": y})


def main(name: str, steps: str, seed: str, missing: bool) -> dict[str, Any]:
    df, windows, start = series(name), WINDOWS[name], time.process_time()
    model = Forecaster(
        HORIZON, "MS", CONTEXT[name], method="bptt", cell="lstm", steps=int(steps), random_state=int(seed)
    )
    truth = df.copy()
    if missing:
        df.loc[np.random.default_rng(0).random(len(df)) < MISSING, "y"] = np.nan
    model.fit(df.iloc[: -HORIZON * windows])
    spent, found = time.process_time() - start, backtested(model, df, truth, windows)
    means = found[["mase", "scrps", "coverage", "naive_mase"]].mean().round(3)
    return {
        "series": name,
        "seed": int(seed),
        "steps": int(model.run_.metrics["steps"]),
        "missing": MISSING if missing else 0.0,
        "cpu_seconds": round(spent),
        "power": model.plan_.power,
        "changes": model.plan_.changes,
        **means.to_dict(),
    }


def backtested(model: Forecaster, df: Any, truth: Any, windows: int) -> Any:
    """Scores of rolling origins: histories of ``df``, which may have gaps, against the truth."""
    rows = []
    for k in reversed(range(windows)):
        cut = len(df) - HORIZON * (k + 1)
        paths = model.sample(df.iloc[:cut], paths=PATHS)["y"].to_numpy().reshape(PATHS, HORIZON)
        rows.append(scores(paths, truth["y"].to_numpy()[cut : cut + HORIZON], truth["y"].to_numpy()[:cut], SEASON))
    return pd.DataFrame(rows)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--missing"]
    print(json.dumps(main(*words, missing="--missing" in sys.argv)), flush=True)
