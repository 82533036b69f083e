"""Runs whose teacher is a language model that exists: what is kept, how they go on, and what is handed over."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers import FREE, same_state, state, tiny_recipe
from nounroll import data
from nounroll.cli.main import main as command
from nounroll.experiments.auto import candidates
from nounroll.experiments.footprint import footprint
from nounroll.experiments.recipe import Recipe, parse
from nounroll.experiments.resolve import resolve
from nounroll.experiments.run import Run, fit, train
from nounroll.experiments.run_folder import open_student, open_teacher
from nounroll.hub import save_pretrained
from nounroll.models.student import Student
from nounroll.rollout.evaluate import evaluate, validation_batches
from nounroll.storage import checkpoint
from pretrained_models import FAMILIES, TEXT, llama, save_language_model, save_model, save_tokenizer

SMALL = ("method=smt+dmt", "training.steps=8", "training.evaluations=2", "training.curriculum=0")


@pytest.fixture(autouse=True)
def _costs_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)


@pytest.fixture(scope="module")
def bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads two tokens, as parity has."""
    return save_model(tmp_path_factory.mktemp("bits"), symbols=2)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its tokenizer, and a text beside it."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "book.py").write_text(TEXT * 60)
    return save_language_model(folder / "model")


def of_bits(folder: Path, *settings: str, frozen: bool = True) -> Recipe:
    own = ("teacher.kind=transformers", f"teacher.path={folder}", f"teacher.frozen={str(frozen).lower()}")
    return tiny_recipe(*SMALL, *own, *settings)


def of_words(folder: Path, *settings: str, **task: Any) -> Recipe:
    own = ("teacher.kind=transformers", f"teacher.path={folder}")
    document = tiny_recipe(*SMALL).given_to_dict()
    document["task"] = {"kind": "text", "options": {"path": str(folder.parent / "book.py"), **task}}
    return parse(document, [*own, *settings])


NIGHTLY = pytest.mark.nightly  # no part of the gate


def weights(run: Run) -> dict[str, Tensor]:
    assert run.teacher is not None
    return state(run.student, run.teacher)


def stopping(at: int) -> Callable[[], bool]:
    asked = itertools.count(1)
    return lambda: next(asked) == at


# --- weights --------------------------------------------------------------------------------------


def of_the_file(folder: Path, run: Run) -> list[bool]:
    """Whether each weight of the run's model is that of the folder."""
    its = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert run.teacher is not None
    return [torch.equal(value, its[name]) for name, value in run.teacher.encoder.model.state_dict().items()]


def test_frozen_weights_stay_and_are_in_no_checkpoint(bits: Path, tmp_path: Path) -> None:
    run = train(of_bits(bits), folder=tmp_path / "run")
    assert all(of_the_file(bits, run))
    newest = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert newest is not None
    names = load_file(newest / "teacher.safetensors").keys()
    assert {"encoder.fingerprint", "head.weight"} <= names
    assert not [name for name in names if "transformer" in name]
    head = AutoModelForCausalLM.from_pretrained(bits).config.n_embd
    assert run.teacher is not None
    assert run.teacher.head.weight.shape[1] == head


def test_trained_weights_move_and_are_in_checkpoints(bits: Path, tmp_path: Path) -> None:
    run = train(of_bits(bits, frozen=False), folder=tmp_path / "run")
    same = of_the_file(bits, run)
    assert same.count(False) > 0.9 * len(same)
    opened = open_teacher(tmp_path / "run", run.student)
    assert opened is not None
    assert run.teacher is not None
    assert same_state(state(opened), state(run.teacher))
    inputs = torch.randint(2, (3, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(opened.memories(inputs), run.teacher.memories(inputs))


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stop_at", [pytest.param(1, marks=NIGHTLY), 3, pytest.param(5, marks=NIGHTLY)])
def test_it_is_resumed_exactly(frozen: bool, family: str, stop_at: int, tmp_path: Path) -> None:
    recipe = of_bits(save_model(tmp_path / "model", FAMILIES[family], 2), frozen=frozen)
    whole = train(recipe, folder=tmp_path / "whole")
    assert not train(recipe, folder=tmp_path / "stopped", stop=stopping(stop_at)).finished
    resumed = train(recipe, folder=tmp_path / "stopped", resume=True)
    assert resumed.finished
    assert same_state(weights(resumed), weights(whole))


def test_a_changed_model_is_refused(tmp_path: Path) -> None:
    recipe = of_bits(save_model(tmp_path / "model", symbols=2))
    for name in ("changed", "same"):
        train(recipe, folder=tmp_path / name, stop=stopping(2))
    assert train(recipe, folder=tmp_path / "same", resume=True).finished
    save_model(tmp_path / "model", symbols=2, seed=1)
    with pytest.raises(checkpoint.CheckpointError) as refusal:
        train(recipe, folder=tmp_path / "changed", resume=True)
    said = str(refusal.value)
    assert "the model in teacher.path is not the one that it was trained with; put that one back" in said
    assert "\n" not in said


def test_another_run_takes_the_teacher(bits: Path, tmp_path: Path) -> None:
    first = train(of_bits(bits, "method=smt"), folder=tmp_path / "first")
    second = train(of_bits(bits, "method=smt", f"smt.teacher={tmp_path / 'first'}", "cell.kind=transformer"))
    assert first.teacher is not None
    assert second.teacher is not None
    assert torch.equal(first.teacher.head.weight, second.teacher.head.weight)


def test_what_is_frozen_is_counted_as_memory(bits: Path) -> None:
    task, numbers = (
        data.build("parity"),
        sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(bits).parameters()),
    )
    frozen, trained = (footprint(resolve(of_bits(bits, frozen=how), task).recipe, task) for how in (True, False))
    assert trained.parameters - frozen.parameters == numbers
    assert trained.state - frozen.state == 3 * 4 * numbers  # and its gradients and moments


# --- text -----------------------------------------------------------------------------------------


def test_a_student_alone_is_the_student_that_was_trained(words: Path, tmp_path: Path) -> None:
    run = train(of_words(words), folder=tmp_path / "run")
    _, task, alone = open_student(tmp_path / "run")
    batches = validation_batches(task, 0, 8, 0, stream="test")
    assert evaluate(alone, batches)["bits"] == run.metrics["bits"]
    assert run.teacher is not None
    empty = run.teacher.empty_memory(alone.inputs.zeros(1, 1))
    smt = train(of_words(words, "method=smt"))
    assert smt.teacher is not None
    torch.testing.assert_close(smt.student.empty_memory, smt.teacher.empty_memory(alone.inputs.zeros(1, 1)))
    assert empty.shape == alone.empty_memory.shape
    code = f"""
import sys
from nounroll.models.student import Student
student = Student.from_pretrained({str(tmp_path / "run" / "student")!r})
assert "transformers" not in sys.modules and "nounroll.teacher" not in sys.modules
print(student.inputs.n)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "280\n"


def test_what_is_left_open_is_decided_for_a_model_that_exists(words: Path) -> None:
    recipe = of_words(words)
    assert recipe.task.options["tokenizer"] == str(words)
    found = resolve(recipe, data.build("text", recipe.task.options))
    assert found.recipe.teacher.frozen
    assert found.recipe.teacher.distillation == 0.8
    assert {"teacher.frozen", "teacher.distillation"} <= found.reasons.keys()
    tried = candidates(parse({**recipe.given_to_dict(), "method": "auto"}), found.facts, None)
    assert {method for method, _ in tried} == {"smt+dmt"}  # no other learns from it
    given = of_words(words, "teacher.frozen=false", "teacher.distillation=0.1")
    kept = resolve(given, data.build("text", recipe.task.options)).recipe.teacher
    assert (kept.frozen, kept.distillation) == (False, 0.1)


def test_distillation_is_for_targets_that_follow(bits: Path) -> None:
    with pytest.raises(ValueError, match=r"^teacher\.distillation is 0\.5; Parity's targets are not the inputs that"):
        train(of_bits(bits, "teacher.distillation=0.5"))
    assert resolve(of_bits(bits), data.build("parity")).recipe.teacher.distillation == 0


@pytest.mark.parametrize("frozen", ["true", "false"])
def test_other_tokens_are_refused(words: Path, tmp_path: Path, frozen: str) -> None:
    with pytest.raises(ValueError, match=r"its model reads 280 tokens and the task gives Categorical\(n=256\): make"):
        train(of_words(words, f"teacher.frozen={frozen}", tokenizer=None))
    assert save_tokenizer(tmp_path, text=TEXT.replace("x", "yes")) == 280
    with pytest.raises(ValueError, match=r"^text\.tokenizer is '.*'; its tokens are not those of the model in") as told:
        train(of_words(words, f"teacher.frozen={frozen}", tokenizer=str(tmp_path)))
    assert "\n" not in str(told.value)


def test_a_length_that_the_model_cannot_read_is_refused(words: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^length is 64; the model in teacher\.path reads at most 63 tokens after its"
    ):
        train(of_words(words, "length=64"))


def test_lengths_that_the_model_cannot_read_show_the_student_alone(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nounroll.analysis.lengths._FACTORS", (1, 2))
    monkeypatch.setattr("nounroll.analysis.refit._STEPS", 2)
    train(of_words(words, "length=32", "training.steps=2"), folder=tmp_path / "run")
    assert command(["analyze", str(tmp_path / "run"), "--sequences", "2"]) == 0
    assert "lengths" in {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    found = json.loads((tmp_path / "run" / "analysis.json").read_text())["lengths"]
    assert [(one["length"], one["teacher"] is None) for one in found] == [(32, False), (64, True)]


def test_a_run_opens_without_the_model(tmp_path: Path) -> None:
    """Its tokenizer it needs, to know its text by."""
    (tmp_path / "book.py").write_text(TEXT * 60)
    folder = save_language_model(tmp_path / "model", llama)
    train(of_words(folder), folder=tmp_path / "run")
    (folder / "model.safetensors").unlink()
    _, task, student = open_student(tmp_path / "run")
    drawn = student.generate(task.prompt()[None], 5, temperature=0)
    assert isinstance(task.decode(drawn[0]), str)


def test_transformers_reads_the_student_with_the_tokens_of_its_teacher(words: Path, tmp_path: Path) -> None:
    run = train(of_words(words))
    save_pretrained(run.student, tmp_path / "hub", run.task)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "hub")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "hub")
    tokens = tokenizer("def is_odd", return_tensors="pt")
    assert run.task is not None
    assert tokens.input_ids[0].tolist() == run.task.encode("def is_odd").tolist()
    drawn = model.generate(**tokens, max_new_tokens=6, do_sample=False)
    assert torch.equal(drawn[:, len(tokens.input_ids[0]) :], run.student.generate(tokens.input_ids, 6, temperature=0))
    two = tokenizer(["def is_odd", "x"], return_tensors="pt", padding=True)
    assert two.input_ids[1, 0] == model.config.pad_token_id == 280


def test_fit_takes_a_task_with_the_models_tokens(words: Path) -> None:
    task = data.build("text", {"path": str(words.parent / "book.py"), "tokenizer": str(words)})
    settings = {"teacher.kind": "transformers", "teacher.path": str(words)}
    run = fit(task, method="smt+dmt", cell="gru", length=16, steps=4, settings=settings)
    assert isinstance(run.student, Student)
    assert run.metrics["bits"] < 10
