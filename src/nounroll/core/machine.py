"""Resources of this machine."""

import os
import platform
import sys
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_CGROUP = Path("/sys/fs/cgroup/memory.max")  # of the container that this process is in


def launched() -> tuple[int, int]:
    """Rank of this process and number of processes, as ``torchrun`` set them; (0, 1) without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def speaks() -> bool:
    """Return whether this process is the first one on its machine, which speaks for all."""
    return launched()[0] == 0 or os.environ["LOCAL_RANK"] == "0"


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        for line in _CPUINFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # no Linux
        pass
    return platform.processor() or "processor unknown"


def total_memory() -> int:
    """Bytes of main memory that this process can ever get: the machine's, or its container's if that is less."""
    if not hasattr(os, "sysconf"):  # Windows, say: what it has is not known here
        return sys.maxsize
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(total, int(_CGROUP.read_text()))
    except (OSError, ValueError):  # no container, or "max"
        return total
