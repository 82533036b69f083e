"""Peak memory of one training step over 16,384 time steps, above the process before it; for docs/long.md.

    python benchmarks/long_memory.py          then python benchmarks/long.py --page

Retrieval, four sequences, an MLP cell with a memory of 256 numbers, settings as ``nounroll.fit`` resolves them. Every
step is in a process of its own with one thread, after a short one that takes what any step needs. Linux alone tells
the figure. Freed arrays go back to the system at once.
"""

import json
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from suite_run import ROOT, commit, write

ANSWER = ROOT / "docs" / "long" / "memory.json"
LENGTH, SHORT, ROWS, CHUNK = 16_384, 128, 4, 256
STEPS = {"dmt by chunks": ("smt+dmt", CHUNK), "dmt": ("smt+dmt", 0), "bptt stepped": ("bptt", 0)}


def measured(name: str) -> dict[str, Any]:
    """Take one step, forward and backward."""
    import torch

    from nounroll.bench.memory import memory_figure, reset_peak
    from nounroll.data.retrieval import Retrieval
    from nounroll.experiments.recipe import parse
    from nounroll.experiments.resolve import resolve
    from nounroll.methods import BPTT, DMT
    from nounroll.models.student import Student
    from nounroll.teacher import build_teacher

    torch.set_num_threads(1)
    torch.manual_seed(0)
    task, (method, chunk) = Retrieval(), STEPS[name]
    given = {
        "task": {"kind": "retrieval"},
        "length": LENGTH,
        "method": method,
        "cell": {"kind": "mlp", "tokens": 16, "memory_width": 16},
        "smt": {"chunk": chunk},
        "training": {"steps": 1},
    }
    found = resolve(parse(given), task)
    recipe = found.recipe
    student = Student(task.inputs, task.targets, recipe.cell, readout_width=recipe.readout_width)
    if method == "bptt":
        trained, student.cell.unroll = BPTT(student), None
    else:
        teacher = build_teacher(recipe.teacher, task.inputs, task.targets, student.cell)
        trained = DMT(student, teacher, recipe.dmt, found.facts.knowable, chunk)
    for length in (SHORT, LENGTH):
        batch = task.sample(ROWS, length, torch.Generator().manual_seed(0))
        before, start = reset_peak(), time.process_time()
        losses, _ = trained(batch, {}, torch.Generator().manual_seed(0), 1.0)
        losses["loss"].backward()
    return {"MiB": round((memory_figure("VmHWM") - before) / 2**20), "CPU seconds": time.process_time() - start}


def main() -> int:
    if sys.argv[1:]:
        print(json.dumps(measured(sys.argv[1])))
        return 0
    if sys.platform != "linux":
        print("only Linux tells the peak memory of a step", file=sys.stderr)
        return 2
    import nounroll

    environment, found = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}, {}
    for name in STEPS:
        told = subprocess.run([sys.executable, __file__, name], env=environment, check=True, capture_output=True)
        found[name] = json.loads(told.stdout)
        print(f"{name}: {found[name]['MiB']:,} MiB, {found[name]['CPU seconds']:.1f} CPU seconds", flush=True)
    about = {"length": LENGTH, "rows": ROWS, "chunk": CHUNK, "date": str(date.today())}
    write({**about, "steps": found, "commit": commit(Path(nounroll.__file__).parent)}, ANSWER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
