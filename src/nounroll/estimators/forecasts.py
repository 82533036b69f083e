"""Forecasts of series in the unit of the data, from histories that may end with missing values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nounroll.estimators.panel import Series
from nounroll.estimators.paths import sample_paths
from nounroll.estimators.powers import lowered
from nounroll.estimators.windows import Plan
from nounroll.models.student import Student


def forecasts(
    student: Student,
    plan: Plan,
    scales: Mapping[Any, float],
    series: Sequence[Series],
    after: Sequence[Series],
    paths: int,
    seed: int,
) -> np.ndarray:
    """Draw continuations of the histories, (N, paths, horizon).

    Args:
        student: the network, trained on the windows of ``plan``.
        plan: the rules for reading series.
        scales: the scale of each series by name; other series get one from their history.
        series: N histories. A forecast continues from the last y; steps before the horizon are dropped.
        after: the horizon of each series, with the values known ahead.
        paths: sample paths per series.
        seed: seed of the draws.
    """
    inputs, places, known, gaps = [], [], [], []
    for whole, later in zip(plan.read(list(series)), after, strict=True):
        one, gap = plan.context_of(whole)
        ahead = np.concatenate([plan.ahead(whole)[-len(one) - gap :], plan.ahead(later)])[1:]
        scale = scales[one.name] if one.name in scales else plan.scale(whole)
        values, place = plan.inputs(one, ahead[: len(one)], scale)
        inputs.append(values)
        places.append(place)
        known.append(ahead[len(one) :])
        gaps.append(gap)
    steps = plan.horizon + max(gaps)
    beside = np.stack([_lengthened(one, steps - 1) for one in known])
    drawn = sample_paths(student, inputs, beside, steps, paths, seed, plan.changes)
    wanted = np.stack([one[:, gap : gap + plan.horizon] for one, gap in zip(drawn, gaps, strict=True)])
    anchors, sizes = np.array(places).T[..., None, None]
    return lowered(anchors + sizes * wanted, plan.power)


def _lengthened(rows: np.ndarray, count: int) -> np.ndarray:
    """Append rows of zeros for steps whose draws are dropped."""
    return np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]))])
