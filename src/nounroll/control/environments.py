"""Environments that need a memory, each with an expert that sees the hidden state.

``CartPole``, ``Acrobot`` and ``MountainCar`` are gymnasium's environments with hidden velocities. ``TMaze`` is a
corridor with a sign at its beginning that tells where to turn at its end (Bakker 2001, "Reinforcement Learning with
Long Short-Term Memory").
"""

from typing import Any

import numpy as np

try:
    import gymnasium
    from gymnasium import spaces
except ImportError:
    raise ValueError("nounroll.control needs the package gymnasium: pip install 'nounroll[control]'") from None


class Hidden(gymnasium.ObservationWrapper):
    """Registered environment that shows only some numbers of each observation.

    Args:
        options: arguments of ``gymnasium.make``.

    Attributes:
        id: the environment's id.
        shown: indices of the shown numbers.
    """

    id: str
    shown: tuple[int, ...]

    def __init__(self, **options: Any) -> None:
        super().__init__(gymnasium.make(self.id, **options))
        inner = self.env.observation_space
        assert isinstance(inner, spaces.Box)
        low, high = inner.low[list(self.shown)], inner.high[list(self.shown)]
        self.observation_space = spaces.Box(low, high, dtype=np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return np.asarray(observation, dtype=np.float32)[list(self.shown)]


class CartPole(Hidden):
    """Pole on a cart, observed by the places of both: 500 steps, each with a reward of 1."""

    id, shown = "CartPole-v1", (0, 2)

    @staticmethod
    def expert(env: Any, observation: Any) -> int:
        """Return the action of a linear controller that sees the velocities."""
        return int(np.dot((0.2, 0.4, 3.0, 0.7), env.unwrapped.state) > 0)


class Acrobot(Hidden):
    """Two links, observed by their angles: swing the end up; a reward of -1 per step, at most 500 steps."""

    id, shown = "Acrobot-v1", (0, 1, 2, 3)

    @staticmethod
    def expert(env: Any, observation: Any) -> int:
        """Push with the swing of the joint, so that energy grows."""
        _, _, _, turn = env.unwrapped.state
        return 2 if turn > 0 else 0


class MountainCar(Hidden):
    """Car in a valley, observed by its place: climb the hill; a reward of -1 per step, at most 200 steps."""

    id, shown = "MountainCar-v0", (0,)

    @staticmethod
    def expert(env: Any, observation: Any) -> int:
        """Push in the direction of the motion, so that energy grows."""
        return 2 if env.unwrapped.state[1] >= 0 else 0


class TMaze(gymnasium.Env):
    """Corridor with a sign at its beginning and a fork at its end.

    Observations are symbols: 0 or 1 for the sign, 2 for the corridor, 3 for the fork. Actions 0 and 1 turn, 2 goes
    ahead. A turn in the corridor ends the episode. The return is 1 for the turn that the sign shows, 0 otherwise.

    Args:
        steps: length of the corridor.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # gymnasium's own form

    def __init__(self, steps: int = 1000) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}; it must be at least 1")
        self.steps, self.place, self.sign = steps, 0, 0
        self.observation_space, self.action_space = spaces.Discrete(4), spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.sign = 0, int(self.np_random.integers(2))
        return self.sign, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if action != 2:
            return 2, float(self.place == self.steps and action == self.sign), True, False, {}
        if self.place == self.steps:  # a wall
            return 3, 0.0, True, False, {}
        self.place += 1
        return 3 if self.place == self.steps else 2, 0.0, False, False, {}

    @staticmethod
    def expert(env: Any, observation: Any) -> int:
        """Go ahead, then turn to the side of the sign."""
        maze = env.unwrapped
        return maze.sign if maze.place == maze.steps else 2
