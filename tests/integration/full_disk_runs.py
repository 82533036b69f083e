"""A program: go on with the same run again and again, on a file system that takes no more than so many bytes a file.

    python full_disk_runs.py FOLDER TRIALS SEED [FAULT]

The system itself refuses (RLIMIT_FSIZE): a write ends short, the next one fails. Everything is imported and warmed up
once, each trial is a fork. FAULT "ignored" plants a writer that passes over what the disk says.
"""

import json
import os
import random
import resource
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from killed_runs import finish, newest_step

from helpers import TINY
from nounroll.cli.main import main as nounroll
from nounroll.experiments.recipe import parse
from nounroll.experiments.run import train
from nounroll.storage import checkpoint

RECIPE = parse(TINY, ["training.steps=12", "training.evaluations=100", "training.curriculum=0"])
STOPPED = 6  # steps of the run that all trials go on with


def stopped(folder: Path) -> None:
    """A run that was asked to stop after so many steps."""
    asked: list[None] = []
    train(RECIPE, folder=folder, stop=lambda: (asked.append(None), len(asked) == STOPPED)[1])


def limited(folder: Path, most: int) -> tuple[int, str, str]:
    """``nounroll resume`` in a process whose files may grow to so many bytes: exit status, stdout, stderr."""
    pipes = [os.pipe(), os.pipe()]
    if pid := os.fork():
        texts = []
        for _, write in pipes:
            os.close(write)
        for read, _ in pipes:
            with open(read) as file:
                texts.append(file.read())
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), texts[0], texts[1]
    status = 99
    try:
        for target, (_, write) in enumerate(pipes, start=1):
            os.dup2(write, target)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # Python has SIGXFSZ ignored
        status = nounroll(["resume", str(folder)])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def ignoring(path: Path, data: bytes) -> None:
    """The planted bug."""
    with suppress(OSError), open(path, "xb", buffering=0) as file:
        file.write(data)


def main(root: Path, trials: int, seed: int, fault: str | None = None) -> dict[str, Any]:
    draw = random.Random(seed)
    stopped(root / "begun")
    shutil.copytree(root / "begun", root / "whole")
    whole = finish(root / "whole")
    largest = max(path.stat().st_size for path in (root / "whole").rglob("*") if path.is_file())
    if fault:
        checkpoint.writing.write_file = ignoring
    found = []
    for number in range(trials):
        folder, most = root / f"run-{number}", draw.randrange(largest if number % 2 else 4096)
        shutil.copytree(root / "begun", folder)
        status, out, error = limited(folder, most)
        try:
            left = newest_step(folder)
        except checkpoint.CheckpointError:
            left = None
        same = None if fault else finish(folder) == whole  # once there is room again
        found.append({"bytes": most, "status": status, "out": out, "error": error, "left": left, "same": same})
    return {"largest": largest, "trials": found}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])))
