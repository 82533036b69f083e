"""Devices of this machine that torch can use."""

import torch


def devices() -> list[str]:
    """List the devices of this machine, the fastest last."""
    found = {"cpu": True, "mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return [name for name, there in found.items() if there]


def best_device() -> str:
    """Choose cuda, else mps, else cpu."""
    return devices()[-1]


def device_memory(device: str) -> float:
    """Return the bytes of a device's own memory; infinity for the CPU and for missing devices."""
    if device == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory
    if device == "mps" and torch.backends.mps.is_available():
        return torch.mps.recommended_max_memory()
    return float("inf")
