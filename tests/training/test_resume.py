"""Resume is exact: a run stopped anywhere and resumed has the weights and the records of one that never stopped."""

import itertools
import json
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import FREE, same_state, state, tiny_recipe, tree_of
from nounroll.core.notices import Notice
from nounroll.experiments.run import Run, train
from nounroll.storage import checkpoint
from nounroll.storage.checkpoint import CheckpointError
from nounroll.training import run_state
from nounroll.training.log import MetricsFile, read_records

STEPS = 12  # three of each method: smt 1-3, dmt 4-6, tbptt 7-9, bptt 10-12

# A run is not asked to stop in the last step of a method: it goes on to the first of the next.
STOPS = {1: 1, 2: 2, 3: 4, 4: 5, 5: 7, 6: 8, 7: 10, 8: 11}  # times asked -> steps taken

# Windows begin at memories that steps before have left.
CARRIED = ("method=smt+tbptt", "tbptt.window=2", "smt.share=0.33", "training.curriculum=8")

WHOLE = TemporaryDirectory()  # runs that never stopped, one for each recipe; gone when Python ends


@pytest.fixture(autouse=True)
def _costs_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of the time of a tiny run, and have tests of their own."""
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)


def weights(run: Run) -> dict[str, Tensor]:
    assert run.teacher is not None
    return state(run.student, run.teacher)


def records(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without its clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def figures(folder: Path) -> dict[str, float]:
    return {k: v for k, v in json.loads((folder / "metrics.json").read_text()).items() if k != "seconds"}


def start(folder: Path, *overrides: str, stop_at: int | None = None, resume: bool = False) -> Run:
    """Train in a folder; with ``stop_at``, until asked to stop for that many times."""
    asked = itertools.count(1)
    recipe = tiny_recipe(f"training.steps={STEPS}", *overrides)
    return train(recipe, folder=folder, resume=resume, stop=lambda: next(asked) == stop_at)


@cache
def uninterrupted(*overrides: str) -> tuple[Run, Path]:
    folder = Path(WHOLE.name) / "-".join(["whole", *overrides])
    return start(folder, *overrides), folder


def assert_same_run(run: Run, folder: Path, *overrides: str) -> None:
    whole, whole_folder = uninterrupted(*overrides)
    assert run.finished
    assert same_state(weights(run), weights(whole))
    assert records(folder) == records(whole_folder)
    assert figures(folder) == figures(whole_folder)
    assert [{k: v for k, v in r.items() if k != "seconds"} for r in run.history] == records(folder)
    assert tree_of(folder) == tree_of(whole_folder)
    student = [path / "student" / "model.safetensors" for path in (folder, whole_folder)]
    assert student[0].read_bytes() == student[1].read_bytes()


@pytest.mark.parametrize(
    ("accumulate", "stop_at"),
    [
        *(pytest.param(1, stop_at, marks=[] if stop_at in (2, 4, 5, 8) else pytest.mark.nightly) for stop_at in STOPS),
        *(pytest.param(2, stop_at, marks=[] if stop_at in (3, 6) else pytest.mark.nightly) for stop_at in (1, 3, 6, 7)),
    ],
)
def test_stopped_once(tmp_path: Path, accumulate: int, stop_at: int) -> None:
    overrides = (f"training.accumulate={accumulate}",)
    stopped = start(tmp_path / "run", *overrides, stop_at=stop_at)
    assert not stopped.finished
    assert stopped.metrics["steps"] == STOPS[stop_at]
    assert_same_run(start(tmp_path / "run", *overrides, resume=True), tmp_path / "run", *overrides)


def test_stopped_whenever_it_may_be(tmp_path: Path) -> None:
    overrides = ("training.evaluations=3", "smt.transitions=5", "smt.noise=0.5")
    run = start(tmp_path / "run", *overrides, stop_at=1)
    while not run.finished:
        run = start(tmp_path / "run", *overrides, resume=True, stop_at=1)
    assert_same_run(run, tmp_path / "run", *overrides)


@pytest.mark.parametrize("stop_at", [3, 4, 6, 7])
def test_stopped_with_sequences_under_way(tmp_path: Path, stop_at: int) -> None:
    start(tmp_path / "run", *CARRIED, stop_at=stop_at)
    assert_same_run(start(tmp_path / "run", *CARRIED, resume=True), tmp_path / "run", *CARRIED)


@pytest.mark.parametrize("stop_at", [2, 4])
def test_stopped_with_a_decoder_that_shares_weights(tmp_path: Path, stop_at: int) -> None:
    overrides = ("method=smt+dmt", "teacher.kind=slots", "smt.decoding=1", "dmt.decoding=1")
    start(tmp_path / "run", *overrides, stop_at=stop_at)
    assert_same_run(start(tmp_path / "run", *overrides, resume=True), tmp_path / "run", *overrides)


ASKED_LESS = (
    *("method=smt+dmt", "training.steps=16", "training.evaluations=8", "training.accumulate=2"),
    *("dmt.only_ahead=true", "dmt.window=3"),
)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the teacher says counts: after two steps it is asked after 2, 4 and 8."""
    monkeypatch.setattr("nounroll.methods.heed._LITTLE", 10.0)
    monkeypatch.setattr("nounroll.methods.heed._PATIENCE", 2)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("stop_at", [10, 11, 14])
def test_stopped_where_the_teacher_is_asked_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
    monkeypatch.setattr("nounroll.training.loop._LOGGED", 1)
    start(tmp_path / "run", *ASKED_LESS, stop_at=stop_at)
    run = start(tmp_path / "run", *ASKED_LESS, resume=True)
    assert_same_run(run, tmp_path / "run", *ASKED_LESS)
    asked = ["ahead" in r for r in run.history if r["event"] == "train" and r["method"] == "dmt"]
    assert asked == [step in (0, 1, 2, 4) for step in range(8)]


@pytest.mark.usefixtures("silent")
def test_control_a_count_that_begins_anew_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.loop._LOGGED", 1)
    start(tmp_path / "run", *ASKED_LESS, stop_at=12)
    read = checkpoint.read
    monkeypatch.setattr(checkpoint, "read", lambda *given: ({**read(*given)[0], "method": {}}, read(*given)[1]))
    start(tmp_path / "run", *ASKED_LESS, resume=True)
    assert records(tmp_path / "run") != records(uninterrupted(*ASKED_LESS)[1])


def test_control_without_what_was_under_way_it_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "run", *CARRIED, stop_at=5)
    read = checkpoint.read
    monkeypatch.setattr(checkpoint, "read", lambda *given: ({**read(*given)[0], "method": {}}, read(*given)[1]))
    run = start(tmp_path / "run", *CARRIED, resume=True)
    assert not same_state(weights(run), weights(uninterrupted(*CARRIED)[0]))


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_stopped_where_the_student_passes_its_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    """Always ahead: SMT ends after its second evaluation, whoever stops there."""
    monkeypatch.setattr("nounroll.training.handover.Handover._is_passed", lambda *_: True)
    overrides = ("method=smt+dmt+bptt", "smt.until_passed=true", "smt.share=2", "training.evaluations=4")
    start(tmp_path / "run", *overrides, stop_at=stop_at)
    run = start(tmp_path / "run", *overrides, resume=True)
    assert_same_run(run, tmp_path / "run", *overrides)
    (passed,) = [record for record in run.history if record["event"] == "passed"]
    assert passed["step"] < 6  # of the 6 steps that SMT may take


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4])
def test_stopped_before_a_student_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
    """What it starts from is in the checkpoints."""
    monkeypatch.setattr("nounroll.training.handover._KNOWS", 9.0)
    overrides = ("method=smt+dmt+bptt", "smt.until_passed=true", "smt.share=2", "training.evaluations=3")
    start(tmp_path / "run", *overrides, stop_at=stop_at)
    run = start(tmp_path / "run", *overrides, resume=True)
    assert_same_run(run, tmp_path / "run", *overrides)
    assert [record["method"] for record in run.history if record["event"] == "restart"] == ["smt"]


def test_a_finished_run_stays_what_it_is(tmp_path: Path) -> None:
    start(tmp_path / "run")
    assert_same_run(start(tmp_path / "run", resume=True), tmp_path / "run")


def test_a_run_that_died_before_its_first_checkpoint_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", lambda *_: pytest.fail("died"))
        with pytest.raises(pytest.fail.Exception):
            start(tmp_path / "run")
    assert records(tmp_path / "run")
    assert_same_run(start(tmp_path / "run", resume=True), tmp_path / "run")


def test_a_run_that_died_as_a_method_began_logs_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DMT and BPTT measure the student they get: that record has the step of the checkpoint before it."""
    from nounroll.methods import DMT

    with monkeypatch.context() as patch:
        patch.setattr(DMT, "forward", lambda *_: pytest.fail("died"))
        with pytest.raises(pytest.fail.Exception):
            start(tmp_path / "run")
    last = records(tmp_path / "run")[-1]
    assert (last["event"], last["method"], last["step"]) == ("evaluation", "dmt", 3)
    assert_same_run(start(tmp_path / "run", resume=True), tmp_path / "run")


# --- controls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [2, 4])
def test_control_without_the_optimisers_state_it_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    start(tmp_path / "run", stop_at=stop_at)
    monkeypatch.setattr("nounroll.training.run_state.load_optimizer_state", lambda *_: None)
    run = start(tmp_path / "run", resume=True)
    assert not same_state(weights(run), weights(uninterrupted()[0]))


def test_control_without_the_average_it_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "run", stop_at=8)
    read = checkpoint.read
    monkeypatch.setattr(checkpoint, "read", lambda *given: ({**read(*given)[0], "average": {}}, read(*given)[1]))
    run = start(tmp_path / "run", resume=True)
    assert not same_state(weights(run), weights(uninterrupted()[0]))


def test_control_without_the_counters_it_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "run", stop_at=2)
    read = checkpoint.read

    def forgetful(*given: Any) -> Any:
        tensors, documents = read(*given)
        return tensors, {**documents, "counters": {**documents["counters"], "step": 0}}

    monkeypatch.setattr(checkpoint, "read", forgetful)
    run = start(tmp_path / "run", resume=True)
    assert not same_state(weights(run), weights(uninterrupted()[0]))


# --- what does not fit --------------------------------------------------------------------------------


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    start(tmp_path / "run", stop_at=2)
    with pytest.raises(CheckpointError, match=r"teacher\.width is 32, and .* was trained with 16; set it back"):
        start(tmp_path / "run", "teacher.width=32", resume=True)
    run = start(tmp_path / "run", "training.shard=true", resume=True)  # this one is free to change
    assert same_state(weights(run), weights(uninterrupted()[0]))


@pytest.mark.parametrize(("now", "said"), [(0.0, []), (0.5, [("training.vary", None, 0.5)])])
def test_a_setting_younger_than_a_checkpoint_counts_where_it_is_on(now: float, said: list[Any]) -> None:
    kept, recipe = {"training": {"patience": 0}}, {"training": {"patience": 0, "vary": now}}
    assert list(run_state._changes(kept, recipe)) == said


def test_a_checkpoint_that_lacks_a_part_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "run", stop_at=2)
    read = checkpoint.read
    monkeypatch.setattr(checkpoint, "read", lambda *given: ({**read(*given)[0], "teacher": {}}, read(*given)[1]))
    with pytest.raises(CheckpointError, match="does not fit this recipe: "):
        start(tmp_path / "run", resume=True)


def test_sequences_under_way_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "run", *CARRIED, stop_at=5)
    read = checkpoint.read
    for wrong in (lambda t: t[..., :-1], lambda t: t[..., :-1, :]):

        def cut(*given: Any, wrong: Any = wrong) -> Any:
            tensors, documents = read(*given)
            carried = tensors["method"]
            return {**tensors, "method": {**carried, "memory": wrong(carried["memory"])}}, documents

        monkeypatch.setattr(checkpoint, "read", cut)
        with pytest.raises(CheckpointError, match="does not fit this recipe: "):
            start(tmp_path / "run", *CARRIED, resume=True)


# --- metrics.jsonl ------------------------------------------------------------------------------------


def test_records_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    for step in range(4):
        file.write({"event": "train", "step": step, "loss": 0.1 + 0.2})
    path.write_text(path.read_text()[:-5])  # the process died in its last line
    file = MetricsFile(path, keep=2)
    assert file.kept == [{"event": "train", "step": step, "loss": 0.1 + 0.2} for step in range(2)]
    file.write({"event": "train", "step": 9})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1, 9]
    assert MetricsFile(path).kept == []
    assert path.read_text() == ""


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ('{"event": "train", "step": 1}\n', [1, None, None]),
        ('{"event": "train", "step": 1}\n{"event"\n{"event": "train", "step": 3}\n', [1, None, 3]),
        ("", [None, None, None]),
        ("[1]\n{}\n" + "[" * 5000, [None, None, None]),
    ],
    ids=["too short", "a broken line", "empty", "no records"],
)
def test_a_log_that_has_lost_records_is_mended_and_it_is_said(
    tmp_path: Path, text: str, steps: list[int | None]
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(text)
    lost = steps.count(None)
    with pytest.warns(Notice, match=f"metrics.jsonl has lost {lost} of the 3 records that the checkpoint expects"):
        file = MetricsFile(path, keep=3)
    assert [record.get("step") for record in file.kept] == steps
    assert [record["event"] for record in file.kept].count("lost") == lost
    file.write({"event": "train", "step": 4})
    assert read_records(path) == [*file.kept, {"event": "train", "step": 4}]


def test_a_log_that_is_long_enough_is_no_news(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"event": "train", "step": 1}\n{"event": "tr')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert MetricsFile(path, keep=1).kept == [{"event": "train", "step": 1}]
    assert path.read_text().count("\n") == 1


def test_nothing_is_written_without_a_folder() -> None:
    MetricsFile(None, keep=3).write({"step": 1})
    assert torch.isfinite(torch.tensor(train(tiny_recipe("training.steps=3")).metrics["loss"]))
