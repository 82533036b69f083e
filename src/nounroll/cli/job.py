"""A run in a separate process."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from nounroll.report.numbers import figure

PYTHON = [sys.executable, "-P", "-m", "nounroll.cli.main"]


@dataclass
class Job:
    """Run that ``nounroll train`` trains in a separate process.

    Attributes:
        measure: the most informative metric of the task.
        spent: seconds of training so far.
        status: short description of the progress.
        metrics: None until the run is done.
    """

    task: str
    method: str
    cell: str
    folder: Path
    seconds: float
    measure: str
    process: Popen[str] | None = None
    spent: float = 0.0
    status: str = "waits"
    metrics: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return f"{self.task}, {self.method}, {self.cell}"

    def start(self) -> None:
        recipe = self.folder.parent / f"{self.task}.yaml"
        options = {"method": self.method, "cell": self.cell, "seconds": str(self.seconds), "out": str(self.folder)}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        command = [*PYTHON, "train", str(recipe), *words, "--json"]
        # With several threads each, processes slow one another down on few cores; one thread each is also fair.
        threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        self.process = Popen(command, env=os.environ | threads, text=True, stdout=PIPE, stderr=PIPE)
        self.status = "starts"

    def look(self) -> None:
        """Update ``spent``, ``status`` and ``metrics``.

        Raises:
            RuntimeError: the process failed; the message is the last line that it printed.
        """
        assert self.process is not None
        if self.process.poll() is None:
            record = self._last_record()
            self.spent = record.get("seconds", self.spent)
            self.status = f"loss {record['loss']:.3f}" if "loss" in record else self.status
            return
        out, errors = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"{self.name} failed: {(errors.strip() or 'it printed nothing').splitlines()[-1]}")
        self.metrics = json.loads(out)["metrics"]
        assert self.metrics is not None
        value = figure(self.measure, self.metrics.get(self.measure))
        self.spent, self.status = self.seconds, f"{self.measure} {value}"

    def _last_record(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "metrics.jsonl").read_text().splitlines()[-1])
        except (OSError, IndexError, json.JSONDecodeError):  # the file is missing or incomplete
            return {}
