"""Rivals of the everyday suite: ordinary networks, trained in the ordinary way in plain PyTorch.

A run has a budget in seconds of the process's CPU time, all evaluations included, or in tokens: Adam, gradients
clipped at a norm of 1, a learning rate that warms up over the first 2 % of the budget and falls to 0 by a cosine,
batches of 32. Finite data are read in epochs without replacement. About 20 times a run the network is scored on the
validation part, and the best one is kept. Numbers are learnt by their squared error. On a stream the recurrent rivals
are trained by truncated backpropagation through time with the state carried on: 32 rows, windows of 32 steps, rows
restarted now and then; the others read random windows. An LSTM starts with a forget gate that is open, which helps it
to remember far back; where the next input is the target with torch's own start, which is the better one there.
"""

import copy
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from rival_models import RECURRENT, WIDTH, Model, Recurrent, State, build_model
from suite_tasks.problem import Batch, Finite, Problem, Sampled, Symbols
from torch import Tensor, nn
from tuning import Budget, Result, rank

RATES = (1e-3, 3e-3, 1e-2)
_BATCH, _WINDOW, _RESTART = 32, 32, 0.25  # a row of a stream restarts at every fourth window: every 128 steps
_EVALUATIONS, _DEAR = 20, 5  # a run; what an evaluation costs is spent on training five times before the next one
_WARM_UP, _CLIP = 0.02, 1.0


def build(problem: Problem, rival: str, seed: int) -> Model:
    """A rival with fresh weights for a problem.

    Raises:
        MissingRival: the package is not installed.
    """
    symbols, numbers = (problem.inputs.n, 0) if isinstance(problem.inputs, Symbols) else (None, problem.inputs.d)
    longest = max([problem.length, problem.acting, *getattr(problem, "longer", ()), *_lengths(problem)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(rival, symbols, numbers, problem.targets.outputs, longest)
    if isinstance(model.body, Recurrent) and not problem.next_input:
        model.body.open_forget_gate()
    return model


def train(problem: Problem, rival: str, budget: Budget, seed: int, rate: float) -> Result:
    """Train a rival until its budget is spent."""
    model = build(problem, rival, seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    losses = _losses(problem, model, seed, carried=rival in RECURRENT)
    validation = problem.validation()
    start, steps, tokens, due, cost = time.process_time(), 0, 0, 1 / _EVALUATIONS, 0.0
    best: tuple[tuple[float, float], float, float, dict[str, Tensor]] | None = None
    while True:
        spent = budget.share(time.process_time() - start, tokens)
        last = spent + cost >= 1
        if last or spent >= due:
            value, loss = evaluate(problem, model, validation)
            reached = rank(problem, value, loss)
            if best is None or reached > best[0]:
                best = reached, value, loss, copy.deepcopy(model.state_dict())
            cost = budget.share(time.process_time() - start, tokens) - spent
            if last:
                break
            due = spent + max(1 / _EVALUATIONS, _DEAR * cost)
        for group in optimiser.param_groups:
            group["lr"] = rate * _schedule(spent)
        optimiser.zero_grad()
        loss_of_batch, count = next(losses)
        loss_of_batch.backward()
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimiser.step()
        steps, tokens = steps + 1, tokens + count
    model.load_state_dict(best[3])
    return Result(model.eval(), rate, best[1], best[2], steps, tokens, time.process_time() - start)


def _lengths(problem: Problem) -> list[int]:
    return [len(sequence) for sequence in problem.sequences] if isinstance(problem, Finite) else []


@torch.no_grad()
def evaluate(problem: Problem, model: Model, batches: list[Batch]) -> tuple[float, float]:
    """The figure to choose by, and the loss, over all scored steps."""
    outputs = torch.cat([model.readout(model.features(batch.inputs)[0][batch.mask]) for batch in batches])
    targets = torch.cat([batch.targets[batch.mask] for batch in batches])
    value = (problem.choice or problem.measure).of(outputs, targets) * problem.unit
    return value, float(_loss(problem, outputs, targets))


def _schedule(progress: float) -> float:
    return min(1.0, progress / _WARM_UP + 1e-3) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _loss(problem: Problem, outputs: Tensor, targets: Tensor) -> Tensor:
    if isinstance(problem.targets, Symbols):
        return F.cross_entropy(outputs, targets)
    return F.mse_loss(outputs, targets)


def _losses(problem: Problem, model: Model, seed: int, *, carried: bool) -> Iterator[tuple[Tensor, int]]:
    """The loss of one training batch after another, and its tokens."""
    if carried and isinstance(problem, Sampled) and problem.stream is not None:
        yield from _losses_of_stream(problem, model, problem.stream, seed)
    for batch in problem.training(_BATCH, seed):
        features, _ = model.features(batch.inputs)
        yield _loss(problem, model.readout(features[batch.mask]), batch.targets[batch.mask]), batch.mask.numel()


def _losses_of_stream(problem: Problem, model: Model, stream: Tensor, seed: int) -> Iterator[tuple[Tensor, int]]:
    """Windows of rows that read on from where they were; a row that restarts does so at a random place, state empty."""
    generator = torch.Generator().manual_seed(seed)
    last = len(stream) - _WINDOW - 1
    places = torch.randint(last, (_BATCH,), generator=generator)
    state: Any = None
    while True:
        windows = stream[places[:, None] + torch.arange(_WINDOW + 1)].long()
        features, state = model.features(windows[:, :-1], state)
        targets = windows[:, 1:].flatten()
        yield _loss(problem, model.readout(features).flatten(0, 1), targets), targets.numel()
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
