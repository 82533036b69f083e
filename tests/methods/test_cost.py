"""What training costs, against counts by hand."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import flop_registry

from helpers import CELL_KINDS, SHAPE, SYMBOLS, make_bptt, make_dmt, make_smt, make_student, make_tbptt, make_teacher
from nounroll.cells.recurrent import stepped
from nounroll.data.task import draw
from nounroll.methods import cost, flops
from nounroll.methods.base import Method
from nounroll.methods.cost import cell_flops, step_cost
from nounroll.models.student import Student
from own_parts import Echo

SIZE, WIDTH, READOUT, V = SHAPE[0] * SHAPE[1], 16, 16, SYMBOLS.n
STEP = 2 * (SIZE * WIDTH + WIDTH**2 + WIDTH * 2 * SIZE)  # the MLP cell: three products; a multiply and an add are two
PER_TOKEN = STEP + 2 * (SIZE * READOUT + READOUT * V)  # and the readout's two
B = 4


def student(kind: str = "mlp") -> Student:
    return make_student(kind, dtype=torch.float32)


def of_a_step(method: Method, length: int, accumulate: int = 1) -> dict[str, float]:
    """The cost of one training step."""
    found = step_cost(method, Echo(), length, B, accumulate)
    return {name: value * B * length for name, value in found.items()}


def test_bptt_of_an_mlp_cell_by_hand() -> None:
    """A backward pass is two products for each one forward."""
    for length in (4, 8):
        flops = of_a_step(make_bptt(student()), length)
        assert flops["flops"] == B * length * 3 * PER_TOKEN
        assert flops["sequential_flops"] == length * 3 * PER_TOKEN


@pytest.mark.parametrize("kind", CELL_KINDS)
@pytest.mark.parametrize("name", ["bptt", "tbptt", "dmt"])
def test_steps_side_by_side_cost_what_a_rollout_does(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = student(kind)
    made = {"bptt": make_bptt, "tbptt": make_tbptt, "dmt": lambda s: make_dmt(s, make_teacher(s).float())}[name](one)
    found = of_a_step(made, 24)
    monkeypatch.setattr(cost, "_side_by_side", stepped)
    assert found == of_a_step(made, 24)


def test_a_step_by_hand() -> None:
    assert cell_flops(make_bptt(student()), draw(Echo(), 2, 3, 0, "test")) == STEP


def test_a_batch_in_parts_costs_as_much() -> None:
    assert of_a_step(make_bptt(student()), 8, accumulate=2) == of_a_step(make_bptt(student()), 8)


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "rows"), [(1, 1, 1), (2, 1, 2), (64, 1, 2), (64, 16, 2), (64, 64, 1)]
)
def test_at_most_two_sequences_are_counted(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, accumulate: int, rows: int
) -> None:
    seen: list[int] = []
    real = cost.batch_of_length
    monkeypatch.setattr(cost, "batch_of_length", lambda task, rows, n: seen.append(rows) or real(task, rows, n))
    found = step_cost(make_bptt(student()), Echo(), 4, batch_size, accumulate)
    assert seen == [rows]
    assert found == {"flops": 3 * PER_TOKEN, "sequential_flops": 3 * PER_TOKEN / batch_size}


def test_a_further_sequence_costs_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    one = student()
    teacher = make_teacher(one, dtype=torch.float32)
    # without uniformity, which compares the labels of all sequences
    methods = [make_smt(one, teacher, uniformity=0.0, transitions=4), make_dmt(one, teacher), make_tbptt(one)]
    few = [step_cost(method, Echo(), 8, 6)["flops"] for method in methods]
    monkeypatch.setattr(cost, "_COUNTED", 6)
    assert few == pytest.approx([step_cost(method, Echo(), 8, 6)["flops"] for method in methods])


@pytest.mark.parametrize("kind", ["gru", "elman", "lstm"])
def test_fused_kernels_are_counted_like_their_steps(kind: str) -> None:
    fused = student(kind)
    counted = of_a_step(make_bptt(fused), 8)["flops"]
    gates = {"gru": 3, "elman": 1, "lstm": 4}[kind]
    units, seen = (SIZE // 2, SIZE // 2) if kind == "lstm" else (SIZE, SIZE)
    per_token = 2 * gates * units * (WIDTH + units) + 2 * (seen * READOUT + READOUT * V)
    assert counted == B * 8 * 3 * per_token
    assert callable(fused.cell.unroll)  # the kernel is back in its place
    assert all(p.grad is None for p in fused.parameters())


def test_a_parallel_scan_waits_for_nothing() -> None:
    """Its matrix products are those of its steps; none of them is longer in a row than that of one step."""
    method = make_bptt(student("mingru"))
    short, long = of_a_step(method, 4), of_a_step(method, 8)
    assert long["flops"] == 2 * short["flops"]
    assert long["sequential_flops"] == short["sequential_flops"] == short["flops"] / (B * 4)


@pytest.mark.parametrize(("kind", "waits"), [("mlp", 4), ("mingru", 1)])
def test_the_steps_of_a_window_wait_for_one_another(kind: str, waits: int) -> None:
    one = student(kind)
    found = of_a_step(make_smt(one, make_teacher(one, dtype=torch.float32), window=4), 8)
    assert found["sequential_flops"] == pytest.approx(waits * found["flops"] / (B * 8))


@pytest.mark.parametrize("length", [7, 16])
def test_attention_is_counted(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's counter does not know the CPU's fused attention: left to itself it counts nothing there."""
    one = student()
    method = make_smt(one, make_teacher(one, dtype=torch.float32), decoding=0.0)
    whole = of_a_step(method, length)["flops"]
    monkeypatch.setattr(flops, "_FORMULAS", flop_registry)
    without = of_a_step(method, length)["flops"]
    one_pass = 2 * 4 * B * (length + 1) ** 2 * 16  # 2 blocks of width 16; queries by keys, and weights by values
    assert whole - without == pytest.approx(3 * one_pass)


def test_smt_is_less_sequential_than_bptt_and_does_not_grow_with_the_length() -> None:
    for kind in ("mlp", "gru"):
        one = student(kind)
        teacher = make_teacher(one, dtype=torch.float32)
        methods: dict[str, Any] = {
            "smt": make_smt(one, teacher),
            "dmt": make_dmt(one, teacher, window=2),
            "tbptt": make_tbptt(one, window=2),
            "bptt": make_bptt(one),
        }
        short, long = (
            {name: of_a_step(method, length)["sequential_flops"] for name, method in methods.items()}
            for length in (16, 128)
        )
        assert long["smt"] < long["bptt"]
        assert long["smt"] < 2.5 * short["smt"]  # attention over more positions is all that grows
        assert long["bptt"] == 8 * short["bptt"]
        assert long["tbptt"] == short["tbptt"] < short["bptt"]
        assert short["dmt"] < long["dmt"] < long["bptt"]


def test_a_step_that_goes_on_is_counted_and_not_the_first() -> None:
    """The first has a rollout before it."""
    counted, windows = of_a_step(make_tbptt(student(), window=4), 8), 2
    assert counted["flops"] == B * 8 * 3 * PER_TOKEN
    assert counted["sequential_flops"] == pytest.approx(counted["flops"] / B / windows)


def test_windows_that_are_cut_out_of_a_rollout_wait_for_all_before_them() -> None:
    counted = of_a_step(make_tbptt(student(), window=4, carry=False), 8)
    assert counted["sequential_flops"] == pytest.approx(counted["flops"] / B)
