"""Forecast monthly prices of eight shares and two indices a year ahead, beside the guess "as a year ago".

    python examples/forecast.py runs/prices

The prices are those that come with matplotlib, from 1990 on. Some series begin later than others.
Nobody can tell such prices well; the bands say how well they can be told.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.cbook import get_sample_data

import nounroll


def main(folder: str, **how: Any) -> None:
    df = prices()
    train = df[df.ds < df.ds.max() - pd.DateOffset(months=24)].reset_index(drop=True)  # two years are held back
    model = nounroll.Forecaster(horizon=12, freq="MS", random_state=0, **how).fit(train)

    last = df.groupby("unique_id").ds.transform("max")
    scores = model.backtest(df[last == df.ds.max()].reset_index(drop=True), windows=2)
    print(scores.groupby("unique_id")[["mase", "scrps", "coverage", "naive_mase"]].mean().round(2))

    Path(folder).mkdir(parents=True, exist_ok=True)
    model.picture(train, truth=df, series=["IBM", "AAPL", "^GSPC"]).savefig(f"{folder}/prices.png")
    model.save(f"{folder}/model")
    print(f"continue with: nounroll forecast {folder}/model --quantiles 0.05,0.5,0.95 --out prices.csv")


def prices() -> pd.DataFrame:
    """A row for each month of each series, from its first price to its last."""
    wide = pd.read_csv(get_sample_data("Stocks.csv"), comment="#", index_col="Date", parse_dates=True)
    wide = wide[wide.index.day == 1].asfreq("MS")  # the other rows are days of dividends
    parts = [wide[name].loc[wide[name].first_valid_index() : wide[name].last_valid_index()] for name in wide]
    return pd.concat(parts, keys=wide.columns, names=["unique_id", "ds"]).rename("y").reset_index()


if __name__ == "__main__":
    main(sys.argv[1], seconds=120)
