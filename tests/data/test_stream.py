"""Streams: read in order and in turn, left on disk, with the memory carried in training and in figures."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import nounroll
from helpers import FREE, SYMBOLS, TINY, assert_same_gradients, make_student, make_tbptt, same_state, state
from nounroll.core.batch import Batch, Categorical, Real
from nounroll.core.seeding import generator
from nounroll.data.arrays import TokenArray
from nounroll.data.fingerprint import fingerprint
from nounroll.data.on_disk import OnDisk, RowsOnDisk, on_disk
from nounroll.data.stream import Stream
from nounroll.data.task import SequenceTask, followed, held_out
from nounroll.data.text import Text
from nounroll.experiments.recipe import parse
from nounroll.experiments.run import Run, train
from nounroll.methods import TBPTT, TBPTTSettings
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.report.numbers import figure, label
from nounroll.rollout.evaluate import evaluate, evaluate_task
from nounroll.training import run_state
from nounroll.training.counters import Counters
from nounroll.training.engine import Engine

N, HELD = 110, 11  # elements of the series, those that are held out
STEPS = N - HELD - 1  # of an epoch


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture
def mapped(tmp_path: Path) -> np.memmap:
    np.save(tmp_path / "series.npy", numbers(N, 2))
    return np.load(tmp_path / "series.npy", mmap_mode="r")


# --- what is read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [7, 10, 50, STEPS])
def test_rows_read_every_step_in_order_and_begin_again_with_a_reset(length: int) -> None:
    series = np.arange(N)
    task, rows = Stream(series), 3
    batches = [followed(task, rows, length, step) for step in range(-(-2 * STEPS // length) + 1)]
    inputs = torch.cat([batch.inputs for batch in batches], 1)
    targets = torch.cat([batch.targets for batch in batches], 1)
    resets = torch.cat([torch.zeros_like(b.mask) if b.resets is None else b.resets for b in batches], 1)
    for row in range(rows):
        expected = (row * STEPS // rows + torch.arange(inputs.shape[1])) % STEPS
        assert torch.equal(inputs[row], expected)
        assert torch.equal(targets[row], expected + 1)
        assert torch.equal(resets[row], expected == 0)
    assert all(batch.resets is None or batch.resets.any() for batch in batches)


def test_a_memory_map_stays_on_disk_and_gives_what_memory_gives(mapped: np.memmap) -> None:
    there, here = Stream(mapped), Stream(np.array(mapped))
    assert isinstance(there.stored()[0], RowsOnDisk)
    assert fingerprint(there) == fingerprint(here)
    for one, other in zip(
        (there, there.validation(), there.test()), (here, here.validation(), here.test()), strict=True
    ):
        for step in range(4):
            assert torch.equal(followed(one, 2, 4, step).inputs, followed(other, 2, 4, step).inputs)
    assert torch.equal(followed(there, 1, 9, 3).inputs[0], torch.from_numpy(numbers(N, 2)[27:36]))


def test_parts_of_memory_maps_are_read_where_they_lie(mapped: np.memmap) -> None:
    flat = np.memmap(mapped.filename, np.float32, "r", offset=mapped.offset)
    for part, kind in ((flat, OnDisk), (flat[10:], OnDisk), (flat[:, None], RowsOnDisk), (mapped[7:20], RowsOnDisk)):
        found = on_disk("series", part)
        assert isinstance(found, kind)
        assert found.shape == part.shape
        assert np.array_equal(np.asarray(found), part)
    for part in (mapped[:, 0], flat[::2], np.load(str(mapped.filename), mmap_mode="c"), np.ones(3)):
        assert on_disk("series", part) is part


def test_a_batch_reads_its_own_steps_alone(mapped: np.memmap, monkeypatch: pytest.MonkeyPatch) -> None:
    task, counts, read = Stream(mapped), list[int](), OnDisk._read

    def counted(self: OnDisk, index: int, place: int, count: int) -> np.ndarray:
        counts.append(count)
        return read(self, index, place, count)

    monkeypatch.setattr(OnDisk, "_read", counted)
    followed(task, 3, 7, 2)
    assert counts == [2 * 8] * 3  # numbers of one step more than the inputs


def test_a_memory_map_that_has_become_shorter_is_an_error(mapped: np.memmap) -> None:
    task = Stream(mapped)
    with open(str(mapped.filename), "r+b") as file:
        file.truncate(600)
    with pytest.raises(
        ValueError, match=r"^series is '.*series\.npy'; the file is shorter than when it was opened: restore it$"
    ):
        followed(task, 2, 40, 1)


def test_targets_are_those_given_and_missing_ones_are_not_scored() -> None:
    x, y = numbers(N), np.arange(N) % 5
    y[::4] = -100
    task = Stream(x, y)
    assert (task.inputs, task.targets, task.autoregressive) == (Real(1), Categorical(5), False)
    steps = N - HELD
    batch = followed(task, 2, 60, 1)
    place = (torch.tensor([[0], [steps // 2]]) + 60 + torch.arange(60)) % steps
    assert torch.equal(batch.inputs[..., 0], torch.from_numpy(x)[place])
    assert torch.equal(batch.mask, torch.from_numpy(y)[place] >= 0)
    assert torch.equal(batch.targets[batch.mask], torch.from_numpy(y)[place][batch.mask])
    assert torch.equal(batch.resets, place == 0)  # type: ignore[arg-type]
    assert followed(task.validation(), 1, 5, 0).inputs[0, :, 0].tolist() == x[steps : steps + 5].tolist()
    missing = np.where(np.arange(N) % 3 == 0, np.nan, numbers(N))
    assert followed(Stream(x, missing), 1, 9, 0).mask[0].tolist() == [False, True, True] * 3


def test_text_and_tokens_are_streams_where_they_are_asked_to_be(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(chr(97 + i % 26) for i in range(200)))
    np.save(tmp_path / "a.npy", np.arange(200) % 7)
    for task in (Text(path=tmp_path / "a.txt", stream=True), TokenArray(path=tmp_path / "a.npy", stream=True)):
        assert task.stream
        assert task.validation().stream
        first, second = followed(task, 2, 10, 0), followed(task, 2, 10, 1)
        assert torch.equal(first.targets[:, -1], second.inputs[:, 0])
    assert not Text(path=tmp_path / "a.txt").stream
    np.save(tmp_path / "rows.npy", np.ones((9, 4), dtype=int))
    with pytest.raises(ValueError, match=r"array\.stream is True, and .* holds rows; a stream is one sequence"):
        TokenArray(path=tmp_path / "rows.npy", stream=True)


@pytest.mark.parametrize(
    ("series", "targets", "said"),
    [
        ([1, 2], None, "series is a list; it must be a NumPy array, a memory map for a long one"),
        (np.ones((4, 2), dtype=int), None, "series is int64 of shape (4, 2); it must be whole numbers of shape (N,),"),
        (np.array(["a"]), None, "series is <U1 of shape (1,); it must be whole"),
        (np.array([]), None, "series is empty; it must have elements"),
        (np.array([1.0, np.nan, 2.0]), None, "series holds nan at element 1; real numbers must be finite"),
        (np.array([1, -100]), None, "series holds -100 at element 1; symbols are 0 or more"),
        (np.arange(20), np.arange(19), "targets has 19 elements and series 20; they must be equal"),
        (np.arange(20), np.full(20, np.inf), "targets holds inf at element 0; real numbers must be finite"),
        (np.arange(20), np.full(20, -100), "targets holds -100 and no symbol; some elements must be symbols"),
        (np.arange(20), [0] * 20, "targets is a list; it must be"),
        (np.arange(5), None, "series holds 5 elements; at least 6 are needed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_series_is_refused(series: Any, targets: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}") as error:
        Stream.__init__.__wrapped__(Stream.__new__(Stream), series, targets)  # past the tests' own type checks
    assert "\n" not in str(error.value)


def test_more_rows_than_steps_and_a_task_that_cannot_follow_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^batch_size is 99; a stream of 98 steps has no more rows than steps$"):
        Stream(np.arange(N)).follow(99, 4, 0)

    class Own(SequenceTask):
        inputs = targets = SYMBOLS
        stream = True

        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
            x = torch.randint(5, (batch_size, length), generator=generator)
            return Batch(x, x)

    with pytest.raises(ValueError, match=r"^Own\.stream is True, and it has no follow method; it must have follow"):
        nounroll.fit(Own(), method="tbptt", cell="gru", length=8, steps=2)


# --- what is learnt -------------------------------------------------------------------------------------------


def symbols(length: int = N) -> Stream:
    return Stream(np.random.default_rng(1).integers(5, size=length))


def stepped_loss(student: Any, batches: list[Batch], window: int) -> Tensor:
    """The last batch's loss, with all of them stepped by hand from m_∅ and gradients cut at windows."""
    memory, losses = student.initial_memory(batches[0].batch_size), []
    for index, batch in enumerate(batches):
        for t in range(batch.length):
            memory = memory.detach() if t % window == 0 and (t or index) else memory
            if batch.resets is not None:
                memory = student.reset(memory, batch.resets[:, t])
            memory = student.step(batch.inputs[:, t], memory)
            losses.append(negative_log_likelihood(student.targets, student.readout(memory), batch.targets[:, t]))
    return torch.stack(losses[-batches[-1].length :]).mean()


@pytest.mark.parametrize("cell", ["mlp", "lstm", "mingru"])
def test_a_batch_goes_on_from_the_memories_after_the_one_before(cell: str) -> None:
    """Across the end of an epoch too, where one row is reset."""
    student, task = make_student(cell), symbols(40)
    method, carried = TBPTT(student, TBPTTSettings(window=4), stream=True), {}
    assert method.carries
    batches = [followed(task, 2, 10, step) for step in range(5)]
    assert any(batch.resets is not None and batch.resets[:, 1:].any() for batch in batches)
    for index, batch in enumerate(batches):
        losses, carried = method(batch, carried, generator(0, "loss"), 0.5)
        expected = stepped_loss(student, batches[: index + 1], 4)
        torch.testing.assert_close(losses["loss"], expected, check_dtype=False)
        assert_same_gradients(losses["loss"], expected, student)
    assert carried.keys() == {"memory"}
    assert carried["memory"].shape == (1, 2, *student.memory_shape)
    assert not carried["memory"].requires_grad
    alone, _ = method(batches[-1], {}, generator(0, "loss"), 0.5)
    assert abs(float(alone["loss"].detach()) - float(expected.detach())) > 1e-6  # control
    assert not make_tbptt(student).carries
    assert not TBPTT(student, TBPTTSettings(carry=False), stream=True).carries


def test_figures_carry_the_memory_and_stand_beside_those_from_empty() -> None:
    student, task = make_student("lstm"), symbols(2000)
    batches = list(held_out(task.validation(), 16, 5, 0, "validation"))
    assert len(batches) == 8
    assert batches[0].batch_size == 2
    long = Batch(*(torch.cat(values, 1) for values in Batch.arrays(batches).values()))
    found = evaluate_task(task, student, batches)
    carried, anew = evaluate(student, [long]), evaluate(student, batches)
    assert found == pytest.approx(carried | {f"{name}_from_empty": value for name, value in anew.items()}, rel=1e-6)
    assert carried["loss"] != pytest.approx(anew["loss"], rel=1e-6)
    assert evaluate_task(TokenLike(), student, batches) == anew


def test_figures_from_empty_are_shown_as_the_others_are() -> None:
    assert figure("accuracy_from_empty", 0.5) == "50.0%"
    assert label("bits_from_empty", {}) == "bits; each sequence from the empty memory"
    assert label("rmse_from_empty", {"rmse_standardised": 1.0}).startswith("rmse, in the data's unit; each")
    assert label("bits", {}) == "bits"


class TokenLike(SequenceTask):
    inputs = targets = SYMBOLS

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        raise NotImplementedError


RECIPE = parse(
    {**TINY, "method": "tbptt", "task": {"kind": "custom"}},
    ("training.steps=9", "training.evaluations=3", "training.curriculum=0", "training.batch_size=3"),
)


def run_in(folder: Path, stop_at: int | None = None, resume: bool = False) -> Run:
    asked = itertools.count(1)
    return train(RECIPE, symbols(2 * N), folder=folder, resume=resume, stop=lambda: next(asked) == stop_at)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_in(tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_stream_resumes_in_the_middle_of_an_epoch(tmp_path: Path, whole: Run, stop_at: int) -> None:
    """The last row begins the series again in the ninth batch."""
    assert not run_in(tmp_path / "run", stop_at).finished
    run = run_in(tmp_path / "run", resume=True)
    assert run.finished
    assert same_state(state(run.student), state(whole.student))
    assert {k: v for k, v in run.metrics.items() if k != "seconds"} == {
        k: v for k, v in whole.metrics.items() if k != "seconds"
    }
    assert "loss_from_empty" in run.metrics


def test_control_a_resume_that_loses_the_memory_is_found(
    tmp_path: Path, whole: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(tmp_path / "run", 3)
    load = run_state.RunState.load

    def forget(self: Any, *args: Any, **settings: Any) -> bool:
        found = load(self, *args, **settings)
        self.method_state = {}
        return found

    monkeypatch.setattr(run_state.RunState, "load", forget)
    assert not same_state(state(run_in(tmp_path / "run", resume=True).student), state(whole.student))


def mixed() -> Stream:
    """Two stretches that are scored, in the fourth batch of ten and in what is held out."""
    x, y = np.arange(2 * N) % 5, np.full(2 * N, -100)
    y[62:75], y[2 * N - 2 * HELD :] = x[62:75], x[2 * N - 2 * HELD :]
    return Stream(x, y)


def memories_of(task: Stream, steps: int, monkeypatch: pytest.MonkeyPatch, **counters: Any) -> list[Tensor]:
    """The memory before each batch that the method is given, of a student that learns next to nothing."""
    seen: list[Tensor] = []
    forward = TBPTT.forward

    def spy(self: TBPTT, batch: Batch, state: Any, *rest: Any) -> Any:
        seen.append(state.get("memory", torch.zeros(0)))
        return forward(self, batch, state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(TBPTT, "forward", spy)
        patch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)
        patch.setattr("nounroll.training.loop.Counters", lambda: Counters(**counters))
        changes = (f"training.steps={steps}", "training.batch_size=1", "training.learning_rate=1e-12")
        train(parse({**RECIPE.to_dict(), "length": 10}, changes), task)
    return seen


def expected_memory(task: Stream, read: int) -> Tensor:
    """The memory after so many batches, from one rollout."""
    batch = Batch(*(torch.cat(v, 1) for v in Batch.arrays([followed(task, 1, 10, i) for i in range(read)]).values()))
    resets = torch.zeros_like(batch.mask)
    for step in range(read):
        if (found := followed(task, 1, 10, step).resets) is not None:
            resets[:, 10 * step : 10 * step + 10] = found
    student = train(
        parse({**RECIPE.to_dict(), "length": 10}, ("training.steps=1", "training.learning_rate=1e-12")), task
    ).student
    with torch.no_grad():
        return student.rollout(batch.inputs, resets=resets)[:, -1]


def test_the_memory_goes_on_through_batches_in_which_nothing_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first read from m_∅, and across the end of the series, where nothing is scored either."""
    task, steps = mixed(), 24
    assert sum(bool(followed(task, 1, 10, step).mask.any()) for step in range(steps)) < 6
    seen = memories_of(task, steps, monkeypatch)
    assert len(seen) == steps
    for read in (1, 7, 21, 23):
        torch.testing.assert_close(seen[read][0], expected_memory(task, read), rtol=1e-4, atol=1e-6)


def test_the_memory_goes_on_through_batches_that_are_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Stream(np.arange(2 * N) % 5)
    seen = memories_of(task, 6, monkeypatch, avoid=[0, 3, 4])
    assert len(seen) == 6 + 3
    torch.testing.assert_close(seen[-1][0], expected_memory(task, 8), rtol=1e-4, atol=1e-6)


def test_the_memory_goes_on_through_a_step_that_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    task, step, calls = Stream(np.arange(2 * N) % 5), Engine.step, itertools.count()

    def poisoned(engine: Engine, *given: Any) -> Any:
        return None if next(calls) == 2 else step(engine, *given)

    monkeypatch.setattr(Engine, "step", poisoned)
    seen = memories_of(task, 6, monkeypatch)
    assert len(seen) == 6  # five steps, and one that is read
    torch.testing.assert_close(seen[-1][0], expected_memory(task, 5), rtol=1e-4, atol=1e-6)


def test_a_memory_that_is_not_finite_is_not_carried_on() -> None:
    task, engine = symbols(), Engine.__new__(Engine)
    before = {"memory": torch.ones(1, 2, *make_student().memory_shape)}
    engine.settings, engine.processes, engine.rank, engine.device = RECIPE.training, 1, 0, torch.device("cpu")

    def method(batch: Batch, *_: Any) -> Any:
        return {}, {"memory": torch.full_like(before["memory"], float(batch.inputs[0, 0]) or torch.nan)}

    batch = followed(task, 2, 5, 0)
    for first in (0, 1):
        given = Batch(torch.full_like(batch.inputs, first), batch.targets)
        after = engine.read(method, given, before, iter([generator(0, "loss")]), 0.5)
        assert torch.equal(after["memory"], before["memory"])
        assert (after is before) == (first == 0)


def test_a_method_ends_only_after_a_whole_stream_without_scores() -> None:
    x, y = np.arange(1500) % 5, np.full(1500, -100)
    y[1210:1250], y[1350:] = x[1210:1250], x[1350:]
    changes = ("training.steps=130", "training.batch_size=1", "training.evaluations=1")
    run = train(parse({**RECIPE.to_dict(), "length": 10}, changes), Stream(x, y))
    assert run.metrics["steps"] == 130  # scored from the 122nd on
    assert not [record for record in run.history if record["event"] == "unscored"]


@pytest.mark.parametrize("method", ["bptt", "smt+tbptt", "transformer"])
def test_other_methods_learn_a_stream_from_its_windows(method: str) -> None:
    cell = "auto" if method == "transformer" else "gru"
    run = nounroll.fit(Stream(np.arange(3000) % 5), method=method, cell=cell, length=8, steps=20)
    assert run.metrics["loss"] < 0.3  # of log 5
    assert ("loss_from_empty" in run.metrics) == (method != "transformer")
