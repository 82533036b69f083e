import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.data.stack import Stack
from nounroll.data.task import draw


@settings(max_examples=30, deadline=None)
@given(
    symbols=st.integers(2, 9),
    depth=st.integers(1, 12),
    tops=st.floats(0, 1),
    length=st.integers(2, 60),
    seed=st.integers(0, 2**31),
)
def test_a_stack_answers_every_question(symbols: int, depth: int, tops: float, length: int, seed: int) -> None:
    task = Stack(symbols=symbols, depth=depth, tops=tops)
    batch = draw(task, 8, length, seed, "train")
    for row in range(8):
        stack: list[int] = []
        steps = zip(*(v[row].tolist() for v in (batch.inputs, batch.targets, batch.mask)), strict=True)
        for operation, answer, scored in steps:
            assert scored == (operation in (task.pop, task.top))
            if scored:
                assert answer == (stack.pop() if operation == task.pop else stack[-1])
            else:
                stack.append(operation)
            assert len(stack) <= depth


def test_how_often_what_is_asked() -> None:
    task = Stack(depth=10, tops=0.25)
    batch = draw(task, 500, 200, 0, "train")
    asked = float((batch.inputs == task.top).double().mean())
    assert asked == pytest.approx(0.25 * (1 - 1 / 15), abs=0.02)  # not while the stack is empty
    assert not (draw(Stack(tops=0), 50, 99, 0, "train").inputs == task.top).any()
    height = ((batch.inputs < task.symbols).long() - (batch.inputs == task.pop).long()).cumsum(1)
    assert sorted(set(height.flatten().tolist())) == list(range(11))  # every height is reached
    answers = torch.bincount(batch.targets[batch.mask], minlength=4).double()
    assert (answers / answers.sum() - 0.25).abs().max() < 0.01  # a guess gets a quarter


def test_the_least_length() -> None:
    with pytest.raises(ValueError, match="length is 1; Stack needs at least 2"):
        draw(Stack(), 2, 1, 0, "train")
