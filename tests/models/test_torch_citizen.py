"""A student is a torch module like others: forward, 16 bits, the transforms of torch.func, memories to write into."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap

from helpers import make_student
from nounroll import Categorical, Real, Student, fit
from nounroll.cells.base import CELLS, CellSettings
from nounroll.core.batch import Space
from nounroll.data.parity import Parity
from nounroll.experiments.comparison import compare

SPACES = [Categorical(6), Real(2)]
ROWS, TIME = 3, 5


def student(kind: str, space: Space, dtype: torch.dtype = torch.float32) -> Student:
    cell: Any = CellSettings(kind=kind, tokens=2, memory_width=8)  # type: ignore[arg-type]
    return Student(space, space, cell, readout_width=16).to(dtype).eval()


def inputs(space: Space) -> Tensor:
    if isinstance(space, Categorical):
        return torch.randint(space.n, (ROWS, TIME))
    return torch.randn(ROWS, TIME, space.d)


# --- forward -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("kind", list(CELLS))
def test_forward_reads_each_row_to_its_length(kind: str, space: Space) -> None:
    one, x, lengths = student(kind, space), inputs(space), [5, 0, 2]
    start = one.initial_memory(ROWS) * 0.5
    padded = x.clone()
    padded[2, 2:] = -1 if isinstance(space, Categorical) else torch.nan  # padding may hold anything
    outputs, memory = one(padded, start, lengths)
    assert outputs.shape == (ROWS, TIME, space.readout_size)
    for row, length in enumerate(lengths):
        assert not outputs[row, length:].any()
        if length:
            alone, last = one(x[row : row + 1, :length], start[row : row + 1])
            torch.testing.assert_close(outputs[row : row + 1, :length], alone)
            torch.testing.assert_close(memory[row : row + 1], last)
        else:
            assert torch.equal(memory[row], start[row])


def test_forward_is_the_rollout_and_goes_on_from_its_memory() -> None:
    one, x = make_student("lstm", dtype=torch.float32), torch.randint(5, (2, 6))
    outputs, memory = one(x)
    first, between = one(x[:, :4])
    rest, last = one(x[:, 4:], between, np.array([2, 2]))
    torch.testing.assert_close(torch.cat([first, rest], dim=1), outputs)
    torch.testing.assert_close(last, memory)


@pytest.mark.parametrize("lengths", [[1, 2], [1, 2, 6], [1, -1, 2], [1.0, 2.0, 3.0]])
def test_lengths_that_cannot_be_are_refused(lengths: Any) -> None:
    with pytest.raises(ValueError, match=r"lengths are .* they must be 3 whole numbers between 0 and 5"):
        student("gru", SPACES[0])(inputs(SPACES[0]), None, torch.tensor(lengths))


# --- precision -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("kind", list(CELLS))
def test_a_student_of_another_precision_rolls_out_learns_and_generates(
    kind: str, space: Space, dtype: torch.dtype
) -> None:
    one, x = student(kind, space, dtype), inputs(space)
    outputs, memory = one(x)
    wide = (
        dtype if isinstance(space, Categorical) else torch.promote_types(dtype, torch.float32)
    )  # a Gaussian in the data's unit
    assert (outputs.dtype, memory.dtype, one.rollout(x).dtype) == (wide, dtype, dtype)
    outputs.float().square().mean().backward()
    drawn = one.generate(x, 8, generator=torch.Generator().manual_seed(0))
    one.targets.check("drawn", drawn)


def test_symbols_in_16_bits_are_drawn_as_often_as_in_32() -> None:
    """Sums of 300 small probabilities in bfloat16 stop growing: the last symbols would never be drawn."""
    torch.manual_seed(0)
    space = Categorical(300)
    one = student("gru", space)
    prompt = torch.zeros(512, 1, dtype=torch.int64)
    counts = []
    for dtype in (torch.float32, torch.bfloat16):
        drawn = one.to(dtype).generate(prompt, 20, generator=torch.Generator().manual_seed(0))
        counts.append(torch.bincount(drawn.flatten() // 30, minlength=10) / drawn.numel())
    torch.testing.assert_close(counts[0], counts[1], atol=0.01, rtol=0)


# --- torch.func ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error::UserWarning")  # a batching rule that torch lacks, and loops instead
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("kind", list(CELLS))
def test_gradients_by_torch_func_are_those_of_autograd(kind: str, space: Space) -> None:
    one, x = student(kind, space), inputs(space)
    weights = dict(one.named_parameters())

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(one, parameters, (x,))[0].square().mean()

    rows = [torch.autograd.grad(loss(weights, x[i : i + 1]), list(weights.values())) for i in range(ROWS)]
    whole = grad(loss)(weights, x)
    by_row = vmap(grad(loss), in_dims=(None, 0))(weights, x[:, None])
    for name, *each in zip(weights, *rows, strict=True):
        torch.testing.assert_close(by_row[name], torch.stack(each), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(whole[name], torch.stack(each).mean(0), atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("kind", list(CELLS))
def test_steps_and_rollouts_under_vmap_and_jvp_are_those_without(kind: str, space: Space) -> None:
    one, x = student(kind, space), inputs(space)
    memory = one.initial_memory(ROWS).detach()
    stepped = vmap(lambda i, m: one.step(i[None], m[None])[0])(x[:, 0], memory)
    torch.testing.assert_close(stepped, one.step(x[:, 0], memory))
    torch.testing.assert_close(vmap(lambda i: one.rollout(i[None])[0])(x), one.rollout(x))
    along = torch.randn_like(memory)
    _, slope = jvp(lambda m: one.step(x[:, 0], m), (memory,), (along,))
    far, near = (one.double().step(x[:, 0], memory.double() + s * 1e-5 * along) for s in (1, -1))
    torch.testing.assert_close(slope.double(), (far - near) / 2e-5, atol=1e-3, rtol=1e-3)


# --- memories, cells -----------------------------------------------------------------------------------


def test_an_initial_memory_can_be_written_into() -> None:
    one = student("gru", SPACES[0])
    memory, before = one.initial_memory(2), one.empty_memory.detach().clone()
    memory[0] = 0
    assert torch.equal(memory[1], before)
    memory.sum().backward()
    assert torch.equal(one.empty_memory.grad, torch.ones_like(before))  # type: ignore[arg-type]


def test_a_student_in_place_of_a_cell_is_refused_with_advice() -> None:
    one = student("gru", Parity().inputs)
    for train in (
        lambda: fit(Parity(), cell=one, length=8, steps=1),
        lambda: compare(Parity(), cells=[one], length=8, steps=1),
        lambda: Student(one.inputs, one.targets, one),
    ):
        with pytest.raises(ValueError, match="cell is a Student, a whole network; give its cell alone"):
            train()
    fit(Parity(), method="bptt", cell=copy.deepcopy(one.cell), length=8, steps=1)


@pytest.mark.parametrize("kind", list(CELLS))
def test_rows_that_end_begin_anew(kind: str) -> None:
    """A stream of episodes equals each episode alone, gradients of m_∅ too."""
    one, x = student(kind, Real(2)), torch.randn(ROWS, TIME, 2)
    done = torch.zeros(TIME, ROWS, dtype=torch.bool)
    done[2, 1] = True  # the second row ends before its third input
    memory = one.initial_memory(ROWS)
    for t in range(TIME):
        memory = one.step(x[:, t], one.reset(memory, done[t]))
    alone = one.rollout(x)[:, -1].clone()
    alone[1] = one.rollout(x[1:2, 2:])[0, -1]
    torch.testing.assert_close(memory, alone)
    (gradient,) = torch.autograd.grad(memory.square().sum(), one.empty_memory)
    (wanted,) = torch.autograd.grad(alone.square().sum(), one.empty_memory)
    torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("done", [[True], [1, 0, 1], torch.zeros(3, 1, dtype=torch.bool)], ids=["one", "numbers", "2d"])
def test_resets_of_another_form_are_refused(done: Any) -> None:
    one = student("gru", Real(2))
    with pytest.raises(ValueError, match=r"^done is [a-z0-9]+ \([^\n]+; it must be bool \(3,\), one for each row$"):
        Student.reset.__wrapped__(one, one.initial_memory(ROWS), done)  # type: ignore[attr-defined]
