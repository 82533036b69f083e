"""A program: train the same run again and again, kill it at random instants, resume it, print what each came to.

    python killed_runs.py FOLDER KILLS SEED

Everything is imported and warmed up once, then each trial is a fork: it costs the training alone. A checkpoint is
written after every step, so that most kills fall inside a save.
"""

import hashlib
import json
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
from nounroll import checkpoint
from nounroll.run import open_run, train

RECIPE = tiny_recipe(
    "training.steps=12", "training.evaluations=100", "training.curriculum=false", "training.accumulate=2"
)


def forked(folder: Path) -> int:
    """Train in a process of its own, or go on with what is in the folder."""
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


def main(root: Path, kills: int, seed: int) -> dict[str, Any]:
    delays = random.Random(seed)
    train(RECIPE, folder=root / "warm-up")
    began = time.perf_counter()
    whole = finish(root / "whole")
    duration = time.perf_counter() - began
    runs, done = [], 0
    while done < kills:
        folder, deaths = root / f"run-{len(runs)}", []
        while done < kills and len(deaths) < 3:
            pid = forked(folder)
            time.sleep(delays.uniform(0.02, 0.9) * duration)
            os.kill(pid, signal.SIGKILL)
            killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
            if not killed:
                break
            done += 1
            newest = checkpoint.newest(folder / "checkpoints") if folder.is_dir() else None
            deaths.append(-1 if newest is None else checkpoint.read(newest)[1]["counters"]["step"])
        runs.append({"deaths": deaths, **finish(folder)})
    return {"whole": whole, "runs": runs}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
