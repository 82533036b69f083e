"""Elements of gymnasium's spaces are read and written back as they were; other spaces are refused in one line."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from nounroll.core.spaces import Bits, Categorical, Product, Real
from nounroll.data.environment_spaces import Translation, batched, single

gymnasium = pytest.importorskip("gymnasium")
spaces = gymnasium.spaces

CASES = {
    "discrete": (spaces.Discrete(4), Categorical(4)),
    "starting at 3": (spaces.Discrete(5, start=3), Categorical(5)),
    "bits": (spaces.MultiBinary((2, 3)), Bits(6)),
    "box": (spaces.Box(-1, 1, (2, 2)), Real(4)),
    "image": (spaces.Box(0, 255, (3, 2), dtype=np.uint8), Real(6)),
    "several": (spaces.MultiDiscrete([3, 2]), Product(**{"0": Categorical(3), "1": Categorical(2)})),
    "tuple": (
        spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (2,)))),
        Product(**{"0": Categorical(2), "1": Real(2)}),
    ),
    "nested": (
        spaces.Dict(eye=spaces.Box(0, 1, (1,)), hands=spaces.Tuple((spaces.MultiBinary(2), spaces.MultiDiscrete([3])))),
        Product(**{"eye": Real(1), "hands/0": Bits(2), "hands/1/0": Categorical(3)}),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_elements_are_read_and_written_back(name: str) -> None:
    theirs, expected = copy.deepcopy(CASES[name][0]), CASES[name][1]
    theirs.seed(0)
    translation = Translation.of("observation_space", theirs)
    assert translation.space == expected
    elements = [theirs.sample() for _ in range(9)]
    values = translation.read_each(elements)
    expected.check("values", values)
    assert values.shape == (9, *expected.event_shape)
    back = translation.write(values)
    for row, element in enumerate(elements):
        again = single(theirs, back, row)
        assert theirs.contains(again), again
        assert same(again, element)


def same(one: Any, other: Any) -> bool:
    if isinstance(other, dict):
        return all(same(one[key], other[key]) for key in other)
    if isinstance(other, tuple):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(np.allclose(one, other))


def test_a_vector_environment_speaks_the_same_form() -> None:
    envs = gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    shown, _ = envs.reset(seed=0)
    translation = Translation.of("observation_space", envs.single_observation_space)
    torch.testing.assert_close(translation.read(shown), torch.from_numpy(shown))
    actions = Translation.of("action_space", envs.single_action_space).write(torch.tensor([1, 0, 1]))
    assert envs.action_space.contains(actions)


def test_numbers_are_clipped_to_the_bounds_of_a_box() -> None:
    box = spaces.Box(np.float32([-1, 0]), np.float32([1, 9]))
    written = Translation.of("action_space", box).write(torch.tensor([[-3.0, 4.0], [0.5, 11.0]]))
    np.testing.assert_array_equal(written, [[-1, 4], [0.5, 9]])


@pytest.mark.parametrize(
    "space",
    [spaces.Text(3), spaces.Sequence(spaces.Discrete(2)), spaces.Dict(a=spaces.Tuple((spaces.Text(1),)))],
    ids=["text", "sequence", "inside"],
)
def test_another_space_is_refused(space: Any) -> None:
    with pytest.raises(ValueError, match=r"^observation_space is (Text|Sequence), which is not supported; it must be"):
        Translation.of("observation_space", space)


@pytest.mark.parametrize(
    ("space", "element", "said"),
    [
        (spaces.Discrete(3), 3, "an element holds 3; it must be of the space"),
        (spaces.Discrete(3, start=2), 1, "an element holds 1; it must"),
        (spaces.Box(0, 1, (2,)), [np.nan, 0.0], "an element holds nan"),
        (spaces.Box(0, 1, (2,)), [0.5], r"an element has shape \(1,\); its space has changed"),
        (spaces.MultiBinary(2), [2, 0], "an element holds 2"),
        (spaces.MultiDiscrete([2, 2]), [0, 2], "an element holds 2"),
    ],
    ids=str,
)
def test_an_element_of_another_space_is_refused(space: Any, element: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Translation.of("observation_space", space).read_each([element])


def test_elements_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have the shapes \[\(1,\), \(2,\)\]; the space has changed"):
        batched(spaces.Box(0, 1, (2,)), [np.zeros(2), np.zeros(1)])
