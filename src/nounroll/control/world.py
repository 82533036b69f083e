"""World models: a student that predicts an environment, and its imagined rollouts.

It reads an observation and the action taken, and predicts the next observation, the reward and the end of the episode::

    inputs             (o_0, a_0)        (o_1, a_1)        (o_2, a_2)
    targets            (o_1, r_0, end)   (o_2, r_1, end)   (o_3, r_2, end)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from nounroll.control.episodes import Episode, Episodes, EpisodeSequences
from nounroll.core.batch import Bits, Product, Real, Space
from nounroll.core.plain import count
from nounroll.core.spaces import Sampling
from nounroll.data.checks import whole_number
from nounroll.models.student import Student

OBSERVATION, ACTION, REWARD, END = "observation", "action", "reward", "end"


@dataclass(frozen=True)
class Imagined:
    """Predictions of a world model for n actions.

    Attributes:
        observations: (B, n, *x), the observation after each action.
        rewards: (B, n).
        ended: (B, n), whether the episode is over after each action; later predictions have no meaning.
        memory: (B, K, d), the memory after the last action.
    """

    observations: Shaped[Tensor, "B n *x"]
    rewards: Float[Tensor, "B n"]
    ended: Bool[Tensor, "B n"]
    memory: Float[Tensor, "B K d"]


def world_sequences(episodes: Episodes) -> EpisodeSequences:
    """Build training sequences of a world model for ``nounroll.fit``.

    Rewards that are all 0 or 1 are bits; other rewards are real numbers.

    Raises:
        ValueError: there are fewer than three episodes.
    """
    read = Product(observation=episodes.observations.space, action=episodes.actions.space)
    rewards = torch.cat([one.rewards for one in episodes])
    reward: Space = Bits(1) if bool(((rewards == 0) | (rewards == 1)).all()) else Real(1)
    predicted = Product(observation=episodes.observations.space, reward=reward, end=Bits(1))
    targets = [
        predicted.join(observation=one.observations[1:], reward=one.rewards[:, None].float(), end=_ends(one))
        for one in episodes
    ]
    inputs = [read.join(observation=one.observations[:-1], action=one.actions) for one in episodes]
    return EpisodeSequences(inputs, targets, read, predicted)


@torch.no_grad()
def imagine(
    student: Student,
    memory: Float[Tensor, "B K d"],
    actions: Shaped[Tensor, "B n *y"],
    observation: Shaped[Tensor, "B *x"] | None = None,
    *,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Imagined:
    """Roll out a world model: it reads each observation that it has predicted.

    Args:
        student: a student trained on ``world_sequences``.
        memory: the memory before the current observation.
        actions: the next actions, (B, n).
        observation: the current observation; by default the memory's prediction. Give it at the beginning of an
            episode, where the memory cannot predict it.
        temperature: temperature of each draw; 0 takes the centre of the distribution.
        generator: generator of the draws.

    Raises:
        ValueError: the student is no world model, or actions have another shape or are not of its space.
    """
    read, predicted = world_spaces(student)
    space = dict(read.parts)[ACTION]
    actions = space.convert(torch.as_tensor(actions))
    if actions.dim() != 2 + len(space.event_shape):
        form = ", ".join(["B", "n", *map(str, space.event_shape)])
        raise ValueError(f"actions have the shape {tuple(actions.shape)}; they must be ({form})")
    space.check("actions", actions)
    sampling, generator = Sampling(temperature=temperature), generator or torch.Generator()

    def predict() -> dict[str, Tensor]:
        return predicted.split(sampling.draw(predicted, student.readout(memory), generator))

    now = predict()[OBSERVATION] if observation is None else observation.to(memory.device)
    seen, rewards, ended = list[Tensor](), list[Tensor](), list[Tensor]()
    for action in actions.to(memory.device).unbind(1):
        memory = student.step(read.join(observation=now, action=action), memory)
        said = predict()
        now = said[OBSERVATION]
        seen.append(now)
        rewards.append(said[REWARD][:, 0])
        ended.append(said[END][:, 0] > 0.5)
    over = torch.stack(ended, 1).cumsum(1) > 0
    return Imagined(torch.stack(seen, 1), torch.stack(rewards, 1), over, memory)


@torch.no_grad()
def compare_imagined(student: Student, episodes: Episodes, *, after: int, steps: int) -> dict[str, list[float]]:
    """Measure the error of imagined rollouts against the environment.

    The student reads the first steps of each episode, then imagines the results of the episode's actions.

    Args:
        student: a world model.
        episodes: episodes with numbers as observations. Episodes that are too short are left out.
        after: number of steps to read.
        steps: number of steps to imagine.

    Returns:
        ``imagined``: the root mean square error after each step, in standard deviations of each number over the
        episodes; ``unchanged``: the error of the last observation read, as a baseline.

    Raises:
        ValueError: no episode is long enough, observations are no numbers, or the student is no world model.
    """
    whole_number("after", after, 0)
    count("steps", steps)
    long = [one for one in episodes if len(one) >= after + steps]
    if not long:
        longest = max(len(one) for one in episodes)
        raise ValueError(f"after is {after} and steps is {steps}; the longest episode has {longest} steps")
    if episodes.observations.space.symbols is not None:
        raise ValueError(f"observations are {episodes.observations.space}; a distance needs numbers")
    read, _ = world_spaces(student)
    seen = torch.stack([one.observations[: after + steps + 1] for one in long])
    actions = torch.stack([one.actions[: after + steps] for one in long])
    memory = student.initial_memory(len(long))
    if after:
        past = read.join(observation=seen[:, :after], action=actions[:, :after])
        memory = student.rollout(past.to(memory.device))[:, -1]
    found = imagine(student, memory, actions[:, after:], seen[:, after])
    scale = torch.cat([one.observations for one in episodes]).std(0).clamp(min=1e-6)
    truth = seen[:, after + 1 :]
    still = seen[:, after : after + 1].expand_as(truth)
    return {
        "imagined": _distances(found.observations.cpu(), truth, scale),
        "unchanged": _distances(still, truth, scale),
    }


def world_spaces(student: Student) -> tuple[Product, Product]:
    """Return the inputs and targets of a world model.

    Raises:
        ValueError: the student is no world model.
    """
    wanted = ([OBSERVATION, ACTION], [OBSERVATION, REWARD, END])
    for space, names, what in zip((student.inputs, student.targets), wanted, ("inputs", "targets"), strict=True):
        if [name for name, _ in getattr(space, "parts", ())] != names:
            raise ValueError(f"the student's {what} are {space}; a world model has {', '.join(names)}")
    return student.inputs, student.targets  # type: ignore[return-value]  # as was checked


def _ends(episode: Episode) -> Float[Tensor, "T 1"]:
    """Return 1 at the last step if the environment ended the episode, and 0 elsewhere."""
    ends = torch.zeros(len(episode), 1)
    ends[-1] = float(episode.ended)
    return ends


def _distances(found: Tensor, truth: Tensor, scale: Tensor) -> list[float]:
    """Compute root mean square errors by step."""
    return ((found - truth) / scale).square().flatten(2).mean((0, 2)).sqrt().tolist()
