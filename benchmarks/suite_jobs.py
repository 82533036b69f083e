"""Runs of a measurement, each a process with one thread; a run that has an answer is not run again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from suite_run import OURS, ROOT
from tuning import Budget


@dataclass(frozen=True)
class Job:
    """One run."""

    task: str
    contender: str
    seed: int
    budget: Budget
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / f"{self.task}-{self.contender.replace('/', '-')}-seed{self.seed}.json"

    @property
    def first(self) -> "Job":
        """The run that chooses the learning rate."""
        return replace(self, seed=0)

    @property
    def waits(self) -> bool:
        """Whether its learning rate is that of the first seed."""
        return self.contender != OURS and self.seed > 0

    @property
    def words(self) -> list[str]:
        """The script and its arguments, but for a learning rate."""
        amount, options = self.budget.words
        script = str(ROOT / "benchmarks" / "suite_run.py")
        return [script, self.task, self.contender, str(self.seed), amount, os.path.relpath(self.file, ROOT), *options]


def run_all(jobs: Sequence[Job], side_by_side: int, *, again: bool) -> bool:
    """Run the jobs that have no answer, or all of them, first seeds first; whether all went well."""
    left = [job for job in jobs if again or not job.file.is_file()]
    good = True
    with ThreadPoolExecutor(side_by_side) as pool:
        for waiting in (False, True):
            good = all(list(pool.map(run, [job for job in left if job.waits == waiting]))) and good
    return good


def run(job: Job) -> bool:
    """Start a run and wait for it."""
    words = [sys.executable, *job.words]
    if job.waits:
        if not job.first.file.is_file():
            print(f"left out {job.file.stem}: seed 0 has no answer, and so no learning rate", file=sys.stderr)
            return False
        words += ["--rate", f"{json.loads(job.first.file.read_text())['rate']:g}"]
    start = time.monotonic()
    print(f"starts  {job.file.stem}, {job.budget}", flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(words, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        print(f"failed  {job.file.stem}: {last}", file=sys.stderr, flush=True)
        return False
    answer = json.loads(job.file.read_text())
    scores = ", ".join(f"{name} {value:.4g}" for name, value in answer["scores"].items())
    print(f"done    {job.file.stem} after {time.monotonic() - start:.0f} s: {scores}", flush=True)
    return True


def chosen_words(words: list[str], known: list[str], what: str) -> list[str]:
    """The words, each a known one.

    Raises:
        ValueError: one is not.
    """
    for word in words:
        if word not in known:
            raise ValueError(f"{what} is {word!r}; it must be one of {', '.join(known)}")
    return words
