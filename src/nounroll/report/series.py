"""Pictures of real sequences with a network's one-step predictions and free-running forecasts."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nounroll.report.style import GUESS, STUDENT, Picture, panels, styled

_COLUMNS = 3  # drawn columns, at most
_BANDS = ((0.05, 0.95), (0.25, 0.75))


def series_picture(
    names: Sequence[str],
    truth: Float[np.ndarray, "T d"],
    mean: Float[np.ndarray, "T d"],
    scale: Float[np.ndarray, "T d"],
    drawn: Float[np.ndarray, "N L d"],
) -> Picture:
    """Draw a held-out sequence and the network's predictions.

    Args:
        names: names of the columns; the first three are drawn.
        truth: the sequence.
        mean, scale: the prediction of each step from all earlier steps; 95 % lie within two scales.
        drawn: N sample paths of the last L steps.
    """
    shown = list(names)[:_COLUMNS]
    start = len(truth) - drawn.shape[1]
    with styled():
        figure, axes = panels(rows=len(shown), height=2.2, squeeze=False, sharex=True)
        for column, (ax, name) in enumerate(zip(axes[:, 0], shown, strict=True)):
            read, times = slice(0, start), range(len(truth))
            ax.plot(times, truth[:, column], color="black", lw=1, zorder=3, label="held-out data")
            low, high = (mean[read, column] + sign * 2 * scale[read, column] for sign in (-1, 1))
            ax.fill_between(times[read], low, high, color=STUDENT, alpha=0.2, lw=0)
            ax.plot(times[read], mean[read, column], color=STUDENT, lw=3, alpha=0.6, label="predicted, one step ahead")
            for low, high in _BANDS:
                edges = np.quantile(drawn[:, :, column], (low, high), axis=0)
                share = f"{100 * (high - low):.0f} % of its forecasts"
                ax.fill_between(times[start:], *edges, color=STUDENT, alpha=0.18, lw=0, label=share)
            ax.plot(times[start:], np.median(drawn[:, :, column], axis=0), color=STUDENT, ls="--", label="their median")
            ax.axvline(start, color=GUESS, ls=":", lw=1)
            ax.set_title(name)
        axes[-1, 0].set_xlabel("time step t")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        named = dict(zip(labels, handles, strict=True))  # one legend entry each
        figure.legend(named.values(), named.keys(), loc="outside upper right", ncols=3)
    caption = (
        "Up to the dotted line the network reads the data and predicts each step from the steps before it; the band"
        f" holds 95 % of the predicted distribution. After the line it reads its own draws: the fan chart"
        f" shows {len(drawn)} paths."
    )
    return Picture("series", "What it predicts", caption, figure)
