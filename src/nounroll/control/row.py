"""One environment, and the episode that is played in it."""

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False)
class Row:
    """An environment, its draws, and what the episode has been so far.

    An environment gets and gives copies: it may change its own in place.
    """

    env: Any
    actions: Any  # the space of them, whose draws are this row's own
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
        self.env.action_space.seed(seed)  # which an expert may draw from
        observation, _ = self.env.reset(seed=seed)
        self.observation = copy.deepcopy(observation)
        self.shown, self.taken, self.advice, self.rewards = [self.observation], [], [], []

    def step(self, action: Any) -> tuple[bool, bool]:
        """Take an action; whether the episode has ended, and whether it was cut off.

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
