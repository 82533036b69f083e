"""What ``torchrun`` starts for test_processes.py: the same runs in every process; each writes what it saw.

torchrun --nproc-per-node 2 several_processes.py FOLDER

At the end, when all is written, the last process dies while it saves.
"""

import io
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from torch.distributed import _functional_collectives

from helpers import FREE, TINY, make_student, tiny_recipe
from nounroll.cli.main import main as command
from nounroll.core.batch import Batch
from nounroll.core.machine import launched
from nounroll.experiments.run import train
from nounroll.storage import checkpoint
from nounroll.training.engine import Engine
from nounroll.training.sharding import is_in_parts, own
from pretrained_models import save_model

# Few targets are scored, not equally many in each process, and all terms of ours are at work.
SETTINGS = (
    *("task.options={scored: 0.3}", "training.learning_rate=1e-3", "training.steps=9", "method=smt+dmt+bptt"),
    *("smt.relative=true", "smt.noise=0.5", "smt.window=3", "smt.labels_learn=0.1"),
    *("dmt.decoding=0.5", "dmt.only_ahead=true"),
)
MODELS = TemporaryDirectory()  # a model of each process's own, all the same; gone when Python ends
PRETRAINED = ("method=smt+dmt", "teacher.kind=transformers", f"teacher.path={MODELS.name}")
RUNS: dict[str, tuple[str, ...]] = {
    "whole": (),
    "accumulated": ("training.accumulate=2",),
    "sharded": ("training.shard=true", "smt.uniformity=0.1", "cell.kind=transformer", "cell.layers=1"),
    "sharded, sparing": ("training.shard=true", "training.accumulate=2", "smt.chunk=2"),
    "sharded, slots": ("training.shard=true", "teacher.kind=slots", "method=smt+dmt"),
    "sharded transformer": ("training.shard=true", "method=transformer", "training.steps=3"),
    "sharded, poisoned": ("training.shard=true", "method=smt", "training.steps=12", "training.evaluations=4"),
    "by chunks": ("smt.chunk=2", "method=smt+dmt", "dmt.decoding=0"),
    "asked less": ("method=smt+dmt", "training.steps=16", "training.accumulate=2", "dmt.window=3"),
    "cut": ("method=smt+tbptt", "tbptt.carry=false"),
    "carried": ("method=smt+tbptt",),
    "few": ("smt.transitions=4", "method=smt"),
    "transformer": ("method=transformer",),
    "passed": ("method=smt+dmt", "training.steps=16", "training.evaluations=4", "smt.until_passed=true"),
    "pretrained": (*PRETRAINED, "teacher.frozen=true"),
    "sharded, frozen": ("training.shard=true", *PRETRAINED, "teacher.frozen=true"),
    "sharded, pretrained": ("training.shard=true", *PRETRAINED, "teacher.frozen=false"),
    "poisoned": ("method=smt", "training.steps=12", "training.evaluations=4"),
}
BAD_STEPS = range(4, 7)  # steps of "poisoned" whose gradients are NaN
MISTAKES: dict[str, tuple[str, ...]] = {
    "setting": ("train", "tiny.yaml", "--set", "cell.tokens=0"),
    "batch": ("train", "tiny.yaml", "--set", "training.batch_size=3"),
    "folder": ("train", "tiny.yaml", "--out", "stopped"),  # the first process alone looks at folders
    "checkpoint": ("resume", "damaged"),
    "auto": ("train", "tiny.yaml", "--set", "method=auto", "--out", "auto"),
}
STOP = 5  # times asked before a run is stopped
AMID_TBPTT = 5
AMID_DMT = 14  # with windows of batches under way


def go(case: str, folder: Path | None = None, *, resume: bool = False, stop_at: int | None = None) -> dict[str, Any]:
    """One run, and what is told of it: records by step, the sum of all weights, the rows that were trained on."""
    asked, drawn = itertools.count(1), Batch.rows
    rows: list[tuple[int, int]] = []

    def noted(batch: Batch, start: int, stop: int) -> Batch:
        if batch.batch_size == TINY["training"]["batch_size"]:  # and no held-out batch, which has more
            rows.append((start, stop))
        return drawn(batch, start, stop)

    around = {"asked less": silent, "passed": passing, "poisoned": poisoned, "sharded, poisoned": poisoned}.get(
        case, nullcontext
    )
    with (
        around(),
        mock.patch("nounroll.training.pace.step_cost", return_value=FREE),
        mock.patch("nounroll.training.loop._LOGGED", 1),
        mock.patch.object(Batch, "rows", noted),
    ):
        if set(PRETRAINED) <= set(RUNS[case]):
            save_model(Path(MODELS.name), symbols=2)
        recipe = tiny_recipe(*SETTINGS, *RUNS[case])
        run = train(recipe, folder=folder, resume=resume, stop=lambda: next(asked) == stop_at)
    weights = sum(float(p.detach().double().abs().sum()) for p in run.model.parameters())
    return {"history": run.history, "weights": weights, "finished": run.finished, "rows": rows}


@contextmanager
def silent() -> Iterator[None]:
    """Nothing that the teacher says counts: after two steps it is asked after 2, 4 and 8."""
    with mock.patch("nounroll.methods.heed._LITTLE", 10.0), mock.patch("nounroll.methods.heed._PATIENCE", 2):
        yield


@contextmanager
def passing() -> Iterator[None]:
    """Any student has passed its teacher, but for the second process: it finds a teacher that none will pass."""
    with mock.patch("nounroll.training.handover._AHEAD", -1e9):
        found = mock.patch("nounroll.training.observer.evaluate_teacher", return_value={"loss": -1e9})
        with found if launched()[0] else nullcontext():
            yield


@contextmanager
def poisoned() -> Iterator[None]:
    """Some gradients become NaN, in the last process alone, where there are two."""
    rank, count = launched()
    step, steps = Engine.step, itertools.count(1)

    def poison(engine: Engine, *given: Any) -> Any:
        if next(steps) not in BAD_STEPS or rank + 1 < count:
            return step(engine, *given)
        if engine.sharded:  # a weight in parts calls no hook
            backward = engine.fabric.backward
            with mock.patch.object(engine.fabric, "backward", lambda loss: backward(loss * float("nan"))):
                return step(engine, *given)
        hook = engine.groups["student"][-1].register_hook(lambda gradient: gradient * float("nan"))
        try:
            return step(engine, *given)
        finally:
            hook.remove()

    with mock.patch.object(Engine, "step", poison):
        yield


def mistake(words: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """How a command ends that cannot be done, and what this process says of it."""
    said = io.StringIO()
    with chdir(folder), redirect_stderr(said), redirect_stdout(said):
        status = command(list(words))
    return {"status": status, "said": said.getvalue()}


def on_time() -> dict[str, Any]:
    """A run by the clock. That of the second process is ten times as fast, and it is asked to stop at once."""
    rank, clock = launched()[0], time.perf_counter
    with mock.patch("nounroll.training.pace.step_cost", return_value=FREE):
        recipe = tiny_recipe("training.seconds=1", "training.evaluations=2", "method=bptt")
        with (
            mock.patch("nounroll.training.pace.time.perf_counter", side_effect=lambda: 10 * clock())
            if rank
            else nullcontext()
        ):
            run = train(recipe, stop=lambda: rank == 1)
    return {"history": run.history, "weights": 0.0, "finished": run.finished}


def held(*settings: str) -> int:
    """Numbers of a student's weights that this process has."""
    student = make_student(dtype=torch.float32)
    Engine(tiny_recipe(*settings).training, {"student": student})
    return sum(own(p).numel() for p in student.parameters())


@contextmanager
def reading() -> Iterator[list[str]]:
    """The names of the files of checkpoints that this process reads."""
    names: list[str] = []
    read = checkpoint.reading.read_file

    def noted(path: Path, **fingerprint: Any) -> bytes:
        names.append(path.name)
        return read(path, **fingerprint)

    with mock.patch.object(checkpoint.reading, "read_file", noted):
        yield names


@contextmanager
def waiting() -> Iterator[list[str]]:
    """A mark for each collective of DTensor's own, which runs beside the process until its result is asked for."""
    marks: list[str] = []
    wait = _functional_collectives.wait_tensor

    def noted(tensor: torch.Tensor) -> torch.Tensor:
        marks.append("waited")
        return wait(tensor)

    with mock.patch.object(_functional_collectives, "wait_tensor", noted):
        yield marks


@contextmanager
def at_the_second_save(act: Callable[[], None]) -> Iterator[None]:
    """The last process does something in the middle of its second save, after some of its files."""
    saves, add = itertools.count(1), checkpoint.Draft.add

    def unlucky(draft: checkpoint.Draft, files: Mapping[str, bytes]) -> Any:
        if next(saves) < 2 or launched()[0] == 0:
            return add(draft, files)
        add(draft, dict(list(files.items())[:1]))
        return act()

    with mock.patch.object(checkpoint.Draft, "add", unlucky):
        yield


def full_disk() -> None:
    raise checkpoint.CheckpointError("No space left on device")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def unsaved(folder: Path) -> str:
    """What this process is told when the last one cannot save its part."""
    try:
        with at_the_second_save(full_disk):
            go("sharded", folder)
    except checkpoint.CheckpointError as fault:
        return str(fault)
    return ""


@contextmanager
def apart() -> Iterator[None]:
    """A planted bug: each process takes the means and the draws of its own rows."""
    with mock.patch("nounroll.training.engine.Engine._sharing", side_effect=nullcontext):
        yield


def main(folder: Path) -> None:
    rank = launched()[0]
    with waiting() as marks:
        found = {case: go(case) for case in RUNS}
    with apart():
        found["apart"] = go("whole")
    found["stopped"] = go("whole", folder / "stopped", stop_at=STOP)
    found["resumed"] = go("whole", folder / "by-one", resume=True)
    found["stopped, carried"] = go("carried", folder / "carried", stop_at=AMID_TBPTT)
    found["resumed, carried"] = go("carried", folder / "carried-by-one", resume=True)
    found["resumed, asked less"] = go("asked less", folder / "asked-less-by-one", resume=True)
    found["stopped in parts"] = go("sharded", folder / "in-parts", stop_at=STOP)
    found["resumed in parts"] = go("sharded", folder / "by-one-whole", resume=True)
    found["stopped, all in parts"] = go("sharded", folder / "all-in-parts", stop_at=STOP)
    with reading() as names:
        found["resumed, all in parts"] = go("sharded", folder / "all-in-parts", resume=True) | {"read": names}
    found["full disk"] = {"said": unsaved(folder / "full")}
    found["held"] = {"whole": held(), "in parts": held("training.shard=true")}
    with waiting() as control:
        Engine(tiny_recipe("training.shard=true").training, {"s": (student := make_student(dtype=torch.float32))})
        for weight in filter(is_in_parts, student.parameters()):
            weight.full_tensor().sum()
    found["waits"] = {"runs": len(marks), "control": len(control)}
    found["on time"] = on_time()
    found["mistakes"] = {name: mistake(words, folder) for name, words in MISTAKES.items()}
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    main(FOLDER)
    with at_the_second_save(die):
        go("sharded", FOLDER / "killed")
