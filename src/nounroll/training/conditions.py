"""Conditions of a run: whatever must stay the same for a resumed run to equal an uninterrupted one bit for bit.

Every checkpoint records them. A resume refuses other data, as it refuses another recipe. Another torch, machine, or
number of threads or processes only changes the rounding, and gives a notice.
"""

import platform
from collections.abc import Mapping
from typing import Any

import torch

from nounroll.core.machine import processor
from nounroll.core.notices import notice
from nounroll.data.fingerprint import fingerprint
from nounroll.data.task import SequenceTask
from nounroll.storage.checkpoint import CheckpointError

_ROUNDING = ("torch", "threads", "processes", "machine")


def conditions(task: SequenceTask, device: torch.device, processes: int) -> dict[str, Any]:
    """Collect the conditions of this process as a JSON document.

    Args:
        task: task of the run.
        device: device that the run trains on.
        processes: number of processes that share the run.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": processes,
        "machine": f"{platform.system()} {platform.machine()}, {processor()}, {device.type} {name}",
        "data": fingerprint(task),
    }


def compare(kept: Any, now: Mapping[str, Any], checkpoint: object, force: bool) -> None:
    """Give a notice for each condition that differs from the checkpoint's.

    Args:
        kept: conditions in the checkpoint; one of an earlier version has none, and nothing is compared.
        now: conditions of this process.
        checkpoint: name of the checkpoint in errors.
        force: continue although the data has changed.

    Raises:
        CheckpointError: the data has changed.
    """
    kept = kept if isinstance(kept, Mapping) else {}
    for name in _ROUNDING:
        if kept.get(name, now[name]) != now[name]:
            what = f"{name} is {now[name]}, and {checkpoint} was trained with {kept[name]}"
            notice(f"{what}: from here on the run differs from one that never stopped")
    if kept.get("data", now["data"]) != now["data"]:
        what = f"the data has changed since {checkpoint} (fingerprint {kept['data']!s:.8}, now {now['data']:.8})"
        if not force:
            raise CheckpointError(f"{what}; put it back, train a new run, or continue with --force")
        notice(f"{what}; the run continues with the data as it is now")
