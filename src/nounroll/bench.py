"""How fast this machine trains and generates, each contender beside a baseline in the same process.

The baselines: for SMT the paper's scheme, one windowed label per sequence and step; for DMT and fused BPTT the same
cell's BPTT, one step after another; for generation a Transformer of the teacher's size that keeps no cache, and so
reads its whole context again for each token.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nounroll.cells import CELLS
from nounroll.cells.base import CellSettings
from nounroll.data.task import SequenceTask, draw
from nounroll.data.text import Text
from nounroll.generation import Generation, Sampling
from nounroll.methods import BPTT, DMT, SMT, BPTTSettings, DMTSettings, SMTSettings
from nounroll.methods.base import Method
from nounroll.methods.cost import step_cost
from nounroll.ranges import at_least
from nounroll.seeding import generator
from nounroll.student import Student
from nounroll.teacher import TeacherSettings, build_teacher
from nounroll.transformer import CausalTransformer

_SIZE = 512  # of the matrices whose product is the peak
_TOKENS = 100  # generated in a round


@dataclass(frozen=True)
class Contender:
    """One thing that is timed.

    Attributes:
        run: does ``amount`` of it and returns the seconds of each part.
        amount: labels, transitions or tokens.
        counts: which of them.
        baseline: name of the contender that it is set beside.
        flops: of one label, transition or token; 0 where they are not counted.
    """

    run: Callable[[int], list[float]]
    amount: int
    counts: str
    baseline: str
    flops: float = 0.0


def measure(cells: list[str], length: int, batch: int, rounds: int) -> dict[str, Any]:
    """Time every contender in turn, ``rounds`` times.

    Returns:
        matmul: FLOP/s of a product of matrices; training: rows of labels (SMT) or transitions (DMT, BPTT) per second;
        generation: rows of tokens per second and milliseconds a token; ratios are to the row's baseline. peak_memory:
        bytes of the whole process.

    Raises:
        ValueError: an unknown cell, or a number below 1.
    """
    for name, value in (("--length", length), ("--batch", batch), ("--rounds", rounds)):
        at_least(name, value, 1)
    for cell in cells:
        if cell not in CELLS:
            raise ValueError(f"--cells has {cell!r}; it must be of {', '.join(CELLS)}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            training, generation = _training(cells, length, batch), _generation(cells, length)
            times = _in_turn({"matmul": Contender(_matmul, 1, "products", ""), **training, **generation}, rounds)
    finally:
        torch.set_num_threads(threads)
    peak = 2 * _SIZE**3 / statistics.median(times["matmul"])
    return {
        "length": length,
        "batch": batch,
        "rounds": rounds,
        "torch": torch.__version__,
        "matmul": peak,
        "training": [_row(name, training, times, peak) for name in training],
        "generation": [_row(name, generation, times, peak) for name in generation],
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def _in_turn(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Seconds of every part of every round but the first, which warms up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for index in range(rounds + 1):
        for name, one in contenders.items():
            parts = one.run(index)
            times[name] += parts if index else []
    return times


def _row(
    name: str, contenders: Mapping[str, Contender], times: Mapping[str, list[float]], peak: float
) -> dict[str, Any]:
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
    }


# -- what is timed --------------------------------------------------------------------------------


def _matmul(index: int) -> list[float]:
    a = torch.ones(_SIZE, _SIZE)
    return [_seconds(lambda: a @ a) for _ in range(5)]


def _training(cells: list[str], length: int, batch: int) -> dict[str, Contender]:
    task, found = Text(), {}
    for cell in cells:
        parts = [_student(cell, task) for _ in range(4)]
        causal, window = (
            build_teacher(TeacherSettings(kind=kind, context=length), task.inputs, task.targets, parts[0].cell)
            for kind in ("causal", "window")
        )
        dense, stepped, labelled = batch * length, f"bptt stepped, {cell}", f"smt windowed, {cell}"
        methods: list[tuple[str, Method, int, str]] = [
            (labelled, SMT(parts[0], window, SMTSettings(transitions=1)), batch, labelled),
            (f"smt, {cell}", SMT(parts[0], causal, SMTSettings()), dense, labelled),
            (stepped, BPTT(parts[3], BPTTSettings()), dense, stepped),
            (f"dmt, {cell}", DMT(parts[1], causal, DMTSettings()), dense, stepped),
        ]
        if hasattr(parts[2].cell, "unroll"):
            methods.append((f"bptt fused, {cell}", BPTT(parts[2], BPTTSettings()), dense, stepped))
        for name, method, rows, baseline in methods:
            flops = step_cost(method, task, length, batch)["flops"] * batch * length / rows
            if name == stepped:
                parts[3].cell.unroll = None  # one step after another; after the costs, whose counting resets it
            counts = "labels" if isinstance(method, SMT) else "transitions"
            found[name] = Contender(_stepper(method, task, length, batch), rows, counts, baseline, flops)
    return found


def _stepper(method: Method, task: SequenceTask, length: int, batch: int) -> Callable[[int], list[float]]:
    """One whole training step: draw, loss, gradients, clipping, AdamW."""
    parameters = list(method.parameters())
    optimizer = torch.optim.AdamW(parameters, fused=True)

    def step(index: int) -> None:
        drawn = draw(task, batch, length, 0, "bench", index)
        optimizer.zero_grad(set_to_none=True)
        method(drawn, generator(0, "bench", index), 0.5)["loss"].backward()
        torch.nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], 1.0)
        optimizer.step()

    return lambda index: [_seconds(lambda: step(index))]


def _generation(cells: list[str], length: int) -> dict[str, Contender]:
    task = Text()
    name = f"transformer without cache, {length} read"
    model = CausalTransformer(task.inputs, task.targets, TeacherSettings(context=length)).eval()
    context = torch.zeros(1, length, dtype=torch.int64)

    @torch.no_grad()
    def one_token() -> None:
        Sampling().draw(task.targets, model.predict(context)[:, -1], None)

    found = {name: Contender(lambda index: [_seconds(one_token) for _ in range(_TOKENS // 10)], 1, "tokens", name)}
    for cell in cells:
        writing = Generation(_student(cell, task).eval(), 1, generator=generator(0, "bench")).read(context)
        found[f"student, {cell}"] = Contender(
            lambda index, writing=writing: [_seconds(lambda: writing.write(1)) for _ in range(_TOKENS)],
            1,
            "tokens",
            name,
        )
    return found


def _student(cell: str, task: SequenceTask) -> Student:
    return Student(task.inputs, task.targets, CellSettings(kind=cell))  # type: ignore[arg-type]


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
