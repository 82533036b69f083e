"""Fan charts: a history, the quantiles of its forecast, and the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from nounroll.report.style import GUESS, STUDENT, Picture, panels, styled


@dataclass(frozen=True)
class Fan:
    """Series with its forecast.

    Attributes:
        name: the series' name.
        times, history: the T steps read; nan where a value is missing.
        ahead: times of the h forecast steps.
        quantiles: level -> (h,) values.
        truth: true values, nan where unknown; None if all are unknown.
    """

    name: str
    times: Sequence[Any]
    history: Float[np.ndarray, "T"]
    ahead: Sequence[Any]
    quantiles: Mapping[float, Float[np.ndarray, "h"]]
    truth: Float[np.ndarray, "h"] | None = None


def fan_picture(fans: Sequence[Fan], *, title: str = "Forecast", time: str = "") -> Picture:
    """Draw a panel for each series: pairs of levels (0.1 and 0.9) are bands, the level 0.5 is a line.

    Args:
        fans: the series.
        title: title of the picture.
        time: label of the time axis.
    """
    with styled():
        figure, axes = panels(rows=len(fans), height=2.4, squeeze=False)
        for ax, fan in zip(axes[:, 0], fans, strict=True):
            _draw(ax, fan)
        axes[-1, 0].set_xlabel(time)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    known = any(fan.truth is not None for fan in fans)
    caption = (
        "Up to the dotted line the network reads the history; after it, the bands hold the stated share of its"
        f" sample paths, and the line is the median.{' The truth is drawn over it.' if known else ''}"
    )
    return Picture("forecast", title, caption, figure)


def _draw(ax: Any, fan: Fan) -> None:
    ax.plot(fan.times, fan.history, color="black", lw=1, label="history")
    ax.axvline(fan.times[-1], color=GUESS, ls=":", lw=1)
    for low, high in _bands(fan.quantiles):
        share = f"{100 * (high - low):.4g} %"
        ax.fill_between(
            fan.ahead, fan.quantiles[low], fan.quantiles[high], color=STUDENT, alpha=0.18, lw=0, label=share
        )
    if 0.5 in fan.quantiles:
        ax.plot(fan.ahead, fan.quantiles[0.5], color=STUDENT, label="median")
    if fan.truth is not None:
        ax.plot(fan.ahead, fan.truth, color="black", lw=1, marker=".", ms=3, label="what followed")
    ax.set_title(fan.name)


def _bands(levels: Sequence[float] | Mapping[float, Any]) -> list[tuple[float, float]]:
    """Pair the levels at the same distance below and above 0.5, the widest pair first."""
    return [
        (low, high) for low in sorted(levels) for high in sorted(levels) if low < 0.5 and abs(low + high - 1) < 1e-9
    ]
