"""Surprise along sequences, step by step."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nounroll.report.style import GUESS, STUDENT, TEACHER, Picture, panels, styled

MOST = 6  # drawn sequences, at most
_MARKED = 5  # marked steps of each sequence


def steps_picture(
    names: Sequence[str], nats: Sequence[Float[np.ndarray, "_"]], level: float, anomalies: Sequence[bool]
) -> Picture:
    """Draw a panel for each sequence.

    Args:
        names: names of the sequences.
        nats: the surprise of each step.
        level: mean surprise above which a sequence is an anomaly.
        anomalies: whether each sequence is an anomaly.
    """
    with styled():
        figure, axes = panels(rows=len(names), height=1.9, squeeze=False)
        for ax, name, values, bad in zip(axes[:, 0], names, nats, anomalies, strict=True):
            ax.plot(values, color=STUDENT, lw=1, label="surprise of the step")
            ax.axhline(level, color=GUESS, ls="--", lw=1, label="level of an anomaly")
            most = np.argsort(values[1:])[::-1][:_MARKED] + 1
            ax.plot(most, values[most], "o", ms=4, color=TEACHER, label=f"its {_MARKED} most surprising steps")
            ax.set_title(f"{name}{': an anomaly' if bad else ''}, {values[1:].mean():.2f} nats on average")
        axes[-1, 0].set_xlabel("time step t")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    caption = (
        "Surprise of each step given the steps before it, in nats. A sequence with a mean above the"
        " dashed line is an anomaly."
    )
    return Picture("surprise", "Surprise, step by step", caption, figure)
