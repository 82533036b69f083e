"""Files of a forecaster: its network, the rules for reading series, their scales, and the end of each series."""

import re
from collections.abc import Mapping, Sequence
from datetime import timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nounroll.estimators.clock import Clock, pd
from nounroll.estimators.panel import Series
from nounroll.storage import checkpoint

DOCUMENT, HISTORY = "forecaster", "history"


def is_forecaster(folder: Path) -> bool:
    """Return whether a folder was written by ``Forecaster.save``."""
    return (folder / f"{DOCUMENT}.json").is_file()


def read_document(folder: Path) -> dict[str, Any]:
    """Read the document that ``Forecaster.save`` wrote next to the network."""
    document = checkpoint.parse_document(checkpoint.read_files(folder, f"{DOCUMENT}.json")[0])
    if not isinstance(document, dict):
        raise TypeError(f"{DOCUMENT}.json holds {type(document).__name__}")
    return document


def packed(series: Sequence[Series]) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Convert series to a document and tensors, with the rows of all series stacked."""
    heads = [{"name": one.name, "rows": len(one), **_start(one.times)} for one in series]
    y = np.concatenate([one.y for one in series])
    arrays = {
        "y": np.nan_to_num(y, nan=0.0),
        "known": ~np.isnan(y),
        "past": np.concatenate([one.past for one in series]),
        "future": np.concatenate([one.future for one in series]),
    }
    return heads, {name: torch.from_numpy(array) for name, array in arrays.items()}


def unpacked(heads: Sequence[Mapping[str, Any]], tensors: Mapping[str, Tensor], clock: Clock) -> list[Series]:
    """Restore the series from the result of ``packed``.

    Raises:
        ValueError: the number of rows differs from the document.
    """
    ends = np.cumsum([int(head["rows"]) for head in heads])
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    if not heads or {len(array) for array in arrays.values()} != {int(ends[-1])}:
        raise ValueError("the history does not have as many rows as its document says")
    y = np.where(arrays["known"], arrays["y"], np.nan)
    columns = [np.split(values, ends[:-1]) for values in (y, arrays["past"], arrays["future"])]
    return [
        Series(head["name"], clock.times(_first(head), int(head["rows"])), *parts)
        for head, *parts in zip(heads, *columns, strict=True)
    ]


def _start(times: Any) -> dict[str, Any]:
    if not isinstance(times, pd.DatetimeIndex):
        return {"start": int(times[0]), "zone": None}
    return {"start": times[0].isoformat(), "zone": None if times.tz is None else _zone(times.tz)}


def _zone(zone: Any) -> str:
    """Return a name of a time zone that pandas reads.

    Raises:
        ValueError: there is none.
    """
    file = re.fullmatch(r"tzfile\('(?:.*/zoneinfo/)?(.+)'\)", str(zone))  # of dateutil
    offset = zone.utcoffset(None)
    fixed = [] if offset is None else [str(timezone(offset))]
    for name in [f"dateutil/{file[1]}"] if file else [str(zone), *fixed]:
        try:
            pd.Timestamp(0, tz="UTC").tz_convert(name)
        except (ValueError, TypeError, KeyError):
            continue
        return name
    raise ValueError(
        f"column ds is of time zone {zone}, which cannot be saved; use tz_convert('Europe/Berlin') or the like, or"
        " history=False"
    )


def _first(head: Mapping[str, Any]) -> Any:
    if isinstance(head["start"], int):
        return head["start"]
    first = pd.Timestamp(head["start"])
    return first if head["zone"] is None else first.tz_convert(head["zone"])
