"""A world model imagines what the environment does; an untrained one does not."""

import copy
import math
from typing import Any

import pytest
import torch

import nounroll
from helpers import make_student
from nounroll.core.seeding import generator
from nounroll.core.spaces import Bits, Categorical, Product, Real
from nounroll.models.student import Student

gymnasium = pytest.importorskip("gymnasium")
from nounroll.control import (  # noqa: E402
    Episodes,
    TMaze,
    collect,
    compare_imagined,
    episode_picture,
    imagine,
    world_sequences,
)

SMALL = {"cell.memory_width": 16, "cell.width": 16, "training.learning_rate": 1e-2, "training.evaluations": 1}


def random(env: Any, observation: Any) -> Any:
    return env.action_space.sample()


@pytest.fixture(scope="module")
def seen() -> Episodes:
    return collect("CartPole-v1", random, episodes=60, envs=8)


@pytest.fixture(scope="module")
def world(seen: Episodes) -> Student:
    settings = {**SMALL, "readout_width": 32}
    return nounroll.fit(
        world_sequences(seen), method="bptt", cell="gru", length=12, steps=120, settings=settings
    ).student


def test_sequences_say_what_follows_an_action(seen: Episodes) -> None:
    task = world_sequences(seen)
    assert isinstance(task.inputs, Product)
    assert isinstance(task.targets, Product)
    assert [space for _, space in task.targets.parts] == [Real(4), Bits(1), Bits(1)]
    batch, episode = task.validation().take(torch.tensor([0]), task.length), seen.each[0]
    steps = len(episode)
    read = task.inputs.split(batch.inputs[0, :steps])
    said = task.targets.split(batch.targets[0, :steps])
    torch.testing.assert_close(read["observation"], episode.observations[:-1])
    assert torch.equal(read["action"], episode.actions)
    torch.testing.assert_close(said["observation"], episode.observations[1:])
    assert said["reward"].eq(1).all()
    assert said["end"][:, 0].tolist() == [0.0] * (steps - 1) + [1.0]


@pytest.mark.parametrize("after", [0, 3])
def test_imagination_from_the_true_state_follows_the_environment(world: Student, after: int) -> None:
    fresh = collect("CartPole-v1", random, episodes=20, seed=10_000)
    found = compare_imagined(world, fresh, after=after, steps=4)
    assert found["imagined"][-1] < 0.4 * found["unchanged"][-1], found


def test_control_an_untrained_model_does_not_follow(seen: Episodes, world: Student) -> None:
    """So that the check above can fail."""
    untrained = make_student("gru", world.inputs, world.targets, dtype=torch.float32).eval()
    found = compare_imagined(untrained, seen, after=3, steps=4)
    assert found["imagined"][-1] > 0.4 * found["unchanged"][-1]


def test_what_a_student_reads_is_moved_to_its_device(
    world: Student, seen: Episodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device "meta" stands for another one: it computes shapes, and its results are replaced by zeros."""
    monkeypatch.setattr(torch.Tensor, "cpu", lambda given: torch.zeros(given.shape, dtype=given.dtype))
    monkeypatch.setattr("nounroll.core.spaces.sampling.checked", lambda space, drawn: drawn)  # it needs the values
    there = copy.deepcopy(world).to("meta")
    for after in (0, 3):
        assert all(map(math.isfinite, compare_imagined(there, seen, after=after, steps=2)["imagined"]))
    reader = make_student("gru", Real(4), Categorical(2), dtype=torch.float32).to("meta")
    assert episode_picture(seen.each[0], reader).figure.axes


def test_imagination_goes_on_from_a_memory_and_what_it_expects(world: Student, seen: Episodes) -> None:
    read = world.inputs
    assert isinstance(read, Product)
    episode = max(seen, key=len)
    actions = episode.actions[None, :9]
    past = read.join(observation=episode.observations[None, :5], action=actions[:, :5])
    memory = world.rollout(past)[:, -1]
    whole = imagine(world, memory, actions[:, 5:])
    first = imagine(world, memory, actions[:, 5:7])
    rest = imagine(world, first.memory, actions[:, 7:])
    torch.testing.assert_close(torch.cat([first.observations, rest.observations], 1), whole.observations)
    assert whole.rewards.tolist() == [[1.0] * 4]
    assert not whole.ended.any()
    drawn = [
        imagine(world, memory, actions[:, 5:], temperature=1, generator=generator(seed, "dream")).observations
        for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_an_end_stays() -> None:
    """After an imagined end nothing goes on, whatever the network says."""
    world = make_student("gru", *_maze_spaces(), dtype=torch.float32)
    with torch.no_grad():
        world.head.out.bias[-1] = 50.0  # the logit of the end
    memory = world.initial_memory(2)
    found = imagine(world, memory, torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))
    assert found.ended.all()


def _maze_spaces() -> tuple[Any, Any]:
    task = world_sequences(collect(lambda: TMaze(3), TMaze.expert, episodes=4))
    return task.inputs, task.targets


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"after": 3, "steps": 1000}, r"after is 3 and steps is 1000; the longest episode has \d+ steps"),
        ({"after": 3, "steps": 0}, "steps is 0"),
        ({"after": -1, "steps": 2}, "after is -1; it must be at least 0"),
        (
            {"after": 0, "steps": 2, "student": make_student("gru", Real(4), Categorical(2))},
            r"the student's inputs are Real\(d=4\); a world model has observation, action",
        ),
    ],
    ids=["too long", "no step", "before the beginning", "no world model"],
)
def test_an_impossible_comparison_is_refused(
    options: dict[str, Any], said: str, world: Student, seen: Episodes
) -> None:
    with pytest.raises(ValueError, match=said):
        compare_imagined(**{"student": world, "episodes": seen, **options})


def test_symbols_have_no_distance() -> None:
    episodes = collect(lambda: TMaze(3), TMaze.expert, episodes=4)
    student = make_student("gru", *_maze_spaces(), dtype=torch.float32)
    with pytest.raises(ValueError, match=r"observations are Categorical\(n=4\); a distance needs numbers"):
        compare_imagined(student, episodes, after=0, steps=2)


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (torch.tensor([[0, 2]]), "the symbol 2"),
        (torch.tensor([[0.5]]), "int64"),
        (torch.tensor([[[0], [1]]]), r"\(B, n\)"),
    ],
)
def test_actions_of_another_kind_are_refused(world: Student, actions: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        imagine(world, world.initial_memory(1), actions)


def test_an_expert_that_draws_actions_depends_on_the_seed_alone() -> None:
    one, other = (collect("CartPole-v1", random, episodes=3, seed=4) for _ in range(2))
    assert all(torch.equal(a.actions, b.actions) for a, b in zip(one.each, other.each, strict=True))
