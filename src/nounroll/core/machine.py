"""Resources of this machine."""

import os
import platform
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CGROUP = Path("/sys/fs/cgroup/memory.max")  # limit of the container of this process


def launched() -> tuple[int, int]:
    """Rank of this process and number of processes, as ``torchrun`` set them; (0, 1) without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def speaks() -> bool:
    """Return whether this process prints messages for all: the first process on its machine."""
    return launched()[0] == 0 or os.environ["LOCAL_RANK"] == "0"


def processor() -> str:
    """Return the name of the processor, if the system reports it."""
    try:
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or "processor unknown"


def total_memory() -> int:
    """Return the bytes of main memory available to this process: the machine's, or its container's limit if lower."""
    if not hasattr(os, "sysconf"):  # for example Windows, where the memory is unknown
        return sys.maxsize
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(total, int(_CGROUP.read_text()))
    except (OSError, ValueError):  # no container, or "max"
        return total
