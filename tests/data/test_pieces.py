"""Pieces of long sequences, and parts that follow each other in time."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.data.parts import PARTS
from nounroll.data.sequences import Sequences
from nounroll.data.task import held_out


def clocked(lengths: list[int], starts: list[int], **options: Any) -> Sequences:
    """Series whose inputs and targets are the number of the series times 1000 and the time of the step."""
    times = [np.arange(start, start + n) for n, start in zip(lengths, starts, strict=True)]
    values = [1000.0 * i + one for i, one in enumerate(times)]
    return Sequences(values, targets=values, **options)


def scored(task: Sequences) -> list[float]:
    """What is scored in a part that is read whole, sorted."""
    return sorted(v for b in held_out(task, 10**6, task.length, 0, "any") for v in b.targets[b.mask][:, 0].tolist())


def parts_of(task: Sequences) -> list[list[float]]:
    return [scored(part) for part in (task, task.validation(), task.test())]


def check_once(task: Sequences, lengths: list[int], starts: list[int]) -> list[list[float]]:
    """Each step is scored once, in one part."""
    parts = parts_of(task)
    every = [1000.0 * i + t for i, (n, s) in enumerate(zip(lengths, starts, strict=True)) for t in range(s, s + n)]
    assert sorted(v for part in parts for v in part) == sorted(every)
    assert all(parts)
    return parts


SERIES = st.lists(st.tuples(st.integers(12, 60), st.integers(0, 10)), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(series=SERIES, window=st.none() | st.integers(2, 30), shares=st.sampled_from([(6, 2, 2), (8, 1, 1), (1, 1, 1)]))
def test_parts_by_time_follow_each_other_and_score_each_step_once(
    series: list[tuple[int, int]], window: int | None, shares: tuple[int, ...]
) -> None:
    lengths, starts = ([one[k] for one in series] for k in (0, 1))
    times = [np.arange(s, s + n) for n, s in series]
    task = clocked(lengths, starts, times=times, split=shares, window=window)
    train, validation, test = ([v % 1000 for v in part] for part in check_once(task, lengths, starts))
    assert max(train) < min(validation)
    assert max(validation) < min(test)
    assert task.length <= (window or max(lengths))


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=3, max_size=12), window=st.integers(2, 30))
def test_windows_score_each_step_once(lengths: list[int], window: int) -> None:
    names = [PARTS[i % 3] for i in range(len(lengths))]
    task = clocked(lengths, [0] * len(lengths), split=names, window=window)
    parts = check_once(task, lengths, [0] * len(lengths))
    for place, part in enumerate(parts):
        assert {int(v) // 1000 % 3 for v in part} == {place}
    assert task.length <= window


def test_a_held_out_piece_reads_the_steps_before_it_and_scores_them_not() -> None:
    task = clocked([10], [0], times=[np.arange(10)], split=(0.6, 0.2, 0.2))
    whole = task.test().take(torch.tensor([0]), 10)
    assert whole.inputs[0, :, 0].tolist() == list(range(10))
    assert whole.mask[0].tolist() == [False] * 8 + [True] * 2
    short = task.test().take(torch.tensor([0]), 4)  # the last steps, where what is scored is
    assert short.inputs[0, :, 0].tolist() == [6, 7, 8, 9]
    assert short.mask[0].tolist() == [False, False, True, True]
    training = task.take(torch.tensor([0]), 10)
    assert training.inputs[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5, 0, 0, 0, 0]
    assert training.mask[0].tolist() == [True] * 6 + [False] * 4


def test_training_never_reads_a_later_step() -> None:
    """All that training reads, scored or not, is before all that is held out."""
    task = clocked([40, 30], [0, 8], times=[np.arange(40), np.arange(8, 38)], split=(6, 2, 2), window=8)
    held = min(v % 1000 for part in (task.validation(), task.test()) for v in scored(part))
    batches = list(held_out(task, 10**6, 8, 0, "any"))
    seen = {v % 1000 for b in batches for v in (*b.inputs.flatten().tolist(), *b.targets.flatten().tolist())}
    assert max(seen) < held


def test_sequences_are_split_in_order_of_their_times() -> None:
    dates = np.datetime64("2020-01-01") + np.array([5, 1, 9, 0, 2, 3, 8, 4, 7, 6])
    inputs = [[float(i), 0.5] for i in range(10)]
    task = Sequences(inputs, labels=[0, 1] * 5, times=dates, split=(6, 2, 2))
    read = [part._numbers.tolist() for part in (task, task.validation(), task.test())]
    assert [[int(task._inputs.split()[n][0, 0]) for n in numbers] for numbers in read] == [
        [0, 1, 3, 4, 5, 7],
        [8, 9],
        [2, 6],
    ]
    pandas = pytest.importorskip("pandas")
    days = pandas.DatetimeIndex(dates)
    columns = [pandas.Series(dates, index=range(3, 13)), days, dates.tolist(), days.to_pydatetime().tolist()]
    columns += [list(days), days.tz_localize("Europe/Berlin"), days.tz_localize("UTC").to_pydatetime().tolist()]
    for column in columns:
        same = Sequences(inputs, labels=[0, 1] * 5, times=column, split=(6, 2, 2))
        assert [part._numbers.tolist() for part in (same, same.validation(), same.test())] == read


def test_dates_of_python_may_be_the_times_of_steps() -> None:
    days = [date(2024, 1, 1) + timedelta(day) for day in range(10)]
    task = clocked([10], [0], times=[days], split=(0.6, 0.2, 0.2))
    same = clocked([10], [0], times=[np.arange(10)], split=(0.6, 0.2, 0.2))
    assert task._pieces.tolist() == same._pieces.tolist()


X = [[0.0, 1.0, 2.0]] * 5
DAY = datetime(2024, 1, 1)
STEPS = [np.arange(3)] * 5
ONE = "only one of them may be given"
BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"times": [1, 2, 3]},
        "times is int64 of shape (3,); it must hold a number or a date for each of",
    ),
    ({"times": [1, 2, 3, 4, float("inf")]}, "times[4] is inf; every sequence needs a time"),
    (
        {"times": [1] * 5},
        "split is (0.8, 0.1, 0.1); of 5 sequences in order of time the train part gets none, and each",
    ),
    (
        {"times": [DAY, *[DAY.replace(tzinfo=UTC)] * 4]},
        "times holds dates with and without a time zone; give all of them one, or none",
    ),
    ({"times": range(5), "groups": range(5)}, f"times is set, and groups too; {ONE}"),
    ({"times": range(5), "split": PARTS}, f"times is set, and split names the part of each sequence; {ONE}"),
    (
        {"times": STEPS, "groups": range(5)},
        "times has a value for each step, which excludes groups; give one for each sequence",
    ),
    ({"times": [*STEPS[:4], [0, 2, 1]]}, "times[4][2] is 1; it comes after 2: sort them"),
    ({"times": [*STEPS[:4], [0, 2, 2]]}, "times[4][2] is 2; it is there twice: remove one"),
    ({"times": [*STEPS[:4], [0, 1]]}, "times[4] is int64 of shape (2,); it must be numbers or dates, of shape (3,)"),
    ({"times": [*STEPS[:4], [0.0, 1.0, float("nan")]]}, "times[4][2] is nan; every step needs a time"),
    (
        {"times": [*STEPS[:4], np.datetime64("2020-01-01") + np.arange(3)]},
        "times holds dates and numbers; give one kind",
    ),
    ({"window": 1}, "window is 1; it must be at least 2"),
    (
        {"window": 4, "score": "last"},
        "window is set, and one step of each sequence is scored; it must then be read whole",
    ),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[message[:60] for _, message in BAD])
def test_bad_times_give_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        Sequences(X, targets=X, **options)
