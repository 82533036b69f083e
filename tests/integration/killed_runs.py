"""A program: train the same run again and again, kill it at random instants, resume it, print what each came to.

    python killed_runs.py FOLDER KILLS SEED [FAULT]

Everything is imported and warmed up once, then each trial is a fork: it costs the training alone. A checkpoint is
written after every step, and every second kill waits until one is being written. FAULT plants one of ``FAULTS``.
"""

import hashlib
import json
import mmap
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import tiny_recipe
from nounroll.experiments.run import train
from nounroll.experiments.run_folder import open_run
from nounroll.storage import checkpoint
from nounroll.training import run_state

SAVING = mmap.mmap(-1, 1)  # shared with the forks: 1 while a checkpoint is being written
RECIPE = tiny_recipe("training.steps=12", "training.evaluations=100", "training.curriculum=0", "training.accumulate=2")


def write_in_place(folder: Path, tensors: Any, documents: Any) -> None:
    """A writer that overwrites its files where they are, on a slow disk."""
    folder.mkdir(parents=True, exist_ok=True)
    files = checkpoint.contents(tensors, documents)
    files[checkpoint.MANIFEST] = checkpoint.format.manifest(
        {n: checkpoint.format.fingerprint(d) for n, d in files.items()}
    )
    for name in reversed(files):  # the manifest first: what has one counts as whole
        (folder / name).write_bytes(files[name])
        time.sleep(0.01)


def forget_the_optimizer() -> None:
    run_state.load_optimizer_state = lambda *_: None


def save_in_place() -> None:
    checkpoint.write = write_in_place


FAULTS = {"in place": save_in_place, "without the optimiser": forget_the_optimizer}


def mark_saves() -> None:
    write = checkpoint.write

    def marked(*given: Any, **named: Any) -> None:
        SAVING[0] = 1
        write(*given, **named)
        SAVING[0] = 0

    checkpoint.write = marked


def forked(folder: Path) -> int:
    """Train in a process of its own, or go on with what is in the folder."""
    SAVING[0] = 0
    pid = os.fork()
    if pid:
        return pid
    try:
        begun = (folder / "recipe.yaml").is_file()
        train(open_run(folder)[0] if begun else RECIPE, folder=folder, resume=begun)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def finish(folder: Path) -> dict[str, Any]:
    """Train to the end; what the run came to, all but its clock."""
    _, status = os.waitpid(forked(folder), 0)
    if status:
        raise SystemExit(f"{folder} does not go on: exit status {status}")
    newest = checkpoint.newest(folder / "checkpoints")
    assert newest is not None
    tensors, documents = checkpoint.read(newest)
    weights = hashlib.sha256()
    for group in sorted(tensors):
        for name in sorted(tensors[group]):
            weights.update(f"{group}/{name}".encode() + tensors[group][name].numpy().tobytes())
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return {
        "step": documents["counters"]["step"],
        "weights": weights.hexdigest(),
        "student": hashlib.sha256((folder / "student" / "model.safetensors").read_bytes()).hexdigest(),
        "records": [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines],
        "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()),
    }


def killed(folder: Path, delay: float, while_saving: bool) -> bool | None:
    """Train in a process that is killed after so many seconds, or in the first save after that.

    Returns:
        Whether it died inside a save; None where it was done before.
    """
    pid, at = forked(folder), time.perf_counter() + delay
    while time.perf_counter() < at or (while_saving and not SAVING[0] and os.waitid(os.P_PID, pid, _DONE) is None):
        time.sleep(0.0003)
    os.kill(pid, signal.SIGKILL)
    return bool(SAVING[0]) if os.WIFSIGNALED(os.waitpid(pid, 0)[1]) else None


_DONE = os.WEXITED | os.WNOHANG | os.WNOWAIT


def newest_step(folder: Path) -> int:
    """That of the newest checkpoint; -1 where there is none.

    Raises:
        CheckpointError: it does not load.
    """
    newest = checkpoint.newest(folder / "checkpoints") if folder.is_dir() else None
    return -1 if newest is None else checkpoint.read(newest)[1]["counters"]["step"]


def main(root: Path, kills: int, seed: int, fault: str | None = None) -> dict[str, Any]:
    draw = random.Random(seed)
    train(RECIPE, folder=root / "warm-up")
    began = time.perf_counter()
    whole = finish(root / "whole")
    duration = time.perf_counter() - began
    if fault:
        FAULTS[fault]()
    mark_saves()
    runs, done, inside = [], 0, 0
    while done < kills:
        folder, deaths = root / f"run-{len(runs)}", []
        while done < kills and len(deaths) < 3:
            saving = killed(folder, draw.uniform(0.02, 0.9) * duration, while_saving=done % 2 == 0)
            if saving is None:
                break
            done, inside = done + 1, inside + saving
            deaths.append(newest_step(folder))
        runs.append({"deaths": deaths, **finish(folder)})
    return {"whole": whole, "runs": runs, "inside": inside}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])))
