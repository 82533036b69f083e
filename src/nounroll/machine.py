"""What this machine has."""

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory.max")  # of the container that this process is in


def total_memory() -> int:
    """Bytes of main memory that this process can ever get: the machine's, or its container's if that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(total, int(_CGROUP.read_text()))
    except (OSError, ValueError):  # no container, or "max"
        return total
