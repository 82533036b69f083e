"""Ends of the sequences of a table, and the known values of the steps after them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.data.sources import optional
from nounroll.data.tables.arguments import features
from nounroll.data.tables.table import Table


@dataclass(frozen=True, eq=False)
class Continued:
    """A sequence up to its last target.

    Attributes:
        name: of the sequence.
        inputs: what the network reads of its last steps.
        ahead: what it is to read at each step of the horizon but the last; targets are to be put in.
        times: of the horizon: those of its rows where all are in the table, those that follow by ``freq``, or the count
            of the steps.
    """

    name: str
    inputs: Float[Tensor, "T d"]
    ahead: Float[Tensor, "h1 d"]
    times: list[Any]


def continued(task: Table, context: int, horizon: int | None) -> list[Continued]:
    """Each sequence of a table, to be forecast.

    The rows at the end of a sequence whose targets are missing are its horizon; there columns of the role future are.

    Args:
        task: whose network predicts numbers one step ahead.
        context: steps that are read, at most.
        horizon: steps ahead; when None, as many rows as are at the end of every sequence, or 24 where none are needed.

    Raises:
        ValueError: the targets are no numbers of the next step, or a column is not known ahead.
    """
    if task.ahead != 1 or task.roles["label"] or task.targets.symbols is not None:
        raise ValueError(
            f"{task.where}: a forecast needs numbers that are predicted one step ahead; this run has"
            f" {'a label' if task.roles['label'] else f'ahead {task.ahead}, targets {task.targets}'}"
        )
    starts, lasts = task.layout.starts[:-1], _lasts(task)
    left = np.diff(task.layout.starts) - 1 - lasts
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
    return [
        _one(task, i, int(last), context, horizon, int(start))
        for i, (start, last) in enumerate(zip(starts, lasts, strict=True))
    ]


def _lasts(task: Table) -> np.ndarray:
    """The step of each sequence that has its last target."""
    found = []
    for name, values in zip(task.layout.names, np.split(_targets(task), task.layout.starts[1:-1]), strict=True):
        known = np.flatnonzero(~np.isnan(values).any(1))
        if not len(known):
            raise ValueError(f"{task.where}: sequence {name!r} has no target that is known; leave it out")
        found.append(known[-1])
    return np.array(found)


def _targets(task: Table) -> Float[np.ndarray, "S k"]:
    """The targets of all steps of all sequences, end to end."""
    layout = task.layout
    if "value" in layout.own:
        return layout.own["value"][:, None]
    columns = [layout.own.get(name, task.columns[name].values[layout.rows]) for name in task.roles["target"]]
    return np.stack(columns, axis=1)


def _one(task: Table, i: int, last: int, context: int, horizon: int, start: int) -> Continued:
    rows = task.sequence(i)
    count = len(rows)  # a step less than the table: the last one predicts nothing
    if last >= count:  # it ends with a target
        rows = torch.cat([rows, task.with_values(rows[-1:], _read_at(task, start + last).to(rows))])
    ahead = rows[last + 1 : last + horizon]
    ahead = torch.cat([ahead, rows[-1:].expand(horizon - 1 - len(ahead), -1)])
    return Continued(
        task.layout.names[i], rows[max(0, last + 1 - context) : last + 1], ahead, _times(task, i, last, horizon)
    )


def _read_at(task: Table, step: int) -> Float[Tensor, "1 k"]:
    """The columns that are read up to now, at one step of all, nan where one is missing.

    Raises:
        ValueError: it is of a column that never was when the network was trained.
    """
    names = list(task.roles["input"]) if "value" in task.layout.own else [*task.roles["target"], *task.roles["input"]]
    names = ["value", *names] if "value" in task.layout.own else list(dict.fromkeys(names))
    values, columns = features(task.where, task.columns, task.layout, names, task.layout.rows, np.array([step]))
    new = np.flatnonzero(np.isnan(values[0]) & ~task.gaps.numpy())
    if len(new):
        raise ValueError(
            f"{task.where}: column {columns[new[0]]!r}, row {task.layout.rows[step] + 1} is missing, and training has"
            " no gaps in it; give a value"
        )
    return torch.from_numpy(values)


def _times(task: Table, i: int, last: int, horizon: int) -> list[Any]:
    if task.layout.times is None:
        return list(range(1, horizon + 1))
    now, *after = task.layout.times[task.layout.starts[i] + last : task.layout.starts[i + 1]]
    if len(after) >= horizon:
        return after[:horizon]
    if task.freq is None:
        return list(range(1, horizon + 1))
    if isinstance(task.freq, int):
        return [int(now) + task.freq * k for k in range(1, horizon + 1)]
    pd = optional("pandas", task.where, "tables")
    return list(pd.date_range(now, periods=horizon + 1, freq=task.freq)[1:])
