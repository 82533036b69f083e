"""A learner of streams: chunks are one stream, snapshots are exact, and what cannot be learnt from is refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nounroll
from helpers import make_student, same_state, state
from nounroll.cells.base import CellSettings
from nounroll.core.batch import Categorical, Real
from nounroll.core.notices import Notice
from nounroll.models.student import Student
from nounroll.storage.checkpoint import CheckpointError
from nounroll.training.learner import StreamLearner
from nounroll.training.optimizer import optimizer_state


def learner(rows: int = 1, cell: str = "gru", **settings: Any) -> StreamLearner:
    return StreamLearner(make_student(cell, dtype=torch.float32), rows=rows, window=8, learning_rate=1e-2, **settings)


def symbols(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(5, size=shape)


def same(one: StreamLearner, other: StreamLearner) -> bool:
    """Weights, memory, moments and counters."""
    moments = [optimizer_state(each._optimizer)[0] for each in (one, other)]
    return (
        same_state(state(one.student), state(other.student))
        and torch.equal(one.memory, other.memory)
        and same_state(*moments)
        and one.steps == other.steps
    )


def chunks(x: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(x, cuts, axis=-1)


@pytest.mark.parametrize("cell", ["mlp", "lstm", "mingru"])
@pytest.mark.parametrize("rows", [1, 3])
def test_chunks_are_one_stream(cell: str, rows: int) -> None:
    """With targets; and of next elements, where a chunk's last waits for the first of the next."""
    shape = (40,) if rows == 1 else (rows, 40)
    x, y = symbols(*shape), symbols(*shape, seed=1)
    whole, parts = learner(rows, cell).partial_fit(x, y), learner(rows, cell)
    for a, b in zip(chunks(x, [8, 24]), chunks(y, [8, 24]), strict=True):
        assert parts.partial_fit(a, b) is parts
    assert whole.steps == 5
    assert same(whole, parts)
    whole, parts = learner(rows, cell).partial_fit(x), learner(rows, cell)
    for a in chunks(x, [1, 9, 25]):
        parts.partial_fit(a)
    assert same(whole, parts)


def test_control_a_chunk_that_forgets_the_memory_is_found() -> None:
    x, y = symbols(16), symbols(16, seed=1)
    whole, parts = learner().partial_fit(x, y), learner()
    parts.partial_fit(x[:8], y[:8]).reset().partial_fit(x[8:], y[8:])
    assert not same(whole, parts)


def test_the_loss_is_that_before_learning_and_falls() -> None:
    model, x = learner(), symbols(8)
    model.partial_fit(x, x)
    with torch.no_grad():
        fresh = make_student("gru", dtype=torch.float32)
        outputs, _ = fresh(torch.from_numpy(x)[None])
    expected = torch.nn.functional.cross_entropy(outputs[0], torch.from_numpy(x))
    assert model.loss == pytest.approx(float(expected), rel=1e-5)
    first = model.loss
    for seed in range(30):
        x = symbols(64, seed=seed)
        model.partial_fit(x, x)
    assert model.loss < 0.3 * first


@pytest.mark.parametrize("rows", [1, 2])
def test_a_snapshot_goes_on_exactly(tmp_path: Path, rows: int) -> None:
    shape = (3, 20) if rows == 1 else (3, rows, 20)
    first, second, third = symbols(*shape)
    model = learner(rows).partial_fit(first).partial_fit(second)
    model.save(tmp_path / "snapshot")
    again = StreamLearner.load(tmp_path / "snapshot")
    assert same(model, again)
    assert model.partial_fit(third).loss == again.partial_fit(third).loss
    assert same(model, again)
    opened = Student.from_pretrained(tmp_path / "snapshot")  # as it was
    assert not same_state(state(opened), state(model.student))
    model.save(tmp_path / "snapshot")  # in place of the one before
    assert same(model, StreamLearner.load(tmp_path / "snapshot"))


def test_control_a_snapshot_without_moments_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = learner().partial_fit(symbols(20))
    model.save(tmp_path / "snapshot")
    monkeypatch.setattr("nounroll.training.learner.load_optimizer_state", lambda *_: None)
    again = StreamLearner.load(tmp_path / "snapshot")
    model.partial_fit(symbols(20, seed=1))
    assert not same(model, again.partial_fit(symbols(20, seed=1)))


@pytest.mark.parametrize("what", ["student", "damaged"])
def test_a_folder_without_a_snapshot_is_refused(tmp_path: Path, what: str) -> None:
    if what == "student":
        make_student("gru").save_pretrained(tmp_path / "s")
    else:
        learner().save(tmp_path / "s")
        (tmp_path / "s" / "learner.json").write_text("{}")
    with pytest.raises((ValueError, CheckpointError)) as error:
        StreamLearner.load(tmp_path / "s")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "s") in str(error.value)


def test_a_prediction_goes_on_from_the_memory_and_moves_nothing() -> None:
    model, x = learner(), symbols(20)
    model.partial_fit(x)
    former = state(model.student), model.memory.clone()
    after, more = model.predict(), model.predict(symbols(6, seed=3))
    assert same_state(state(model.student), former[0])
    assert torch.equal(model.memory, former[1])
    with torch.no_grad():
        outputs, _ = model.student(torch.from_numpy(np.r_[x[-1:], symbols(6, seed=3)])[None], former[1])
    assert more.tolist() == outputs[0].argmax(-1).tolist()
    assert after.tolist() == more[:1].tolist()
    with_targets = learner().partial_fit(x, x)
    assert with_targets.predict(symbols(6)).shape == (6,)
    with pytest.raises(ValueError, match=r"^x is not given, and nothing was read before; give x$"):
        with_targets.predict()


def test_rows_that_are_done_begin_anew() -> None:
    """The next element of the other rows is still learnt; that of a row that is done belongs to nothing before it."""
    model, x = learner(2), symbols(2, 9)
    model.partial_fit(x)
    kept = model.memory.clone()
    model.reset([False, True])
    assert torch.equal(model.memory[0], kept[0])
    assert torch.equal(model.memory[1], model.student.empty_memory.detach())
    later = symbols(2, 5, seed=4)
    seen: list[Any] = []
    model._method.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    expected = model.predict(later)[1, 1:]
    model.partial_fit(later)
    (batch,) = seen
    assert batch.inputs[1].tolist() == [x[1, -1], *later[1, :-1]]
    assert batch.mask.tolist() == [[True] * 5, [False] + [True] * 4]
    assert batch.resets.tolist() == [[False] * 5, [False, True, False, False, False]]
    fresh = learner(2)
    fresh.partial_fit(x)
    with torch.no_grad():
        outputs, _ = fresh.student(torch.from_numpy(later[1:]))
    assert outputs[0].argmax(-1).tolist() == expected.tolist()
    assert model.reset()._pending is None


def memory_after(model: StreamLearner, *elements: int) -> torch.Tensor:
    with torch.no_grad():
        return model.student(torch.tensor([elements]))[1][0]


@pytest.mark.parametrize("cuts", [[], [1], [1, 2], [2]], ids=str)
def test_a_row_that_begins_anew_reads_nothing_of_before(cuts: list[int]) -> None:
    """Chunks of one step too. It learns next to nothing, so that the memory is that of one rollout."""
    model, x = StreamLearner(make_student("gru", dtype=torch.float32), rows=2, learning_rate=1e-12), symbols(2, 6)
    model.partial_fit(x).reset([True, False])
    later = symbols(2, 3, seed=4)
    for part in chunks(later, cuts):
        model.partial_fit(part)
    torch.testing.assert_close(model.memory[0], memory_after(model, *later[0, :-1]))
    torch.testing.assert_close(model.memory[1], memory_after(model, *x[1], *later[1, :-1]))
    first = StreamLearner(make_student("gru", dtype=torch.float32), rows=2, learning_rate=1e-12)
    first.partial_fit(x[:, :1]).reset([True, False])  # nothing was read, and one element waits
    for part in chunks(later, cuts):
        first.partial_fit(part)
    torch.testing.assert_close(first.memory[0], memory_after(first, *later[0, :-1]))
    torch.testing.assert_close(first.memory[1], memory_after(first, x[1, 0], *later[1, :-1]))


def test_a_prediction_sees_nothing_of_a_row_before_it_began_anew() -> None:
    model, x = learner(2).partial_fit(symbols(2, 9)), symbols(2, 3, seed=4)
    model.reset([True, False])
    with pytest.raises(ValueError, match=r"^x is not given, and nothing was read before in rows \[0\]; give x$"):
        model.predict()
    found = model.predict(x)
    with torch.no_grad():
        outputs, _ = model.student(torch.from_numpy(x[:1]))
    assert found[0].tolist() == [outputs[0, 0].argmax(), *outputs[0].argmax(-1)]
    after = model.partial_fit(x[:, :1]).predict()  # the waiting element is read from m_∅
    assert after.shape == (2, 1)
    with torch.no_grad():
        assert after[0, 0] == model.student(torch.from_numpy(x[:1, :1]))[0][0, 0].argmax()


def test_a_buffer_that_is_used_again_changes_nothing() -> None:
    one, other, buffer = learner(), learner(), symbols(5)
    for seed in range(3):
        buffer[:] = symbols(5, seed=seed)
        one.partial_fit(buffer)
        other.partial_fit(buffer.copy())
    assert same(one, other)


def test_an_element_that_waits_is_read_before_a_chunk_with_targets() -> None:
    model = StreamLearner(make_student("gru", dtype=torch.float32), learning_rate=1e-12)
    model.partial_fit(np.array([0, 1, 2])).partial_fit(np.array([3, 4]), np.array([1, 1]))
    torch.testing.assert_close(model.memory[0], memory_after(model, 0, 1, 2, 3, 4))
    model.partial_fit(np.array([1, 2]))
    torch.testing.assert_close(model.memory[0], memory_after(model, 0, 1, 2, 3, 4, 1))


@pytest.mark.parametrize("done", [True, [True], [True, False, True], [0, 1]])
def test_only_one_truth_value_per_row_resets(done: Any) -> None:
    """A single one is no order to reset every row."""
    model = learner(2).partial_fit(symbols(2, 9))
    kept, pending = model.memory.clone(), model._pending
    with pytest.raises(ValueError, match=r"^done is .*; it must hold 2 truth values, one for each row$"):
        model.reset(done)
    assert torch.equal(model.memory, kept)
    assert model._pending is pending
    assert not (model._fresh | model._begun).any()


@pytest.mark.parametrize("rows", [1, 2])
def test_the_empty_memory_is_learnt_after_a_snapshot_and_after_a_reset(tmp_path: Path, rows: int) -> None:
    x = symbols(40) if rows == 1 else symbols(rows, 40)
    model, kept = learner(rows), learner(rows)
    kept.save(tmp_path / "s")
    again = StreamLearner.load(tmp_path / "s")
    assert same(model.partial_fit(x), again.partial_fit(x))
    before = model.student.empty_memory.detach().clone()
    model._optimizer.zero_grad()
    for ended in (None, [True] + [False] * (rows - 1)):
        model.reset(ended)
        model._forward(model._given(torch.from_numpy(x).view(rows, -1), torch.from_numpy(x).view(rows, -1)))[
            "loss"
        ].backward()
        assert model.student.empty_memory.grad.abs().sum() > 0  # type: ignore[union-attr]
        model._optimizer.zero_grad()
    assert torch.equal(model.student.empty_memory, before)


def test_a_snapshot_between_a_reset_and_the_next_chunk_goes_on_exactly(tmp_path: Path) -> None:
    model = learner(2).partial_fit(symbols(2, 9)).reset([True, False])
    model.save(tmp_path / "s")
    again = StreamLearner.load(tmp_path / "s")
    for seed in (1, 2):
        one = symbols(2, 1, seed=seed)
        assert same(model.partial_fit(one), again.partial_fit(one))


def test_tensors_that_are_part_of_a_graph_are_read() -> None:
    x = torch.randn(40, 1, generator=torch.Generator().manual_seed(0))
    models = [StreamLearner(nounroll.Student(Real(1), Real(1), CellSettings(kind="gru", tokens=1))) for _ in range(2)]
    models[1].student.load_state_dict(models[0].student.state_dict())
    models[0].partial_fit(x)
    models[1].partial_fit(x.clone().requires_grad_())
    assert same(*models)


def test_a_scale_of_few_elements_is_told() -> None:
    model = StreamLearner(nounroll.Student(Real(1), Real(1), CellSettings(kind="gru", tokens=1)))
    with pytest.warns(
        Notice,
        match=r"^the scale of x is taken from 1 elements and is kept; a longer first chunk gives a better scale$",
    ):
        model.partial_fit(np.array([1000.0]))


def test_missing_targets_are_read_and_not_scored() -> None:
    x, y = symbols(16), symbols(16, seed=1)
    y[:8] = -100
    model = learner().partial_fit(x, y)
    assert model.steps == 1
    assert not torch.equal(model.memory, learner().partial_fit(x[8:], y[8:]).memory)
    assert np.isnan(learner().partial_fit(x, np.full(16, -100)).loss)


def test_a_new_student_takes_its_scale_from_the_first_chunk_and_a_trained_one_keeps_its_own() -> None:
    draws = np.random.default_rng(0)
    x = 1000 + 50 * draws.normal(size=200)
    model = StreamLearner(nounroll.Student(Real(1), Real(1), CellSettings(kind="gru", tokens=1)))
    model.partial_fit(x[:100])
    assert model.student.inputs.shift == pytest.approx([x[:100].mean()])  # type: ignore[attr-defined]
    former = model.student.inputs.shift  # type: ignore[attr-defined]
    model.partial_fit(x[100:] + 1e4)
    assert model.student.inputs.shift == former  # type: ignore[attr-defined]
    assert model.predict().shape == (1, 1)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.array([1, 9]), None, "StreamLearner: targets holds the symbol 9"),
        (symbols(4), symbols(5), "y has 5 steps and x 4; they must be equal"),
        (symbols(2, 4), None, "x has the shape (2, 4); Categorical(n=5) in 1 rows needs (T,)"),
        (np.zeros((4, 1)), None, "x has the shape (4, 1);"),
        (["a", "b"], None, "x holds values of the kind <U1; it must hold numbers"),
        (np.array([], dtype=int), None, "x is empty; a chunk has at least one step"),
        (symbols(4), np.array([0, 1, 7, 0]), "StreamLearner: targets holds the symbol 7"),
    ],
    ids=["outside", "unequal", "rows", "vectors", "texts", "empty", "targets outside"],
)
def test_what_is_no_chunk_is_refused_and_changes_nothing(x: Any, y: Any, said: str) -> None:
    model = learner().partial_fit(symbols(20))
    former = state(model.student), model.memory.clone(), model._pending
    with pytest.raises(ValueError, match=f"^{re.escape(said)}") as error:
        model.partial_fit(x, y)
    assert "\n" not in str(error.value)
    assert same_state(state(model.student), former[0])
    assert torch.equal(model.memory, former[1])
    assert model._pending is former[2]


def test_settings_and_tasks_that_cannot_be_are_refused() -> None:
    for name, value in (("rows", 0), ("window", 0), ("learning_rate", 0.0)):
        with pytest.raises(ValueError, match=f"^{name} is {value}"):
            StreamLearner(make_student(), **{name: value})
    labels = StreamLearner(make_student("gru", Real(2), Categorical(3)))
    with pytest.raises(ValueError, match=r"^y is not given, and targets are"):
        labels.partial_fit(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"^x has the shape"):
        labels.partial_fit(np.zeros((4, 3)))


def test_an_update_that_is_not_finite_is_left_out_and_said() -> None:
    model, x = learner(), symbols(8)
    model.partial_fit(x, x)
    memory = model.memory.clone()

    with torch.no_grad():
        model.student.head.out.bias[0] = float("inf")
    former = state(model.student)
    with pytest.warns(Notice, match="^an update was skipped, because its loss was"):
        model.partial_fit(x, x)
    assert (model.steps, model.skipped) == (1, 1)
    assert same_state(state(model.student), former)
    assert torch.equal(model.memory, memory)
