"""Reliability of quantiles: the share of true values below each quantile, compared with its level."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nounroll.report.style import GUESS, STUDENT, Picture, panels, styled


def reliability_picture(levels: Sequence[float], shares: Float[np.ndarray, "L"], count: int) -> Picture:
    """Draw levels of quantiles against the shares of true values below them.

    Args:
        levels: levels of the quantiles.
        shares: share of the ``count`` values below each quantile.
        count: number of values.
    """
    with styled():
        figure, ax = panels(height=4.2)
        ax.plot([0, 1], [0, 1], color=GUESS, ls="--", lw=1, label="reliable")
        ax.plot(levels, shares, "o-", ms=4, color=STUDENT, label="the forecasts")
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="level of the quantile", title="share of the truth below it")
        ax.set_aspect("equal")
        ax.legend(loc="upper left")
    caption = (
        f"Over {count:,} values. On the dashed line the share of true values below each quantile equals its level. A"
        " curve that is flatter in the middle shows forecasts that are too narrow."
    )
    return Picture("reliability", "Reliability of the quantiles", caption, figure)
