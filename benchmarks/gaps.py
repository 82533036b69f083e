"""What missing values cost a forecast 24 months ahead: the same network with and without 30 % of the history.

    python benchmarks/gaps.py sunspots 400 0      series, steps, seed

The series are those of forecasts.py. Entries are removed at random, from what is trained on and from the history that
is read before each forecast; errors are against the whole truth, over the "as a season ago" error of the whole history.
"""

import json
import sys
import time
from typing import Any

import numpy as np
from forecasts import SETS, series

from nounroll import Forecaster
from nounroll.estimators.scores import naive_error

SHARE, PATHS = 0.3, 100


def removed(df: Any, seed: int) -> Any:
    """The frame without a share of its values, and always the first one of them."""
    gone = np.random.default_rng(seed).random(len(df)) < SHARE
    gone[0] = False
    return df.assign(y=df.y.where(~gone))


def error(df: Any, read: Any, name: str, steps: int, seed: int) -> float:
    """MASE over all origins, of a network that is trained on and reads ``read``, against the truth in ``df``."""
    one = SETS[name]
    model = Forecaster(one.horizon, one.freq, one.context, method="bptt", cell="lstm", steps=steps, random_state=seed)
    model.fit(read.iloc[: -one.horizon * one.windows])
    found = []
    for cut in (len(df) - one.horizon * k for k in range(one.windows, 0, -1)):
        middle = model.predict(read.iloc[:cut], levels=(0.5,), paths=PATHS)["q0.5"].to_numpy()
        truth = df.y.to_numpy()[cut : cut + one.horizon]
        found.append(np.nanmean(np.abs(middle - truth)) / naive_error(df.y.to_numpy()[:cut], one.season))
    return float(np.mean(found))


def main(name: str, steps: str, seed: str) -> None:
    df, start = series(name), time.process_time()
    whole, gaps = (error(df, read, name, int(steps), int(seed)) for read in (df, removed(df, int(seed))))
    spent = time.process_time() - start
    print(
        json.dumps(
            {
                "series": name,
                "steps": int(steps),
                "seed": int(seed),
                "mase": whole,
                "mase with gaps": gaps,
                "ratio": gaps / whole,
                "cpu": spent,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
