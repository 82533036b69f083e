"""A trained cell runs for a million steps: its memory stays finite and bounded, and a step costs what it cost."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from helpers import tiny_recipe
from nounroll.experiments.run import train
from nounroll.models.student import Student

NIGHTLY = bool(os.environ.get("NOUNROLL_NIGHTLY"))
STEPS = 1_000_000 if NIGHTLY else 5_000
BLOCK = 1_000  # steps that are timed together
LARGEST = 100.0  # of an element of a memory
SLOWER = 1.1  # a late step against an early one


@cache
def trained(kind: str) -> Student:
    return train(tiny_recipe(f"cell.kind={kind}", "training.steps=30", "training.evaluations=1")).student


@contextmanager
def untyped() -> Iterator[None]:
    """Without the tests' check of types, which takes four times as long as a step."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


class Work(TorchDispatchMode):
    """What torch is asked to do: each operation, and how many numbers come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.done.append((str(func), sum(t.numel() for t in [result] if isinstance(t, Tensor))))
        return result


@torch.no_grad()
def work_of_a_step(student: Student, memory: Tensor) -> list[tuple[str, int]]:
    with Work() as work:
        student.step(torch.zeros(1, dtype=torch.int64), memory)
    return work.done


@untyped()
@torch.no_grad()
def long_walk(student: Student, steps: int) -> tuple[Tensor, Tensor]:
    """Steps over random inputs, one at a time: the largest element of memory, and the seconds, of each block."""
    draw, memory = torch.Generator().manual_seed(0), student.initial_memory(1)
    largest, seconds = [], []
    for _ in range(steps // BLOCK):
        inputs = torch.randint(student.inputs.readout_size, (BLOCK, 1), generator=draw)
        start, peak = time.process_time(), memory.new_zeros(())
        for x in inputs:
            memory = student.step(x, memory)
            peak = torch.maximum(peak, memory.abs().max())
        seconds.append(time.process_time() - start)
        largest.append(peak)
    return torch.stack(largest), torch.tensor(seconds)


def is_flat(seconds: Tensor) -> bool:
    """Whether late steps cost what early ones did: the cheapest of ten blocks at either end."""
    few = max(1, min(10, len(seconds) // 2))
    return bool(seconds[-few:].min() <= SLOWER * seconds[:few].min())


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_a_trained_cell_stays_bounded_and_costs_the_same(kind: str) -> None:
    student = trained(kind)
    first = work_of_a_step(student, student.initial_memory(1))
    largest, seconds = long_walk(student, STEPS)
    assert largest.isfinite().all()
    assert largest.max() < LARGEST
    assert work_of_a_step(student, student.initial_memory(1)) == first
    few = min(10, len(seconds) // 2)
    print(f"{kind}: {STEPS} steps, largest {largest.max():.3g}, late {seconds[-few:].min() / seconds[:few].min():.3f}")
    assert is_flat(seconds) or not NIGHTLY  # the gate shares its machine, and its blocks are few


def test_control_a_cell_that_grows_is_seen() -> None:
    student = trained("mlp")
    step = student.step

    def growing(x: Tensor, memory: Tensor) -> Tensor:
        return step(x, memory) + 1.01 * memory

    student.step = growing  # type: ignore[method-assign]
    try:
        largest, _ = long_walk(student, 5 * BLOCK)
    finally:
        del student.step
    assert not (largest.isfinite().all() and largest.max() < LARGEST)


def test_control_a_step_that_does_more_each_time_is_seen() -> None:
    student, seen = trained("mlp"), list[Tensor]()
    step = student.step

    def hoarding(x: Tensor, memory: Tensor) -> Tensor:
        seen.append(memory)
        return step(x, memory) + 0 * torch.cat(seen).mean()

    student.step = hoarding  # type: ignore[method-assign]
    try:
        first = work_of_a_step(student, student.initial_memory(1))
        long_walk(student, BLOCK)
        assert work_of_a_step(student, student.initial_memory(1)) != first
    finally:
        del student.step


def test_control_a_step_that_gets_dearer_is_seen() -> None:
    assert is_flat(torch.full((50,), 0.1))
    assert not is_flat(torch.linspace(0.1, 0.13, 50))
