"""Episodes are what the environment played, and mistakes are said in one line."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from helpers import make_student
from nounroll.core.spaces import Categorical
from nounroll.data.sequences import Sequences

gymnasium = pytest.importorskip("gymnasium")
from nounroll.control import Acrobot, CartPole, Episodes, MountainCar, TMaze, collect  # noqa: E402


class Bell(gymnasium.Env):
    """Rings at random; an action that repeats the last sound is rewarded. The expert has no answer to silence."""

    observation_space, action_space = gymnasium.spaces.Discrete(5), gymnasium.spaces.Discrete(5)

    def __init__(self, steps: int = 6, reward: float = 1.0) -> None:
        self.steps, self.reward, self.time, self.sound = steps, reward, 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time, self.sound = 0, int(self.np_random.integers(4))
        return self.sound, {}

    def step(self, action: Any) -> Any:
        reward = self.reward * float(action == self.sound)
        self.time, self.sound = self.time + 1, int(self.np_random.integers(4))
        return self.sound, reward, self.time == self.steps + self.sound, self.time == 2 * self.steps, {}


class InPlace(gymnasium.Env):
    """Counts in an array that it hands out, and spoils the actions and the advice that it was given."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))

    def __init__(self) -> None:
        self.shown, self.advised = np.zeros(1, dtype=np.float32), np.zeros(1, dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.shown[:] = 0
        return self.shown, {}

    def step(self, action: Any) -> Any:
        action += 100
        self.shown += 1
        return self.shown, 0.0, bool(self.shown[0] == 4), False, {}


def follows(env: Any, observation: Any) -> Any:
    advised = env.unwrapped.advised
    advised[:] = observation
    return advised


def test_what_an_environment_changes_in_place_is_kept_as_it_was() -> None:
    episode = collect(InPlace, follows, episodes=1).each[0]
    assert episode.observations[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert episode.actions[:, 0].tolist() == [0, 1, 2, 3]
    assert episode.advice is not None
    assert episode.advice[:, 0].tolist() == [0, 1, 2, 3]


def hears(env: Any, observation: Any) -> Any:
    return None if observation == 0 else observation


@pytest.mark.parametrize("envs", [1, 3, 16])
def test_what_is_played_does_not_depend_on_environments_side_by_side(envs: int) -> None:
    student = make_student("gru", Categorical(5), Categorical(5), dtype=torch.float32)
    one = collect(Bell, hears, student=student, episodes=7, envs=envs, noise=0.3, seed=5)
    other = collect(Bell, hears, student=student, episodes=7, envs=2, noise=0.3, seed=5)
    assert [each.seed for each in one] == list(range(5, 12))
    for a, b in zip(one, other, strict=True):
        for name in ("observations", "actions", "advice", "advised", "rewards"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_an_episode_can_be_played_again() -> None:
    """The control: another action leads elsewhere, so that the check would see it."""

    def again(episode: Any, change: int = 0) -> bool:
        env = CartPole()
        shown = [env.reset(seed=episode.seed)[0]]
        for t, action in enumerate(episode.actions.tolist()):
            shown.append(env.step(1 - action if change and t == change else action)[0])
        return bool(np.allclose(np.stack(shown), episode.observations, atol=1e-6))

    episode = collect(CartPole, CartPole.expert, episodes=1, noise=0.9, seed=3).each[0]
    assert episode.ended
    assert len(episode) > 5
    assert again(episode)
    assert not again(episode, change=3)


def test_sequences_hold_the_advice_of_the_expert() -> None:
    episodes = collect(Bell, hears, episodes=12, noise=0.5)
    task = episodes.sequences()
    assert isinstance(task, Sequences)
    assert (task.inputs, task.targets) == (Categorical(5), Categorical(5))  # 4 was never heard
    assert [task.size, task.validation().size, task.test().size] == [8, 2, 2]
    batch = task.validation().take(torch.tensor([0, 1]), task.length)
    for row, episode in enumerate((episodes.each[0], episodes.each[10])):
        steps = len(episode)
        assert torch.equal(batch.inputs[row, :steps], episode.observations[:-1])
        assert torch.equal(batch.mask[row, :steps], episode.observations[:-1] != 0)
        heard = batch.mask[row]
        assert torch.equal(batch.targets[row][heard], batch.inputs[row][heard])
        assert not batch.mask[row, steps:].any()
    assert any(
        bool((one.actions != one.advice)[one.advised].any()) for one in episodes
    )  # noise acts, the expert advises


def test_actions_taken_are_the_targets_without_an_expert() -> None:
    student = make_student("gru", Categorical(5), Categorical(5), dtype=torch.float32)
    episodes = collect(Bell, student=student, episodes=3)
    batch = episodes.sequences().take(torch.tensor([0]), 4)
    assert torch.equal(batch.targets[0], episodes.each[2].actions[:4])


@pytest.mark.parametrize(
    ("env", "least"),
    [(CartPole, 500), (Acrobot, -120), (MountainCar, -130), (lambda: TMaze(9), 1)],
    ids=["CartPole", "Acrobot", "MountainCar", "TMaze"],
)
def test_experts_know_their_environments(env: Any, least: float) -> None:
    expert = env.expert if hasattr(env, "expert") else TMaze.expert
    found = collect(env, expert, episodes=5)
    assert found.returns.mean >= least
    student = make_student("gru", found.observations.space, found.actions.space, dtype=torch.float32)
    assert collect(env, student=student, episodes=2).returns.mean < least


def test_a_turn_in_the_corridor_or_against_the_sign_gives_nothing() -> None:
    for wrong in (lambda env, shown: 0, lambda env, shown: 2, lambda env, shown: 2 if shown != 3 else 1 - env.sign):
        assert collect(lambda: TMaze(5), wrong, episodes=6).returns.values == pytest.approx([0] * 6)


def test_returns_have_an_interval() -> None:
    found = collect(CartPole, CartPole.expert, episodes=20, noise=0.6).returns
    assert min(found.values) < found.low < found.mean < found.high < max(found.values)


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    collect(Bell, hears, episodes=4, progress=True)
    assert "4/4" in capsys.readouterr().err
    collect(Bell, hears, episodes=4)
    assert not capsys.readouterr().err


class Changing(gymnasium.Wrapper):
    """An environment of which the second copy, or a later observation, is of another space."""

    made = 0

    def __init__(self, how: str) -> None:
        super().__init__(gymnasium.make("CartPole-v1"))
        self.how = how
        Changing.made += 1
        if how == "copies" and Changing.made % 2 == 0:
            self.action_space = gymnasium.spaces.Discrete(3)

    def step(self, action: Any) -> Any:
        shown, *rest = self.env.step(action)
        return shown[:3] if self.how == "shape" else shown * np.nan, *rest


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "nobody acts": ({"env": Bell}, "neither expert nor student is given"),
    "unknown id": ({"env": "NoSuch-v0", "expert": hears}, "env is 'NoSuch-v0'; it is not registered"),
    "an environment": ({"env": Bell(), "expert": hears}, "env is a Bell; it must be an id, or a function"),
    "too long": (
        {"env": Bell, "expert": hears, "limit": 4},
        r"the episode with seed \d has not ended after 4 steps; raise limit",
    ),
    "reward": (
        {"env": lambda: Bell(reward=float("nan")), "expert": lambda env, shown: env.sound},
        r"the reward of step 0 of the episode with seed \d is nan; rewards must be finite",
    ),
    "expert": ({"env": Bell, "expert": lambda env, shown: 5}, "action_space is .*, and an element holds 5"),
    "copies": (
        {"env": lambda: Changing("copies"), "expert": CartPole.expert},
        r"action_space is Discrete\(.\) in one environment and Discrete\(.\) in another",
    ),
    "shape": ({"env": lambda: Changing("shape"), "expert": CartPole.expert}, "the space has changed"),
    "nan": ({"env": lambda: Changing("nan"), "expert": CartPole.expert}, "an element holds nan"),
    "noise": ({"env": Bell, "expert": hears, "noise": 1.5}, "noise is 1.5"),
    "episodes": ({"env": Bell, "expert": hears, "episodes": 0}, "episodes is 0"),
    "student": (
        {"env": Bell, "student": make_student("gru", Categorical(4), Categorical(5))},
        "observation_space is .* the student's inputs are",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_said_in_one_line(name: str) -> None:
    options, said = copy.copy(MISTAKES[name][0]), MISTAKES[name][1]
    with pytest.raises(ValueError, match=said) as error:
        collect.__wrapped__(**options)  # type: ignore[attr-defined]  # without the checks of types that tests have
    assert "\n" not in str(error.value)


def test_advice_is_checked_before_the_environment_sees_it() -> None:
    class Careless(Bell):
        def step(self, action: Any) -> Any:
            raise AssertionError("an action outside of the space arrived")

    with pytest.raises(ValueError, match=r"action_space is Discrete\(5\), .*9"):
        collect(Careless, lambda env, shown: 9, episodes=1)


def test_too_few_episodes_or_no_advice_make_no_sequences() -> None:
    with pytest.raises(ValueError, match="there are 2 episodes; training, validation and test need 3 or more"):
        collect(Bell, hears, episodes=2).sequences()
    silent = collect(Bell, lambda env, shown: None, episodes=3)
    assert isinstance(silent, Episodes)
    with pytest.raises(ValueError, match="the expert gave no action at any step"):
        silent.sequences()
