"""A policy in n environments acts as n policies alone do, however episodes end."""

from typing import Any

import numpy as np
import pytest
import torch

from helpers import make_student
from nounroll.core.spaces import Categorical, Real
from nounroll.models.policy import Policy
from nounroll.models.student import Student

gymnasium = pytest.importorskip("gymnasium")
SEED = 3
MODES = gymnasium.vector.AutoresetMode


@pytest.fixture(scope="module")
def student() -> Student:
    """One whose actions differ from step to step: what it reads is of the size of what is shown."""
    return make_student("gru", Real(4, [0] * 4, [0.03] * 4), Categorical(2), seed=SEED, dtype=torch.float32).eval()


class Short(gymnasium.Wrapper):
    """CartPole that ends after as many steps as its seed says, and begins the next episode with the seed after it."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make("CartPole-v1").unwrapped)
        self.seed, self.left = 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.seed = self.seed + 100 if seed is None else seed
        self.left = 2 + self.seed % 5
        return self.env.reset(seed=self.seed)

    def step(self, action: Any) -> Any:
        shown, reward, _, _, info = self.env.step(action)
        self.left -= 1
        return shown, reward, self.left == 0, False, info


def alone(student: Student, seed: int, steps: int) -> list[tuple[np.ndarray, int]]:
    """(observation, action) of every step of one environment, whose episodes follow each other."""
    env, found = Short(), []
    policy = student.policy(env)
    shown, _ = env.reset(seed=seed)
    while len(found) < steps:
        action = policy(shown)
        assert env.action_space.contains(action)
        found.append((shown, int(action)))
        shown, _, done, _, _ = env.step(action)
        policy.reset(done)
        if done:
            shown, _ = env.reset()
    return found


def together(student: Student, rows: int, steps: int, mode: Any, *, break_it: bool = False) -> list[list[Any]]:
    """The same of environments side by side, without the step that a late reset takes."""
    envs = gymnasium.vector.SyncVectorEnv([Short] * rows, autoreset_mode=mode)
    policy = student.policy(envs)
    if break_it:
        policy._resets_late = not policy._resets_late
    found: list[list[Any]] = [[] for _ in range(rows)]
    shown, _ = envs.reset(seed=list(range(rows)))
    late = np.zeros(rows, dtype=bool)
    while min(map(len, found)) < steps:
        actions = policy(shown)
        for row in np.flatnonzero(~late):
            found[row].append((shown[row].copy(), int(actions[row])))
        shown, _, terminated, truncated, _ = envs.step(actions)
        done = terminated | truncated
        policy.reset(done)
        late = done if mode is MODES.NEXT_STEP else np.zeros(rows, dtype=bool)
        if mode is MODES.DISABLED and done.any():
            shown, _ = envs.reset(options={"reset_mask": done})
    return found


@pytest.mark.parametrize("mode", list(MODES), ids=lambda mode: mode.value)
def test_many_environments_equal_one_alone(student: Student, mode: Any) -> None:
    side_by_side = together(student, 4, 14, mode)
    for seed in range(4):
        for (shown, action), (expected_shown, expected) in zip(
            side_by_side[seed], alone(student, seed, 14), strict=False
        ):
            np.testing.assert_allclose(shown, expected_shown, rtol=1e-5)
            assert action == expected
    assert len({action for _, action in side_by_side[0]}) == 2  # they differ, so that a wrong one would show


@pytest.mark.parametrize("mode", [MODES.NEXT_STEP, MODES.SAME_STEP], ids=lambda mode: mode.value)
def test_control_a_reset_at_the_wrong_step_is_seen(student: Student, mode: Any) -> None:
    side_by_side = together(student, 4, 14, mode, break_it=True)
    pairs = [
        (action, expected)
        for seed in range(4)
        for (_, action), (_, expected) in zip(side_by_side[seed], alone(student, seed, 14), strict=False)
    ]
    assert any(action != expected for action, expected in pairs)


def test_a_reset_without_arguments_begins_everywhere_anew(student: Student) -> None:
    policy = student.policy(gymnasium.vector.SyncVectorEnv([Short] * 2))
    policy(np.ones((2, 4), dtype=np.float32))
    assert not torch.equal(policy.memory, student.initial_memory(2))
    policy.reset()
    assert torch.equal(policy.memory, student.initial_memory(2))


def test_draws_come_from_the_generator(student: Student) -> None:
    envs, shown = gymnasium.vector.SyncVectorEnv([Short] * 32), np.zeros((32, 4), dtype=np.float32)

    def drawn(seed: int) -> list[int]:
        return student.policy(envs, temperature=50, generator=torch.Generator().manual_seed(seed))(shown).tolist()

    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert drawn(1) == drawn(1) != drawn(2)
    student.policy(envs)(shown)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("inputs", "targets", "said"),
    [
        (Real(3), Categorical(2), "observation_space is Box.*, which is Real.d=4. here; the student's inputs are Real"),
        (Real(4), Categorical(3), "action_space is Discrete.2., which is .* here; the student's targets are"),
    ],
    ids=["inputs", "targets"],
)
def test_a_student_of_other_spaces_is_refused(inputs: Any, targets: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_student("gru", inputs, targets).policy(Short())


def test_a_vector_environment_that_does_not_say_when_it_resets_is_refused(student: Student) -> None:
    envs = gymnasium.vector.SyncVectorEnv([Short] * 2)
    envs.metadata = {name: value for name, value in envs.metadata.items() if name != "autoreset_mode"}
    with pytest.raises(ValueError, match=r"^envs does not say when it resets: [^\n]*gymnasium 1\.1 or later[^\n]*$"):
        student.policy(envs)


def test_what_is_no_environment_is_refused(student: Student) -> None:
    with pytest.raises(ValueError, match=r"^envs is 'CartPole-v1'; it must be a gymnasium.Env or a vector"):
        student.policy("CartPole-v1")


@pytest.mark.parametrize("done", [[True], [1, 0], [[True, False]]], ids=str)
def test_done_must_be_a_truth_value_a_row(student: Student, done: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unchecked = Student.reset.__wrapped__  # type: ignore[attr-defined]  # without the checks of types that tests have
    monkeypatch.setattr(Student, "reset", unchecked)
    policy = student.policy(gymnasium.vector.SyncVectorEnv([Short] * 2))
    assert isinstance(policy, Policy)
    with pytest.raises(ValueError, match=r"done is .*; it must be bool \(2,\), one for each row"):
        policy.reset(done)
