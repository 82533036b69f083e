"""Runs on tasks of one's own: Ctrl-C ends them with a checkpoint, and fit goes on with them."""

import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import nounroll
from forked import run_code
from helpers import same_state, state
from nounroll import fit
from nounroll.core.batch import Batch
from nounroll.core.interrupts import stop_on_interrupt
from nounroll.experiments.run import Run, train
from nounroll.experiments.run_folder import open_run, open_student
from nounroll.storage import checkpoint
from nounroll.training.counters import Counters
from own_parts import Echo, OwnCell

SMALL: dict[str, Any] = {"cell.tokens": 2, "cell.memory_width": 8, "readout_width": 16, "training.batch_size": 5}
BPTT: dict[str, Any] = {"method": "bptt", "cell": "gru", "length": 8, "steps": 12, "settings": SMALL}


class Interrupted(Echo):
    """Ctrl-C comes when the batch of a step is drawn."""

    def __init__(self, *at: int) -> None:
        self.at, self.drawn = at, 0

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        if batch_size == SMALL["training.batch_size"]:
            self.drawn += 1
            for _ in range(self.at.count(self.drawn)):
                os.kill(os.getpid(), signal.SIGINT)
        return super().sample(batch_size, length, generator)


def counters(folder: Path) -> Counters:
    newest = checkpoint.newest(folder / "checkpoints")
    assert newest is not None
    return Counters.from_dict(checkpoint.read(newest)[1]["counters"])


def weights(run: Run) -> dict[str, Tensor]:
    return state(run.student)


# --- Ctrl-C --------------------------------------------------------------------------------------------


def test_ctrl_c_returns_the_run_so_far_and_resume_makes_it_the_one_that_was_never_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = fit(Echo(), **BPTT)
    run = fit(Interrupted(5), out=tmp_path / "run", **BPTT)
    assert (run.finished, run.metrics["steps"]) == (False, 5)
    assert counters(tmp_path / "run").step == 5
    way = f"nounroll.fit(task, out={str(tmp_path / 'run')!r}, resume=True)"
    assert capsys.readouterr().err == f"nounroll: stopped after 5 steps; continue with: {way}\n"
    resumed = eval(way, {"nounroll": nounroll, "task": Echo()})  # what is advised works as it stands
    assert resumed.finished
    assert same_state(weights(resumed), weights(whole))
    assert resumed.metrics | {"seconds": 0} == whole.metrics | {"seconds": 0}


def test_without_a_folder_ctrl_c_says_that_nothing_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert not fit(Interrupted(3), **BPTT).finished
    assert capsys.readouterr().err == "nounroll: stopped after 3 steps; nothing of it is kept, as out is not set\n"


def test_a_second_ctrl_c_raises() -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(3, 3), **BPTT)


def test_the_test_sends_a_real_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: where fit does not listen, it is lost."""

    @contextmanager
    def deaf() -> Iterator[Any]:
        yield lambda: False

    monkeypatch.setattr("nounroll.experiments.run.stop_on_interrupt", deaf)
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupted(3), **BPTT)


def test_what_listens_to_ctrl_c_already_goes_on_to() -> None:
    heard: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        assert fit(Interrupted(3), **BPTT).finished
    finally:
        signal.signal(signal.SIGINT, former)
    assert heard == [signal.SIGINT]


def test_signals_are_left_alone_in_threads_and_put_back() -> None:
    found: list[bool] = []

    def inside() -> None:
        with stop_on_interrupt() as stop:
            found.append(stop())

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [False]
    fit(Echo(), **BPTT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- resume --------------------------------------------------------------------------------------------


def test_resume_of_a_finished_run_removes_what_a_process_that_died_left(tmp_path: Path) -> None:
    """It may have died after the last checkpoint, while it removed an older one or wrote the student."""
    run = tmp_path / "run"
    first = fit(Echo(), out=run, **BPTT)
    (run / ".tmp-of-mine").mkdir()
    (run / ".backup-20240101").touch()  # of the user's
    whole = sorted(run.rglob("*"))
    newest = sorted((run / "checkpoints").iterdir())[-1]
    shutil.copytree(newest, newest.with_name("step-00000000"))
    for unfinished in (newest.with_name(".tmp-step-00000001-0123abcd"), run / ".tmp-student-0123abcd"):
        unfinished.mkdir()
        (unfinished / "student.safetensors").touch()
    (run / ".metrics.json-0123abcd").touch()
    assert same_state(weights(fit(Echo(), out=run, resume=True, **BPTT)), weights(first))
    assert sorted(run.rglob("*")) == whole


def test_resume_starts_a_run_where_there_is_none_and_returns_one_that_is_finished(tmp_path: Path) -> None:
    first = fit(Echo(), out=tmp_path / "run", resume=True, **BPTT)
    again = fit(Echo(), out=tmp_path / "run", resume=True, **BPTT)
    assert first.finished
    assert again.finished
    assert same_state(weights(first), weights(again))
    assert len(again.history) == len(first.history)


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    code = f"""
import os
from nounroll import fit
from own_parts import Echo
class Dies(Echo):
    def sample(self, rows, length, generator):
        self.drawn = getattr(self, "drawn", 0) + (rows == 5)
        if self.drawn == 8:
            os._exit(9)
        return super().sample(rows, length, generator)
fit(Dies(), out={str(tmp_path / "run")!r}, **{ {**BPTT, "settings": {**SMALL, "training.evaluations": 4}}!r})
"""
    assert run_code(code, tmp_path)[0] == 9
    assert 0 < counters(tmp_path / "run").step < 8
    whole = fit(Echo(), **{**BPTT, "settings": {**SMALL, "training.evaluations": 4}})
    assert same_state(weights(fit(Echo(), out=tmp_path / "run", resume=True)), weights(whole))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    fit(Interrupted(5), out=folder, seed=3, **BPTT)
    return folder


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "tbptt"}, "method is 'tbptt', and {} is trained with 'bptt'"),
        ({"cell": "mlp"}, "cell.kind is 'mlp', and {} is trained with 'gru'"),
        ({"length": 16}, "length is 16, and {} is trained with 8"),
        ({"steps": 13}, "training.steps is 13, and {} is trained with '12 steps'"),
        ({"seconds": 12}, "training.seconds is 12.0, and {} is trained with '12 steps'"),
        ({"seed": 0}, "training.seed is 0, and {} is trained with 3"),
        ({"settings": {"cell.memory_width": 4}}, "cell.memory_width is 4, and {} is trained with 8"),
        ({"settings": {"training.seed": 1}}, "training.seed is 1, and {} is trained with 3"),
    ],
)
def test_settings_that_are_not_as_they_were_are_refused_by_name(
    stopped: Path, given: dict[str, Any], said: str
) -> None:
    before = counters(stopped).step
    with pytest.raises(ValueError, match=f"^{re.escape(said.format(stopped))}; leave it out, or set it back$"):
        fit(Echo(), out=stopped, resume=True, **given)
    assert counters(stopped).step == before


def test_other_mistakes_with_resume_are_told(stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^resume is True and out is not set; give the folder"):
        fit(Echo(), resume=True)
    fit(Echo(), out=tmp_path / "own", method="bptt", cell=OwnCell(5), length=8, steps=2, settings=SMALL)
    with pytest.raises(
        ValueError, match=r"was trained with a cell of your own; give cell=, a module of the same sizes$"
    ):
        fit(Echo(), out=tmp_path / "own", resume=True)
    assert fit(Echo(), out=tmp_path / "own", cell=OwnCell(5), resume=True).finished


@pytest.mark.nightly
def test_a_run_whose_method_is_chosen_goes_on_from_its_trials_and_after_them(tmp_path: Path) -> None:
    auto: dict[str, Any] = {"length": 8, "steps": 670, "settings": SMALL}
    for at, name in ((15, "trials"), (120, "chosen.json")):
        folder = tmp_path / name
        assert not fit(Interrupted(at), out=folder, **auto).finished
        assert (folder / name).exists()
        run = fit(Echo(), out=folder, resume=True, **auto)
        assert run.finished
        assert run.chosen is not None
    more = fit(Echo(), out=folder, resume=True, **{**auto, "steps": 8})  # it is finished: so many on top
    assert more.metrics["steps"] == run.metrics["steps"] + 8


# --- advice --------------------------------------------------------------------------------------------


def test_every_message_advises_what_works_with_a_task_of_ones_own(stopped: Path) -> None:
    way = re.escape(f"nounroll.fit(task, out={str(stopped)!r}, resume=True)")
    with pytest.raises(ValueError, match=f"already holds a run; choose another folder, or: {way}$"):
        fit(Echo(), out=stopped, **BPTT)
    recipe, _ = open_run(stopped)
    with pytest.raises(ValueError, match=f"a task of your own, which is not in the recipe; in Python: {way}$"):
        train(recipe, folder=stopped, resume=True)  # as nounroll resume does
    with pytest.raises(ValueError, match="a task of your own") as told:
        open_student(stopped)
    opened = eval(str(told.value).split("in Python: ")[1], {"nounroll": nounroll})
    assert opened.settings == recipe.cell


def test_a_run_of_the_command_is_gone_on_with_there(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("task: {kind: parity}\nlength: 8\nmethod: bptt\n")
    with pytest.raises(ValueError, match=f"was trained on parity; continue with: nounroll resume {tmp_path}$"):
        fit(Echo(), out=tmp_path, resume=True)
