"""Episodes of an environment, and their conversion to sequences."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from nounroll.control.returns import Returns
from nounroll.core.spaces import Space
from nounroll.data.environment_spaces import Translation
from nounroll.data.ragged import NONE
from nounroll.data.sequences import Sequences

FEWEST = 3  # episodes that can be split into training, validation and test
_EVERY = 10  # one of so many episodes is for validation, one for the test


@dataclass(frozen=True)
class Episode:
    """Episode of T steps.

    Attributes:
        observations: (T + 1, *x); no action follows the last one.
        actions: (T, *y), the actions taken.
        advice: (T, *y), the expert's actions; None without an expert.
        advised: (T,) bool, False where the expert gave None.
        rewards: (T,).
        ended: whether the environment ended the episode; False if it was truncated, for example by a time limit.
        seed: the seed of the environment's reset.
    """

    observations: Shaped[Tensor, "T1 *x"]
    actions: Shaped[Tensor, "T *y"]
    advice: Shaped[Tensor, "T *y"] | None
    advised: Bool[Tensor, "T"]
    rewards: Float[Tensor, "T"]
    ended: bool
    seed: int

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class Episodes:
    """Episodes of one environment.

    Attributes:
        each: the episodes.
        observations, actions: the environment's spaces.
    """

    each: tuple[Episode, ...] = field(repr=False)
    observations: Translation
    actions: Translation

    def __len__(self) -> int:
        return len(self.each)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.each)

    def __add__(self, other: "Episodes") -> "Episodes":
        return Episodes(self.each + other.each, self.observations, self.actions)

    @property
    def steps(self) -> int:
        return sum(len(one) for one in self.each)

    @property
    def returns(self) -> Returns:
        return Returns.of([float(one.rewards.double().sum()) for one in self.each])

    def sequences(self) -> Sequences:
        """Build sequences of observations with the expert's actions as targets, or without an expert the actions taken.

        One of ten episodes is for validation and one for the test.

        Raises:
            ValueError: there are fewer than three episodes, or the expert never gave an action.
        """
        targets = [one.actions if one.advice is None else _unadvised(one.advice, one.advised) for one in self.each]
        if not any(bool(one.advised.any()) for one in self.each):
            raise ValueError("the expert gave no action at any step; it must give at least one")
        inputs = [one.observations[:-1] for one in self.each]
        return EpisodeSequences(inputs, targets, self.observations.space, self.actions.space)


class EpisodeSequences(Sequences):
    """Sequences of known spaces, which may have values that no episode has shown.

    Args:
        inputs, targets: arrays of each episode.
        read, predicted: the spaces of inputs and targets.
    """

    def __init__(self, inputs: list[Any], targets: list[Any], read: Space, predicted: Space) -> None:
        if len(inputs) < FEWEST:
            raise ValueError(f"there are {len(inputs)} episodes; training, validation and test need {FEWEST} or more")
        names = {0: "validation", 1: "test"}
        split = [names.get(number % _EVERY, "train") for number in range(len(inputs))]
        super().__init__(inputs, targets=targets, split=split)
        self.inputs, self.targets = read, predicted


def _unadvised(advice: Tensor, advised: Tensor) -> Tensor:
    """Return the expert's actions as targets, with no target where it gave None."""
    if not advice.is_floating_point():
        return advice.where(advised, torch.tensor(NONE))
    return advice.where(advised[:, None], torch.tensor(torch.nan))
