"""Conditions of a run: all that must stay the same for a resumed run to equal the uninterrupted one bit for bit.

Every checkpoint records them. Other data is refused, as another recipe is; another torch, number of threads or
processes, or machine only changes the rounding, and is said.
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
    """The conditions of this process, as a JSON document.

    Args:
        task: of the run.
        device: where the run trains.
        processes: that share it.
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
        kept: the checkpoint's; one of an earlier version has none, and nothing is compared.
        now: of this process.
        checkpoint: how errors name it.
        force: go on with other data.

    Raises:
        CheckpointError: the data has changed.
    """
    kept = kept if isinstance(kept, Mapping) else {}
    for name in _ROUNDING:
        if kept.get(name, now[name]) != now[name]:
            what = f"{name} is {now[name]}, and {checkpoint} was trained with {kept[name]}"
            notice(f"{what}: from here on the run is not bit for bit the one that never stopped")
    if kept.get("data", now["data"]) != now["data"]:
        what = f"the data has changed since {checkpoint} (fingerprint {kept['data']!s:.8}, now {now['data']:.8})"
        if not force:
            raise CheckpointError(f"{what}; put it back, train a new run, or go on with --force")
        notice(f"{what}; the run goes on with what is there now")
