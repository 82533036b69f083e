"""A run that cannot fit into memory is refused before any is taken; one that can is not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import TINY, tiny_recipe
from nounroll.data.parity import Parity
from nounroll.experiments import footprint as module
from nounroll.experiments.auto import candidates
from nounroll.experiments.comparison import compare
from nounroll.experiments.footprint import check_memory, footprint, in_words
from nounroll.experiments.recipe import load, parse
from nounroll.experiments.resolve import resolve
from nounroll.experiments.run import fit, train
from nounroll.experiments.sweep import sweep
from nounroll.models.student import Student
from nounroll.rollout import chunks
from own_parts import Echo, OwnCell

GIB = 1 << 30
SIZES = (
    *("training.batch_size", "length"),
    *("cell.memory_width", "cell.tokens", "cell.width", "teacher.width", "readout_width"),
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _a_machine_of_8_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "total_memory", lambda: 8 * GIB)


def changed(*overrides: str) -> Any:
    return parse(TINY, overrides)


def test_weights_in_parts_take_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a checkpoint copies too; but each process builds the weights whole."""
    monkeypatch.setattr(module, "launched", lambda: (0, 4))
    whole, parts = (footprint(changed(*shard), Parity()) for shard in ((), ("training.shard=true",)))
    assert parts.state == whole.state / 4
    assert parts.copies == whole.copies / 4
    monkeypatch.setattr(module, "launched", lambda: (0, 8))
    assert footprint(changed("training.shard=true"), Parity()).copies == whole.copies / 6


# --- what is refused, and what is not -----------------------------------------------------------------


@pytest.mark.parametrize("value", [10**10])
@pytest.mark.parametrize("name", SIZES)
def test_a_size_out_of_bounds_is_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is {value}; with it the run takes at least .* lower it") as refusal:
        check_memory(changed(f"{name}={value}"), Parity())
    assert "there is 8 GiB" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param("teacher.width", 10**6, marks=pytest.mark.nightly), ("training.batch_size", 10**7)],
)
def test_nothing_is_taken_before_a_run_is_refused(name: str, value: int, tmp_path: Path) -> None:
    """In a process of its own, which may not have a GiB beyond what it starts with."""
    (tmp_path / "huge.yaml").write_text(json.dumps({**TINY, "name": "huge"}))
    program = (
        "import resource, sys, nounroll.experiments.run, torch._dynamo; from nounroll.cli.main import main\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (1 << 30)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size)); sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", program, "train", "huge.yaml", "--set", f"{name}={value}"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended
    assert ended.stderr.startswith(f"nounroll train: {name} is {value}; with it the run takes at least ")
    assert ended.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["huge.yaml"]


def test_control_without_the_estimate_it_is_not_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is then asked for, and whatever the machine answers is not this refusal."""
    asked: list[int] = []

    class Asked(Parity):
        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Any:
            asked.append(batch_size)
            if batch_size > 10**6:
                raise MemoryError
            return super().sample(batch_size, length, generator)

    huge = changed("training.batch_size=10000000", "training.curriculum=0")
    with pytest.raises(ValueError, match=r"^training\.batch_size is 10000000"):
        train(huge, Asked())
    assert max(asked) < 10**4  # what kind of data it is, a few sequences have told
    monkeypatch.setattr("nounroll.experiments.run.check_memory", lambda *_, **__: None)
    with pytest.raises(MemoryError):
        train(huge, Asked())


def test_fit_compare_and_sweep_refuse_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    huge = {"teacher.width": 10**6}
    said = r"^teacher\.width is 1000000; with it"
    with pytest.raises(ValueError, match=said):
        fit(Parity(), method="smt", cell="mlp", length=8, steps=1, settings=huge)
    with pytest.raises(ValueError, match=said):  # of the candidates, one has a teacher
        fit(Parity(), length=8, steps=1000, settings=huge)
    with pytest.raises(ValueError, match=said):
        compare(Parity(), methods=["bptt", "smt"], length=8, steps=1, settings=huge, progress=True)
    with pytest.raises(ValueError, match=said):
        sweep(tiny_recipe(), "teacher.width", [16, 10**6], progress=True)
    assert capsys.readouterr().err == ""


def test_a_cell_of_the_users_own_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, cell = changed("method=bptt"), OwnCell(5)
    found = footprint(recipe, Echo(), cell, kept=False)
    assert found.parameters == sum(
        p.numel() for p in Student(Echo.inputs, Echo.targets, cell, readout_width=16).parameters()
    )
    assert found.step > 0
    monkeypatch.setattr(module, "total_memory", lambda: found.total)
    train(recipe, Echo(), cell)
    monkeypatch.setattr(module, "total_memory", lambda: found.total - 1)
    with pytest.raises(ValueError, match="with it the run takes at least"):
        train(recipe, Echo(), cell)


def test_a_device_has_a_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = changed("training.device=cuda")
    found = footprint(recipe, Parity())
    assert found.step == footprint(changed(), Parity()).step / 2  # bf16
    monkeypatch.setattr(module, "device_memory", lambda device: found.device - 1)
    with pytest.raises(ValueError, match="of cuda memory, and there is"):
        check_memory(recipe, Parity())
    monkeypatch.setattr(module, "device_memory", lambda device: found.device)
    check_memory(recipe, Parity())
    monkeypatch.setattr(module, "total_memory", lambda: found.main - 1)
    with pytest.raises(ValueError, match="of main memory, and there is"):
        check_memory(recipe, Parity())


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_fit_into_8_gib(path: Path) -> None:
    """Whatever is chosen where the recipe leaves it open."""
    recipe, task = load(path), Parity()
    resolved = resolve(recipe, task)
    pairs = candidates(resolved.recipe, resolved.facts, None) if resolved.recipe.is_open() else []
    for changes in [{"method": method, "cell.kind": kind} for method, kind in pairs] or [{}]:
        check_memory(resolve(recipe.with_given(changes), task, resolved.facts).recipe, task)


# --- the figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["smt+dmt", "bptt", "transformer"])
def test_weights_and_sequences_are_counted_exactly(method: str) -> None:
    recipe, task = changed(f"method={method}"), Parity()
    found, run = footprint(recipe, task), train(recipe)
    trained = [run.model] if run.teacher is None else [run.model, run.teacher]
    weights = sum(p.nbytes for part in trained for p in part.parameters())
    batch = task.sample(8, 8, torch.Generator())
    assert found.state == 4 * weights
    assert found.copies == 6 * weights
    assert found.data == sum(t.nbytes for t in (batch.inputs, batch.targets, batch.mask)) * (1 + 9 * 2**13 // (8 * 8))


def test_an_evaluation_that_holds_more_than_a_step_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one sequence a step, eight held-out ones are more: their memories, and what is read out of them."""
    few = changed("method=bptt", "cell.kind=mlp", "training.batch_size=1", "training.accumulate=1")
    found, numbers = footprint(few, Parity()), few.cell.tokens * few.cell.memory_width
    assert found.evaluation == 4 * 8 * few.length * (numbers + 2 * 2)
    assert found.device == found.state + max(found.step, found.evaluation)
    monkeypatch.setattr(chunks, "NUMBERS", 2 * few.length * numbers)
    assert footprint(few, Parity()).evaluation == 4 * 2 * few.length * (numbers + 2 * 2)


MEASURED = """
import json, sys, torch
torch.set_num_threads(1)
from helpers import TINY, tiny_recipe
from nounroll.bench.memory import memory_figure
from nounroll.experiments.recipe import parse
from nounroll.experiments.run import train
train(tiny_recipe("training.steps=3"))
before = memory_figure("VmHWM")
train(parse(TINY, sys.argv[1:]))
print(memory_figure("VmHWM") - before)
"""
LARGER = (
    *("length=256", "training.batch_size=32", "training.curriculum=0", "training.evaluations=1"),
    *("training.steps=2", "cell.memory_width=32", "cell.tokens=4", "cell.width=0", "teacher.width=64"),
)


@pytest.mark.parametrize(
    ("method", "cell"),
    [("smt+dmt", "mlp"), *(pytest.param(m, c, marks=pytest.mark.nightly) for m, c in (
        ("smt", "transformer"), ("smt", "gru"), ("bptt", "lstm"), ("bptt", "mingru"), ("transformer", "mlp")))],
)  # fmt: skip
def test_a_run_takes_at_least_what_was_counted(method: str, cell: str) -> None:
    overrides = [*LARGER, f"method={method}", f"cell.kind={cell}", "smt.share=1"]
    words = [sys.executable, "-c", MEASURED, *overrides]
    ended = subprocess.run(words, cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    times = int(ended.stdout) / footprint(changed(*overrides), Parity(), kept=False).total
    assert 1 <= times < 6


def test_control_a_count_that_forgets_the_teacher_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    build = module.build
    monkeypatch.setattr(module, "build", lambda *given: (build(*given)[0], None))
    with pytest.raises(AssertionError):
        test_weights_and_sequences_are_counted_exactly("smt+dmt")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (1023, "1,023 bytes"), (1024, "1 KiB"), (23.5 * GIB, "23.5 GiB"), (float("inf"), "8 EiB")],
)
def test_bytes_in_words(number: float, text: str) -> None:
    assert in_words(number) == text
