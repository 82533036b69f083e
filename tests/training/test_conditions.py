"""Resume says what differs from when the checkpoint was written: it warns, or refuses where the data has changed."""

import itertools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from helpers import FREE, same_state, state, tiny_recipe, tree_of
from nounroll.core.notices import Notice
from nounroll.data.text import Text
from nounroll.experiments.run import Run, train
from nounroll.storage import checkpoint, files
from nounroll.storage.checkpoint import CheckpointError
from nounroll.training import conditions, log

STEPS = ("method=bptt", "training.steps=12", "training.evaluations=6")


@pytest.fixture(autouse=True)
def _costs_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("It was a dark and stormy night. " * 60)
    return path


def start(folder: Path, text: Path | None = None, stop_at: int | None = 7, **named: Any) -> Run:
    """Train, and stop after six steps: two checkpoints are there."""
    asked = itertools.count(1)
    recipe = tiny_recipe(*STEPS)
    task = Text(path=text) if text else None
    return train(recipe, task, folder=folder, stop=lambda: next(asked) == stop_at, **named)


def kept(folder: Path) -> dict[str, Any]:
    newest = checkpoint.newest(folder / "checkpoints")
    assert newest is not None
    return checkpoint.read(newest)[1]["conditions"]


def test_a_checkpoint_records_its_conditions(tmp_path: Path) -> None:
    start(tmp_path / "run")
    found = kept(tmp_path / "run")
    assert found.keys() == {"torch", "threads", "processes", "machine", "data"}
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()


def test_the_same_conditions_are_no_news(tmp_path: Path) -> None:
    start(tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        assert start(tmp_path / "run", stop_at=None, resume=True).finished


@pytest.mark.parametrize(
    ("name", "other"), [("torch", "2.99"), ("threads", 99), ("processes", 8), ("machine", "an abacus")]
)
def test_another_rounding_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, other: object) -> None:
    start(tmp_path / "run")
    now = conditions.conditions
    monkeypatch.setattr("nounroll.training.recovery.conditions", lambda *given: {**now(*given), name: other})
    with pytest.warns(Notice, match=f"^{name} is {other}, and .* was trained with .*: from here on the run differs"):
        assert start(tmp_path / "run", stop_at=None, resume=True).finished
    assert kept(tmp_path / "run")[name] == other


def test_data_that_has_changed_is_refused(tmp_path: Path, book: Path) -> None:
    start(tmp_path / "run", book)
    before = {name: (tmp_path / "run" / name).read_bytes() for name in tree_of(tmp_path / "run")}
    book.write_text(book.read_text() + "It was a bright cold day in April. " * 60)
    with pytest.raises(CheckpointError, match=r"^the data has changed since .*step-.*; put it back, .* with --force$"):
        start(tmp_path / "run", book, resume=True)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in tree_of(tmp_path / "run")} == before
    with pytest.warns(Notice, match="the data has changed since .*; the run continues with the data as it is now"):
        assert start(tmp_path / "run", book, stop_at=None, resume=True, force=True).finished


def test_control_without_the_fingerprint_changed_data_passes(
    tmp_path: Path, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "fingerprint", lambda *_: "")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_data_that_has_changed_is_refused(tmp_path, book)


def test_a_recipe_that_has_changed_goes_on_by_force(tmp_path: Path) -> None:
    start(tmp_path / "run")
    other = tiny_recipe(*STEPS, "training.learning_rate=0.001")
    with pytest.raises(CheckpointError, match=r"training.learning_rate is 0.001, and .* or continue with --force"):
        train(other, folder=tmp_path / "run", resume=True)
    assert train(other, folder=tmp_path / "run", resume=True, force=True).finished


def test_a_checkpoint_of_an_earlier_version_has_nothing_to_compare(tmp_path: Path) -> None:
    now = {"torch": "2", "threads": 1, "processes": 1, "machine": "", "data": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conditions.compare(None, now, tmp_path, force=False)


# --- damage ---------------------------------------------------------------------------------------


def damage(folder: Path, name: str = "student.safetensors") -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", stop_at=None)
    start(tmp_path / "run")
    before, newest = checkpoint.every(tmp_path / "run" / "checkpoints")
    damage(newest)
    with pytest.warns(Notice, match=rf"{newest.name}/student.safetensors is damaged: .*; .*{before.name} is taken in"):
        run = start(tmp_path / "run", stop_at=None, resume=True)
    assert same_state(state(run.student), state(whole.student))
    names = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert sum(name.startswith(f"damaged-{newest.name}-") for name in names) == 1
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "run")]
    steps = [[(json.loads(line)["event"], json.loads(line)["step"]) for line in one] for one in lines]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("name", ["manifest.json", "counters.json"])
def test_a_file_that_is_gone_is_damage(tmp_path: Path, name: str) -> None:
    start(tmp_path / "run")
    before, newest = checkpoint.every(tmp_path / "run" / "checkpoints")
    (newest / name).unlink()
    with pytest.warns(Notice, match=f"{name} cannot be read: No such file or directory; .*{before.name} is taken"):
        assert start(tmp_path / "run", stop_at=None, resume=True).finished


def test_where_all_are_damaged_nothing_is_lost_or_begun_again(tmp_path: Path) -> None:
    start(tmp_path / "run")
    for folder in checkpoint.every(tmp_path / "run" / "checkpoints"):
        damage(folder)
    before = tree_of(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"step-\d+/student.safetensors is damaged"):
        start(tmp_path / "run", resume=True)
    assert tree_of(tmp_path / "run") == before


def test_what_may_not_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is not there for a moment costs no steps."""
    start(tmp_path / "run")
    before = tree_of(tmp_path / "run")
    with monkeypatch.context() as patch:
        refusal = PermissionError(13, "Permission denied")
        patch.setattr(checkpoint.reading, "opened", lambda *_, **__: (_ for _ in ()).throw(refusal))
        with pytest.raises(CheckpointError, match="Permission denied"):
            start(tmp_path / "run", resume=True)
    assert tree_of(tmp_path / "run") == before


# --- a loss of power ------------------------------------------------------------------------------


def events(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run writes and fsyncs, in order: the log by its name, a checkpoint by "checkpoint"."""
    found: list[str] = []

    def note(module: ModuleType, name: str, what: Callable[[Path], str]) -> None:
        call = getattr(module, name)
        monkeypatch.setattr(module, name, lambda path, *given: found.append(what(path)) or call(path, *given))

    note(log, "sync_folder", lambda _: "log")
    note(files, "write_bytes", lambda path: path.name)
    note(checkpoint, "write", lambda folder: folder.name)
    start(folder, stop_at=None)
    return found


def test_the_log_and_the_recipe_are_on_disk_before_a_checkpoint_counts_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = events(tmp_path / "run", monkeypatch)
    steps = [number for number, name in enumerate(found) if name.startswith("step-")]
    assert found[0] == "recipe.yaml"
    assert len(steps) > 3
    assert all(found[number - 1] == "log" for number in steps)


def test_control_a_log_that_is_not_synced_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.log.MetricsFile.sync", lambda _: None)
    assert "log" not in events(tmp_path / "run", monkeypatch)


def test_a_run_whose_log_lost_its_end_goes_on_and_says_so(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", stop_at=None)
    start(tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 3])
    with pytest.warns(Notice, match=r"metrics.jsonl has lost \d+ of the \d+ records that the checkpoint expects"):
        run = start(tmp_path / "run", stop_at=None, resume=True)
    assert same_state(state(run.student), state(whole.student))
    assert len(run.history) == len(whole.history)
    assert any(record["event"] == "lost" for record in run.history)
