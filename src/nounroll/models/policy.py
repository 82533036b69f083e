"""Act in environments by a student: one memory for each environment, begun anew where an episode ends."""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from nounroll.core.spaces import Sampling
from nounroll.data.environment_spaces import Translation, single

if TYPE_CHECKING:
    from nounroll.models.student import Student


class Policy:
    """Actions from observations, one step at a time.

    ::

        policy = student.policy(envs)
        observations, _ = envs.reset(seed=0)
        while True:
            observations, rewards, terminated, truncated, _ = envs.step(policy(observations))
            policy.reset(terminated | truncated)

    A vector environment that resets itself at the next step gives one observation of the old episode more, for which
    the action does not count; the memory begins anew after it.

    Args:
        student: reads observations and predicts actions. It is used as it is.
        observations, actions: the spaces of an environment.
        rows: N, how many environments there are.
        is_vector: observations and actions are side by side, as a vector environment has them.
        resets_late: an environment gives one observation of an episode that has ended.
        temperature: of the draw of each action; 0 takes the most likely one.
        generator: source of the draws.

    Attributes:
        memory: (N, K, d), one for each environment.

    Raises:
        ValueError: the student has other spaces.
    """

    def __init__(
        self,
        student: "Student",
        observations: Translation,
        actions: Translation,
        rows: int,
        *,
        is_vector: bool = True,
        resets_late: bool = False,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        check_fits(student, observations, actions)
        self.student, self.observations, self.actions = student, observations, actions
        self.is_vector, self._resets_late = is_vector, resets_late
        self.sampling, self.generator = Sampling(temperature=temperature), generator or torch.Generator()
        self.memory = student.initial_memory(rows).detach()
        self._ending = torch.zeros(rows, dtype=torch.bool)

    @classmethod
    def of(cls, student: "Student", envs: Any, **options: Any) -> "Policy":
        """The policy for a ``gymnasium.Env`` or a vector environment; options are the temperature and the generator.

        Raises:
            ValueError: a space has no counterpart here, or is not the student's; a vector environment has no
                ``autoreset_mode``.
        """
        is_vector = hasattr(envs, "single_observation_space")
        prefix, rows = ("single_", int(envs.num_envs)) if is_vector else ("", 1)
        names = (f"{prefix}observation_space", f"{prefix}action_space")
        if not all(hasattr(envs, name) for name in names):
            raise ValueError(f"envs is {envs!r:.100}; it must be a gymnasium.Env or a vector environment")
        observations, actions = (Translation.of(name, getattr(envs, name)) for name in names)
        mode = (envs.metadata or {}).get("autoreset_mode") if is_vector else None
        if is_vector and mode is None:
            raise ValueError(
                "envs does not say when it resets: its metadata has no autoreset_mode; make it with gymnasium 1.1 or"
                " later, or set envs.metadata['autoreset_mode']"
            )
        late = getattr(mode, "value", mode) == "NextStep"
        return cls(student, observations, actions, rows, is_vector=is_vector, resets_late=late, **options)

    @torch.no_grad()
    def act(self, observations: Shaped[Tensor, "N *x"]) -> Shaped[Tensor, "N *y"]:
        """Actions as an array of the student's targets."""
        self.memory = self.student.step(observations.to(self.memory.device), self.memory)
        outputs = self.student.readout(self.memory)
        if self._ending.any():
            self.memory = self.student.reset(self.memory, self._ending).detach()
            self._ending = torch.zeros_like(self._ending)
        return self.sampling.draw(self.student.targets, outputs, self.generator)

    def __call__(self, observations: Any) -> Any:
        """The actions for what all environments show now, or the action for what one shows.

        Raises:
            ValueError: an observation is not of the environment's space.
        """
        if self.is_vector:
            return self.actions.write(self.act(self.observations.read(observations)))
        return single(self.actions.theirs, self.actions.write(self.act(self.observations.read_each([observations]))), 0)

    @torch.no_grad()
    def reset(self, done: Any = None) -> None:
        """Begin anew where an episode has ended; everywhere when ``done`` is left out.

        Args:
            done: one truth value for each environment, in any form; a single one where there is one environment.

        Raises:
            ValueError: done is not one truth value for each environment.
        """
        if done is None:
            self.memory = self.student.initial_memory(len(self.memory)).detach()
            self._ending = torch.zeros_like(self._ending)
            return
        ended = torch.as_tensor(done).reshape(1) if not self.is_vector else torch.as_tensor(done)
        begun = self.student.reset(self.memory, ended)
        if self._resets_late:
            self._ending = ended.cpu()
        else:
            self.memory = begun.detach()


def check_fits(student: "Student", observations: Translation, actions: Translation) -> None:
    """Refuse a student of other spaces than an environment's.

    Raises:
        ValueError: it is.
    """
    for of, own, what in ((observations, student.inputs, "inputs"), (actions, student.targets, "targets")):
        if of.space != own:
            raise ValueError(f"{of.name} is {of.theirs}, which is {of.space} here; the student's {what} are {own}")
