"""Budgets mean the same to the library and to the rivals, and the best learning rate is chosen alike."""

import math
from typing import Any

import pytest
import rivals
import suite_ours
import torch
from suite_tasks.measures import BITS_PER_BYTE
from suite_tasks.problem import Batch, Problem, Sampled, Symbols
from torch import Tensor
from tuning import Budget, Result, best_of

import nounroll.methods.tbptt as library

STREAM = (torch.arange(48 * 400) // 48 % 4).to(torch.uint8)


def windows(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
    starts = torch.randint(len(STREAM) - length, (batch_size, 1), generator=generator)
    rows = STREAM[starts + torch.arange(length + 1)].long()
    return Batch(rows[:, :-1], rows[:, 1:], torch.ones(batch_size, length, dtype=torch.bool))


def small_text(**changes: Any) -> Problem:
    settings: dict[str, Any] = {
        "name": "stays", "title": "", "inputs": Symbols(4), "targets": Symbols(4), "length": 64, "seconds": 1,
        "measure": BITS_PER_BYTE, "draw": windows, "stream": STREAM, "validation_sequences": 16, "test_sequences": 16,
    }  # fmt: skip
    return Sampled(**{**settings, **changes})


def test_tokens_of_both_sides_are_the_elements_of_their_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted where a loss is taken: what either side says of itself has no part in it."""
    theirs, ours = [], []
    loss, readout_loss = rivals._loss, library.readout_loss

    def counted(problem: Problem, outputs: Tensor, targets: Tensor) -> Tensor:
        theirs.extend([targets.numel()] * outputs.requires_grad)
        return loss(problem, outputs, targets)

    def counted_by_library(head: Any, targets: Any, features: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        ours.append(mask.numel())
        return readout_loss(head, targets, features, y, mask)

    monkeypatch.setattr(rivals, "_loss", counted)
    monkeypatch.setattr(library, "readout_loss", counted_by_library)
    budget = Budget("tokens", 5000)
    rival = rivals.train(small_text(), "lstm", budget, 0, 6e-3)
    run = suite_ours.train(small_text(), "tbptt/lstm", budget, 0, 6e-3)
    assert rival.tokens == sum(theirs) == 5120
    assert run.tokens == sum(ours[-run.steps :]) == 5120  # before them, losses are taken to count their cost
    assert rival.steps == len(theirs) == run.steps == 5


def test_a_batch_of_sequences_counts_its_rows_times_its_steps() -> None:
    result = rivals.train(small_text(stream=None, length=10), "gru", Budget("tokens", 3201), 0, 1e-3)
    assert (result.steps, result.tokens) == (11, 11 * 32 * 10)


def test_a_budget_of_tokens_is_watched_and_spent_like_one_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, evaluate = [], rivals.evaluate

    def looked(problem: Problem, model: Any, batches: list[Batch]) -> tuple[float, float]:
        looks.append(1)
        return evaluate(problem, model, batches)

    shares: list[float] = []
    schedule = rivals._schedule
    monkeypatch.setattr(rivals, "evaluate", looked)
    monkeypatch.setattr(rivals, "_schedule", lambda share: shares.append(share) or schedule(share))
    result = rivals.train(small_text(), "lstm", Budget("tokens", 60 * 1024), 0, 1e-3)
    assert result.steps == 60
    assert 17 <= len(looks) <= 20  # a twentieth of the budget apart, or a step more
    assert shares == pytest.approx([step / 60 for step in range(60)])
    assert result.seconds > 0


def test_the_best_rate_is_that_of_the_validation_part_and_all_are_told() -> None:
    values = {0.1: 2.0, 0.2: 1.5, 0.3: math.nan}

    def train(rate: float) -> Result:
        return Result(lambda inputs: inputs, rate, values[rate], 0.0, 7, 70, 0.5)

    best = best_of(small_text(), train, tuple(values))
    assert best.rate == 0.2
    assert best.told() | {"tried": None} == {
        "steps": 7, "spent": {"tokens": 70, "seconds": 0.5}, "rate": 0.2, "tried": None,
    }  # fmt: skip
    assert list(best.tried) == ["0.1", "0.2", "0.3"]


@pytest.mark.parametrize(
    ("unit", "amount", "said"),
    [
        ("seconds", 0, "seconds is 0; it must be more than 0"),
        ("seconds", math.nan, "seconds is nan; it must be more than 0"),
        ("tokens", -3, "tokens is -3; it must be more than 0"),
        ("tokens", 2.5, "tokens is 2.5; it must be a whole number"),
    ],
)
def test_a_budget_of_nothing_is_refused(unit: Any, amount: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Budget(unit, amount)


def test_a_budget_has_its_words() -> None:
    assert [str(budget) for budget in (Budget("seconds", 60), Budget("tokens", 2_000_000))] == [
        "60 CPU seconds",
        "2,000,000 tokens",
    ]
    assert Budget("tokens", 2e6).named == {"tokens": 2_000_000}
    assert Budget("tokens", 2e6).folder == "2000000-tokens"
