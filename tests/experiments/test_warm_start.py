"""A run may begin with a student and a teacher that are there already, and a finished one may be given more budget."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from forked import run_code
from helpers import same_state, state
from nounroll import Student, fit
from nounroll.core.batch import Batch, Categorical, Real
from nounroll.core.notices import Notice
from nounroll.data.task import SequenceTask
from nounroll.experiments.recipe import parse
from nounroll.experiments.resumption import extended
from nounroll.experiments.run import Run, train
from nounroll.experiments.run_folder import open_run
from nounroll.experiments.start import Start
from nounroll.experiments.verify import verify
from nounroll.experiments.warm_start import fingerprint, open_start, start_from
from nounroll.rollout.evaluate import evaluate, validation_batches
from nounroll.storage import checkpoint
from nounroll.training.handover import Handover
from nounroll.training.settings import Budget
from own_parts import Echo, OwnCell

SMALL: dict[str, Any] = {"cell.tokens": 2, "cell.memory_width": 8, "readout_width": 16}
TAUGHT: dict[str, Any] = {"teacher.kind": "causal", "teacher.width": 16, "teacher.layers": 1}
LOOP: dict[str, Any] = {"training.batch_size": 4, "training.evaluations": 4}
WARM: dict[str, Any] = {"length": 8, "settings": LOOP}
METHODS = ("bptt", "tbptt", "dmt", "smt", "smt+dmt", "dmt+bptt")


class Words(Echo):
    """Echo of more symbols, of which the target says whether they are even."""

    inputs, targets = Categorical(7), Categorical(2)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.randint(7, (batch_size, length), generator=generator)
        return Batch(x, x % 2)


class Even(Echo):
    """The inputs of Echo, and other targets."""

    targets = Categorical(2)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = super().sample(batch_size, length, generator).inputs
        return Batch(x, x % 2)


class Waves(SequenceTask):
    """Real numbers of a unit."""

    inputs = targets = Real(1)

    def __init__(self, unit: float) -> None:
        self.unit = unit

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return Batch.next_step(self.unit * (5 + torch.randn(batch_size, length + 1, 1, generator=generator)))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of SMT on Echo, kept in a folder."""
    how: dict[str, Any] = {"length": 8, "steps": 20, "settings": SMALL | TAUGHT | LOOP}
    return fit(Echo(), method="smt+dmt", cell="gru", out=tmp_path_factory.mktemp("old") / "run", **how)


def loss(student: Student) -> float:
    return evaluate(student, validation_batches(Echo(), 0, 8, 0))["loss"]


def weights(run: Run) -> dict[str, Tensor]:
    return state(run.student, *([run.teacher] if run.teacher else []))


# --- nothing is lost -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_without_a_budget_nothing_changes(old: Run, method: str) -> None:
    before = state(old.student, old.teacher)  # type: ignore[arg-type]
    run = fit(Echo(), student=old.student, teacher=old.teacher, method=method, steps=0, **WARM)
    assert run.finished
    assert run.metrics["steps"] == 0
    assert same_state(state(run.student), state(old.student))
    assert run.teacher is None or same_state(state(run.teacher), state(old.teacher))  # type: ignore[arg-type]
    assert run.student is not old.student
    assert same_state(before, state(old.student, old.teacher))  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [{"seconds": 0}, {"tokens": 0}, {"flops": 0.0}])
def test_a_budget_of_nothing_may_be_of_any_kind(old: Run, budget: dict[str, float]) -> None:
    run = fit(Echo(), student=old.student, method="bptt", **budget, **WARM)  # type: ignore[arg-type]
    assert same_state(state(run.student), state(old.student))


@pytest.mark.parametrize("method", METHODS)
def test_control_a_step_changes_the_student_and_leaves_the_one_that_was_given(old: Run, method: str) -> None:
    before = state(old.student, old.teacher)  # type: ignore[arg-type]
    run = fit(Echo(), student=old.student, teacher=old.teacher, method=method, steps=30, **WARM)
    assert not same_state(state(run.student), state(old.student))
    assert loss(run.student) < loss(old.student)
    assert same_state(before, state(old.student, old.teacher))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_no_student_is_handed_over_that_is_worse_than_the_one_that_was_given(old: Run, method: str) -> None:
    ruin = {"settings": LOOP | {"training.learning_rate": 3.0}}
    run = fit(Echo(), student=old.student, teacher=old.teacher, method=method, steps=8, **{**WARM, **ruin})
    assert loss(run.student) <= loss(old.student)


def test_control_without_the_rule_smt_hands_over_a_worse_one(old: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handover, "settle", lambda _: False)
    with pytest.raises(AssertionError):
        test_no_student_is_handed_over_that_is_worse_than_the_one_that_was_given(old, "smt")


def test_the_history_has_the_student_that_was_given_and_that_it_was_kept(old: Run) -> None:
    ruin = {"settings": LOOP | {"training.learning_rate": 3.0}}
    run = fit(Echo(), student=old.student, method="smt", steps=8, **{**WARM, **ruin})
    given, kept = (next(one for one in run.history if one["event"] == name) for name in ("given", "kept"))
    assert given["loss"] == pytest.approx(loss(old.student))
    assert (given["step"], kept["step"]) == (0, 8)
    assert same_state(state(run.student), state(old.student))


# --- what is kept, and what is new ---------------------------------------------------------------------


def test_targets_of_another_space_get_a_new_head(old: Run) -> None:
    run = fit(Even(), student=old.student, method="bptt", steps=0, **WARM)
    mine, its = run.student.state_dict(), old.student.state_dict()
    assert run.student.targets == Categorical(2)
    for name in its:
        assert name.startswith("head.") or torch.equal(mine[name], its[name]), name
    assert not torch.equal(mine["head.hidden.weight"], its["head.hidden.weight"])


def test_the_weights_of_targets_are_the_new_tasks(old: Run) -> None:
    class Weighted(Echo):
        targets = Categorical(5, weights=(1, 1, 1, 1, 9))

    weighted = fit(Weighted(), student=old.student, method="bptt", steps=1, **WARM)
    assert weighted.student.targets.weights == (1, 1, 1, 1, 9)
    again = fit(Echo(), student=weighted.student, method="bptt", steps=1, **WARM)
    assert again.student.targets.weights == ()


def test_a_head_is_new_where_it_is_asked_for(old: Run) -> None:
    run = fit(Echo(), student=old.student, new="head", method="bptt", steps=0, **WARM)
    mine, its = run.student.state_dict(), old.student.state_dict()
    changed = {name for name in its if not torch.equal(mine[name], its[name])}
    assert changed
    assert all(name.startswith("head.") for name in changed)


def test_inputs_of_another_space_need_a_word(old: Run) -> None:
    with pytest.raises(
        ValueError, match=r"^student has inputs Categorical\(n=5\), and the task's are Categorical\(n=7\)"
    ):
        fit(Words(), student=old.student, method="bptt", steps=2, **WARM)
    run = fit(Words(), student=old.student, new="inputs", method="bptt", steps=0, **WARM)
    mine, its = run.student.state_dict(), old.student.state_dict()
    for name in its:
        anew = name.startswith(("head.", "cell.embed."))
        assert anew or torch.equal(mine[name], its[name]), name
    assert mine["cell.embed.map.weight"].shape[0] == 7


def test_the_scale_is_the_old_students() -> None:
    how: dict[str, Any] = {"length": 8, "method": "bptt", "settings": SMALL | LOOP}
    old = fit(Waves(100), cell="gru", steps=3, **how)
    with pytest.warns(
        Notice, match=r"^inputs: number 0 has mean \S+ and spread \S+, and had mean .* give the new data in it$"
    ):
        run = fit(Waves(3000), student=old.student, steps=3, **how | {"settings": LOOP})
    assert isinstance(old.student.inputs, Real)
    for mine, its in ((run.student.inputs, old.student.inputs), (run.student.targets, old.student.targets)):
        assert (mine.shift, mine.scale) == (its.shift, its.scale)  # type: ignore[union-attr]
    fresh = fit(Waves(3000), cell="gru", steps=1, **how)
    assert fresh.student.inputs.scale != run.student.inputs.scale  # type: ignore[union-attr]


def test_auto_tries_methods_with_the_cell_of_the_student(old: Run) -> None:
    run = fit(Echo(), student=old.student, steps=700, **WARM)
    assert run.chosen is not None
    assert len(run.chosen.trials) > 1
    assert {trial["cell"] for trial in run.chosen.trials} == {"gru"}
    assert loss(run.student) <= loss(old.student)


def test_a_cell_of_ones_own_is_kept() -> None:
    old = fit(Echo(), cell=OwnCell(5), method="bptt", steps=3, length=8, settings=LOOP)
    run = fit(Echo(), student=old.student, method="bptt", steps=3, **WARM)
    assert isinstance(run.student.cell, OwnCell)
    assert run.student.cell is not old.student.cell
    assert not same_state(state(run.student), state(old.student))
    with pytest.raises(ValueError, match=r"a cell of your own, and the task's are Categorical\(n=7\)"):
        fit(Words(), student=old.student, new="inputs", method="bptt", steps=3, **WARM)


def test_a_teacher_alone_teaches_a_new_student(old: Run) -> None:
    how: dict[str, Any] = {"cell": "gru", "method": "dmt", "steps": 2, "length": 8, "settings": SMALL | LOOP}
    run = fit(Echo(), teacher=old.teacher, **how)
    assert run.teacher is not None
    assert old.teacher is not None
    mine, its = run.teacher.state_dict(), old.teacher.state_dict()
    assert all(torch.equal(mine[name], its[name]) for name in its if not name.startswith("decoder"))  # DMT trains that


def test_folders_are_taken_like_objects(old: Run, tmp_path: Path) -> None:
    assert old.folder is not None
    by_object = fit(Echo(), student=old.student, teacher=old.teacher, method="dmt", steps=3, **WARM)
    by_folder = fit(Echo(), student=old.folder, teacher=str(old.folder), method="dmt", steps=3, **WARM)
    assert same_state(weights(by_object), weights(by_folder))
    old.student.save_pretrained(tmp_path / "alone")
    alone = fit(Echo(), student=tmp_path / "alone", method="bptt", steps=0, **WARM)
    assert same_state(state(alone.student), state(old.student))


# --- mistakes ------------------------------------------------------------------------------------------


def test_mistakes_are_one_line(old: Run, tmp_path: Path) -> None:
    other = fit(Echo(), method="smt", cell="mlp", steps=2, length=8, settings=SMALL | TAUGHT | LOOP)
    wide = SMALL | TAUGHT | LOOP | {"cell.memory_width": 16}
    large = fit(Echo(), method="smt", cell="gru", steps=2, length=8, settings=wide)
    given: dict[str, Any] = {"student": old.student}
    fit(Echo(), method="bptt", cell="gru", steps=2, length=8, settings=SMALL | LOOP, out=tmp_path / "bptt")
    for arguments, said in (
        ({**given, "cell": "mlp"}, r"^cell is 'mlp' and student is given, which has a cell of its own"),
        ({**given, "cell": OwnCell(5)}, r"^cell is a OwnCell and student is given"),
        ({**given, "settings": {"cell.memory_width": 4}}, r"^cell\.memory_width is 4, and the student .* has 8; leave"),
        ({**given, "teacher": other.teacher, "method": "dmt"}, r"^teacher has memories of another range; give"),
        (
            {**given, "teacher": large.teacher, "method": "dmt"},
            r"^teacher has memories of shape \(2, 16\), the student \(2, 8\)",
        ),
        ({**given, "method": "dmt"}, r"^method is 'dmt'; dmt needs smt before it"),
        ({**given, "teacher": tmp_path / "bptt", "method": "dmt"}, r"^teacher is .*; that run has no teacher"),
        ({"student": tmp_path}, r"holds no student; it needs"),
        ({**given, "new": "cell"}, r"^new is 'cell'; it must be inputs or head, or both$"),
        ({"new": "head"}, r"^new is 'head' but student is not given"),
        ({**given, "method": "transformer"}, r"^method is 'transformer', which trains no student"),
        ({"steps": 0}, r"^training\.steps is 0; it must be more than 0$"),
        ({**given, "steps": 0, "out": tmp_path / "none"}, r"^training\.steps is 0; it must be more than 0$"),
    ):
        with pytest.raises(ValueError, match=said) as refusal:
            fit(Echo(), **{"method": "bptt", "steps": 2, "length": 8, **arguments})
        assert "\n" not in str(refusal.value)
    assert not (tmp_path / "none").exists()


def test_a_teacher_of_other_targets_is_one_line(old: Run) -> None:
    with pytest.raises(ValueError, match=r"^teacher does not fit this task and network: size mismatch .*--new teacher"):
        fit(Even(), student=old.student, teacher=old.teacher, method="smt", steps=2, **WARM)


# --- the folder ----------------------------------------------------------------------------------------


def test_a_run_keeps_what_it_began_with_and_where_that_came_from(old: Run, tmp_path: Path) -> None:
    assert old.folder is not None
    fit(Echo(), student=old.folder, teacher=old.folder, method="dmt", steps=3, out=tmp_path / "run", **WARM)
    start = Start.read(tmp_path / "run")
    assert start is not None
    assert start.origin["student"]["path"] == start.origin["teacher"]["path"] == str(old.folder)
    assert start.origin["student"]["sha256"] == fingerprint(old.student.state_dict())
    assert same_state(dict(start.student), old.student.state_dict())
    other = {name: t + 1 for name, t in old.student.state_dict().items()}
    assert fingerprint(other) != start.origin["student"]["sha256"]
    assert verify(tmp_path / "run").faults == []
    weights = tmp_path / "run" / "start" / "student.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    (fault,) = verify(tmp_path / "run").faults
    assert fault.startswith(f"{weights} is damaged")


def killed(folder: Path, source: Path, step: int, how: dict[str, Any]) -> None:
    """Begin a run with that of another folder in a process of its own, and kill it at a step."""
    code = f"""
import os
from nounroll import fit
from nounroll.experiments.verify import verify
from own_parts import Echo
class Dies(Echo):
    def sample(self, rows, length, generator):
        self.drawn = getattr(self, "drawn", 0) + (rows == 4)
        if self.drawn == {step}:
            os._exit(9)
        return super().sample(rows, length, generator)
fit(Dies(), student={str(source)!r}, teacher={str(source)!r}, out={str(folder)!r}, **{how!r})
"""
    assert run_code(code, folder.parent)[0] == 9


@pytest.mark.parametrize("step", [4, 9])
@pytest.mark.parametrize("method", ["dmt", "smt"])
def test_a_warm_run_that_was_killed_goes_on_to_the_one_that_was_not(
    old: Run, tmp_path: Path, method: str, step: int
) -> None:
    assert old.folder is not None
    how = {"method": method, "steps": 8, **WARM}
    whole = fit(Echo(), student=old.folder, teacher=old.folder, out=tmp_path / "whole", **how)  # type: ignore[arg-type]
    killed(tmp_path / "run", old.folder, step, how)
    assert (checkpoint.newest(tmp_path / "run" / "checkpoints") is None) == (step == 4)
    resumed = fit(Echo(), out=tmp_path / "run", resume=True)
    assert same_state(weights(resumed), weights(whole))
    assert [{**one, "seconds": 0} for one in resumed.history] == [{**one, "seconds": 0} for one in whole.history]


def test_control_without_what_it_began_with_it_is_another_run(old: Run, tmp_path: Path) -> None:
    assert old.folder is not None
    how = {"method": "bptt", "steps": 8, **WARM}
    whole = fit(Echo(), student=old.folder, **how)  # type: ignore[arg-type]
    killed(tmp_path / "run", old.folder, 4, how)
    for path in sorted((tmp_path / "run" / "start").iterdir()):
        path.unlink()
    (tmp_path / "run" / "start").rmdir()
    for path in (tmp_path / "run" / "checkpoints").glob("*"):
        checkpoint.remove(path)
    assert not same_state(state(fit(Echo(), out=tmp_path / "run", resume=True).student), state(whole.student))


def test_the_same_script_goes_on_and_another_student_is_refused(old: Run, tmp_path: Path) -> None:
    how: dict[str, Any] = {"method": "bptt", "steps": 4, "out": tmp_path / "run", "resume": True, **WARM}
    first = fit(Echo(), student=old.student, **how)
    again = fit(Echo(), student=old.student, **how)
    assert same_state(state(first.student), state(again.student))
    assert len(first.history) == len(again.history)
    with pytest.raises(ValueError, match=r"^student differs from the one that the run in .* began with; leave it out$"):
        fit(Echo(), student=first.student, **how)


# --- more budget ---------------------------------------------------------------------------------------

ECHO: dict[str, Any] = {"method": "bptt", "cell": "gru", "length": 8, "settings": SMALL | LOOP}


@pytest.mark.parametrize(
    ("more", "name", "spent"),
    [({"steps": 15}, "steps", 25), ({"tokens": 320}, "tokens", 640), ({"seconds": 0.5}, "", 0)],
)
def test_a_finished_run_takes_more(tmp_path: Path, more: dict[str, Any], name: str, spent: int) -> None:
    short = fit(Echo(), steps=10, out=tmp_path / "run", **ECHO)
    run = fit(Echo(), out=tmp_path / "run", resume=True, **more)
    assert run.finished
    assert run.metrics["steps"] > 10
    assert loss(run.student) < loss(short.student)
    assert run.metrics.get(name, 0) >= spent
    assert name != "steps" or run.metrics["steps"] == spent
    again = fit(Echo(), out=tmp_path / "run", resume=True)  # it is finished
    assert same_state(state(again.student), state(run.student))
    assert len(again.history) == len(run.history)


def test_it_is_never_worse_for_more(tmp_path: Path) -> None:
    short = fit(Echo(), steps=12, out=tmp_path / "run", **ECHO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nounroll.training.loop.learning_rate", lambda *_: 1e3)
        run = fit(Echo(), out=tmp_path / "run", resume=True, steps=6)
    assert run.metrics["steps"] == 18
    assert loss(run.student) <= loss(short.student)


def test_what_is_added_resumes_exactly(tmp_path: Path) -> None:
    asked = iter(range(1000))
    for name in ("whole", "stopped"):
        fit(Echo(), steps=10, out=tmp_path / name, **ECHO)
    whole = fit(Echo(), out=tmp_path / "whole", resume=True, steps=14)
    recipe, folder = open_run(tmp_path / "stopped")
    longer = extended(recipe, folder, Budget("steps", 14))
    stopped = train(longer, Echo(), folder=folder, resume=True, stop=lambda: next(asked) == 5)
    assert not stopped.finished
    with pytest.raises(ValueError, match=r"^training\.steps is 14, and .* is trained with '24 steps'; leave it out"):
        fit(Echo(), out=folder, resume=True, steps=14)
    resumed = fit(Echo(), out=folder, resume=True)
    assert same_state(state(resumed.student), state(whole.student))
    assert [{**one, "seconds": 0} for one in resumed.history] == [{**one, "seconds": 0} for one in whole.history]


def test_the_last_method_of_a_chain_goes_on(old: Run, tmp_path: Path) -> None:
    how: dict[str, Any] = {"length": 8, "steps": 8, "settings": SMALL | TAUGHT | LOOP, "cell": "gru"}
    fit(Echo(), method="smt+dmt", out=tmp_path / "run", **how)
    run = fit(Echo(), out=tmp_path / "run", resume=True, steps=6)
    (given,) = (place for place, one in enumerate(run.history) if one["event"] == "given")
    assert {one["method"] for one in run.history[given:]} == {"dmt"}
    assert run.metrics["steps"] == 14


# --- a run of the command ------------------------------------------------------------------------------

RECIPE = {"task": {"kind": "parity"}, "length": 8, "method": "smt+dmt", "cell": {"kind": "gru"}}


def test_from_a_run_takes_its_teacher_where_the_method_has_one(tmp_path: Path) -> None:
    recipe = parse(RECIPE, {**SMALL, **TAUGHT, **LOOP, "training.steps": 6})
    run = train(recipe, folder=tmp_path / "run")
    bare = {"task": {"kind": "parity"}, "length": 8, "method": "dmt"}
    for method, taught in (("dmt", True), ("smt", True), ("auto", True), ("bptt", False)):
        start = start_from(tmp_path / "run", method)
        assert bool(start.teacher) == taught
        assert same_state(dict(start.student), run.student.state_dict())
    assert not start_from(tmp_path / "run", "smt", ["teacher"]).teacher
    start = start_from(tmp_path / "run", "dmt")
    with pytest.raises(
        ValueError, match=r"^cell\.kind is 'mlp', and the student that is given has 'gru'; leave it out$"
    ):
        start.applied(parse(bare, {"cell.kind": "mlp"}))
    warm = train(start.applied(parse(bare, {**LOOP, "training.steps": 3})), start=start, folder=tmp_path / "warm")
    assert warm.recipe.cell == run.recipe.cell
    assert json.loads((tmp_path / "warm" / "start" / "origin.json").read_text())["student"]["path"].endswith("run")


def test_what_is_opened_is_a_copy(old: Run) -> None:
    start = open_start(old.student, None)
    for tensor in start.student.values():
        tensor.zero_()
    assert all(bool(t.any()) for t in old.student.parameters())


@pytest.mark.parametrize(
    "document", [[], {}, {"student": 3}, {"student": {"sha256": "0"}, "teacher": None, "new": 1, "tokenizer": None}]
)
def test_an_origin_of_another_form_is_one_line(old: Run, tmp_path: Path, document: object) -> None:
    checkpoint.write(tmp_path / "start", {"student": old.student.state_dict()}, {"origin": document})
    with pytest.raises(ValueError, match=r"start/origin\.json cannot be read: ") as refusal:
        Start.read(tmp_path)
    assert "\n" not in str(refusal.value)


class Spelled(Echo):
    """A task that reads text by some tokenizer."""

    def __init__(self, merges: list[int]) -> None:
        self.merges = merges

    def speech(self) -> dict[str, Any]:
        return {"tokenizer": {"merges": self.merges}}


def test_text_by_another_tokenizer_needs_a_word() -> None:
    old = fit(Spelled([1]), steps=2, **ECHO)
    how: dict[str, Any] = {"student": old.student, "method": "bptt", "steps": 0, **WARM}
    assert same_state(state(fit(Spelled([1]), **how).student), state(old.student))
    with pytest.raises(ValueError, match=r"^student reads text by another tokenizer than the task's"):
        fit(Spelled([2]), **how)
    run = fit(Spelled([2]), **how, new=["inputs", "head"])
    mine, its = run.student.state_dict(), old.student.state_dict()
    assert not torch.equal(mine["cell.embed.map.weight"], its["cell.embed.map.weight"])


def test_a_teacher_of_another_scale_is_refused_and_alone_it_sets_the_scale() -> None:
    how: dict[str, Any] = {"length": 8, "method": "smt", "cell": "gru", "steps": 2, "settings": SMALL | TAUGHT | LOOP}
    one, other = fit(Waves(100), **how), fit(Waves(3000), **how)
    with pytest.raises(ValueError, match=r"^teacher was trained with inputs of another shift and scale than the stud"):
        fit(Waves(100), student=one.student, teacher=other.teacher, method="dmt", steps=2, **WARM)
    run = fit(Waves(3000), teacher=one.teacher, **how)
    assert run.student.inputs.scale == one.student.inputs.scale  # type: ignore[union-attr]
