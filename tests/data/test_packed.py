"""Batches of like lengths: every sequence in each epoch, little padding, and the same batch for the same step."""

import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nounroll
from nounroll.core.notices import Notice
from nounroll.data.sequences import Sequences
from nounroll.data.task import batch_lengths, training_batch
from nounroll.experiments.run import plan, train

SMALL = {"training.batch_size": 4, "training.evaluations": 1, "cell.memory_width": 8, "readout_width": 8}


def ragged(lengths: list[int], **options: Any) -> Sequences:
    """Sequence i is i, i, ...; all but two train."""
    names = ["validation", "test", *["train"] * (len(lengths) - 2)]
    inputs = [np.full((n, 1), float(i)) for i, n in enumerate(lengths)]
    return Sequences(inputs, **{"labels": np.arange(len(lengths)) % 2, "split": names, **options})


def drawn(count: int = 90, seed: int = 0) -> Sequences:
    """Lengths of which few are long."""
    lengths = np.minimum(np.random.default_rng(seed).geometric(0.1, count) + 2, 60).tolist()
    return ragged([5, 60, *lengths])


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=6, max_size=16), batch_size=st.integers(1, 5), seed=st.integers(0, 9)
)
def test_each_epoch_reads_each_sequence_once(lengths: list[int], batch_size: int, seed: int) -> None:
    task = ragged([5, 60, *lengths, 1, 40])
    size = task.size or 0
    group = min(8, size // batch_size) * batch_size  # sequences that are sorted together
    read = math.lcm(group, size)
    seen: Counter[float] = Counter()
    for step in range(read // batch_size):
        seen.update(training_batch(task, batch_size, task.length, seed, step).inputs[:, 0, 0].tolist())
    assert len(seen) == size
    assert set(seen.values()) == {read // size}


def padded(task: Sequences, steps: int = 40) -> float:
    """The share of padding in training batches."""
    batches = [training_batch(task, 8, task.length, 0, step) for step in range(steps)]
    lengths = task._steps
    real = sum(int(lengths[int(v)]) for b in batches for v in b.inputs[:, 0, 0].tolist())
    return 1 - real / sum(b.batch_size * b.length for b in batches)


def test_batches_of_like_lengths_hold_little_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = padded(drawn())
    monkeypatch.setattr(Sequences, "steps_each", lambda self: None)
    assert packed < 0.6
    assert padded(drawn()) > 0.75


def test_a_batch_depends_only_on_its_step_and_has_one_of_few_lengths() -> None:
    task = drawn()
    forwards = [training_batch(task, 8, 60, 3, step) for step in range(24)]
    for step in reversed(range(24)):
        batch = training_batch(task, 8, 60, 3, step)
        assert torch.equal(batch.inputs, forwards[step].inputs)
        assert torch.equal(batch.mask, forwards[step].mask)
    assert {batch.length for batch in forwards} <= {*batch_lengths(task, 60)} <= {15, 30, 45, 60}
    assert all(bool((batch.mask.sum(1) == 1).all()) for batch in forwards)
    others = [training_batch(task, 8, 60, 4, step) for step in range(24)]
    assert [b.inputs[:, 0, 0].tolist() for b in others] != [b.inputs[:, 0, 0].tolist() for b in forwards]


def test_sequences_of_one_length_are_read_as_ever() -> None:
    task = ragged([7] * 12)
    assert task.steps_each() is None
    assert {training_batch(task, 4, 7, 0, step).length for step in range(6)} == {7}


@pytest.mark.parametrize("method", ["bptt", *(pytest.param(m, marks=pytest.mark.nightly) for m in ("tbptt", "smt"))])
def test_a_resumed_run_is_the_one_that_was_never_stopped(tmp_path: Path, method: str) -> None:
    def run(folder: Path, task: Sequences, **how: Any) -> Any:
        settings = {**SMALL, "tbptt.window": 16, "teacher.width": 16, "teacher.layers": 1}
        recipe = plan(method, "gru", length=task.length, budget={"steps": 12}, settings=settings)
        return train(recipe, task, folder=folder, **how)

    whole = run(tmp_path / "whole", drawn())
    asked = iter([False] * 6 + [True] * 99)
    assert not run(tmp_path / "cut", drawn(), stop=lambda: next(asked)).finished
    again = run(tmp_path / "cut", drawn(), resume=True)
    assert again.finished
    for one, other in zip(whole.student.state_dict().values(), again.student.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="data"):  # another split is other data
        run(tmp_path / "cut", drawn(seed=1), resume=True)


def test_training_on_weighted_named_classes_with_gaps_runs() -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(n, 2)) for n in rng.integers(3, 12, 40)]
    for one in inputs:
        one[rng.random(one.shape) < 0.2] = np.nan
    labels = ["on" if i % 4 == 0 else "off" for i in range(40)]
    with pytest.warns(UserWarning, match="values are missing"):
        task = Sequences(inputs, labels=labels, static=np.arange(40), weights="balanced")
    run = nounroll.fit(task, method="bptt", cell="gru", steps=5, settings=SMALL)
    assert 0 <= run.metrics["accuracy"] <= 1


def test_a_length_that_cuts_sequences_gives_a_notice() -> None:
    task = ragged([12] * 8, labels=None, targets=[np.arange(12.0) / 3] * 8)
    short = {"method": "bptt", "cell": "gru", "steps": 1, "settings": SMALL}
    with pytest.warns(Notice, match=r"^length is 9, and the longest sequence of Sequences has 12 steps;"):
        nounroll.fit(task, length=9, **short)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        nounroll.fit(task, **short)
