"""Texts that end with a stop."""

from typing import Any

import pytest
import torch

from helpers import make_student
from nounroll import Categorical, Real, Student
from nounroll.models.generation import Generation, Sampling
from nounroll.models.stops import ENDED, Stops


def written(stop: Any, rows: int = 4, steps: int = 40) -> torch.Tensor:
    one = make_student("gru", dtype=torch.float32)
    prompt = torch.zeros(rows, 1, dtype=torch.int64)
    return one.generate(prompt, steps, generator=torch.Generator().manual_seed(3), stop=stop)


def first_end(row: list[int], stops: list[list[int]]) -> int:
    """Symbols up to and with the first stop, by looking at every prefix."""
    ends = (n for n in range(1, len(row) + 1) if any(row[:n][-len(s) :] == s for s in stops))
    return next(ends, len(row))


@pytest.mark.parametrize("stops", [[[2]], [[1, 3]], [[0, 0], [4, 1, 2]], [[4, 4, 4, 4, 4]]])
def test_each_row_ends_with_its_first_stop(stops: list[list[int]]) -> None:
    free, found = written(()).tolist(), written(stops)
    ends = [first_end(row, stops) for row in free]
    assert found.shape[1] == max(ends)
    for row, end, whole in zip(found.tolist(), ends, free, strict=True):
        assert row[:end] == whole[:end]
        assert set(row[end:]) <= {ENDED}


def test_a_single_symbol_is_a_stop_and_none_at_all_changes_nothing() -> None:
    assert torch.equal(written([2]), written([[2]]))
    assert torch.equal(written([torch.tensor([2])]), written([[2]]))
    assert written(()).shape == (4, 40)


def test_the_memory_of_a_row_is_that_of_its_text() -> None:
    one, stops = make_student("gru", dtype=torch.float32), [[1, 3]]
    generation = Generation(one, 4, Sampling(), torch.Generator().manual_seed(3))
    found = generation.read(torch.zeros(4, 1, dtype=torch.int64)).write(40, stops)
    for row, text in enumerate(found.tolist()):
        kept = [0, *(symbol for symbol in text if symbol != ENDED)]
        assert generation.pending is not None
        assert int(generation.pending[row]) == kept[-1]
        memory = one.rollout(torch.tensor([kept[:-1]]))[0, -1]
        torch.testing.assert_close(generation.memory[row], memory)


def test_at_least_one_step_is_written_until_a_stop() -> None:
    one: Student = make_student("gru", dtype=torch.float32)
    with pytest.raises(ValueError, match=r"^steps is 0; it must be at least 1$"):
        one.generate(torch.zeros(1, 1, dtype=torch.int64), 0, stop=[1])


@pytest.mark.parametrize(
    ("stop", "space", "message"),
    [
        ([[]], Categorical(5), "empty sequence"),
        ([[5]], Categorical(5), r"allows 0\.\.4"),
        (["ab"], Categorical(5), "must hold symbols"),
        ([[0.5]], Categorical(5), "must hold symbols"),
        ([[1]], Real(1), "only symbols can end a text"),
    ],
)
def test_stops_that_cannot_be_are_refused(stop: Any, space: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stops(stop, space, 1)
    one: Student = make_student("gru", dtype=torch.float32)
    if isinstance(space, Categorical):
        with pytest.raises(ValueError, match=message):
            one.generate(torch.zeros(1, 1, dtype=torch.int64), 3, stop=stop)
