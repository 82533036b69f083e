"""``nounroll bench``: every contender is timed, ratios are those of the rates, and mistakes are one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from commands import Command, one_line
from helpers import make_batch, make_student, make_teacher
from nounroll.bench import memory, scaling
from nounroll.bench.generation import at_places, overtaken
from nounroll.bench.training import SequentialDMT, training
from nounroll.cells.gru import GRUCell
from nounroll.core.seeding import generator
from nounroll.data.text import Text
from nounroll.models.generation import Generation
from nounroll.objectives.dynamics import dynamics

SMALL = ("--cells", "gru", "--length", "8", "--batch", "2", "--rounds", "1", "--contexts", "4,8")


def test_rates_ratios_and_a_picture(nounroll: Command, folder: Path) -> None:
    ended = nounroll("bench", *SMALL, "--places", "3,600", "--figure", "speed.png", "--json")
    assert ended.status == 0, ended
    result = json.loads(ended.out)
    rows = {row["name"]: row for row in result["training"]}
    kinds = {"smt windowed", "smt", "smt by chunks", "bptt stepped", "bptt fused"}
    kinds |= {"dmt of the paper", "dmt sequential", "dmt", "tbptt"}
    assert rows.keys() == {f"{kind}, gru" for kind in kinds} | {"trunk of width 256"}
    written = {row["name"]: row for row in result["generation"]}
    kinds = {f"{kind}, {context} read" for kind in ("transformer", "student gru") for context in (4, 8)}
    assert written.keys() == kinds | {"transformer without cache, 4 read"}
    far = {row["name"]: row for row in result["places"]}
    assert far.keys() == {"student gru, 3 written", "student gru, 600 written"}
    for table in (rows, written, far):
        for row in table.values():
            assert row["per_second"] > 0
            assert row["ratio"] == pytest.approx(row["per_second"] / table[row["baseline"]]["per_second"])
            assert row["milliseconds"]["median"] <= row["milliseconds"]["p99"]
    for row in rows.values():
        assert 0 < row["flops_per_second"] == pytest.approx(row["share_of_matmul"] * result["matmul"])
    for name in ("dmt sequential", "dmt"):
        assert rows[f"{name}, gru"]["baseline"] == "dmt of the paper, gru"
    assert result["overtaken"]["gru"] in (None, 4, 8)
    assert (folder / "speed.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cells", "rnn"], "--cells has 'rnn'; it must be of mlp, "),
        (["--cells", ","], "--cells names no cell; it must name at least one"),
        (["--contexts", ","], "--contexts is ','; it must be whole numbers with commas between them"),
        (["--length", "0"], "--length is 0; it must be at least 1"),
        (["--rounds", "0"], "--rounds is 0; it must be at least 1"),
        (["--contexts", "8,0"], "--contexts is 0; it must be at least 1"),
        (["--contexts", "many"], "--contexts is 'many'; it must be whole numbers with commas between them"),
        (["--places", "0"], "--places is 0; it must be at least 1"),
        (["--cells", "gru", "--compiled", "mlp"], "--compiled has 'mlp'; it must be of --cells gru"),
        (["--scaling", "0"], "--scaling is 0; it must be at least 1"),
        (["--figure", "speed.txt"], "--figure is 'speed.txt'; it must end in .png, "),
    ],
)
def test_mistakes(nounroll: Command, words: list[str], said: str) -> None:
    assert said in one_line(nounroll("bench", *words), 2, "nounroll bench: ")


def test_the_stepped_baseline_takes_steps_and_the_fused_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders = training(Text(), ["gru"], 8, 2)

    def refuse(*given: object) -> None:
        raise AssertionError("fused")

    monkeypatch.setattr(GRUCell, "unroll", refuse)
    assert contenders["bptt stepped, gru"].run(0)[0] > 0
    with pytest.raises(AssertionError, match="fused"):
        contenders["bptt fused, gru"].run(0)


@pytest.mark.parametrize(
    ("ratios", "context"), [([0.5, 0.9, 1.1], 30), ([1.1, 0.9, 1.2], 30), ([2, 2, 2], 10), ([2, 2, 0.5], None)]
)
def test_overtaken(ratios: list[float], context: int | None) -> None:
    rows = [{"name": "student mlp, 1 read", "context": 10 * (i + 1), "ratio": r} for i, r in enumerate(ratios)]
    assert overtaken([*reversed(rows), {"name": "transformer, 1 read"}], ["mlp"]) == {"mlp": context}


@pytest.mark.parametrize("compiled", [False, True])
def test_what_was_written_before_a_place_is_counted(monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    """And a compiled call's time is divided among its tokens."""
    wrote: list[int] = []
    monkeypatch.setattr(Generation, "write", lambda self, steps: wrote.append(steps))
    monkeypatch.setattr("nounroll.bench.generation.seconds", lambda run: run() or 1.0)
    (far,) = at_places(Text(), "mlp", [1100], compiled=compiled).values()
    assert sum(wrote) == 1100
    wrote.clear()
    assert set(far.run(0)) == {1 / 8 if compiled else 1.0}
    assert set(wrote) == {8 if compiled else 1}


@pytest.mark.parametrize("whole_contexts", [True, False])
def test_the_papers_dmt_by_hand(whole_contexts: bool) -> None:
    student, batch = make_student(), make_batch(3, 5)
    teacher = make_teacher(student, kind="window")
    losses = SequentialDMT(student, teacher, whole_contexts=whole_contexts)(batch, {}, generator(0, "test"), 0.5)[0]
    own, labels = student.stepped_rollout(batch.inputs), teacher.memories(batch.inputs)
    assert float(losses["dynamics"].detach()) == pytest.approx(
        float(dynamics(own[:, 1:], labels[:, 1:]).mean().detach())
    )
    losses["loss"].backward()
    assert student.empty_memory.grad is not None  # of the first step
    assert all(p.grad is None for p in teacher.parameters())


def test_whole_contexts_cost_as_much_at_every_step() -> None:
    """The prefixes 1 .. T, and a place for the summary, against T times T + 1."""
    student = make_student()
    teacher, seen = make_teacher(student, kind="window"), []
    teacher.encoder.trunk.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    for whole in (True, False):
        SequentialDMT(student, teacher, whole_contexts=whole)(make_batch(3, 5), {}, generator(0, "test"), 0.5)
    assert seen == [6] * 5 + [2, 3, 4, 5, 6]


def test_exponents() -> None:
    assert scaling.exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    assert scaling.exponent([1, 2], [0.0, 1.0]) is None
    assert scaling.exponent([1], [1.0]) is None


def test_peak_memory_counts_what_a_step_takes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    peak, steps = [1000], []

    def stepper(method: object, task: object, length: int, batch: int) -> Callable[[int], None]:
        def step(index: int) -> None:
            steps.append(length)
            peak[0] += 10 * length

        return step

    monkeypatch.setattr(memory, "stepper", stepper)
    monkeypatch.setattr(memory, "memory_figure", lambda name: peak[0])
    monkeypatch.setattr(memory, "reset_peak", lambda: peak[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    memory.main("smt", "mlp", 300, 1)
    assert steps == [16, 300]
    assert capsys.readouterr().out == "3000\n"


def test_peak_memory_is_not_that_of_the_process_that_asks() -> None:
    ballast = bytearray(b"1") * 2**30  # more than the process that is measured takes
    assert memory.peak_memory("smt", "gru", 256, 1) > 2**20
    assert len(ballast) == 2**30


def test_a_process_that_fails_is_told_of() -> None:
    with pytest.raises(RuntimeError, match="peak memory of no such, mlp at T = 4 was not measured: "):
        memory.peak_memory("no such", "mlp", 4, 1)


@pytest.mark.nightly
def test_curves(nounroll: Command) -> None:
    ended = nounroll("bench", *SMALL, "--scaling", "64,512", "--figure", "speed.png", "--json")
    rows = json.loads(ended.out)["scaling"]
    assert {(row["measure"], row["axis"]) for row in rows} == {
        *(("seconds", axis) for axis in scaling.AXES),
        ("bytes", "length"),
    }
    time = next(row for row in rows if (row["measure"], row["method"], row["axis"]) == ("seconds", "smt", "length"))
    assert 0 < time["found"][0] < time["found"][1]
    memories = [row for row in rows if row["measure"] == "bytes"]
    assert all(row["found"][0] < row["found"][1] for row in memories)
