"""Rollouts parallel over time: equal to the stepped one, or stepped with a warning; never wrong in silence."""

import re
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from helpers import CELL_KINDS, SHAPE, SYMBOLS, draw_values, make_student
from nounroll.cells.gru import GRUCell
from nounroll.core.batch import Real
from nounroll.nn.scan import affine_scan
from nounroll.rollout import parallel
from nounroll.rollout.parallel import Solver, diagonal, jacobian, parallel_rollout
from own_parts import OwnCell, OwnRealCell

SOLVERS: tuple[Any, ...] = get_args(Solver)
B, T = 3, 75


class Chaos(nn.Module):
    """The logistic map, 4 m (1 - m): errors double at every step."""

    memory_shape = (1, 2)

    def constrain(self, raw: Tensor) -> Tensor:
        return raw.sigmoid()

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        return 4 * memory * (1 - memory)


# --- equal to the stepped rollout ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "tolerance", "allowed"), [(torch.float32, 1e-5, 1e-4), (torch.float64, 1e-11, 1e-9)], ids=str
)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_newton_gives_the_stepped_memories_of_every_cell(
    kind: str, dtype: torch.dtype, tolerance: float, allowed: float
) -> None:
    student, inputs = make_student(kind, dtype=dtype), draw_values(SYMBOLS, B, T)
    found = parallel_rollout(student, inputs, tolerance=tolerance)
    torch.testing.assert_close(found.memories, student.stepped_rollout(inputs).detach(), rtol=0, atol=allowed)
    assert found.stepped == 0
    assert found.iterations <= 20
    assert found.residual <= tolerance
    assert not found.memories.requires_grad


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["gru", "lstm", "mingru"])
def test_every_solver_gives_them(kind: str, solver: Solver) -> None:
    student, inputs = make_student(kind), draw_values(SYMBOLS, B, T)
    found = parallel_rollout(student, inputs, solver=solver, tolerance=1e-10, iterations=T)
    torch.testing.assert_close(found.memories, student.stepped_rollout(inputs).detach(), rtol=0, atol=1e-9)
    assert found.stepped == 0


@pytest.mark.parametrize("cell", [OwnCell(5), OwnRealCell(3)])
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_a_start_and_a_users_own_cell(cell: nn.Module, chunk: int) -> None:
    space = SYMBOLS if isinstance(cell, OwnCell) else Real(3)
    student, inputs = make_student(cell, inputs=space), draw_values(space, B, 20)
    first, second = inputs[:, :5], inputs[:, 5:]
    memory = student.rollout(first)[:, -1].detach()
    found = parallel_rollout(student, second, memory, tolerance=1e-10, chunk=chunk)
    torch.testing.assert_close(found.memories, student.rollout(second, memory).detach(), rtol=0, atol=1e-9)
    assert found.stepped == 0


def test_newton_needs_fewer_iterations_than_fixed_points_do() -> None:
    cell = GRUCell(SYMBOLS, SHAPE, width=16)  # torch's start, which forgets: without that fixed points need all T
    student, inputs = make_student(cell), draw_values(SYMBOLS, B, T)
    taken = [parallel_rollout(student, inputs, solver=s, tolerance=1e-9, iterations=T).iterations for s in SOLVERS]
    assert taken[0] < taken[1] < taken[2] < T


def test_a_linear_recurrence_takes_one_newton_iteration_and_one_that_finds_nothing_left() -> None:
    class Linear(OwnCell):
        def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
            return (self.of_input(inputs) + 0.9 * self.of_memory(memory[:, 0]))[:, None]

    found = parallel_rollout(make_student(Linear(5)), draw_values(SYMBOLS, B, T), tolerance=1e-9)
    assert found.iterations == 2
    assert found.depth == 2 + 2 * (1 + 2 * 7)  # two levels for each doubling up to 128 >= T


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_guess_saves_iterations_and_does_not_change_what_is_found(solver: Solver) -> None:
    student, inputs = make_student("gru"), draw_values(SYMBOLS, B, T)
    whole = student.stepped_rollout(inputs).detach()[:, 1:]
    wrong = draw_values(Real(8), B, T, 2)
    taken = []
    for guess in (whole, whole + 1e-3 * wrong, wrong):
        found = parallel_rollout(student, inputs, solver=solver, tolerance=1e-10, iterations=T, guess=guess, chunk=40)
        torch.testing.assert_close(found.memories[:, 1:], whole, rtol=0, atol=1e-9)
        taken.append(found.iterations)
    assert taken[0] == 2  # one for each chunk
    assert taken == sorted(taken)
    assert taken[1] > taken[0]


# --- what does not converge ---------------------------------------------------------------------------


def chaotic(**settings: Any) -> Tensor:
    """The memories found for a chaotic cell; they must be the stepped ones."""
    student, inputs = make_student(Chaos()), draw_values(SYMBOLS, B, 200)
    found = parallel_rollout(student, inputs, **settings)
    assert torch.equal(found.memories, student.stepped_rollout(inputs))
    assert found.stepped == 200
    return found.memories


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_chaotic_cell_is_stepped_and_says_so(solver: Solver) -> None:
    said = f"^the {solver} solver did not converge on steps 0 to 199: it is off by .* after at most 16 iterations"
    with pytest.warns(RuntimeWarning, match=said):
        chaotic(solver=solver, iterations=16)
    with pytest.warns(RuntimeWarning, match=r"steps 0 to 99 \(and 1 more chunks\)"):
        chaotic(solver=solver, iterations=16, chunk=100)


@pytest.mark.parametrize("wrong", [torch.zeros_like, lambda offset: offset * torch.nan])
def test_control_a_wrong_scan_ends_in_a_warning_and_never_in_wrong_memories(
    wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No correction at all looks converged to all but the check against the cell."""
    monkeypatch.setattr(parallel, "affine_scan", lambda slope, offset: wrong(offset))
    student, inputs = make_student("gru"), draw_values(SYMBOLS, B, T)
    with pytest.warns(RuntimeWarning, match="newton solver did not converge"):
        found = parallel_rollout(student, inputs, iterations=16)
    assert found.stepped == T
    torch.testing.assert_close(found.memories, student.stepped_rollout(inputs).detach(), rtol=0, atol=1e-12)


# --- the parts ----------------------------------------------------------------------------------------


def recurrence(slope: Tensor, offset: Tensor) -> Tensor:
    """The naive twin of ``affine_scan``."""
    state, states = torch.zeros_like(offset[:, 0]), []
    for t in range(offset.shape[1]):
        moved = (slope[:, t] @ state[..., None])[..., 0] if slope.dim() == 4 else slope[:, t] * state
        state = moved + offset[:, t]
        states.append(state)
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("matrices", [True, False])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 63, 75])
def test_the_scan_equals_the_recurrence(length: int, matrices: bool) -> None:
    slope, offset = draw_values(Real(4), 2, length, 4), draw_values(Real(4), 2, length, seed=1)
    slope = 0.5 * (slope if matrices else slope[:, :, 0])
    torch.testing.assert_close(affine_scan(slope, offset), recurrence(slope, offset), rtol=1e-9, atol=1e-9)


def test_control_a_scan_that_joins_the_wrong_way_round_would_be_caught() -> None:
    slope, offset = 0.5 * draw_values(Real(4), 2, 8, 4), draw_values(Real(4), 2, 8, seed=1)
    assert not torch.allclose(affine_scan(slope.transpose(2, 3), offset), recurrence(slope, offset), atol=1e-3)


def test_the_jacobian_is_autograds_and_the_diagonal_is_exact_where_there_is_nothing_else() -> None:
    student, inputs = make_student("mlp"), draw_values(SYMBOLS, 2, 3)
    before = draw_values(Real(16), 2, 3)

    def step(flat: Tensor) -> Tensor:
        return student.step(inputs.flatten(), flat.reshape(-1, 2, 8)).reshape(flat.shape)

    found = jacobian(step, before)
    for b, t in ((0, 0), (1, 2)):
        x = inputs[b, t][None]
        one = torch.autograd.functional.jacobian(
            lambda m, x=x: student.step(x, m.view(1, 2, 8)).flatten(), before[b, t]
        )
        torch.testing.assert_close(found[b, t], one)
    draws = torch.Generator().manual_seed(0)
    mean = torch.stack([diagonal(step, before, draws) for _ in range(300)]).mean(0)
    torch.testing.assert_close(mean, found.diagonal(dim1=2, dim2=3), rtol=0, atol=0.1)
    torch.testing.assert_close(diagonal(torch.sin, before, draws), before.cos())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "euler"}, "solver is 'euler'; it must be one of newton, diagonal, jacobi"),
        ({"tolerance": 0.0}, "tolerance is 0.0; it must be more than 0"),
        ({"iterations": 0}, "iterations is 0; it must be at least 1"),
        ({"chunk": 0}, "chunk is 0; it must be at least 1"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parallel_rollout(make_student(), draw_values(SYMBOLS, 1, 3), **settings)


def test_the_jacobians_of_a_chunk_fit_their_limit() -> None:
    assert parallel._chunk(None, "newton", 32, 256, 1024) == 32
    assert parallel._chunk(None, "newton", 1, 16, 100) == 100
    assert parallel._chunk(None, "newton", 4096, 4096, 100) == 1
    assert parallel._chunk(None, "jacobi", 4096, 4096, 100) == 100
