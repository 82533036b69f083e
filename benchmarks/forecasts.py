"""Forecasts of rolling origins, beside simple rules: monthly sunspots and carbon dioxide, quarterly economics.

    python benchmarks/forecasts.py sunspots 300 0 [--missing]      series, steps of training, seed
    python benchmarks/forecasts.py sunspots rules                  simple rules on the same origins

The series are those of statsmodels and pmdarima, which must be installed (suite_packages.txt). The last 480 months of
sunspots, and 120 of carbon dioxide, are in no training. ``sunspots-early`` ends where those 480 months begin.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from suite_tasks import sources

from nounroll import Forecaster
from nounroll.estimators.scores import scores

PATHS = 400
MISSING = 0.3  # of the entries, with --missing


@dataclass(frozen=True)
class Set:
    """How a set is forecast: the last ``windows`` horizons of each series are in no training."""

    freq: str
    horizon: int
    season: int
    windows: int
    context: int | None = None


SETS = {
    "sunspots": Set("MS", 24, 12, 20, 264),  # two solar cycles
    "sunspots-early": Set("MS", 24, 12, 20, 264),
    "co2": Set("MS", 24, 12, 5),
    "macro": Set("QS", 8, 4, 5),
}
MACRO = "realgdp realcons realinv realgovt realdpi cpi m1 tbilrate unemp pop"


def series(name: str) -> Any:
    """A long frame: columns unique_id, ds and y."""
    if name == "macro":
        wide = pd.read_csv(sources.packaged("statsmodels", "macrodata/macrodata.csv")[0])
        wide.index = pd.Index(pd.date_range("1959-01-01", periods=len(wide), freq="QS"), name="ds")
        parts = [wide[column] for column in MACRO.split()]
        return pd.concat(parts, keys=MACRO.split(), names=["unique_id"]).rename("y").reset_index()
    if name.startswith("sunspots"):
        y = np.loadtxt(sources.packaged("pmdarima", "sunspots.txt.gz")[0]).reshape(-1)
        y = y[:-480] if name == "sunspots-early" else y
        times = pd.date_range("1749-01-01", periods=len(y), freq="MS")
    else:
        weekly = pd.read_csv(sources.packaged("statsmodels", "co2/co2.csv")[0])
        weekly.index = pd.to_datetime(weekly["date"].astype(str))
        monthly = weekly["co2"].resample("MS").mean()
        y, times = monthly.to_numpy(), monthly.index
    return pd.DataFrame({"unique_id": name, "ds": times, "y": y})


def main(name: str, steps: str, seed: str, missing: bool) -> dict[str, Any]:
    df, one, start = series(name), SETS[name], time.process_time()
    model = Forecaster(
        one.horizon, one.freq, one.context, method="bptt", cell="lstm", steps=int(steps), random_state=int(seed)
    )
    truth = df.copy()
    if missing:
        df.loc[np.random.default_rng(0).random(len(df)) < MISSING, "y"] = np.nan
    model.fit(before(df, one.horizon * one.windows))
    spent = time.process_time() - start
    drawn = [model.sample(before(df, one.horizon * k), paths=PATHS) for k in range(one.windows, 0, -1)]
    told = [paths.pivot(index="path", columns=["unique_id", "ds"], values="y") for paths in drawn]
    found = backtested(truth, one, lambda k, of, past: told[one.windows - k][of].to_numpy())
    return {
        "series": name,
        "seed": int(seed),
        "steps": int(model.run_.metrics["steps"]),
        "missing": MISSING if missing else 0.0,
        "cpu_seconds": round(spent),
        "power": model.plan_.power,
        "changes": model.plan_.changes,
        **found.round(3).to_dict(),
    }


def before(df: Any, rows: int) -> Any:
    """Each series without its last rows."""
    return df[df.groupby("unique_id").cumcount(ascending=False) >= rows].reset_index(drop=True)


def backtested(df: Any, one: Set, told: Callable[[int, Any, np.ndarray], np.ndarray]) -> Any:
    """Mean scores over series and origins."""
    return scored(df, one, told).mean()


def scored(df: Any, one: Set, told: Callable[[int, Any, np.ndarray], np.ndarray]) -> Any:
    """Scores of each origin and series, the k-th horizon from the end each; ``told`` gives (paths, horizon)."""
    rows = []
    for k in range(one.windows, 0, -1):
        for of, part in df.groupby("unique_id"):
            y = part["y"].to_numpy()
            past, ahead = np.split(y, [len(y) - one.horizon * k])
            rows.append(scores(told(k, of, past), ahead[: one.horizon], past, one.season))
    return pd.DataFrame(rows)


def rules(name: str) -> None:
    """The ``mase`` of simple rules on the same origins, and of the best of the regressions at each, in hindsight."""
    one = SETS[name]
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if name == "macro":
        from statsmodels.tsa.holtwinters import ExponentialSmoothing

        found["damped Holt"] = lambda past: (
            ExponentialSmoothing(past, trend="add", damped_trend=True).fit().forecast(one.horizon)
        )
    else:
        found["the mean of a year"] = lambda past: np.full(one.horizon, past[-one.season :].mean())
        found["132 months ago"] = lambda past: past[-132 : one.horizon - 132]
        for lags in (12, 24, 132, 264):
            found[f"{lags} lags"] = lambda past, lags=lags: regressed(past, lags, one.horizon)
            found[f"{lags} lags of the root"] = lambda past, lags=lags: (
                regressed(np.sqrt(past), lags, one.horizon).clip(0) ** 2
            )
    df, each = series(name), {}
    for rule, told in found.items():
        each[rule] = scored(df, one, lambda k, of, past, told=told: told(past)[None]).mase
        print(f"{rule}: {each[rule].mean():.3f}")
    if name == "macro":
        return
    best = pd.DataFrame({rule: mase for rule, mase in each.items() if "lags" in rule}).min(axis=1)
    print(f"the best regression at each origin, in hindsight: {best.mean():.3f}")
    y = df["y"].to_numpy()
    smooth = pd.Series(y).rolling(13, center=True, min_periods=7).mean().to_numpy()
    known = scored(df, one, lambda k, of, past: smooth[len(past) : len(past) + one.horizon][None])
    print(f"the 13-month mean of what came: {known.mase.mean():.3f}")


def regressed(past: np.ndarray, lags: int, horizon: int) -> np.ndarray:
    """An autoregression that is iterated over the horizon."""
    z = past - past.mean()
    rows = np.lib.stride_tricks.sliding_window_view(z[:-1], lags)
    penalty = 1e-4 * len(rows) * z.var() * np.eye(lags)
    weights = np.linalg.solve(rows.T @ rows + penalty, rows.T @ z[lags:])
    for _ in range(horizon):
        z = np.append(z, z[-lags:] @ weights)
    return z[-horizon:] + past.mean()


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--missing"]
    if words[1:] == ["rules"]:
        rules(words[0])
    else:
        print(json.dumps(main(*words, missing="--missing" in sys.argv)), flush=True)
