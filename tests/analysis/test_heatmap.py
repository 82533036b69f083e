"""The heat map of a memory: which numbers, in which order, on which scale."""

import math

import torch

from helpers import make_batch
from nounroll.analysis.heatmap import heatmap
from nounroll.analysis.trajectories import Trajectories

BATCH = make_batch(2, 5)


def test_the_slowest_come_first_and_each_has_a_scale_of_its_own() -> None:
    t = torch.arange(101.0)
    quick, slow, middle = (100 * (-1.0) ** t, torch.sin(t / 50), torch.sin(t / 2))
    own = torch.stack([quick, slow, middle], dim=-1).view(1, 101, 1, 3).repeat(2, 1, 1, 1)
    found = heatmap(Trajectories(BATCH, own))
    shown = torch.tensor(found.own)
    assert shown.shape == (101, 3)
    assert (found.labels, found.numbers) == (None, 3)
    spans = [(one, one[1:].repeat(2)) for one in (slow, middle, quick)]  # m_∅ is shown, and counts for no scale
    wanted = torch.stack([(one - steps.mean()) / steps.std() for one, steps in spans], dim=-1)
    torch.testing.assert_close(shown, wanted, atol=0.006, rtol=0)


def test_student_and_teacher_share_a_scale() -> None:
    own, labels = torch.zeros(1, 11, 1, 1), torch.ones(1, 11, 1, 1)
    found = heatmap(Trajectories(BATCH, own, labels))
    scale = torch.cat([own, labels]).flatten().std()
    assert found.labels is not None
    assert math.isclose(found.labels[0][0] - found.own[0][0], 1 / scale, abs_tol=0.02)


def test_a_large_memory_and_a_long_sequence_are_thinned() -> None:
    found = heatmap(Trajectories(BATCH, torch.randn(2, 301, 4, 64)))
    assert (len(found.own), len(found.own[0]), found.numbers) == (129, 64, 256)


def test_the_longest_sequence_is_shown_and_padding_counts_for_nothing() -> None:
    own = torch.randn(2, 6, 2, 3)
    there = torch.tensor([[True] * 2 + [False] * 3, [True] * 4 + [False]])
    found = heatmap(Trajectories(BATCH, own, there=there))
    assert len(found.own) == 5
    own[~torch.cat([torch.ones(2, 1, dtype=torch.bool), there], 1)] = 1e6
    assert heatmap(Trajectories(BATCH, own, there=there)) == found


def test_a_memory_that_never_changes_is_no_fault() -> None:
    assert heatmap(Trajectories(BATCH, torch.ones(2, 4, 2, 3))).own == [[0.0] * 6] * 4
