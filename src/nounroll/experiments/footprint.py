"""Minimum memory of a run, computed before anything is allocated: a run that cannot fit is refused.

The count covers what must be in memory at one time, apart from torch's own overhead:

- weights, their gradients and AdamW's two moments; a second copy of all but the gradients, for rollbacks; and a third
  copy while a checkpoint is written;
- the activations that a training step keeps for its gradients: measured on one time step of one sequence, and
  multiplied by the number of time steps that the method processes;
- the tensors that an evaluation holds at once (see ``nounroll.rollout.chunks``), if they exceed those of a step;
- the sequences of a step, and the held-out sequences.

The count excludes the program itself, the memory of attention, the decoder and temporary results.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nounroll.core.batch import Space
from nounroll.core.machine import launched, total_memory
from nounroll.core.modes import on_meta
from nounroll.data.task import SequenceTask
from nounroll.experiments.assembly import build
from nounroll.experiments.recipe import Recipe
from nounroll.methods import parse_chain
from nounroll.models.student import Student
from nounroll.rollout.evaluate import held_at_once
from nounroll.rollout.transformer import CausalTransformer
from nounroll.teacher import Teacher
from nounroll.teacher.window import CONTEXT
from nounroll.training.devices import best_device, device_memory
from nounroll.training.schedule import stages, taught

_FLOAT = 4  # bytes
_HELD_OUT = 9 * 2**13  # time steps drawn for evaluations: 2**13 during training, and eight times as many at the end
_READ = 8  # time steps of the sequence that measures an encoder: too few for attention's memory to matter
_SMALLEST = {  # the settings that determine memory use, and their smallest values
    "training.batch_size": 1,
    "length": 16,
    "cell.memory_width": 2,
    "cell.tokens": 1,
    "cell.width": 4,
    "cell.layers": 1,
    "teacher.width": 2,
    "teacher.layers": 1,
    "teacher.decoder_layers": 0,
    "readout_width": 1,
}


@dataclass(frozen=True)
class Footprint:
    """Memory of one process in bytes; infinite if it cannot be counted.

    Attributes:
        parameters: how many numbers are trained (a count, not bytes).
        state: weights, gradients and moments on the device, and the weights of a frozen model.
        step: what a training step keeps, on the device.
        evaluation: what an evaluation holds at once, on the device.
        copies: copies of weights and moments, in main memory.
        data: sequences, in main memory.
    """

    parameters: float
    state: float
    step: float
    evaluation: float
    copies: float
    data: float

    @property
    def device(self) -> float:
        """Bytes on a device that has its own memory."""
        return self.state + max(self.step, self.evaluation)

    @property
    def main(self) -> float:
        """Bytes in main memory if the device has its own memory."""
        return self.copies + self.data

    @property
    def total(self) -> float:
        """Bytes in main memory if the device uses main memory too."""
        return self.device + self.main


def footprint(recipe: Recipe, task: SequenceTask, cell: nn.Module | None = None, *, kept: bool = True) -> Footprint:
    """Count the memory that a run takes, on torch's meta device: it has shapes alone, so nothing is allocated.

    Args:
        recipe: all settings of the run.
        task: source of the spaces.
        cell: the user's own module, already in memory, used in place of the recipe's cell.
        kept: the run has a folder and writes checkpoints.
    """
    steps = recipe.training.batch_size * recipe.length + max(_HELD_OUT, 72 * recipe.length)
    data = float(steps * (_bytes(task.inputs) + _bytes(task.targets) + 1))
    try:
        with on_meta():
            model, teacher = build(recipe, task, None if cell is None else _Shape(cell))
    except (RuntimeError, OverflowError, TypeError):  # torch's errors for a size that needs more than 64 bits
        return Footprint(math.inf, math.inf, math.inf, math.inf, math.inf, data)
    parameters = sum(p.numel() for part in (model, teacher, cell) if part is not None for p in part.parameters())
    held = 0 if teacher is None else _FLOAT * sum(p.numel() for p in teacher.held())  # every process holds it unsharded
    step = _step(recipe, model, teacher, cell)
    rows = max(1, recipe.training.batch_size // (recipe.training.accumulate * launched()[1]))
    halved = 1 if _device(recipe) == "cpu" and recipe.training.precision != "bf16-mixed" else 2
    parts = launched()[1] if recipe.training.shard else 1
    copies = max((6 if kept else 3) / parts, 1) * _FLOAT * parameters  # the model is built unsharded
    state = 4 * _FLOAT * parameters / parts + held
    return Footprint(parameters, state, rows * step / halved, _FLOAT * held_at_once(model, recipe.length), copies, data)


def check_length(recipe: Recipe, task: SequenceTask) -> None:
    """Refuse a length at which two sequences do not fit in memory.

    Raises:
        ValueError: they take more memory than the machine has.
    """
    needed = 2.0 * recipe.length * (_bytes(task.inputs) + _bytes(task.targets) + 1)
    if needed > total_memory():
        raise ValueError(
            f"length is {recipe.length}; with it two sequences take at least {in_words(needed)} of memory,"
            f" and there is {in_words(total_memory())}: lower it"
        )


def check_memory(recipe: Recipe, task: SequenceTask, cell: nn.Module | None = None, *, kept: bool = True) -> None:
    """Refuse a run that takes more memory than the machine has.

    Raises:
        ValueError: the run is too large; the message names the setting to lower.
    """
    found = footprint(recipe, task, cell, kept=kept)
    for name, part, there in pools(recipe):
        if getattr(found, part) > there:
            setting, value = _cause(recipe, task, cell, part, there)
            step = found.step > max(found.state, found.evaluation)
            more = " or raise training.accumulate" if part != "main" and step else ""
            raise ValueError(
                f"{setting} is {value}; with it the run takes at least {in_words(getattr(found, part))} of {name},"
                f" and there is {in_words(there)}: lower it{more}"
            )


def pools(recipe: Recipe) -> Iterator[tuple[str, str, float]]:
    """Yield each memory of this machine: (name, attribute of ``Footprint`` that must fit, bytes for each process)."""
    device, here = _device(recipe), int(os.environ["LOCAL_WORLD_SIZE"]) if launched()[1] > 1 else 1
    if device == "cpu":
        yield "memory", "total", total_memory() / here
    else:
        yield f"{device} memory", "device", device_memory(device)
        yield "main memory", "main", total_memory() / here


def in_words(number: float) -> str:
    """Format a number of bytes for people."""
    if not math.isfinite(number):
        number = 2.0**63  # torch's largest count
    units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    place = min(len(units) - 1, max(0, math.frexp(number)[1] - 1) // 10)
    return f"{number / 1024**place:,.4g} {units[place]}"


class _Shape(nn.Module):
    """Stand-in for the user's own cell, whose weights are counted elsewhere."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.memory_shape = tuple(cell.memory_shape)


def _step(recipe: Recipe, model: Student | CausalTransformer, teacher: Teacher | None, cell: nn.Module | None) -> float:
    """Count the bytes that a step keeps of one sequence for its gradients, for the method that keeps most."""
    length, inputs = recipe.length, model.inputs.zeros(1, _READ, device="meta")
    if isinstance(model, CausalTransformer):
        return length * _kept(model, lambda: model.predict(inputs)) / _READ
    memory, entered = torch.zeros(1, *model.memory_shape, device="meta"), model.inputs.enter(model.inputs.zeros(1))
    own = _kept(model, lambda: model.readout(memory))
    if cell is None:
        own += _kept(model, lambda: model.step(inputs[:, 0], memory))
    else:
        own += _kept(cell, lambda: cell.step(entered, torch.zeros(memory.shape)))  # type: ignore[operator]
    if teacher is None:
        return length * own
    encoder, last = teacher.encoder, torch.full((1, 1), _READ, device="meta")
    known = _kept(encoder, lambda: encoder.at(encoder.read(inputs), last)) / _READ
    longest = length if recipe.method == "smt" else taught(tuple(stages(recipe.training, length)), teacher)[-1]
    few, window = min(recipe.smt.transitions or longest, longest), not encoder.all_at_once
    smt = few * own if "smt" in parse_chain(recipe.method) else 0.0
    if smt and not recipe.smt.teacher:
        smt += known * (few * min(CONTEXT, longest) if window else longest)
    return max(smt, length * own if recipe.method != "smt" else 0.0)


def _kept(module: nn.Module, compute: Callable[[], Tensor]) -> float:
    """Count the bytes that torch keeps of a computation for its gradients, without weights."""
    found: dict[int, Any] = {}
    weights = {p.untyped_storage()._cdata for p in module.parameters()}

    def keep(value: Tensor) -> Tensor:
        found[value.untyped_storage()._cdata] = value.untyped_storage()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        kept = compute()
    del kept
    return float(sum(storage.nbytes() for key, storage in found.items() if key not in weights))


def _cause(recipe: Recipe, task: SequenceTask, cell: nn.Module | None, part: str, there: float) -> tuple[str, Any]:
    """Find the setting to lower, and its value.

    Among the settings that alone, at their smallest value, make the run fit, choose the one furthest above that value.
    If there is none, choose the setting that saves most.
    """
    needed: dict[str, float] = {}
    times: dict[str, float] = {}
    for name, least in _SMALLEST.items():
        if value := recipe.get(name):
            needed[name] = getattr(footprint(_changed(recipe, name, least), task, cell), part)
            times[name] = value / max(least, 1)
    enough = {name: times[name] for name in needed if needed[name] <= there}
    name = max(enough, key=enough.__getitem__) if enough else min(needed, key=needed.__getitem__)
    return name, recipe.get(name)


def _changed(recipe: Recipe, name: str, value: int) -> Recipe:
    return recipe.changed({name: value, **({"training.accumulate": 1} if name == "training.batch_size" else {})})


def _device(recipe: Recipe) -> str:
    return best_device() if recipe.training.device == "auto" else recipe.training.device


def _bytes(space: Space) -> int:
    """Return the bytes of one element."""
    return space.dtype.itemsize * math.prod(space.event_shape)
