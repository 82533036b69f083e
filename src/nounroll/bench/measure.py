"""Whole benchmark: contenders in turn, and optional curves."""

import platform
import statistics
from typing import Any

import torch

from nounroll.bench.generation import at_places, generation, overtaken
from nounroll.bench.scaling import scaling
from nounroll.bench.timing import in_turn, matmul, row
from nounroll.bench.training import training
from nounroll.cells.base import CELLS
from nounroll.core.ranges import at_least
from nounroll.data.text import Text


def measure(
    cells: list[str],
    length: int,
    batch: int,
    rounds: int,
    contexts: list[int],
    lengths: list[int] | None = None,
    compiled: list[str] | None = None,
    places: list[int] | None = None,
) -> dict[str, Any]:
    """Time every contender in turn, ``rounds`` times.

    Args:
        cells: kinds of cells.
        length: T in training, in time steps.
        batch: B in training.
        rounds: rounds of each contender, after one warm-up round.
        contexts: numbers of tokens read before the timed tokens.
        lengths: values of T for the curves of the first cell; None leaves them out.
        compiled: cells that are also timed with compiled calls.
        places: numbers of tokens that the first cell generates before it is timed; None leaves them out.

    Returns:
        A dictionary with ``matmul``: FLOP/s of a matrix product; ``training``: rows of labels (SMT) or transitions
        (DMT, BPTT) per second; ``generation``: rows of tokens per second and milliseconds per token; ``overtaken``: see
        ``nounroll.bench.generation``; ``scaling``: see ``nounroll.bench.scaling``; ``places``: rows in the form of
        ``generation``. Ratios are to the row's baseline.

    Raises:
        ValueError: an unknown cell, or a number below 1.
    """
    numbers = [("--length", length), ("--batch", batch), ("--rounds", rounds)]
    for option, values in (("--contexts", contexts), ("--scaling", lengths), ("--places", places)):
        numbers += [(option, value) for value in values or []]
    for name, value in numbers:
        at_least(name, value, 1)
    if not cells:
        raise ValueError("--cells names no cell; it must name at least one")
    for cell in cells:
        if cell not in CELLS:
            raise ValueError(f"--cells has {cell!r}; it must be of {', '.join(CELLS)}")
    for cell in compiled or []:
        if cell not in cells:
            raise ValueError(f"--compiled has {cell!r}; it must be of --cells {', '.join(cells)}")
    threads, task = torch.get_num_threads(), Text()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            trained = training(task, cells, length, batch)
            written = generation(task, cells, contexts, compiled or [])
            times = in_turn({"matmul": matmul(), **trained, **written}, rounds)
            far = at_places(task, cells[0], places or [], compiled=cells[0] in (compiled or []))
            far_times = in_turn(far, rounds)
            curves = {} if lengths is None else {"scaling": scaling(task, cells[0], lengths, rounds)}
    finally:
        torch.set_num_threads(threads)
    peak = matmul().flops / statistics.median(times["matmul"])
    rows = [row(name, written, times, peak) for name in written]
    return {
        "length": length,
        "batch": batch,
        "rounds": rounds,
        "cells": cells,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "matmul": peak,
        "training": [row(name, trained, times, peak) for name in trained],
        "generation": rows,
        "overtaken": overtaken(rows, cells),
        **({"places": [row(name, far, far_times, peak) for name in far]} if far else {}),
        **curves,
    }
