"""Peak memory of one training step, measured in a separate process.

python -m nounroll.bench.memory "bptt stepped" mlp 4096 1

Freed arrays go back to the system at once, so that the figure is the largest memory in use at one time. Otherwise glibc
keeps many freed arrays, most if sizes vary. For the same in your own run, start it with MALLOC_MMAP_THRESHOLD_=65536.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import torch

from nounroll.bench.training import methods, stepper
from nounroll.data.text import Text

_WARM = 16  # time steps of the warm-up step, for memory that any step needs


def peak_memory(method: str, cell: str, length: int, batch: int) -> int:
    """Measure the bytes of a training step over ``length`` steps, without model, optimiser and program.

    Args:
        method: a name of ``nounroll.bench.training.methods``, without the cell.
        cell: kind of the cell.
        length: T.
        batch: B.

    Raises:
        RuntimeError: the process failed, for example for lack of memory.
    """
    command = [sys.executable, "-m", "nounroll.bench.memory", method, cell, str(length), str(batch)]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        last = (ended.stderr.strip() or f"exit status {ended.returncode}").splitlines()[-1]
        raise RuntimeError(f"peak memory of {method}, {cell} at T = {length} was not measured: {last}")
    return json.loads(ended.stdout)


def main(method: str, cell: str, length: int, batch: int) -> None:
    torch.set_num_threads(1)
    task = Text()
    trained = methods(task, cell, length)[f"{method}, {cell}"]
    if method == "bptt stepped":
        trained.student.cell.unroll = None  # type: ignore[union-attr]
    stepper(trained, task, _WARM, batch)(0)
    before = reset_peak()
    stepper(trained, task, length, batch)(1)
    print(memory_figure("VmHWM") - before)


def reset_peak() -> int:
    """Reset the peak to the bytes in use now and return them (on Linux); elsewhere return the peak so far."""
    if sys.platform != "linux":
        return memory_figure("VmHWM")
    Path("/proc/self/clear_refs").write_text("5")
    return memory_figure("VmRSS")


def memory_figure(name: str) -> int:
    """Read a memory figure in bytes. On Linux getrusage is not usable, because it starts from the parent's peak."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
