"""Windows cover time, without more steps than there are, and are cut where they say."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers import SYMBOLS, draw_values, make_student
from nounroll.cells.base import observe
from nounroll.core.seeding import generator
from nounroll.rollout.windows import at_times, cut, cut_rollout, random_windows, staggered, unroll_windows


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, int]:
    length = draw(st.integers(1, 300))
    width = draw(st.integers(1, length))
    return length, width, draw(st.integers(0, 1000))


def assert_windows(length: int, width: int, seed: int = 0) -> None:
    starts, counts = random_windows(50, length, width, generator(seed, "test"))
    assert starts.shape[1] <= -(-length // width) + 1  # one more than there must be
    assert starts.min() >= 0
    assert starts.max() + width <= length
    assert (starts.diff(dim=1) >= 0).all()
    times = starts[..., None] + torch.arange(width)
    counted = torch.zeros(50, length).scatter_add_(1, times.flatten(1), counts.flatten(1).float())
    assert (counted == 1).all()  # every step, once
    again = random_windows(50, length, width, generator(seed, "test"))
    assert torch.equal(starts, again[0])
    assert torch.equal(counts, again[1])


def test_windows_are_inside_and_in_order_in_every_small_case() -> None:
    for length in range(1, 13):
        for width in range(1, length + 1):
            assert_windows(length, width)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_windows_are_inside_and_in_order(case: tuple[int, int, int]) -> None:
    assert_windows(*case)


@pytest.mark.parametrize(("length", "width"), [(16, 8), (32, 8), (21, 8), (24, 3), (9, 9), (7, 1)])
def test_gradients_are_not_always_cut_at_the_same_times(length: int, width: int) -> None:
    starts, _ = random_windows(2000, length, width, generator(0, "test"))
    begins = torch.bincount(starts.flatten(), minlength=length)[: length - width + 1]
    assert (begins > 0).all()


@pytest.mark.parametrize(
    ("length", "width", "count"), [(64, 48, 2), (196, 32, 7), (128, 32, 5), (64, 32, 3), (8, 8, 1)]
)
def test_there_are_no_more_windows_than_chance_needs(length: int, width: int, count: int) -> None:
    assert random_windows(3, length, width, generator(0, "test"))[0].shape == (3, count)


def test_windows_that_fit_only_once_are_all_of_it() -> None:
    assert torch.equal(random_windows(3, 8, 8, generator(0, "test"))[0], torch.zeros(3, 1, dtype=torch.int64))
    assert random_windows(1, 6, 1, generator(0, "test"))[0].tolist() == [list(range(6))]


@settings(max_examples=50, deadline=None)
@given(cases())
def test_cut_takes_the_times_of_each_window(case: tuple[int, int, int]) -> None:
    length, width, seed = case
    starts, _ = random_windows(3, length, width, generator(seed, "test"))
    named = torch.arange(3)[:, None] * 100 + torch.arange(length)  # each value names its row and time
    expected = [[100 * b + s + i for i in range(width)] for b in range(3) for s in starts[b].tolist()]
    assert cut(named, starts, width).tolist() == expected
    deep = named[..., None, None].expand(-1, -1, 2, 3)
    assert torch.equal(cut(deep, starts, width)[..., 1, 2], cut(named, starts, width))


def test_windows_that_start_at_a_rollouts_memories_repeat_it() -> None:
    for kind in ("mlp", "lstm"):
        student, inputs = make_student(kind), draw_values(SYMBOLS, 3, 11)
        memories = student.rollout(inputs)
        starts, _ = random_windows(3, 11, 4, generator(0, "test"))
        again = unroll_windows(student, cut(inputs, starts, 4), at_times(memories, starts).flatten(0, 1))
        torch.testing.assert_close(again, cut(memories[:, 1:], starts, 4), rtol=0, atol=1e-12)


def test_staggered_windows_and_what_fills_the_last() -> None:
    rows = torch.arange(1, 8) + 1000 * torch.arange(2)[:, None]
    found = staggered(torch.stack([rows[..., None] * scale for scale in (1, 10, 100)]), 3)
    assert found.shape == (3, 2, 3, 1)
    assert found[:, 0].flatten().tolist() == [1, 2, 3, 40, 50, 60, 700, 0, 0]
    assert found[:, 1, :, 0].tolist() == [[1001, 1002, 1003], [10040, 10050, 10060], [100700, 0, 0]]
    whole = staggered(torch.ones(2, 1, 6, dtype=torch.bool), 3)
    assert whole.all()
    assert staggered(torch.ones(2, 1, 5, dtype=torch.bool), 3).flatten().tolist() == [True] * 5 + [False]


@pytest.mark.parametrize("first", [None, 1, 3, 4])
@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_a_cut_rollout_goes_through_all_steps_from_where_windows_start(
    monkeypatch: pytest.MonkeyPatch, kind: str, first: int | None
) -> None:
    student, inputs, seen = make_student(kind), draw_values(SYMBOLS, 3, 11), []
    features_of = student.features

    def spy(window: Tensor, memory: Tensor, **given: Any) -> tuple[Tensor, Tensor]:
        seen.append(memory)
        return features_of(window, memory, **given)

    monkeypatch.setattr(student, "features", spy)
    features, last = cut_rollout(student, inputs, student.initial_memory(3), 4, first=first)
    memories = student.stepped_rollout(inputs)
    torch.testing.assert_close(features, observe(student.cell, memories[:, 1:]), rtol=0, atol=1e-12)
    begins = [0, *range(first or 4, 11, 4)]
    torch.testing.assert_close(torch.stack(seen, dim=1), memories[:, begins], rtol=0, atol=1e-12)
    torch.testing.assert_close(last, memories[:, -1], rtol=0, atol=1e-12)
    assert not last.requires_grad
    assert [memory.requires_grad for memory in seen] == [True] + [False] * (len(begins) - 1)
