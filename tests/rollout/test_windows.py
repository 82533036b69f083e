"""Windows cover time: every step, from the first to the last, at every width and offset."""

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import SYMBOLS, draw_values, make_student
from nounroll.rollout.windows import cut, unroll_windows, window_starts


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, int]:
    length = draw(st.integers(1, 300))
    width = draw(st.integers(1, length))
    return length, width, draw(st.integers(0, width - 1))


def assert_covers(length: int, width: int, offset: int) -> None:
    starts = window_starts(length, width, offset).tolist()
    covered = [t for start in starts for t in range(start, start + width)]
    assert set(covered) == set(range(length))
    assert starts[0] == 0
    assert starts[-1] + width == length
    assert starts == sorted(starts)
    assert len(covered) < length + 2 * width  # only the first and the last overlap others
    assert all(b - a == width for a, b in itertools.pairwise(starts[1:-1]))


def test_windows_cover_every_step_of_every_small_case() -> None:
    for length in range(1, 13):
        for width in range(1, length + 1):
            for offset in range(width):
                assert_covers(length, width, offset)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_windows_cover_every_step(case: tuple[int, int, int]) -> None:
    assert_covers(*case)


@settings(max_examples=50, deadline=None)
@given(cases())
def test_cut_takes_the_times_of_each_window(case: tuple[int, int, int]) -> None:
    length, width, offset = case
    starts = window_starts(length, width, offset)
    named = torch.arange(3)[:, None] * 100 + torch.arange(length)  # each value names its row and time
    expected = [[100 * b + s + i for i in range(width)] for b in range(3) for s in starts.tolist()]
    assert cut(named, starts, width).tolist() == expected
    deep = named[..., None, None].expand(-1, -1, 2, 3)
    assert torch.equal(cut(deep, starts, width)[..., 1, 2], cut(named, starts, width))


def test_windows_that_start_at_a_rollouts_memories_repeat_it() -> None:
    for kind in ("mlp", "lstm"):
        student, inputs = make_student(kind), draw_values(SYMBOLS, 3, 11)
        memories = student.rollout(inputs)
        starts = window_starts(11, 4, 1)
        again = unroll_windows(student, cut(inputs, starts, 4), memories[:, starts].flatten(0, 1))
        torch.testing.assert_close(again, cut(memories[:, 1:], starts, 4), rtol=0, atol=1e-12)
