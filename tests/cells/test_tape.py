"""The tape cell moves what it holds."""

import pytest
import torch

from nounroll.cells.tape import TapeCell
from nounroll.core.batch import Categorical
from nounroll.nn.norm import rms_normalise

K, D = 5, 3
STAY, DOWN, UP = range(3)


def tape(move: int, *, writes: bool) -> TapeCell:
    """A cell that always moves so, whatever it reads, and writes (or not) at the first place."""
    torch.manual_seed(0)
    cell = TapeCell(Categorical(4), (K, D))
    with torch.no_grad():
        for layer in (cell.move, cell.gate):
            layer.weight.zero_()
            layer.bias.fill_(-1e3)
        cell.move.bias.view(K, 3)[:, move] = 1e3
        if writes:
            cell.gate.bias[0] = 1e3
    return cell


def walk(cell: TapeCell, inputs: list[int], memory: torch.Tensor) -> list[torch.Tensor]:
    memories = []
    for x in inputs:
        memory = cell.step(torch.full((len(memory),), x), memory)
        memories.append(memory)
    return memories


def test_a_tape_that_moves_down_is_a_queue() -> None:
    """After K steps token k holds what was written k steps ago."""
    memories = walk(tape(DOWN, writes=True), [0, 1, 2, 3, 0], rms_normalise(torch.randn(2, K, D)))
    written = [memory[:, 0] for memory in memories]
    assert torch.allclose(memories[-1], torch.stack(written[::-1], dim=1), atol=1e-4)


@pytest.mark.parametrize(("there", "back"), [(DOWN, UP), (UP, DOWN)])
def test_moving_there_and_back_loses_nothing(there: int, back: int) -> None:
    """Its ends are joined: what leaves at one comes in at the other."""
    before = rms_normalise(torch.randn(2, K, D))
    far = walk(tape(there, writes=False), [0] * (K - 1), before)[-1]
    assert torch.allclose(far, before.roll(K - 1 if there == DOWN else 1 - K, 1), atol=1e-4)
    assert torch.allclose(walk(tape(back, writes=False), [0] * (K - 1), far)[-1], before, atol=1e-4)


def test_a_tape_that_stays_holds() -> None:
    before = rms_normalise(torch.randn(2, K, D))
    assert torch.allclose(walk(tape(STAY, writes=False), [0, 1, 2], before)[-1], before, atol=1e-4)


def test_as_it_starts_a_token_is_what_was_read_so_many_steps_ago() -> None:
    torch.manual_seed(0)
    cell = TapeCell(Categorical(4), (8, 8))
    first = rms_normalise(torch.randn(16, 8, 8)).requires_grad_()
    last = walk(cell, [0, 1, 2, 3, 0, 1, 2], first)[-1]
    (gradient,) = torch.autograd.grad(last[:, 7].sum(), first)
    assert gradient.norm(dim=(0, 2)).argmax() == 0  # seven moves away
