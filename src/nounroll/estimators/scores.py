"""Scores of forecasts that do not depend on the unit of a series."""

import numpy as np


def naive_error(history: np.ndarray, season: int) -> float:
    """Return the scale of errors: the mean absolute error of the seasonal naive forecast within a history.

    The result is nan if the error is 0 or unknown, so that no score is invented.
    """
    errors = np.abs(history[season:] - history[:-season])
    known = errors[~np.isnan(errors)]
    return float(known.mean()) if len(known) and known.mean() > 0 else float("nan")


def scores(paths: np.ndarray, truth: np.ndarray, history: np.ndarray, season: int) -> dict[str, float]:
    """Score sample paths (P, h) of a series against the true values (h,), over the known steps.

    - ``mase``: absolute error of the median, divided by ``naive_error`` (Hyndman and Koehler 2006).
    - ``scrps``: continuous ranked probability score of the paths, divided by ``naive_error``.
    - ``coverage``: share of true values between the quantiles 0.05 and 0.95.
    - ``naive_mase``: ``mase`` of the seasonal naive forecast.
    """
    known = ~np.isnan(truth)
    if not known.any():
        return dict.fromkeys(("mase", "scrps", "coverage", "naive_mase"), float("nan"))
    scale, drawn, y = naive_error(history, season), paths[:, known], truth[known]
    low, middle, high = np.quantile(drawn, (0.05, 0.5, 0.95), axis=0)
    guess = np.resize(history[-season:], len(truth))[known]
    guessed = np.abs(guess - y)
    return {
        "mase": float(np.abs(middle - y).mean() / scale),
        "scrps": float(crps(drawn, y).mean() / scale),
        "coverage": float(((low <= y) & (y <= high)).mean()),
        "naive_mase": float(np.nanmean(guessed) / scale) if np.isfinite(guessed).any() else float("nan"),
    }


def crps(paths: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute E|X - y| - E|X - X'| / 2 over samples X and X' of the paths, (P, h) and (h,) -> (h,)."""
    count = len(paths)
    ranks = 2 * np.arange(1, count + 1)[:, None] - count - 1
    apart = 2 * (ranks * np.sort(paths, axis=0)).sum(0) / (count * max(1, count - 1))
    return np.abs(paths - truth).mean(0) - apart / 2
