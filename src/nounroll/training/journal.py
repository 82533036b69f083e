"""Records of a run: training steps, evaluations and other events, in memory and on disk."""

import math
from pathlib import Path
from typing import Any

from nounroll.methods.cost import COSTS
from nounroll.training.counters import Counters
from nounroll.training.log import MetricsFile
from nounroll.training.pace import Link


class Journal:
    """Writer of records, each with the progress of the run.

    Args:
        counters: counters of the run; they hold the number of records, so that a resumed run continues after them.

    Attributes:
        records: all records so far.
    """

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.records: list[dict[str, Any]] = []
        self._file = MetricsFile(None)

    def open(self, folder: Path | None) -> None:
        """Continue the metrics.jsonl of a run's folder, without the records after its checkpoint."""
        self._file = MetricsFile(folder / "metrics.jsonl" if folder else None, keep=self.counters.records)
        self.records = self._file.kept or self.records

    def write(self, event: str, link: Link, progress: float, **values: Any) -> None:
        """Write a record of an event, at a share of the method's budget. Values that are not finite are left out."""
        c = self.counters
        record = {
            "event": event,
            "method": link.name,
            "step": c.step,
            "tokens": c.spent("tokens"),
            **{name: value for name, value in values.items() if not isinstance(value, float) or math.isfinite(value)},
            **{name: c.spent(name) for name in COSTS},
            "progress": round(progress, 4),
            "seconds": round(c.spent("seconds"), 2),
        }
        c.records += 1
        self.records.append(record)
        self._file.write(record)

    def sync(self) -> None:
        """Flush the records to disk, so that they survive a loss of power."""
        self._file.sync()
