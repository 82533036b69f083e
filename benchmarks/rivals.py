"""Rivals of the everyday suite: ordinary networks, trained in the ordinary way in plain PyTorch.

A run has a budget in seconds of the process's CPU time, all evaluations included: Adam, gradients clipped at a norm of
1, a learning rate that warms up over the first 2 % of the budget and falls to 0 by a cosine, batches of 32. Finite data
are read in epochs without replacement. About 20 times a run the network is scored on the validation part, and the best
one is kept. Numbers are learnt by their squared error. On a stream the recurrent rivals are trained by
truncated backpropagation through time with the state carried on: 32 rows, windows of 32 steps, rows restarted now and
then; the others read random windows.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from rival_models import RECURRENT, RIVALS, WIDTH, MissingRival, Model, State, build_model
from suite_tasks.problem import Batch, Finite, Problem, Sampled, Symbols
from torch import Tensor, nn

__all__ = ["RATES", "RIVALS", "MissingRival", "Result", "build", "train", "tuned"]

RATES = (1e-3, 3e-3, 1e-2)
_BATCH, _WINDOW, _RESTART = 32, 32, 0.25  # a row of a stream restarts at every fourth window: every 128 steps
_EVALUATIONS, _DEAR = 20, 5  # a run; what an evaluation costs is spent on training five times before the next one
_WARM_UP, _CLIP = 0.02, 1.0


@dataclass
class Result:
    """A trained network, the best of its run on the validation part.

    Attributes:
        rate: its learning rate.
        validation: the figure to choose by, on the validation part.
        loss: the loss on the validation part.
        steps: of the optimiser, in the whole run.
        seconds: of CPU time, in the whole run.
        tried: learning rate -> (validation, loss, steps) of every run that this one was chosen from.
    """

    model: Model
    rate: float
    validation: float
    loss: float
    steps: int
    seconds: float
    tried: dict[str, tuple[float, float, int]]


def build(problem: Problem, rival: str, seed: int) -> Model:
    """A rival with fresh weights for a problem.

    Raises:
        MissingRival: the package is not installed.
    """
    symbols, numbers = (problem.inputs.n, 0) if isinstance(problem.inputs, Symbols) else (None, problem.inputs.d)
    longest = max([problem.length, problem.acting, *getattr(problem, "longer", ()), *_lengths(problem)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(rival, symbols, numbers, problem.targets.outputs, longest)


def tuned(problem: Problem, rival: str, seconds: float, seed: int, rates: tuple[float, ...] = RATES) -> Result:
    """Train once with every rate, each with the whole budget, and keep what is best on the validation part."""
    results = [train(problem, rival, seconds, seed, rate) for rate in rates]
    best = max(results, key=lambda result: _rank(problem, result.validation, result.loss))
    best.tried = {f"{result.rate:g}": (result.validation, result.loss, result.steps) for result in results}
    return best


def train(problem: Problem, rival: str, seconds: float, seed: int, rate: float) -> Result:
    """Train a rival for so many seconds of CPU time."""
    model = build(problem, rival, seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    losses = _losses(problem, model, seed, carried=rival in RECURRENT)
    validation = problem.validation()
    start, steps, due, cost = time.process_time(), 0, seconds / _EVALUATIONS, 0.0
    best: tuple[tuple[float, float], float, float, dict[str, Tensor]] | None = None
    while True:
        spent = time.process_time() - start
        last = spent + cost >= seconds
        if last or spent >= due:
            value, loss = evaluate(problem, model, validation)
            rank = _rank(problem, value, loss)
            if best is None or rank > best[0]:
                best = rank, value, loss, copy.deepcopy(model.state_dict())
            cost = time.process_time() - start - spent
            if last:
                break
            due = spent + max(seconds / _EVALUATIONS, _DEAR * cost)
        for group in optimiser.param_groups:
            group["lr"] = rate * _schedule(spent / seconds)
        optimiser.zero_grad()
        next(losses).backward()
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimiser.step()
        steps += 1
    model.load_state_dict(best[3])
    result = Result(model.eval(), rate, best[1], best[2], steps, time.process_time() - start, {})
    result.tried = {f"{rate:g}": (result.validation, result.loss, steps)}
    return result


def _lengths(problem: Problem) -> list[int]:
    return [len(sequence) for sequence in problem.sequences] if isinstance(problem, Finite) else []


@torch.no_grad()
def evaluate(problem: Problem, model: Model, batches: list[Batch]) -> tuple[float, float]:
    """The figure to choose by, and the loss, over all scored steps."""
    outputs = torch.cat([model.readout(model.features(batch.inputs)[0][batch.mask]) for batch in batches])
    targets = torch.cat([batch.targets[batch.mask] for batch in batches])
    value = (problem.choice or problem.measure).of(outputs, targets) * problem.unit
    return value, float(_loss(problem, outputs, targets))


def _rank(problem: Problem, value: float, loss: float) -> tuple[float, float]:
    """Larger is better: the measure, and the loss where that is level. What is no number comes last."""
    signed = value if (problem.choice or problem.measure).better == "higher" else -value
    return (signed if math.isfinite(signed) else -math.inf, -loss if math.isfinite(loss) else -math.inf)


def _schedule(progress: float) -> float:
    return min(1.0, progress / _WARM_UP + 1e-3) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _loss(problem: Problem, outputs: Tensor, targets: Tensor) -> Tensor:
    if isinstance(problem.targets, Symbols):
        return F.cross_entropy(outputs, targets)
    return F.mse_loss(outputs, targets)


def _losses(problem: Problem, model: Model, seed: int, *, carried: bool) -> Iterator[Tensor]:
    """The loss of one training batch after another."""
    if carried and isinstance(problem, Sampled) and problem.stream is not None:
        yield from _losses_of_stream(problem, model, problem.stream, seed)
    for batch in problem.training(_BATCH, seed):
        features, _ = model.features(batch.inputs)
        yield _loss(problem, model.readout(features[batch.mask]), batch.targets[batch.mask])


def _losses_of_stream(problem: Problem, model: Model, stream: Tensor, seed: int) -> Iterator[Tensor]:
    """Windows of rows that read on from where they were; a row that restarts does so at a random place, state empty."""
    generator = torch.Generator().manual_seed(seed)
    last = len(stream) - _WINDOW - 1
    places = torch.randint(last, (_BATCH,), generator=generator)
    state: Any = None
    while True:
        windows = stream[places[:, None] + torch.arange(_WINDOW + 1)].long()
        features, state = model.features(windows[:, :-1], state)
        yield _loss(problem, model.readout(features).flatten(0, 1), windows[:, 1:].flatten())
        places = places + _WINDOW
        fresh = (torch.rand(_BATCH, generator=generator) < _RESTART) | (places > last)
        places = torch.where(fresh, torch.randint(last, (_BATCH,), generator=generator), places)
        state = _kept(state, ~fresh)


def _kept(state: State, keep: Tensor) -> State:
    """A state cut from its past, and 0 for the rows that are not kept."""
    if isinstance(state, tuple):
        return tuple(_kept(part, keep) for part in state)
    assert state.shape[-1] == WIDTH
    return state.detach() * keep[None, :, None]
