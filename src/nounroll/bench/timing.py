"""Timing of contenders in turn."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

_SIZE = 512  # size of the matrices for peak FLOP/s


@dataclass(frozen=True)
class Contender:
    """Contender: a timed computation.

    Attributes:
        run: computes ``amount`` units, given the number of the round, and returns the seconds of each part.
        amount: number of labels, transitions or tokens.
        counts: the unit: labels, transitions or tokens.
        baseline: name of the baseline contender.
        flops: FLOPs per unit; 0 if not counted.
        context: number of tokens read before; None in training.
    """

    run: Callable[[int], list[float]]
    amount: int
    counts: str
    baseline: str
    flops: float = 0.0
    context: int | None = None


def in_turn(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Measure the seconds of every part in every round after the first, which is a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds + 1):
        for name, one in contenders.items():
            parts = one.run(index)
            times[name] += parts if index else []
    return times


def row(
    name: str, contenders: Mapping[str, Contender], times: Mapping[str, list[float]], peak: float
) -> dict[str, Any]:
    """Build the table row of a contender; ``peak`` is the FLOP/s of ``matmul``."""
    one, ordered = contenders[name], sorted(times[name])
    rate = one.amount / statistics.median(ordered)
    other = contenders[one.baseline].amount / statistics.median(times[one.baseline])
    late = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {
        "name": name,
        "counts": one.counts,
        "per_second": rate,
        "flops_per_second": rate * one.flops,
        "share_of_matmul": rate * one.flops / peak,
        "milliseconds": {"median": 1e3 * statistics.median(ordered), "p99": 1e3 * late},
        "baseline": one.baseline,
        "ratio": rate / other,
        **({} if one.context is None else {"context": one.context}),
    }


def matmul() -> Contender:
    """Build the product of square matrices that measures peak FLOP/s."""
    a = torch.ones(_SIZE, _SIZE)
    return Contender(lambda index: [seconds(lambda: a @ a) for _ in range(5)], 1, "products", "", flops=2 * _SIZE**3)


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
