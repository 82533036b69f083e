"""How long a table takes to become sequences, and how much memory: 20 columns, with dates, names and gaps.

    python benchmarks/tables.py 1000000      rows

It writes the table to a temporary folder, and reads it in a process of its own. Printed: seconds of the wall clock and
of the processor, and MiB that the process grew by at its largest, from after its imports.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

STEPS, NUMBERS = 1000, 16  # rows of a sequence, and columns of numbers beside id, day, kind and label
ROLES = {"id": "id", "time": "day", "target": "x0", "ignore": "note"}


def write(path: Path, rows: int) -> None:
    """A table of random walks; a tenth of the numbers of every other column is missing."""
    draw = np.random.default_rng(0)
    count = -(-rows // STEPS)
    columns: dict[str, object] = {
        "id": [f"series {i // STEPS}" for i in range(rows)],
        "day": np.tile(np.datetime64("2000-01-01") + np.arange(STEPS), count)[:rows],
    }
    for j in range(NUMBERS):
        values = draw.normal(size=rows).cumsum().round(3)
        columns[f"x{j}"] = pa.array(values, mask=(draw.random(rows) < 0.1) & (j % 2 == 1))
    columns["kind"] = np.array(["red", "green", "blue"])[draw.integers(3, size=rows)]
    columns["note"] = np.array(["a", "b"])[draw.integers(2, size=rows)]
    pa.csv.write_csv(pa.table(columns), path)


def read(path: Path) -> dict[str, float]:
    """The costs of reading and splitting a table, after everything is imported."""
    import pandas  # noqa: F401

    from nounroll.data.tables.table import Table

    before = _peak()
    start, cpu = time.perf_counter(), time.process_time()
    task = Table(path=path, roles=ROLES)  # type: ignore[arg-type]  # names are as good as lists of them
    seconds, spent = time.perf_counter() - start, time.process_time() - cpu
    parts = [part.size or 0 for part in (task, task.validation(), task.test())]
    assert all(parts)
    return {
        "seconds": seconds,
        "cpu": spent,
        "mib": _peak() - before,
        "pieces": sum(parts),
        "bytes": path.stat().st_size,
    }


def _peak() -> float:
    """MiB that the process has held at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(rows: int) -> dict[str, float]:
    """``read`` in a process of its own, of a table of so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        write(path, rows)
        words = [sys.executable, "-W", "ignore", __file__, "read", str(path)]
        ended = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


if __name__ == "__main__":
    if sys.argv[1] == "read":
        print(json.dumps(read(Path(sys.argv[2]))))
    else:
        print(json.dumps({"rows": int(sys.argv[1]), **measured(int(sys.argv[1]))}))
