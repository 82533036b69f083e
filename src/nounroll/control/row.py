"""One environment and its current episode."""

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class Row:
    """Environment with its random draws and its episode so far.

    Actions and observations are copied, because an environment may change its arrays in place.
    """

    env: Any
    actions: Any  # the action space, with a separate generator for this row
    seed: int = 0
    random: np.random.Generator = field(default_factory=np.random.default_rng)
    observation: Any = None
    shown: list[Any] = field(default_factory=list)
    taken: list[Any] = field(default_factory=list)
    advice: list[Any] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    def begin(self, seed: int) -> None:
        """Reset the environment."""
        self.seed, self.random = seed, np.random.default_rng(seed)
        self.actions.seed(seed)
        self.env.action_space.seed(seed)  # an expert may draw from it
        observation, _ = self.env.reset(seed=seed)
        self.observation = copy.deepcopy(observation)
        self.shown, self.taken, self.advice, self.rewards = [self.observation], [], [], []

    def step(self, action: Any) -> tuple[bool, bool]:
        """Take an action; return whether the episode has ended, and whether it was truncated.

        Raises:
            ValueError: the reward is not finite.
        """
        observation, reward, ended, cut, _ = self.env.step(copy.deepcopy(action))
        self.observation = copy.deepcopy(observation)
        if not np.isfinite(float(reward)):
            raise ValueError(
                f"the reward of step {len(self.taken)} of the episode with seed {self.seed} is {reward};"
                " rewards must be finite"
            )
        self.shown.append(self.observation)
        self.taken.append(action)
        self.rewards.append(float(reward))
        return bool(ended), bool(cut)
