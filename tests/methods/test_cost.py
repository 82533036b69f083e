"""What training costs, against counts by hand."""

import pytest
import torch

from helpers import SHAPE, SYMBOLS, make_bptt, make_dmt, make_smt, make_student, make_teacher
from nounroll.methods.base import Method
from nounroll.methods.cost import step_flops, training_cost
from nounroll.student import Student
from own_parts import Echo

SIZE, WIDTH, READOUT, V = SHAPE[0] * SHAPE[1], 16, 16, SYMBOLS.n
STEP = 2 * (SIZE * WIDTH + WIDTH * 2 * SIZE)  # the MLP cell: two matrix products; a multiply and an add are two
PER_TOKEN = STEP + 2 * (SIZE * READOUT + READOUT * V)  # and the readout's two


def student(kind: str = "mlp") -> Student:
    return make_student(kind, dtype=torch.float32)


def cost(method: Method, name: str, tokens: dict[str, int], batch_size: int = 4) -> dict[str, float]:
    return training_cost({name: method}, Echo(), tokens, batch_size)


def test_bptt_of_an_mlp_cell_by_hand() -> None:
    """A backward pass is two products for each one forward."""
    flops = cost(make_bptt(student()), "bptt", {"bptt/8": 320})
    assert flops["flops"] == 320 * 3 * PER_TOKEN
    assert flops["sequential_flops"] == 10 * 8 * 3 * PER_TOKEN  # 10 training steps of 8 dependent time steps


def test_a_step_by_hand() -> None:
    from nounroll.data.task import draw

    assert step_flops(student(), draw(Echo(), 2, 3, 0, "test")) == STEP


def test_lengths_of_a_curriculum_add_up() -> None:
    method = make_bptt(student())
    both = cost(method, "bptt", {"bptt/4": 320, "bptt/8": 640})
    assert both["flops"] == 960 * 3 * PER_TOKEN
    assert both["sequential_flops"] == (20 * 4 + 20 * 8) * 3 * PER_TOKEN  # a batch has 4 rows at every length


@pytest.mark.parametrize("kind", ["gru", "elman", "lstm"])
def test_fused_kernels_are_counted_like_their_steps(kind: str) -> None:
    fused = student(kind)
    counted = cost(make_bptt(fused), "bptt", {"bptt/8": 32})["flops"]
    gates = {"gru": 3, "elman": 1, "lstm": 4}[kind]
    units, seen = (SIZE // 2, SIZE // 2) if kind == "lstm" else (SIZE, SIZE)
    per_token = 2 * gates * units * (WIDTH + units) + 2 * (seen * READOUT + READOUT * V)
    assert counted == 32 * 3 * per_token
    assert callable(fused.cell.unroll)  # the kernel is back in its place
    assert all(p.grad is None for p in fused.parameters())


def test_smt_is_less_sequential_than_bptt_and_does_not_grow_with_the_length() -> None:
    for kind in ("mlp", "gru"):
        one = student(kind)
        teacher = make_teacher(one, dtype=torch.float32)
        smt, dmt, bptt = make_smt(one, teacher), make_dmt(one, teacher, window=2), make_bptt(one)
        short, long = (
            {
                name: cost(method, name, {f"{name}/{length}": 4 * length})["sequential_flops"]
                for name, method in (("smt", smt), ("dmt", dmt), ("bptt", bptt))
            }
            for length in (16, 128)
        )
        assert long["smt"] < long["bptt"]
        assert long["smt"] < 2.5 * short["smt"]  # attention over more positions is all that grows
        assert long["bptt"] == 8 * short["bptt"]
        assert short["dmt"] < long["dmt"] < long["bptt"]
