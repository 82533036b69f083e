"""Resets: a row that starts again from m_∅ is as two sequences, for every cell and method."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import nounroll
from helpers import (
    CELL_KINDS,
    SYMBOLS,
    TEACHERS,
    assert_same_gradients,
    make_batch,
    make_bptt,
    make_dmt,
    make_smt,
    make_student,
    make_tbptt,
    make_teacher,
)
from nounroll.analysis.analyze import analyze
from nounroll.core.batch import Batch, apart, each_part
from nounroll.core.processes import sharing
from nounroll.core.seeding import generator
from nounroll.methods.base import Method
from nounroll.methods.heed import is_lost
from nounroll.methods.labels import separate
from nounroll.models.student import Student
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.rollout.collapse import guard, spread
from nounroll.rollout.evaluate import evaluate, evaluate_teacher, validation_batches
from nounroll.rollout.windows import windows_there

B, T = 3, 9
TIMES = ((4,), (), (0, 2, 7))  # of the resets of each row


def with_resets(batch: Batch, times: tuple[tuple[int, ...], ...] = TIMES) -> Batch:
    resets = torch.zeros(batch.batch_size, batch.length, dtype=torch.bool)
    for row, found in enumerate(times):
        resets[row, list(found)] = True
    return replace(batch, resets=resets)


def new_batch(seed: int = 0, length: int = T) -> Batch:
    return with_resets(make_batch(B, length, sparse=True, seed=seed))


def separate_sequences(batch: Batch) -> Iterator[tuple[int, int, int]]:
    """(row, start, stop) of each part, by hand."""
    for row, times in enumerate(TIMES):
        cuts = sorted({0, *times})
        for start, stop in zip(cuts, [*cuts[1:], batch.length], strict=True):
            yield row, start, stop


def by_hand(student: Student, batch: Batch, memory: Tensor) -> Tensor:
    """Memories after each input, from separate sequences that are stepped."""
    rows: list[list[Tensor]] = [[] for _ in range(B)]
    for row, start, stop in separate_sequences(batch):
        begins = start > 0 or start in TIMES[row]
        before = student.initial_memory(1) if begins else memory[row : row + 1]
        rows[row] += student.stepped_rollout(batch.inputs[row : row + 1, start:stop], before)[0, 1:].unbind()
    return torch.stack([torch.stack(one) for one in rows])


def weighed(values: Tensor) -> Tensor:
    """A sum to which every number contributes in a way of its own."""
    return (values * torch.randn(values.shape, generator=generator(5, "test"), dtype=values.dtype)).sum()


@pytest.mark.parametrize("cell", CELL_KINDS)
def test_a_rollout_with_resets_is_that_of_separate_sequences(cell: str) -> None:
    """Outputs and gradients, also of the memory that is carried in, by fused kernels, scans and single steps."""
    student, batch = make_student(cell), new_batch()
    memory = student.rollout(make_batch(B, 3, seed=9).inputs)[:, -1].detach()
    expected = by_hand(student, batch, memory)
    for rollout in (student.rollout, student.stepped_rollout):
        found = rollout(batch.inputs, memory, resets=batch.resets)
        assert torch.equal(found[:, 0], memory)
        torch.testing.assert_close(found[:, 1:], expected)
        assert_same_gradients(weighed(found[:, 1:]), weighed(expected), student)
    outputs, last = student(batch.inputs, memory, resets=batch.resets)
    torch.testing.assert_close(outputs, student.readout(expected))
    torch.testing.assert_close(last, expected[:, -1])
    assert_same_gradients(weighed(outputs), weighed(student.readout(expected)), student)
    lengths = [T, 5, 8]
    short, ends = student(batch.inputs, memory, lengths=lengths, resets=batch.resets)
    torch.testing.assert_close(ends, expected[torch.arange(B), torch.tensor(lengths) - 1])
    assert not short[1, 5:].any()


@pytest.mark.parametrize("cell", ["mlp", "lstm", "mingru"])
def test_control_a_reset_that_is_forgotten_is_found(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    student, batch = make_student(cell), new_batch()
    expected = by_hand(student, batch, student.initial_memory(B))
    monkeypatch.setattr(Student, "reset", lambda self, memory, done: memory)
    if cell == "mingru":
        monkeypatch.setattr(type(student.cell), "unroll_reset", lambda self, x, m, *_: self.unroll(x, m))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(student.rollout(batch.inputs, resets=batch.resets)[:, 1:], expected)


@pytest.mark.parametrize("cell", ["mlp", "gru", "lstm", "pooled", "mingru"])
def test_resets_that_are_false_change_nothing(cell: str) -> None:
    student, x = make_student(cell), make_batch(B, T).inputs
    never = torch.zeros(B, T, dtype=torch.bool)
    torch.testing.assert_close(student.rollout(x, resets=never), student.rollout(x), rtol=0, atol=1e-15)


@pytest.mark.parametrize("cell", ["mlp", "lstm", "mingru"])
@pytest.mark.parametrize(
    ("resets", "what"),
    [
        (torch.zeros(B, T - 1, dtype=torch.bool), f"torch.bool of shape ({B}, {T - 1})"),
        (torch.zeros(B, dtype=torch.bool), f"torch.bool of shape ({B},)"),
        (torch.zeros(B, T), f"torch.float32 of shape ({B}, {T})"),
    ],
    ids=["shorter", "by row", "numbers"],
)
def test_resets_of_another_form_are_refused(cell: str, resets: Tensor, what: str) -> None:
    student, batch = make_student(cell), make_batch(B, T)
    said = re.escape(f"resets are {what}; they must be torch.bool of shape ({B}, {T})")
    with pytest.raises(ValueError, match=f"^{said}$"):
        student(batch.inputs, resets=resets)
    with pytest.raises(ValueError, match=f"^T: {said}$"):
        replace(batch, resets=resets).check("T", SYMBOLS, SYMBOLS, B, T)


# --- batches ----------------------------------------------------------------------------------------------


def test_parts_of_a_batch_keep_their_resets() -> None:
    batch = new_batch()
    assert batch.resets is not None
    assert batch.rows(1, 3).resets.tolist() == batch.resets[1:].tolist()  # type: ignore[union-attr]
    assert batch.times(2, 5).resets.tolist() == batch.resets[:, 2:5].tolist()  # type: ignore[union-attr]
    assert batch.to("cpu").resets is not None
    assert Batch(batch.inputs, batch.targets).rows(0, 2).resets is None


def test_rows_are_taken_apart_at_resets_and_filled_up_unscored() -> None:
    batch = new_batch()
    found, there = apart(batch)
    assert there is not None
    assert found.resets is None
    parts = list(separate_sequences(batch))
    assert found.batch_size == len(parts) == 6
    for index, (row, start, stop) in enumerate(parts):
        count = stop - start
        assert there[index].sum() == count
        assert torch.equal(found.inputs[index, :count], batch.inputs[row, start:stop])
        assert torch.equal(found.targets[index, :count], batch.targets[row, start:stop])
        assert torch.equal(found.mask[index, :count], batch.mask[row, start:stop])
        assert not found.mask[index, count:].any()
    assert apart(batch, 20)[0].length == 20
    plain = make_batch(B, T)
    assert apart(plain) == (plain, None)


# --- methods ------------------------------------------------------------------------------------------------


def loss_of(method: Method, batch: Batch, state: dict[str, Tensor] | None = None) -> Tensor:
    return method(batch, state or {}, generator(0, "loss"), 0.5)[0]["loss"]


def twin(student: Student, batch: Batch, memories: Tensor) -> Tensor:
    return negative_log_likelihood(student.targets, student.readout(memories), batch.targets)[batch.mask].mean()


@pytest.mark.parametrize("cell", CELL_KINDS)
def test_bptt_learns_from_separate_sequences(cell: str) -> None:
    student, batch = make_student(cell), new_batch()
    expected = twin(student, batch, by_hand(student, batch, student.initial_memory(B)))
    for method in (make_bptt(student), make_tbptt(student, window=T), make_tbptt(student, window=T, carry=False)):
        loss = loss_of(method, batch)
        torch.testing.assert_close(loss, expected, check_dtype=False)
        assert_same_gradients(loss, expected, student)


@pytest.mark.parametrize("cell", ["mlp", "lstm", "mingru"])
def test_carried_windows_of_truncated_bptt_are_reset(cell: str) -> None:
    """A second step, against every batch that is under way stepped by hand."""
    student = make_student(cell)
    method, batches = make_tbptt(student, window=3), [new_batch(0), new_batch(1)]
    _, state = method(batches[0], {}, generator(0, "loss"), 0.5)
    loss = loss_of(method, batches[1], state)
    losses: list[Tensor] = []
    for batch, start in ((batches[1], 0), (batches[0], 3), (batches[0], 6)):
        memory = student.initial_memory(B)
        for t in range(start + 3):
            before = memory.detach() if t == start and start else memory
            memory = student.step(batch.inputs[:, t], student.reset(before, batch.resets[:, t]))  # type: ignore[index]
            if t >= start and bool(batch.mask[:, t].any()):
                rows = batch.mask[:, t]
                losses += [
                    negative_log_likelihood(student.targets, student.readout(memory)[rows], batch.targets[rows, t])
                ]
    expected = torch.cat(losses).mean()
    torch.testing.assert_close(loss, expected, check_dtype=False)
    assert_same_gradients(loss, expected, student)
    plain = Batch(batches[1].inputs, batches[1].targets, batches[1].mask)
    fresh, other = loss_of(method, plain, state), loss_of(method, plain)
    assert torch.equal(fresh, other)  # a state of another form starts afresh


def pairs(one: Batch, other: Batch) -> tuple[Batch, Batch]:
    """Rows of two sequences with a reset between them, and the same sequences as rows of their own."""
    joined = Batch(
        torch.cat([one.inputs, other.inputs], 1),
        torch.cat([one.targets, other.targets], 1),
        torch.cat([one.mask, other.mask], 1),
    )
    resets = torch.zeros_like(joined.mask)
    resets[:, one.length] = True

    def alternate(name: str) -> Tensor:
        return torch.stack([getattr(one, name), getattr(other, name)], dim=1).flatten(0, 1)

    apart_ = Batch(alternate("inputs"), alternate("targets"), alternate("mask"))
    return replace(joined, resets=resets), apart_


@pytest.mark.parametrize("kind", list(TEACHERS))
@pytest.mark.parametrize("name", ["smt", "dmt"])
def test_no_label_window_or_later_target_reaches_over_a_reset(name: str, kind: str) -> None:
    student = make_student("mlp")
    teacher = make_teacher(student, **TEACHERS[kind])
    settings: dict[str, Any] = {"decoding": 1.0, "window": 3}
    method = make_smt(student, teacher, **settings) if name == "smt" else make_dmt(student, teacher, **settings)
    batch, rows = pairs(make_batch(B, 5, sparse=True, seed=1), make_batch(B, 5, sparse=True, seed=2))
    loss, expected = loss_of(method, batch), loss_of(method, rows)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-12)
    assert_same_gradients(loss, expected, student)
    joined = loss_of(method, replace(batch, resets=None))
    assert abs(float(joined.detach()) - float(expected.detach())) > 1e-4  # control: what the reset is worth


@pytest.mark.parametrize("transitions", [0, 4])
@pytest.mark.parametrize(("name", "kind"), [("smt", "causal"), ("smt", "slots"), ("dmt", "causal")])
def test_what_fills_up_a_part_counts_nothing(
    name: str, kind: str, transitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of unequal lengths: other values after a part's end give the same losses and gradients."""
    student = make_student("mlp")
    teacher = make_teacher(student, kind=kind, decoder_layers=0)
    values = {"relative": True, "uniformity": 0.1, "transitions": transitions} if name == "smt" else {}
    values |= {"only_ahead": True} if name == "dmt" else {}
    make: Any = make_smt if name == "smt" else make_dmt
    method, batch, found = make(student, teacher, decoding=0.0, **values), new_batch(), []
    figures: list[dict[str, float]] = []
    for fill in (0, 1):
        rows, there = apart(batch)
        assert there is not None
        other = replace(rows, inputs=torch.where(there, rows.inputs, fill))
        with monkeypatch.context() as patch:
            patch.setattr(f"nounroll.methods.{name}.separate", lambda _, other=other, there=there: (other, there))
            losses = method(batch, {}, generator(0, "loss"), 0.5)[0]
        found.append(losses["loss"])
        figures.append({name: float(value.detach()) for name, value in losses.items()})
    torch.testing.assert_close(*found, rtol=1e-12, atol=0)
    assert figures[0] == pytest.approx(figures[1], rel=1e-9)
    assert_same_gradients(*found, student)


def test_a_student_is_lost_by_the_variance_of_what_is_there() -> None:
    there, expert = torch.tensor([True, True, False]), torch.tensor([0.0, 1.0, 90.0])[:, None, None]
    behind, mask = torch.full((3, 1), 9.0), torch.ones(3, 1, dtype=torch.bool)
    assert is_lost(expert + 1, expert, behind, mask, 1.0, there).tolist() == [True, True, True]
    assert not is_lost(expert + 1, expert, behind, mask, 1.0)[:2].any()  # control


def test_the_collapse_guard_looks_at_what_is_there() -> None:
    student = make_student("mlp")
    teacher = make_teacher(student)
    batch = new_batch()
    seen = [
        teacher.memories(batch.inputs[row : row + 1, start:stop])[0, 1:].detach()
        for row, start, stop in separate_sequences(batch)
    ]
    assert guard(student, teacher, batch)["memory_variance"] == pytest.approx(
        spread(torch.cat(seen)).variance, rel=1e-6
    )


def test_transitions_are_drawn_where_steps_are_there() -> None:
    """Of all parts together, each step equally often, whatever is longest."""
    there = torch.arange(50) < torch.tensor([50, 1, 3, 1, 5])[:, None]
    counts = torch.zeros(there.shape)
    for seed in range(400):
        starts, drawn = windows_there(there, 1, 6, generator(seed, "test"))
        assert int(drawn.sum()) == 6
        rows = torch.arange(5)[:, None].expand_as(starts)[drawn]
        assert there[rows, starts[drawn]].all()
        counts[rows, starts[drawn]] += 1
    assert counts[~there].sum() == 0
    assert counts[there].min() > 20  # 40 are expected of each
    student = make_student("mlp")
    parts, found = separate(new_batch())
    method = make_smt(student, make_teacher(student), transitions=4)
    _, _, used = method._windows(parts, found, (B, T), generator(0, "test"))
    assert int(used.sum()) == B * 4  # type: ignore[union-attr]
    starts, drawn = windows_there(there, 3, 99, generator(0, "test"))
    assert drawn.sum(1).tolist() == [48, 1, 1, 1, 3]


def test_no_more_is_run_at_once_than_a_batch_has_steps() -> None:
    resets = torch.zeros(2, 40, dtype=torch.bool)
    resets[0, 20:] = resets[1, 33:] = True
    x, sizes = torch.randint(5, (2, 40), generator=generator(0, "test")), list[int]()

    def run(inputs: Tensor) -> Tensor:
        sizes.append(inputs.numel())
        return inputs.cumsum(1)[..., None]

    batch = Batch(x, x, resets=resets)
    found = each_part(run, batch)
    assert max(sizes) <= 80
    parts, there = apart(batch)
    assert parts.inputs.numel() > 10 * 80  # control: what it would be together
    assert torch.equal(found, parts.inputs.cumsum(1)[..., None][there].unflatten(0, (2, 40)))  # type: ignore[index]


def test_several_processes_refuse_resets_for_methods_with_a_teacher() -> None:
    with sharing(0, 2), pytest.raises(ValueError, match="several processes share them"):
        separate(new_batch())


# --- figures --------------------------------------------------------------------------------------------------


def test_figures_are_those_of_separate_sequences() -> None:
    student = make_student("lstm")
    teacher = make_teacher(student)
    batch = new_batch()
    rows = [
        Batch(*(getattr(batch, name)[row : row + 1, start:stop] for name in ("inputs", "targets", "mask")))
        for row, start, stop in separate_sequences(batch)
    ]
    assert evaluate(student, [batch]) == pytest.approx(evaluate(student, rows), rel=1e-6)
    there = evaluate(student, [batch], teacher.kept)
    assert there == pytest.approx(evaluate(student, rows, teacher.kept), rel=1e-6)  # drift too
    told = evaluate_teacher(student, [batch], teacher.memories)
    assert told == pytest.approx(evaluate_teacher(student, rows, teacher.memories), rel=1e-6)
    plain = evaluate(student, [replace(batch, resets=None)])
    assert plain["loss"] != pytest.approx(there["loss"], rel=5e-6)  # control


class Episodes(nounroll.SequenceTask):
    """Say which symbol came first since the last reset."""

    inputs, targets = nounroll.Categorical(3), nounroll.Categorical(3)
    bad = False

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.randint(3, (batch_size, length), generator=generator)
        resets = torch.rand(batch_size, length, generator=generator) < 0.2
        resets[:, 0] = True
        starts = torch.where(resets, torch.arange(length), 0).cummax(1).values
        return Batch(x, x.gather(1, starts), resets=resets[:1] if self.bad else resets)


def learnt(method: str, steps: int) -> nounroll.Run:
    settings = {"training.learning_rate": 1e-2, "training.batch_size": 32, "training.evaluations": 1}
    cell = "auto" if method == "transformer" else "gru"
    return nounroll.fit(Episodes(), method=method, cell=cell, length=12, steps=steps, settings=settings)


@pytest.mark.parametrize("method", ["smt+dmt+bptt", "tbptt", "transformer"])
def test_a_run_learns_from_episodes(method: str) -> None:
    run = learnt(method, 25)
    assert run.metrics["steps"] == 25
    assert run.metrics["loss"] < 0.7  # of log 3


def test_control_a_run_that_has_not_learnt_yet_is_seen() -> None:
    assert learnt("tbptt", 1).metrics["loss"] > 0.9


def test_resets_of_a_task_are_checked() -> None:
    task = Episodes()
    task.bad = True
    said = r"^Episodes: resets are torch.bool of shape \(1, 12\); they must be torch.bool of shape \(2, 12\)$"
    with pytest.raises(ValueError, match=said):
        nounroll.fit(task, method="bptt", cell="gru", length=12, steps=2)


def test_an_analysis_looks_at_separate_sequences() -> None:
    """Two episodes of six steps in each row: nothing is seen of a seventh position."""

    class Two(Episodes):
        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
            x = torch.randint(3, (batch_size, length), generator=generator)
            resets = (torch.arange(length) % 6 == 0).expand(batch_size, -1)
            return Batch(x, x, resets=resets)

    student = make_student("gru", Two.inputs, Two.targets, dtype=torch.float32)
    found = analyze(student, None, Two(), length=12, sequences=2, horizon=None)
    (batch,) = validation_batches(Two(), 2, 12, 0, stream="test")
    assert found.student.metrics == pytest.approx(evaluate(student, [batch]), rel=1e-6)
    losses = found.student.positions.loss
    assert len(losses) == 6
    assert None not in losses
