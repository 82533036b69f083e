"""Forecasts of a pasted series: quantiles over sample paths of the network."""

from typing import Any

import numpy as np
import torch
from fastapi import APIRouter
from torch import Tensor

from nounroll.core.seeding import generator
from nounroll.models.generation import Sampling
from nounroll.models.student import Student
from nounroll.serve.requests import Forecast
from nounroll.serve.service import Served, Service

router = APIRouter()

_AT_ONCE = 256  # rows of a history read between two steps of other sessions


@router.post("/v1/forecast")
async def forecast(service: Served, body: Forecast) -> dict[str, Any]:
    """Return the history, and the quantiles of each column at each step ahead."""
    history = _history(service, body)
    service.batcher.enter()
    try:
        drawn = await _paths(service, history, body)
    finally:
        service.batcher.leave()
    quantiles = np.quantile(drawn.double().numpy(), body.levels, axis=0)
    return {
        "columns": columns(service),
        "history": history.tolist(),
        "levels": body.levels,
        "quantiles": quantiles.tolist(),
    }


def columns(service: Service) -> list[str] | None:
    """Return the names of a series' columns; None if the model does not predict a series of numbers."""
    task = service.task
    if not task.autoregressive or task.targets.discrete:
        return None
    return [str(name) for name in getattr(task, "columns", task.targets.columns)]


def _history(service: Service, body: Forecast) -> Tensor:
    if columns(service) is None:
        raise ValueError("this model does not predict a series of numbers, so it cannot forecast one")
    if (body.text is None) == (body.inputs is None):
        raise ValueError("give either text or inputs")
    for name, asked, most in (
        ("steps", body.steps, service.settings.tokens),
        ("paths", body.paths, service.settings.slots),
    ):
        if asked > most:
            raise ValueError(f"{name} is {asked}; this server takes at most {most}")
    if not body.levels or not all(0 < level < 1 for level in body.levels):
        raise ValueError(f"levels are {body.levels[:9]}; they must be numbers between 0 and 1")
    return service.read(body.text or "" if body.inputs is None else body.inputs)


async def _paths(service: Service, history: Tensor, body: Forecast) -> Tensor:
    """Draw paths, (paths, steps, d); other sessions step in between."""
    student, memory = service.student, service.student.initial_memory(1).detach()
    for part in history.split(_AT_ONCE):
        memory = await service.batcher.compute(lambda before, part=part: _read(student, part, before), memory)
    memory, source, drawn = memory.repeat_interleave(body.paths, dim=0), generator(body.seed, "generate"), []

    def write(before: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            values = Sampling().draw(student.targets, student.readout(before), source)
            return values, student.step(values, before)

    for _ in range(body.steps):
        values, memory = await service.batcher.compute(write, memory)
        drawn.append(values)
    return torch.stack(drawn, dim=1)


@torch.no_grad()
def _read(student: Student, part: Tensor, memory: Tensor) -> Tensor:
    return student.rollout(part[None], memory)[:, -1]
