"""Forecasts of the next 24 months, at every month."""

import csv
import gzip
import itertools
from collections import defaultdict

import torch
from torch import Tensor

from suite_tasks import sources
from suite_tasks.measures import MASE
from suite_tasks.problem import Batch, Numbers, Problem, Sampled

_HORIZON, _YEAR = 24, 12


def sunspots() -> Problem:
    path = sources.packaged("pmdarima", "sunspots.txt.gz")[0]
    values = [float(value) for value in gzip.decompress(path.read_bytes()).decode().replace(",", " ").split()]
    title = "sunspots of 1749 to 1983, the next 24 months (MASE: absolute error, of a year-ago guess 1)"
    return _forecast("sunspots", title, torch.tensor(values, dtype=torch.float64), context=132, differences=False)


def carbon_dioxide() -> Problem:
    """Monthly means of weekly measurements; a month without any is between its neighbours."""
    months: dict[str, list[float]] = defaultdict(list)
    with sources.packaged("statsmodels", "co2/co2.csv")[0].open() as file:
        for row in csv.DictReader(file):
            months[row["date"][:6]] += [float(row["co2"])] if row["co2"] else []
    values = [sum(found) / len(found) if found else float("nan") for _, found in sorted(months.items())]
    title = "carbon dioxide of the air at Mauna Loa, 1958 to 2001, the next 24 months"
    return _forecast("co2", title, _filled(values), context=60, differences=True)


def _filled(values: list[float]) -> Tensor:
    """Values with gaps filled by straight lines."""
    known = [place for place, value in enumerate(values) if value == value]
    for left, right in itertools.pairwise(known):
        for place in range(left + 1, right):
            values[place] = values[left] + (values[right] - values[left]) * (place - left) / (right - left)
    return torch.tensor(values, dtype=torch.float64)


def _forecast(name: str, title: str, values: Tensor, *, context: int, differences: bool) -> Problem:
    """Windows of a series whose last fifth is the test part, and the tenth before it the validation part.

    The target at a step is the 24 values to come, less the value at the step: a series with a trend does not leave the
    range that was seen. No target of a part lies in another part. Validation and test windows start before
    their part, as a forecaster knows the past, and are scored at their last step alone.
    """
    count = len(values)
    ends = {"train": round(0.7 * count), "validation": round(0.8 * count), "test": count}
    starts = {"train": 0, "validation": ends["train"], "test": ends["validation"]}
    train = values[: ends["train"]]
    seen = torch.diff(values, prepend=values[:1]) if differences else values
    scale = seen[1 : ends["train"]]
    inputs = ((seen - scale.mean()) / scale.std()).float()[:, None]
    ahead = values.unfold(0, _HORIZON, 1)[1:] - values[:-_HORIZON, None]  # (N - 24, 24)
    unit = ahead[: len(train) - _HORIZON].std()
    targets = (ahead / unit).float()

    def windows(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        last = ends[part] - _HORIZON - 1  # the last step that can be scored
        first = length - 1 if part == "train" else starts[part] - 1
        final = first + torch.randint(last - first + 1, (batch_size, 1), generator=generator)
        places = final - length + 1 + torch.arange(length)
        mask = torch.ones(batch_size, length, dtype=torch.bool)
        if part != "train":
            mask[:, :-1] = False
        return Batch(inputs[places], targets[places], mask)

    naive = (train[_YEAR:] - train[:-_YEAR]).abs().mean()
    return Sampled(
        name=name,
        title=title,
        inputs=Numbers(1),
        targets=Numbers(_HORIZON),
        length=context,
        seconds=60,
        measure=MASE,
        unit=float(unit / naive),
        draw=windows,
        group="series",
    )
