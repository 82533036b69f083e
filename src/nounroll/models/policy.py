"""Policy: a student acts in environments, with one memory per environment that is reset when an episode ends."""

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

    A vector environment that resets itself at the next step gives one more observation of the old episode. The action
    for it is ignored, and the memory is reset after it.

    Args:
        student: network that reads observations and predicts actions. It is not changed.
        observations, actions: the spaces of an environment.
        rows: N, number of environments.
        is_vector: observations and actions are batched, as in a vector environment.
        resets_late: an environment gives one more observation after its episode has ended.
        temperature: temperature of the draw of each action; 0 takes the most likely action.
        generator: source of the draws.

    Attributes:
        memory: (N, K, d), one memory for each environment.

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
        """Build the policy for a ``gymnasium.Env`` or a vector environment; options: temperature and generator.

        Raises:
            ValueError: a space has no counterpart here, or is not the student's; or a vector environment has no
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
        """Return the actions as an array of the student's targets."""
        self.memory = self.student.step(observations.to(self.memory.device), self.memory)
        outputs = self.student.readout(self.memory)
        if self._ending.any():
            self.memory = self.student.reset(self.memory, self._ending).detach()
            self._ending = torch.zeros_like(self._ending)
        return self.sampling.draw(self.student.targets, outputs, self.generator)

    def __call__(self, observations: Any) -> Any:
        """Return the actions for the observations of all environments, or the action for a single observation.

        Raises:
            ValueError: an observation is not of the environment's space.
        """
        if self.is_vector:
            return self.actions.write(self.act(self.observations.read(observations)))
        return single(self.actions.theirs, self.actions.write(self.act(self.observations.read_each([observations]))), 0)

    @torch.no_grad()
    def reset(self, done: Any = None) -> None:
        """Reset the memory where an episode has ended; everywhere by default.

        Args:
            done: one truth value per environment, in any form; a single one for a single environment.

        Raises:
            ValueError: ``done`` does not have one truth value per environment.
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
    """Refuse a student whose spaces differ from an environment's.

    Raises:
        ValueError: a space differs.
    """
    for of, own, what in ((observations, student.inputs, "inputs"), (actions, student.targets, "targets")):
        if of.space != own:
            raise ValueError(f"{of.name} is {of.theirs}, which is {of.space} here; the student's {what} are {own}")
