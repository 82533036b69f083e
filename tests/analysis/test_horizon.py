"""Loss by position and by steps ahead, against one element at a time."""

import pytest
import torch

from helpers import SYMBOLS, make_batch, make_student, make_teacher
from nounroll.analysis.horizon import by_position, by_steps_ahead
from nounroll.core.batch import Batch, Real


@torch.no_grad()
def test_positions_by_hand() -> None:
    student, batch = make_student(), make_batch(5, 6, sparse=True)
    batch.mask[:, 2] = False
    memories = student.rollout(batch.inputs)
    found = by_position(student, memories, batch)
    assert found.loss[2] is None
    assert found.hits[2] is None
    for t in (0, 1, 3, 4, 5):
        logits = [student.readout(memories[b, t + 1]) for b in range(5) if batch.mask[b, t]]
        answers = [int(batch.targets[b, t]) for b in range(5) if batch.mask[b, t]]
        losses = [-float(row.log_softmax(-1)[y]) for row, y in zip(logits, answers, strict=True)]
        rights = [int(row.argmax()) == y for row, y in zip(logits, answers, strict=True)]
        assert found.loss[t] == (pytest.approx(sum(losses) / len(losses), rel=1e-5) if losses else None)
        assert found.hits[t] == (pytest.approx(sum(rights) / len(rights)) if rights else None)


def test_positions_of_real_targets() -> None:
    student, batch = make_student("mlp", SYMBOLS, Real(2)), make_batch(3, 4, SYMBOLS, Real(2))
    found = by_position(student, student.rollout(batch.inputs), batch)
    assert all(value is not None and value <= 0 for value in found.hits)


@torch.no_grad()
def test_steps_ahead_by_hand() -> None:
    student, batch = make_student(), make_batch(4, 7, sparse=True)
    teacher = make_teacher(student)
    decoder = teacher.decoder
    assert decoder is not None
    memories = teacher.memories(batch.inputs)
    found = by_steps_ahead(student, decoder, memories, batch, horizon=3)
    losses: list[list[float]] = [[], [], []]
    for b in range(4):
        for t in range(7):
            for ahead in range(min(3, 7 - t)):
                if batch.mask[b, t + ahead]:
                    seen = batch.inputs[b : b + 1, t + 1 : t + ahead + 1]
                    logits = decoder(memories[b : b + 1, t + 1], seen)[0, -1]
                    losses[ahead].append(-float(logits.log_softmax(-1)[batch.targets[b, t + ahead]]))
    assert found == pytest.approx([sum(values) / len(values) for values in losses], rel=1e-5)


def test_a_horizon_longer_than_the_sequence() -> None:
    student, batch = make_student(), make_batch(2, 3)
    decoder = make_teacher(student).decoder
    assert decoder is not None
    assert len(by_steps_ahead(student, decoder, student.rollout(batch.inputs), batch, horizon=99)) == 3


def test_nothing_scored_is_nothing_said() -> None:
    student, batch = make_student(), make_batch(2, 3)
    silent = Batch(batch.inputs, batch.targets, torch.zeros(2, 3, dtype=torch.bool))
    assert by_position(student, student.rollout(batch.inputs), silent).loss == [None] * 3
