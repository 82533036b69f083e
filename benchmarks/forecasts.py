"""Forecasts 24 months ahead, beside the guess "as a season ago": monthly sunspots and carbon dioxide.

    python benchmarks/forecasts.py sunspots 60 0      series, seconds, seed

The series are those of statsmodels and pmdarima, which must be installed (suite_packages.txt). The last 480 months of
sunspots, and 120 of carbon dioxide, are in no training.
"""

import sys
import time
from typing import Any

import numpy as np
import pandas as pd
from suite_tasks import sources

from nounroll import Forecaster

HORIZON = 24
WINDOWS = {"sunspots": 20, "co2": 5}
CONTEXT = {"sunspots": 264, "co2": None}  # two solar cycles


def series(name: str) -> Any:
    if name == "sunspots":
        y = np.loadtxt(sources.packaged("pmdarima", "sunspots.txt.gz")[0]).reshape(-1)
        times = pd.date_range("1749-01-01", periods=len(y), freq="MS")
    else:
        from statsmodels.datasets import co2

        monthly = co2.load_pandas().data["co2"].resample("MS").mean()
        y, times = monthly.to_numpy(), monthly.index
    return pd.DataFrame({"unique_id": name, "ds": times, "y": y})


def main(name: str, seconds: str, seed: str) -> None:
    df, windows, start = series(name), WINDOWS[name], time.process_time()
    model = Forecaster(HORIZON, "MS", CONTEXT[name], seconds=float(seconds), random_state=int(seed))
    model.fit(df.iloc[: -HORIZON * windows])
    spent, found = time.process_time() - start, model.backtest(df, windows)
    assert not found.trained.any()
    recipe, steps = model.run_.recipe, model.run_.metrics["steps"]
    print(f"{name}, seed {seed}: {spent:.0f} CPU seconds, {steps} steps of {recipe.method} {recipe.cell.kind}")
    print(found[["mase", "scrps", "coverage", "naive_mase"]].mean().round(3).to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
