"""What changes over a budget: the learning rate, the length, and how a chain shares its steps."""

import itertools
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from helpers import FREE, make_bptt, make_student
from nounroll.core.batch import Batch
from nounroll.data.parity import Parity
from nounroll.data.sequences import Sequences
from nounroll.experiments.recipe import parse
from nounroll.experiments.resolve import resolve
from nounroll.methods.base import Method
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine
from nounroll.training.pace import Link, Pace
from nounroll.training.schedule import learning_rate, length_at, scored_batch, stages
from nounroll.training.settings import Budget, TrainingSettings
from own_parts import Echo


def setting(**values: Any) -> TrainingSettings:
    return TrainingSettings(**{"budget": Budget("steps", 10), "device": "cpu", **values})


def test_the_rise_is_linear_and_does_not_start_at_zero() -> None:
    s = setting(schedule="constant")
    assert 0 < learning_rate(s, 0.0) < 0.05
    assert learning_rate(s, 0.014) == pytest.approx(0.5, abs=0.01)
    assert learning_rate(s, 0.03) == learning_rate(s, 0.9) == 1


def test_cosine_falls_to_its_floor_and_stays() -> None:
    s = setting(schedule="cosine")
    rates = [learning_rate(s, p / 100) for p in range(3, 101)]
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert learning_rate(s, 0.5) == pytest.approx(0.51)
    assert learning_rate(s, 1.0) == pytest.approx(0.02) == learning_rate(s, 1.3)


@pytest.mark.parametrize(
    ("length", "first", "expected"),
    [
        (256, 64, [64, 128, 256]),
        (64, 64, [64]),
        (127, 64, [127]),
        (128, 64, [64, 128]),
        (100, 20, [25, 50, 100]),
        (7, 1, [1, 3, 7]),
        (1, 64, [1]),
    ],
)
def test_lengths_of_the_curriculum(length: int, first: int, expected: list[int]) -> None:
    assert stages(setting(curriculum=first), length) == expected
    assert stages(setting(curriculum=0), length) == [length]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
def test_shorter_lengths_share_their_part_equally(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.schedule._SHORTER", share)
    lengths = [4, 8, 16]
    seen = [length_at(lengths, p / 1000) for p in range(1000)]
    assert seen == sorted(seen)
    assert seen.count(4) == pytest.approx(500 * share, abs=1)
    assert seen.count(8) == pytest.approx(500 * share, abs=1)
    assert length_at([16], 0.0) == 16
    assert length_at(lengths, 1.0) == 16


# --- a batch in which something is scored ---------------------------------------------------------------


class Masked(Parity):
    """Parity whose targets count where a rule says so, and nowhere else: (t, T, draws) -> bool, one for each row."""

    def __init__(self, kind: str, amount: float) -> None:
        super().__init__()
        self.kind, self.amount = kind, amount

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        batch = super().sample(batch_size, length, generator)
        t = torch.arange(length).expand(batch_size, -1)
        if self.kind == "burn-in":  # nothing counts before a fixed step
            mask = t >= self.amount * FULL
        elif self.kind == "late":  # the last steps of the sequence that was asked for
            mask = (t >= length - max(1, round(self.amount * 4))) & torch.tensor(length >= self.amount * FULL)
        elif self.kind == "rare":
            mask = torch.rand(batch_size, length, generator=generator) < self.amount / 8
        else:  # "multiples": sequences of other lengths have no scored targets
            mask = (t >= 0) & torch.tensor(length % max(1, round(self.amount * 8)) == 0)
        return Batch(batch.inputs, batch.targets, mask)


FULL = 32


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["burn-in", "late", "rare", "multiples"]),
    amount=st.floats(0.05, 0.95),
    first=st.sampled_from([0, 1, 2, 4, 8, 16]),
    batch_size=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_a_batch_of_the_curriculum_scores_something(
    kind: str, amount: float, first: int, batch_size: int, seed: int
) -> None:
    """As long as the full length scores something: a step on nothing would teach nothing."""
    task = Masked(kind, amount)
    document = {"task": {"kind": "custom"}, "length": FULL, "method": "bptt", "cell": {"kind": "gru"}}
    recipe = parse(document, [f"training.curriculum={first}", f"training.seed={seed}"])
    try:
        lengths = resolve(recipe, task).stages
    except ValueError:  # nothing is scored at the full length either
        reject()
    assert lengths[-1] == FULL
    for step in range(20):
        batch = scored_batch(task, drawn(batch_size, seed), lengths, step / 20, step)
        assert batch.mask.any() or not at_full_length(task, batch_size, seed, step).mask.any()


def at_full_length(task: Masked, batch_size: int, seed: int, step: int) -> Batch:
    return scored_batch(task, drawn(batch_size, seed), [FULL], 1.0, step)


def drawn(batch_size: int, seed: int = 0) -> TrainingSettings:
    return TrainingSettings(budget=Budget("steps", 1), batch_size=batch_size, seed=seed)


def test_control_the_shortest_length_alone_scores_nothing() -> None:
    task = Masked("burn-in", 0.5)
    assert not scored_batch(task, drawn(4), [8], 0.0, 0).mask.any()
    assert scored_batch(task, drawn(4), [8, FULL], 0.0, 0).length == FULL


# --- shares -------------------------------------------------------------------------------------------


@cache
def one_method() -> tuple[Method, Engine]:
    student = make_student(dtype=torch.float32)
    return make_bptt(student), Engine(setting(), {"student": student})


def pace_of(shares: list[float], budget: Budget, counters: Counters) -> tuple[Pace, Engine]:
    method, engine = one_method()
    chain = [Link(f"bptt {place}", method, share, 1.0) for place, share in enumerate(shares)]
    return Pace(Echo(), chain, setting(budget=budget), counters), engine


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 40), shares=st.lists(st.sampled_from([0.1, 0.3, 1 / 3, 1.0, 2.5, 7.0]), min_size=1, max_size=4)
)
def test_the_links_steps_add_up_to_the_runs(steps: int, shares: list[float]) -> None:
    counters = Counters()
    pace, engine = pace_of(shares, Budget("steps", steps), counters)
    taken = []
    for link in pace.chain:
        counters.link_step = 0
        while (progress := pace.now(link, engine)) < 1:
            assert progress >= 0
            counters.step, counters.link_step = counters.step + 1, counters.link_step + 1
        taken.append(counters.link_step)
    assert sum(taken) == steps
    for share, count in zip(shares, taken, strict=True):
        assert abs(count - steps * share / sum(shares)) <= 1 + 1e-9


def test_seconds_are_shared_too_and_what_one_takes_too_much_the_next_one_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nounroll.training.pace.time.perf_counter", lambda: 5.0)
    for index, before, progress in ((0, 0.0, 1 / 2), (1, 2.0, 1 / 6), (1, 2.5, 1 / 5.5)):
        counters = Counters(seconds=before, link_seconds=1.0)
        pace, engine = pace_of([1.0, 3.0], Budget("seconds", 8.0), counters)
        pace.start()
        assert pace.now(pace.chain[index], engine) == pytest.approx(progress)


@pytest.mark.parametrize("kind", ["steps", "seconds"])
def test_a_share_of_the_run_is_spent_or_not(kind: str) -> None:
    counters = Counters(step=4, seconds=4.0)
    pace, _ = pace_of([1.0], Budget(kind, 10), counters)
    assert pace.has_spent(0.4)
    assert not pace.has_spent(0.41)
    assert not pace.has_spent(1.0)  # that is the end of the run, not a pause


# --- costs --------------------------------------------------------------------------------------------


def test_costs_are_counted_before_sharding_at_every_length_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of sequences of several lengths are as long as their longest; sharded weights cannot be counted."""
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)
    counters, (method, _) = Counters(), one_method()
    inputs = [torch.zeros(n, 1) for n in range(1, 41)]
    task = Sequences(inputs, labels=[n % 2 for n in range(40)])
    pace = Pace(task, [Link("bptt", method, 1.0, 1.0)], setting(batch_size=4), counters)
    pace.count_all([16, 40])
    lengths = {scored_batch(task, setting(batch_size=4), [40], 0.5, step).length for step in range(20)}
    assert len(lengths) > 1
    assert {f"bptt/{length}" for length in lengths} <= counters.costs.keys()
