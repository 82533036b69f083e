"""Two processes under torchrun train as one does: the same losses, wherever a run was stopped and by how many."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import several_processes
from built_once import built_once
from commands import TINY
from helpers import make_student, tiny_recipe, tree_of
from nounroll.core import processes
from nounroll.experiments.run import train
from nounroll.storage import checkpoint
from nounroll.training.engine import Engine
from nounroll.training.settings import Budget, TrainingSettings
from own_parts import OwnCell
from several_processes import AMID_DMT, AMID_TBPTT, RUNS, STOP, go

Seen = dict[str, dict[str, Any]]
SAME = 1e-5
# Two runs in some forty ended so, in a collective of DTensor.full_tensor's on gloo, which nothing calls any more.
# Should it come again, it is warned of, and tried once more.
CRASHED = re.compile(r"exitcode +: -(6|11) ")


def two_processes(folder: Path) -> subprocess.CompletedProcess[str]:
    """Two of several_processes.py."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, several_processes.__file__, str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have run; by-one was begun by one process."""
    return built_once(tmp_path_factory, "two-processes", run_two_processes) / "ended"


def run_two_processes(place: Path) -> None:
    folder = place / "begun"
    go("whole", folder / "by-one", stop_at=STOP)
    go("sharded", folder / "by-one-whole", stop_at=STOP)
    go("carried", folder / "carried-by-one", stop_at=AMID_TBPTT)
    go("asked less", folder / "asked-less-by-one", stop_at=AMID_DMT)
    shutil.copytree(folder / "by-one", folder / "damaged")
    for weights in (folder / "damaged" / "checkpoints").rglob("student.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (folder / "tiny.yaml").write_text(f"task: {{kind: parity}}\n{TINY}")
    (folder / "alone.json").write_text(json.dumps({case: go(case) for case in RUNS}))
    for attempt in ("first", "last"):
        whole = shutil.copytree(folder, place / attempt)
        ended = two_processes(whole)
        if (whole / "1.json").exists() or not CRASHED.search(ended.stderr):
            break
        where = ended.stderr[max(0, ended.stderr.find("Fatal Python error")) :]
        warnings.warn(f"a process crashed in torch's own code:\n{where[:4000]}", stacklevel=1)
    assert (whole / "1.json").exists(), ended.stderr[-4000:]
    assert ended.returncode != 0  # the last thing that the last process does is to die
    assert "SIGKILL" in ended.stderr
    whole.rename(place / "ended")


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Seen, Seen]:
    """What each of the two saw."""
    return json.loads((folder / "0.json").read_text()), json.loads((folder / "1.json").read_text())


@pytest.fixture(scope="module")
def alone(folder: Path) -> Seen:
    """The same runs in one process."""
    return json.loads((folder / "alone.json").read_text())


def apart(one: dict[str, Any], other: dict[str, Any], event: str = "train") -> float:
    """The largest difference of any figure in the records of two runs."""
    pairs = list(zip(*([r for r in run["history"] if r["event"] == event] for run in (one, other)), strict=True))
    assert pairs
    keys = {name for mine, _ in pairs for name, value in mine.items() if isinstance(value, float)} - {"seconds"}
    return max(abs(mine[k] - its[k]) for mine, its in pairs for k in keys if k in mine)


@pytest.mark.parametrize("case", RUNS)
def test_two_processes_have_the_losses_of_one(both: tuple[Seen, Seen], alone: Seen, case: str) -> None:
    for seen in both:
        for event in ("train", "evaluation"):
            assert apart(seen[case], alone[case], event) < SAME
    assert both[0][case]["weights"] == both[1][case]["weights"]
    assert both[0][case]["weights"] == pytest.approx(alone[case]["weights"], rel=SAME)


def test_control_draws_and_means_of_their_own_are_seen(both: tuple[Seen, Seen], alone: Seen) -> None:
    assert apart(both[0]["apart"], alone["whole"]) > 100 * SAME


def test_a_run_goes_on_in_another_number_of_processes(folder: Path, both: tuple[Seen, Seen], alone: Seen) -> None:
    assert not both[0]["stopped"]["finished"]
    for run in (go("whole", folder / "stopped", resume=True), both[0]["resumed"]):
        assert run["finished"]
        assert apart(run, alone["whole"]) < SAME
        assert run["weights"] == pytest.approx(alone["whole"]["weights"], rel=SAME)


def test_so_does_what_is_carried(folder: Path, both: tuple[Seen, Seen], alone: Seen) -> None:
    """Sequences that are under way: rows of two processes become those of one, and the other way round."""
    newest = checkpoint.newest(folder / "carried" / "checkpoints")
    assert newest is not None
    assert checkpoint.read(newest)[0]["method"]["memory"].shape[1] == tiny_recipe().training.batch_size
    for run in (go("carried", folder / "carried", resume=True), both[0]["resumed, carried"]):
        assert run["finished"]
        assert apart(run, alone["carried"]) < SAME
        assert run["weights"] == pytest.approx(alone["carried"]["weights"], rel=SAME)


def test_so_does_one_whose_teacher_is_asked_less(both: tuple[Seen, Seen], alone: Seen) -> None:
    """Both processes ask at the same steps, wherever the count was begun."""
    run = both[0]["resumed, asked less"]
    assert run["finished"]
    assert apart(run, alone["asked less"]) < SAME
    asked = ["ahead" in r for r in run["history"] if r["event"] == "train" and r["method"] == "dmt"]
    assert asked == [step in (0, 1, 2, 4) for step in range(8)]


def test_so_does_one_in_parts(folder: Path, both: tuple[Seen, Seen], alone: Seen) -> None:
    """Begun in parts and ended in one process, the other way round, and all the way in parts."""
    assert not both[0]["stopped in parts"]["finished"]
    all_in_parts = both[0]["resumed, all in parts"]
    for run in (go("sharded", folder / "in-parts", resume=True), both[0]["resumed in parts"], all_in_parts):
        assert run["finished"]
        assert apart(run, alone["sharded"]) < SAME
        assert run["weights"] == pytest.approx(alone["sharded"]["weights"], rel=SAME)


def sizes(checkpoint_of_a_run: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in checkpoint_of_a_run.iterdir()}


def test_checkpoints_are_in_parts_too(folder: Path, both: tuple[Seen, Seen]) -> None:
    """Each process wrote and read a half; beside it only what no process has in parts."""
    held = sizes(sorted((folder / "all-in-parts" / "checkpoints").iterdir())[0])
    for group in ("student", "teacher", "optimizer"):
        first, second, rest = (held[f"{group}{of}.safetensors"] for of in ("-00001-of-00002", "-00002-of-00002", ""))
        assert first < 1.2 * second
        assert rest < 0.1 * second if group != "optimizer" else rest < second
    for seen, theirs in zip(both, ("-00002-of-00002", "-00001-of-00002"), strict=True):
        read = seen["resumed, all in parts"]["read"]
        assert len([name for name in read if "-of-" in name]) >= 3
        assert not [name for name in read if theirs in name]


def test_no_collective_runs_beside_a_process(both: tuple[Seen, Seen]) -> None:
    """Two runs crashed in such a one, of ``DTensor.full_tensor``: the control calls it."""
    for seen in both:
        assert seen["waits"]["runs"] == 0
        assert seen["waits"]["control"] > 0


def test_a_full_disk_of_one_process_is_told_by_all_and_costs_nothing(folder: Path, both: tuple[Seen, Seen]) -> None:
    assert [seen["full disk"]["said"] for seen in both] == ["No space left on device"] * 2
    kept = sorted(path.name for path in (folder / "full" / "checkpoints").iterdir())
    assert len(kept) == 1  # the first, and nothing of the second
    checkpoint.read(folder / "full" / "checkpoints" / kept[0])


def test_a_process_that_dies_while_it_saves_costs_nothing(folder: Path, alone: Seen) -> None:
    left = sorted(path.name for path in (folder / "killed" / "checkpoints").iterdir())
    assert [name.startswith(checkpoint.TEMPORARY) for name in left] == [True, False]
    run = go("sharded", folder / "killed", resume=True)
    assert run["finished"]
    assert apart(run, alone["sharded"]) < SAME
    assert not list((folder / "killed" / "checkpoints").glob(".*"))


def test_each_process_has_a_part_of_the_weights(both: tuple[Seen, Seen]) -> None:
    """All but m_∅, which both have; the control has all of them twice."""
    student = make_student()
    weights, empty = sum(p.numel() for p in student.parameters()), student.empty_memory.numel()
    whole, parts = (sum(seen["held"][how] for seen in both) for how in ("whole", "in parts"))
    assert whole == 2 * weights
    assert parts == weights + empty
    assert max(seen["held"]["in parts"] for seen in both) < 0.6 * weights


def test_every_process_trains_on_rows_of_its_own(both: tuple[Seen, Seen], alone: Seen) -> None:
    """Together they are those of one process, also in a run that one process began."""
    for case in (*RUNS, "resumed"):
        mine, its = (seen[case]["rows"] for seen in both)
        whole = alone["whole" if case == "resumed" else case]["rows"][-len(mine) :]
        assert [[start, stop] for (start, _), (_, stop) in zip(mine, its, strict=True)] == [list(r) for r in whole]
        assert all(m[1] == i[0] for m, i in zip(mine, its, strict=True))


def test_a_student_has_passed_its_teacher_for_all_or_for_none(both: tuple[Seen, Seen], alone: Seen) -> None:
    ends = [
        [(r["event"], r["method"], r["step"]) for r in seen["passed"]["history"] if r["event"] != "train"]
        for seen in (*both, alone)
    ]
    assert ends[0] == ends[1] == ends[2]
    assert ("passed", "smt", 6) in ends[0]


def test_all_go_back_when_the_gradients_of_one_are_not_finite(both: tuple[Seen, Seen], alone: Seen) -> None:
    ways = [
        [r for r in seen[case]["history"] if r["event"] == "rollback"]
        for seen in (*both, alone)
        for case in ("poisoned", "sharded, poisoned")
    ]
    for seen in ways:
        assert [(r["step"], r["from_step"], r["avoid"]) for r in seen] == [(3, 5, [3, 4, 5])]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("setting", "nounroll train: cell.tokens is 0; it must be at least 1\n"),
        ("batch", "nounroll train: training.batch_size is 3; it must be a multiple of training.accumulate 1 times"),
        ("folder", "nounroll train: stopped already holds a run; choose another folder"),
        ("checkpoint", "nounroll resume: damaged/checkpoints/"),
        ("auto", "nounroll train: method or cell.kind is 'auto'; several processes need both named, such as tbptt"),
    ],
)
def test_a_mistake_is_one_line_in_all(both: tuple[Seen, Seen], name: str, said: str) -> None:
    first, second = (seen["mistakes"][name] for seen in both)
    assert first["status"] == second["status"] == 2
    assert first["said"].startswith(said)
    assert first["said"].count("\n") == 1
    assert second["said"] == ""


def test_one_process_writes(folder: Path) -> None:
    assert {"stopped/metrics.jsonl", "stopped/recipe.yaml"} <= set(tree_of(folder))
    records = [json.loads(line) for line in (folder / "by-one" / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records if r["event"] == "train"] == list(range(1, 10))


def test_the_first_process_has_the_clock_and_the_signals(both: tuple[Seen, Seen]) -> None:
    first, second = (seen["on time"] for seen in both)
    assert first["finished"]
    assert second["finished"]
    assert [r["step"] for r in first["history"]] == [r["step"] for r in second["history"]]
    assert first["history"][-1]["step"] >= 1


def test_a_batch_that_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.engine.launched", lambda: (0, 3))
    with pytest.raises(ValueError, match=r"batch_size is 8; it must be a multiple of training\.accumulate 2 times"):
        Engine(TrainingSettings(budget=Budget("steps", 1), batch_size=8, accumulate=2, device="cpu"), {})


def test_a_cell_of_ones_own_is_not_sharded() -> None:
    with pytest.raises(ValueError, match=r"^training\.shard is True; it needs a cell that can be built again"):
        train(tiny_recipe("training.shard=true"), cell=OwnCell(5))


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.experiments.beginning.launched", lambda: (1, 2))
    train(tiny_recipe("training.steps=1", "method=bptt"), folder=tmp_path / "run")
    assert tree_of(tmp_path) == []


# --- draws --------------------------------------------------------------------------------------------


def test_own_rows_are_those_of_the_whole_draw() -> None:
    def draw(rows: int) -> torch.Tensor:
        return torch.rand(rows, 3, generator=torch.Generator().manual_seed(0))

    parts = []
    for rank in range(3):
        with processes.sharing(rank, 3):
            parts.append(processes.own_rows(2, draw))
    assert torch.equal(torch.cat(parts), draw(6))
    assert torch.equal(processes.own_rows(6, draw), draw(6))


def test_the_variance_is_torchs() -> None:
    rows = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(processes.variance(rows), rows.var(dim=0).mean())
    assert processes.variance(rows[:1]) == 1
