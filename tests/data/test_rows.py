import numpy as np
import pytest
import torch

from nounroll.core.batch import Categorical
from nounroll.data.rows import TokenRows, held_out_rows
from nounroll.data.task import SequenceTask, draw, held_out


def numbered(rows: int, length: int) -> TokenRows:
    """Row i is i, i, i, ...: what is read says which row it is from."""
    tokens = np.repeat(np.arange(rows)[:, None], length, axis=1)
    return TokenRows(tokens=tokens, held_out=held_out_rows("rows", rows), symbols=rows)


def rows_read(task: SequenceTask, length: int) -> set[int]:
    return set(draw(task, 2000, length, 0, "any").targets.unique().tolist())


def check_disjoint(task: SequenceTask, rows: int) -> None:
    parts = [
        [row for batch in held_out(part, 10**6, 3, 0, "any") for row in batch.targets[:, 0].tolist()]
        for part in (task, task.validation(), task.test())
    ]
    assert sorted(row for part in parts for row in part) == list(range(rows))
    assert [len(part) for part in parts] == [part.size for part in (task, task.validation(), task.test())]
    for part, numbers in zip((task, task.validation(), task.test()), parts, strict=True):
        assert rows_read(part, 3) == set(numbers)


def test_every_row_is_in_one_part() -> None:
    check_disjoint(numbered(50, 4), 50)
    task = numbered(50, 4)
    assert (task.size, task.validation().size, task.test().size) == (45, 2, 3)


def test_parts_know_their_siblings() -> None:
    task = numbered(50, 4)
    for part in (task, task.validation(), task.test()):
        assert rows_read(part.validation(), 2) == rows_read(task.validation(), 2)
        assert rows_read(part.test(), 2) == rows_read(task.test(), 2)


def test_a_single_held_out_row_is_for_both() -> None:
    task = numbered(5, 4)
    assert rows_read(task.validation(), 2) == rows_read(task.test(), 2) == {4}


class SameTest(TokenRows):
    """A planted bug: what students are chosen by is what they are measured on."""

    def test(self) -> "SameTest":
        return self.validation()  # type: ignore[return-value]


def test_the_check_of_disjointness_can_fail() -> None:
    leaky = numbered(50, 4)
    leaky._choose(np.arange(50))  # a planted bug: it trains on all of them
    with pytest.raises(AssertionError):
        check_disjoint(leaky, 50)
    with pytest.raises(AssertionError):
        check_disjoint(SameTest(tokens=leaky._tokens, held_out=leaky._held_out, symbols=50), 50)


def test_rows_start_at_their_first_element() -> None:
    tokens = np.arange(30).reshape(5, 6)
    task = TokenRows(tokens=tokens, held_out=np.array([4]), symbols=30)
    assert (task.inputs, task.targets) == (Categorical(31), Categorical(30))
    for length in (1, 4, 6):
        batch = draw(task, 20, length, 0, "train")
        assert (batch.inputs[:, 0] == 30).all()
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        assert torch.equal(batch.targets, batch.targets[:, :1] + torch.arange(length))
        assert (batch.targets[:, 0] % 6 == 0).all()
        assert batch.mask.all()
    assert task.prompt().tolist() == [30]
    with pytest.raises(ValueError, match="length is 7; TokenRows holds sequences of at most 6"):
        draw(task, 1, 7, 0, "train")
    with pytest.raises(ValueError, match="length is 7; the stored sequences have 6 elements"):
        task.sample(1, 7, torch.Generator())


def test_the_split_never_changes() -> None:
    assert held_out_rows("rows", 20).tolist() == [15, 12]
    assert held_out_rows("rows", 2).tolist() == held_out_rows("rows", 2).tolist()
    with pytest.raises(ValueError, match="rows has too few sequences, 1; at least 2 are needed"):
        held_out_rows("rows", 1)


@pytest.mark.parametrize(("held_out", "part"), [([], "hold out"), ([0, 1, 2], "train on")])
def test_no_part_is_empty(held_out: list[int], part: str) -> None:
    with pytest.raises(ValueError, match=f"tokens has no sequence to {part}; it must have at least one"):
        TokenRows(tokens=np.zeros((3, 2), dtype=int), held_out=np.array(held_out, dtype=int), symbols=2)


def test_tokens_outside_the_space() -> None:
    tokens = np.zeros((6, 5), dtype=np.int64)
    tokens[3, 2] = 7
    with pytest.raises(ValueError, match=r"^tokens holds 7 at position \(3, 2\); the tokens must be 0\.\.6$"):
        TokenRows(tokens=tokens, held_out=np.array([0]), symbols=7)
