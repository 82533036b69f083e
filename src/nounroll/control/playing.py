"""Play episodes by an expert, by a student or at random, and record the expert's action at each step."""

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor

from nounroll.control.episodes import Episode, Episodes
from nounroll.control.progress import Advance, progress_bar
from nounroll.control.row import Row
from nounroll.data.checks import fraction, whole_number
from nounroll.data.environment_spaces import Translation, batched, single
from nounroll.models.policy import Policy, check_fits
from nounroll.models.student import Student

Maker: TypeAlias = str | Callable[[], Any]
Expert: TypeAlias = Callable[[Any, Any], Any]  # (environment, observation) -> an action, or None if any is right
LIMIT = 10_000  # steps of an episode


def collect(
    env: Maker,
    expert: Expert | None = None,
    *,
    student: Student | None = None,
    episodes: int = 100,
    envs: int = 16,
    noise: float = 0.0,
    limit: int = LIMIT,
    seed: int = 0,
    progress: bool = False,
) -> Episodes:
    """Play episodes of an environment.

    Args:
        env: the id of a registered environment, or a function that makes one; it is called ``envs`` times.
        expert: (environment, observation) -> an action, or None if any action is right. It finds the hidden state in
            ``environment.unwrapped``. It is called at every step, even if the student acts.
        student: acts instead of the expert.
        episodes: number of episodes.
        envs: number of parallel environments; the episodes do not depend on it.
        noise: share of random actions, so that the expert shows recoveries.
        limit: largest length of an episode.
        seed: seed of the first episode; later episodes count up from it.
        progress: show a bar on stderr.

    Raises:
        ValueError: there is neither expert nor student; a space is not supported, changes or is not the student's; an
            episode is longer than the limit; or a reward is not finite.
    """
    if expert is None and student is None:
        raise ValueError("neither expert nor student is given; give one of them to choose the actions")
    for name, value in (("episodes", episodes), ("envs", envs), ("limit", limit)):
        whole_number(name, value, 1)
    fraction("noise", noise)
    with (
        _made(_maker(env), min(envs, episodes)) as rows,
        progress_bar("episodes", episodes, visible=progress) as advance,
    ):
        play = _Play(rows, expert, student, noise, limit)
        found = sorted(play.all(episodes, seed, advance), key=lambda one: one.seed)
        return Episodes(tuple(found), play.observations, play.actions)


@contextmanager
def _made(make: Callable[[], Any], number: int) -> Iterator[list[Row]]:
    """Make environments, and close them at the end."""
    with ExitStack() as stack:
        rows = []
        for _ in range(number):
            made = make()
            stack.callback(made.close)
            rows.append(Row(made, copy.deepcopy(made.action_space)))
        yield rows


def _maker(env: Any) -> Callable[[], Any]:
    if isinstance(env, str):
        try:
            import gymnasium
        except ImportError:
            raise ValueError("environments need the package gymnasium: pip install 'nounroll[control]'") from None
        try:
            gymnasium.spec(env)
        except gymnasium.error.Error as error:
            raise ValueError(f"env is {env!r}; it is not registered: {' '.join(str(error).split())}") from error
        return lambda: gymnasium.make(env)
    if not callable(env):
        raise ValueError(f"env is a {type(env).__name__}; it must be an id, or a function that makes an environment")
    return env


class _Play:
    """Parallel environments with their actors."""

    def __init__(
        self, rows: list[Row], expert: Expert | None, student: Student | None, noise: float, limit: int
    ) -> None:
        self.rows, self.expert, self.student, self.noise, self.limit = rows, expert, student, noise, limit
        first = rows[0].env
        names = ("observation_space", "action_space")
        self.observations, self.actions = (Translation.of(name, getattr(first, name)) for name in names)
        for name in names:
            for row in rows:
                if getattr(row.env, name) != getattr(first, name):
                    one, other = getattr(first, name), getattr(row.env, name)
                    raise ValueError(
                        f"{name} is {one} in one environment and {other} in another; it must stay the same"
                    )
        self.policy = None
        if student is not None:
            check_fits(student, self.observations, self.actions)
            self.policy = Policy(student, self.observations, self.actions, len(rows))

    def all(self, episodes: int, seed: int, advance: Advance) -> Iterator[Episode]:
        """Yield every episode when it ends."""
        begun = 0
        for row in self.rows:
            row.begin(seed + begun)
            begun += 1
        playing = list(self.rows)
        while playing:
            actions = self._actions()
            done = [False] * len(self.rows)
            for place, row in enumerate(self.rows):
                if row not in playing or (over := self._step(row, actions[place])) is None:
                    continue
                yield over
                advance()
                done[place] = True
                if begun < episodes:
                    row.begin(seed + begun)
                    begun += 1
                else:
                    playing.remove(row)
            if self.policy is not None:
                self.policy.reset(done)

    def _actions(self) -> list[Any]:
        """Return the student's action in each environment; None if the expert acts."""
        if self.policy is None:
            return [None] * len(self.rows)
        shown = batched(self.observations.theirs, [row.observation for row in self.rows])
        actions = self.policy(shown)
        return [single(self.actions.theirs, actions, place) for place in range(len(self.rows))]

    def _step(self, row: Row, action: Any) -> Episode | None:
        """Take one step; return the episode if it has ended."""
        if len(row.taken) == self.limit:
            raise ValueError(
                f"the episode with seed {row.seed} has not ended after {self.limit} steps; raise limit, or give the"
                " environment a time limit (gymnasium.wrappers.TimeLimit)"
            )
        advice = None if self.expert is None else copy.deepcopy(self.expert(row.env, row.observation))
        if advice is not None:
            self.actions.read_each([advice])  # before the environment, whose own error may not name the fault
        row.advice.append(advice)
        if action is None:
            action = advice
        if action is None or row.random.random() < self.noise:
            action = row.actions.sample()
        ended, cut = row.step(action)
        return self._episode(row, ended) if ended or cut else None

    def _episode(self, row: Row, ended: bool) -> Episode:
        advised = torch.tensor([self.expert is None or one is not None for one in row.advice])
        advice: Tensor | None = None
        if self.expert is not None:
            some = [taken if one is None else one for one, taken in zip(row.advice, row.taken, strict=True)]
            advice = self.actions.read_each(some)
        return Episode(
            observations=self.observations.read_each(row.shown),
            actions=self.actions.read_each(row.taken),
            advice=advice,
            advised=advised,
            rewards=torch.tensor(row.rewards),
            ended=ended,
            seed=row.seed,
        )
