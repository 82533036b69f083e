"""Episodes of an environment, and the sequences that they make."""

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
_EVERY = 10  # of so many episodes one is for validation and one for the test


@dataclass(frozen=True)
class Episode:
    """One episode of T steps.

    Attributes:
        observations: (T + 1, *x), the last of which no action followed.
        actions: (T, *y), taken.
        advice: (T, *y), what the expert would have done; None without an expert.
        advised: (T,) bool, False where the expert had no opinion.
        rewards: (T,).
        ended: by the environment itself; False where it was cut off, by a time limit say.
        seed: that the environment was reset with.
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
        """Observations with the expert's actions as targets; the actions taken where there was no expert.

        Of ten episodes one is for validation and one for the test.

        Raises:
            ValueError: there are fewer than three episodes, or the expert never had an opinion.
        """
        targets = [one.actions if one.advice is None else _unadvised(one.advice, one.advised) for one in self.each]
        if not any(bool(one.advised.any()) for one in self.each):
            raise ValueError("the expert gave no action at any step; it must give one somewhere")
        inputs = [one.observations[:-1] for one in self.each]
        return EpisodeSequences(inputs, targets, self.observations.space, self.actions.space)


class EpisodeSequences(Sequences):
    """Sequences of known spaces: what no episode has shown may still come.

    Args:
        inputs, targets: of each episode.
        read, predicted: their spaces.
    """

    def __init__(self, inputs: list[Any], targets: list[Any], read: Space, predicted: Space) -> None:
        if len(inputs) < FEWEST:
            raise ValueError(f"there are {len(inputs)} episodes; training, validation and test need {FEWEST} or more")
        names = {0: "validation", 1: "test"}
        split = [names.get(number % _EVERY, "train") for number in range(len(inputs))]
        super().__init__(inputs, targets=targets, split=split)
        self.inputs, self.targets = read, predicted


def _unadvised(advice: Tensor, advised: Tensor) -> Tensor:
    """The expert's actions, and no target where it had no opinion."""
    if not advice.is_floating_point():
        return advice.where(advised, torch.tensor(NONE))
    return advice.where(advised[:, None], torch.tensor(torch.nan))
