import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nounroll.core.batch import Batch
from nounroll.data.keys_values import KeysValues
from nounroll.data.task import draw


def solve(task: KeysValues, batch: Batch) -> None:
    """A dictionary filled from the pairs answers every query."""
    for row in range(batch.batch_size):
        read, first = batch.inputs[row].tolist(), 2 * task.pairs
        pairs = dict(zip(read[:first:2], read[1:first:2], strict=True))
        assert len(pairs) == task.pairs  # keys differ
        assert all(key < task.keys <= value < task.blank for key, value in pairs.items())
        assert not batch.mask[row, :first].any()
        for t in batch.mask[row].nonzero()[:, 0].tolist():
            assert int(batch.targets[row, t]) == pairs[read[t]] - task.keys


@settings(max_examples=40, deadline=None)
@given(pairs=st.integers(1, 6), more=st.integers(0, 20), mqar=st.booleans(), noise=st.booleans(), data=st.data())
def test_the_optimum_is_exact(pairs: int, more: int, mqar: bool, noise: bool, data: st.DataObject) -> None:
    queries = None if mqar else data.draw(st.none() | st.integers(1, pairs))
    keys = data.draw(st.integers(pairs, 12))
    task = KeysValues(keys=keys, values=3, pairs=pairs, queries=queries, mqar=mqar, noise=noise)
    least = 4 * pairs if mqar else 2 * pairs + (queries or pairs)
    batch = draw(task, 8, least + more, data.draw(st.integers(0, 2**31)), "train")
    solve(task, batch)
    asked = batch.mask.sum(1)
    assert (asked == (queries or pairs)).all()
    for row in range(8):
        keys_asked = batch.inputs[row][batch.mask[row]].tolist()
        assert len(set(keys_asked)) == len(keys_asked)  # each at most once
    blank = (batch.inputs == task.blank).sum(1)
    assert (blank == (0 if noise else batch.length - 2 * pairs - asked)).all()

    shorter = data.draw(st.integers(4 if mqar else 3, least - 1)) if least > 4 else least
    held, asked_for = task.fitting(shorter)
    few = KeysValues(keys=keys, values=3, pairs=held, queries=None if mqar else asked_for, mqar=mqar, noise=noise)
    batch = draw(task, 8, shorter, 1, "train")
    solve(few, batch)  # as many pairs as fit, and no more would
    assert (batch.mask.sum(1) == asked_for).all()
    assert held == pairs or shorter < (4 * (held + 1) if mqar else 2 * (held + 1) + min(held + 1, queries or pairs))


@pytest.mark.parametrize(("mqar", "least"), [(False, 3), (True, 4)])
def test_a_sequence_with_no_place_for_a_pair_is_refused(mqar: bool, least: int) -> None:
    task = KeysValues(mqar=mqar)
    assert draw(task, 2, least, 0, "train").mask.any()
    with pytest.raises(ValueError, match=f"length is {least - 1}; KeysValues needs at least {least}"):
        draw(task, 2, least - 1, 0, "train")


def test_control_a_wrong_answer_is_seen() -> None:
    batch = draw(KeysValues(), 8, 30, 0, "train")
    batch.targets[batch.mask] = (batch.targets[batch.mask] + 1) % 8
    with pytest.raises(AssertionError):
        solve(KeysValues(), batch)


def test_the_places_of_the_queries() -> None:
    last = draw(KeysValues(pairs=3, queries=2), 50, 20, 0, "train")
    assert torch.equal(last.mask, torch.arange(20).expand(50, -1) >= 18)
    task = KeysValues(pairs=1, mqar=True)
    steps = draw(task, 4000, 22, 0, "train").mask.long().argmax(1)
    chance = np.arange(1, 11) ** (0.01 - 1)  # the published law of the gaps
    share = torch.bincount((steps - 2) // 2, minlength=10) / 4000
    assert (steps % 2 == 0).all()
    assert np.allclose(share.numpy(), chance / chance.sum(), atol=0.03)
    even = draw(KeysValues(pairs=1, mqar=True, gap_power=1.0), 4000, 22, 0, "train").mask.long().argmax(1)
    assert (torch.bincount((even - 2) // 2, minlength=10) / 4000 - 0.1).abs().max() < 0.02


def test_the_key_alone_says_nothing() -> None:
    batch = draw(KeysValues(keys=4, values=4, pairs=4), 3000, 12, 0, "train")
    joint = torch.bincount(4 * batch.inputs[batch.mask] + batch.targets[batch.mask], minlength=16).double()
    assert (joint / joint.sum() - 1 / 16).abs().max() < 0.01


def test_mqar_asks_for_every_key() -> None:
    with pytest.raises(ValueError, match=r"^keys_values\.queries is 3; with keys_values\.mqar it must be null$"):
        KeysValues(queries=3, mqar=True)
