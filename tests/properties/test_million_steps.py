"""A trained cell runs for a million steps: its memory stays finite and bounded, and a step costs what it cost."""

import os
import time
from functools import cache

import pytest
import torch
from torch import Tensor

from helpers import tiny_recipe
from nounroll.run import train
from nounroll.student import Student

NIGHTLY = bool(os.environ.get("NOUNROLL_NIGHTLY"))
STEPS = 1_000_000 if NIGHTLY else 5_000
BLOCK = 1_000  # steps that are timed together
LARGEST = 100.0  # of an element of a memory
SLOWER = 1.1  # a late step against an early one


@cache
def trained(kind: str) -> Student:
    return train(tiny_recipe(f"cell.kind={kind}", "training.steps=30", "training.evaluations=1")).student


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
    largest, seconds = long_walk(trained(kind), STEPS)
    assert largest.isfinite().all()
    assert largest.max() < LARGEST
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


def test_control_a_step_that_gets_dearer_is_seen() -> None:
    assert is_flat(torch.full((50,), 0.1))
    assert not is_flat(torch.linspace(0.1, 0.13, 50))
