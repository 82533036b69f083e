"""What changes over a budget: the learning rate, the length, and how a chain shares its steps."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import make_bptt, make_student
from nounroll.training.loop import Counters, Link, Loop
from nounroll.training.schedule import learning_rate, length_at, lengths
from nounroll.training.settings import TrainingSettings


def setting(**values: Any) -> TrainingSettings:
    return TrainingSettings(**{"steps": 10, **values})


def test_warm_up_is_linear_and_does_not_start_at_zero() -> None:
    s = setting(warmup=0.2, schedule="constant")
    assert 0 < learning_rate(s, 0.0) < 0.01
    assert learning_rate(s, 0.1) == pytest.approx(0.5, abs=0.01)
    assert learning_rate(s, 0.2) == learning_rate(s, 0.9) == 1


def test_no_warm_up() -> None:
    assert learning_rate(setting(warmup=0.0, schedule="constant"), 0.0) == 1
    assert learning_rate(setting(warmup=0.0, schedule="cosine"), 0.0) == 1


def test_cosine_falls_to_its_floor_and_stays() -> None:
    s = setting(warmup=0.05, schedule="cosine")
    rates = [learning_rate(s, p / 100) for p in range(5, 101)]
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert learning_rate(s, 0.5) == pytest.approx(0.51)
    assert learning_rate(s, 1.0) == pytest.approx(0.02) == learning_rate(s, 1.3)


@pytest.mark.parametrize(
    ("length", "first", "stages"),
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
def test_lengths_of_the_curriculum(length: int, first: int, stages: list[int]) -> None:
    assert lengths(setting(first_length=first), length) == stages
    assert lengths(setting(first_length=first, curriculum=False), length) == [length]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_shorter_lengths_share_their_part_equally(share: float) -> None:
    s, stages = setting(curriculum_share=share), [4, 8, 16]
    seen = [length_at(s, stages, p / 1000) for p in range(1000)]
    assert seen == sorted(seen)
    assert seen.count(4) == pytest.approx(500 * share, abs=1)
    assert seen.count(8) == pytest.approx(500 * share, abs=1)
    assert length_at(s, [16], 0.0) == 16
    assert length_at(s, stages, 1.0) == 16


@settings(max_examples=60, deadline=None)
@given(
    steps=st.integers(1, 40), shares=st.lists(st.sampled_from([0.1, 0.3, 1 / 3, 1.0, 2.5, 7.0]), min_size=1, max_size=4)
)
def test_the_links_steps_add_up_to_the_runs(steps: int, shares: list[float]) -> None:
    student = make_student()
    chain = [Link("bptt", make_bptt(student), share, 1.0) for share in shares]
    loop = SimpleNamespace(chain=chain, settings=setting(steps=steps), counters=Counters())
    taken = []
    for link in chain:
        loop.counters.link_step = 0
        while (progress := Loop._progress(loop, link)) < 1:  # type: ignore[arg-type]
            assert progress >= 0
            loop.counters.step, loop.counters.link_step = loop.counters.step + 1, loop.counters.link_step + 1
        taken.append(loop.counters.link_step)
    assert sum(taken) == steps
    for share, count in zip(shares, taken, strict=True):
        assert abs(count - steps * share / sum(shares)) <= 1 + 1e-9


def test_seconds_are_shared_too_and_what_one_takes_too_much_the_next_one_lacks() -> None:
    student = make_student()
    chain = [Link("bptt", make_bptt(student), share, 1.0) for share in (1.0, 3.0)]
    for index, before, progress in ((0, 0.0, 1 / 2), (1, 2.0, 1 / 6), (1, 2.5, 1 / 5.5)):
        counters = Counters(seconds=before, link_seconds=1.0)
        loop: Any = SimpleNamespace(chain=chain, settings=TrainingSettings(seconds=8.0), counters=counters)
        assert Loop._progress(loop, chain[index]) == pytest.approx(progress)
