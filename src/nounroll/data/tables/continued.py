"""Ends of a table's sequences, and the known values of the following steps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nounroll.data.sources import optional
from nounroll.data.tables.arguments import features
from nounroll.data.tables.dates import local
from nounroll.data.tables.horizon import known
from nounroll.data.tables.table import Table


@dataclass(frozen=True, eq=False)
class Continued:
    """Sequence up to its last target, with its horizon.

    Attributes:
        name: the sequence's name.
        inputs: the network's inputs at the last steps.
        ahead: the inputs at each step of the horizon but the last, without the targets.
        times: times of the horizon's steps. If the table has a row for each step, they come from it; otherwise they
            follow by ``freq``, or steps are counted.
    """

    name: str
    inputs: Float[Tensor, "T d"]
    ahead: Float[Tensor, "h1 d"]
    times: list[Any]


def continued(task: Table, context: int, horizon: int | None) -> list[Continued]:
    """Prepare each sequence of a table for a forecast.

    Rows without target at the end of a sequence are its horizon, with the values of the future columns.

    Args:
        task: a task whose network predicts numbers one step ahead.
        context: steps to read, at most.
        horizon: steps ahead; when None, the number of such rows that every sequence has, or 24 if none are needed.

    Raises:
        ValueError: the targets are not numbers of the next step, or a column is not known ahead.
    """
    if task.ahead != 1 or task.roles["label"] or task.targets.symbols is not None:
        raise ValueError(
            f"{task.where}: a forecast needs numbers that are predicted one step ahead; this run has"
            f" {'a label' if task.roles['label'] else f'ahead {task.ahead}, targets {task.targets}'}"
        )
    there = known(task.columns, task.roles, task.layout)
    unknown = np.flatnonzero(~np.logical_or.reduceat(there, task.layout.starts[:-1]))
    if len(unknown):
        name = task.layout.names[unknown[0]]
        raise ValueError(f"{task.where}: sequence {name!r} has no known target; leave it out")
    left = np.diff(task.whole.starts) - np.diff(task.layout.starts)
    if horizon is None:
        horizon = int(left.min()) if task.roles["future"] else 24
    if task.roles["future"] and (horizon < 1 or horizon > left.min()):
        i = int(left.argmin())
        raise ValueError(
            f"{task.where}: sequence {task.layout.names[i]!r} has {left[i]} rows after its last target, and column"
            f" {task.roles['future'][0]!r} is needed for each of {max(horizon, 1)} steps ahead: add rows without target"
        )
    if task.roles["input"] and horizon > 1:
        raise ValueError(
            f"{task.where}: column {task.roles['input'][0]!r} of the role input is not known {horizon} steps ahead; ask"
            " for --horizon 1, or train with it as a target or future"
        )
    return [_one(task, i, context, horizon) for i in range(len(task.layout.names))]


def _one(task: Table, i: int, context: int, horizon: int) -> Continued:
    read = task.sequence(i)  # without the last step, which predicts nothing in training
    step = int(task.whole.starts[i] + np.diff(task.layout.starts)[i])  # first step of the horizon
    end = task.with_values(read[-1:], _read_at(task, step - 1).to(read))
    ahead = end.expand(horizon - 1, -1)
    if task.roles["future"]:
        end, *more = _with_future(task, end, step, horizon)
        ahead = torch.cat([ahead[:0], *more])
    return Continued(
        task.layout.names[i],
        torch.cat([read, end])[-context:],
        ahead,
        _times(task, step, int(task.whole.starts[i + 1]), horizon),
    )


def _with_future(task: Table, end: Float[Tensor, "1 d"], step: int, horizon: int) -> list[Float[Tensor, "1 d"]]:
    """Return the rows from the last row with targets on, each with the known values of the next step."""
    steps = np.arange(step, step + horizon)
    found = []
    for row in _checked(task, list(task.roles["future"]), steps, task.future_gaps).to(end).split(1):
        end = task.with_future(end, row)  # a missing value is filled with the previous one
        found.append(end)
    return found


def _read_at(task: Table, step: int) -> Float[Tensor, "1 k"]:
    """Return the columns known up to now at one step, nan where a value is missing."""
    names = list(task.roles["input"]) if "value" in task.layout.own else [*task.roles["target"], *task.roles["input"]]
    names = ["value", *names] if "value" in task.layout.own else list(dict.fromkeys(names))
    return _checked(task, names, np.array([step]), task.gaps)


def _checked(
    task: Table, names: list[str], steps: Int[np.ndarray, "n"], gaps: Bool[Tensor, "k"]
) -> Float[Tensor, "n k"]:
    """Return the columns at these steps of the whole table, nan where a value is missing.

    Raises:
        ValueError: a value is missing in a column without gaps in training.
    """
    rows = task.whole.rows
    values, columns = features(task.where, task.columns, task.whole, names, rows, steps)
    new = np.argwhere(np.isnan(values) & ~gaps.numpy())
    if len(new):
        step, column = new[0]
        raise ValueError(
            f"{task.where}: column {columns[column]!r}, row {rows[steps[step]] + 1} is missing, and no value of"
            " this column was missing in training; give a value"
        )
    return torch.from_numpy(values)


def _times(task: Table, step: int, stop: int, horizon: int) -> list[Any]:
    """Return the times of a horizon, whose rows in the whole table are ``step`` to ``stop``."""
    times = task.whole.times
    if times is None:
        return list(range(1, horizon + 1))
    zone = task.columns[task.roles["time"][0]].zone
    if stop - step >= horizon:
        found = times[step : step + horizon]
        return list(local(found, zone) if zone else found)
    now = local(times[step - 1 : step], zone)[0] if zone else times[step - 1]
    if task.freq is None:
        return list(range(1, horizon + 1))
    if isinstance(task.freq, int):
        return [int(now) + task.freq * k for k in range(1, horizon + 1)]
    pd = optional("pandas", task.where, "tables")
    return list(pd.date_range(now, periods=horizon + 1, freq=task.freq)[1:])
