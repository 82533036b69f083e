"""Two dimensions: the directions are the principal ones, and what is drawn fits together."""

import pytest
import torch

from helpers import make_batch, make_student
from nounroll.analysis.geometry import geometry
from nounroll.analysis.trajectories import Trajectories
from nounroll.core.batch import Batch
from nounroll.core.seeding import generator


def planted() -> Trajectories:
    """Memories along two directions, the first with 9 times the variance of the second, and little noise."""
    source = generator(0, "test")
    basis = torch.linalg.qr(torch.randn(16, 16, generator=source))[0]
    size = torch.tensor([3.0, 1.0] + [0.01] * 14)
    points = (torch.randn(30, 11, 16, generator=source) * size) @ basis.T
    return Trajectories(make_batch(30, 10), points.unflatten(-1, (2, 8)))


def test_the_two_largest_directions_are_found() -> None:
    found = geometry(make_student(), planted())
    assert found.explained == pytest.approx([0.9, 0.1], abs=0.03)
    own = torch.tensor(found.own)
    assert own.flatten(0, 1).std(0).tolist() == pytest.approx([3.0, 1.0], rel=0.2)
    assert found.labels is None


def test_a_memory_of_one_number_has_one_direction() -> None:
    own = torch.randn(30, 11, 1, 1, generator=generator(0, "test"))
    found = geometry(make_student(), Trajectories(make_batch(30, 10), own))
    assert found.explained == pytest.approx([1.0, 0.0])
    assert {len(point) for path in found.own for point in path} == {2}
    assert {point[1] for path in found.own for point in path} == {0.0}


def test_student_and_teacher_share_the_plane() -> None:
    seen = planted()
    found = geometry(make_student(), Trajectories(seen.batch, seen.own, seen.own.clone()))
    assert found.labels == found.own


def test_a_point_has_the_target_that_comes_next() -> None:
    batch = make_batch(1, 4)
    mask = torch.tensor([[False, True, False, False]])
    y = torch.tensor([[0, 3, 0, 0]])
    seen = Trajectories(Batch(batch.inputs, y, mask), torch.randn(1, 5, 2, 8, generator=generator(0, "test")))
    found = geometry(make_student(), seen)
    assert found.times == [0, 1, 2, 3, 4]
    assert found.targets == [[3.0, 3.0, 3.0, None, None]]  # m_∅, m_0 and m_1 lead to y_1


def test_padding_is_neither_drawn_nor_counted() -> None:
    seen = planted()
    there = torch.arange(10).expand(30, 10) < torch.arange(30)[:, None] % 10 + 1
    found = geometry(make_student(), Trajectories(seen.batch, seen.own, seen.own, there))
    assert found.labels is not None
    for paths in (found.own, found.labels, found.targets):
        assert [len(path) for path in paths] == [i % 10 + 2 for i in range(24)]  # m_∅ is one of them
    seen.own[:, 1:][~there] = 1e6
    assert geometry(make_student(), Trajectories(seen.batch, seen.own, seen.own, there)) == found


def test_geometry_draws_nothing_from_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    one, same = geometry(make_student(), planted()), geometry(make_student(), planted())
    assert one == same
    assert torch.equal(torch.random.get_rng_state(), before)
