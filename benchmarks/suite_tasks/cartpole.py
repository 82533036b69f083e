"""CartPole with its velocities hidden and noise on the rest: imitate a controller that sees all, then balance alone."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from suite_tasks.measures import ACCURACY, RETURN
from suite_tasks.problem import Finite, MissingData, Numbers, Predict, Problem, Symbols, standardised

_SHOWN = [0, 2]  # place and angle; 1 and 3 are the velocities
_GAINS = np.array([0.2, 0.4, 3.0, 0.7])
_EPISODES = {"train": 120, "validation": 24}
_STEPS, _WILD = 200, 0.5  # of an episode; share of actions drawn at random, so that recoveries are shown as well
_NOISE = 0.02  # of place (metres) and angle (radians): what a difference of two steps says of a speed is mostly noise
_TEST_EPISODES, _TEST_STEPS, _TEST_SEED = 20, 500, 50_000


class CartPole(Finite):
    """The sequences are what the controller saw and would have done; the score is the return of acting oneself."""

    mean: Tensor
    deviation: Tensor

    def score(self, predict: Predict) -> float:
        """The mean return of 20 episodes of up to 500 steps."""
        poles = [_environment() for _ in range(_TEST_EPISODES)]
        noises = [np.random.default_rng(_TEST_SEED + row) for row in range(_TEST_EPISODES)]
        states = [pole.reset(seed=_TEST_SEED + row)[0] for row, pole in enumerate(poles)]
        history, returns = torch.empty(_TEST_EPISODES, 0, len(_SHOWN)), torch.zeros(_TEST_EPISODES)
        alive = list(range(_TEST_EPISODES))
        for _ in range(_TEST_STEPS):
            seen = np.stack([_seen(state, noise) for state, noise in zip(states, noises, strict=True)])
            now = ((torch.from_numpy(seen) - self.mean) / self.deviation).float()
            history = torch.cat([history, now[:, None]], dim=1)
            with torch.no_grad():
                actions = predict(history[alive])[:, -1].argmax(-1).tolist()
            returns[alive] += 1
            for row, action in zip(list(alive), actions, strict=True):
                states[row], _, fell, _, _ = poles[row].step(action)
                if fell:
                    alive.remove(row)
            if not alive:
                break
        return float(returns.mean())


def cartpole() -> Problem:
    sequences, steps, split = [], [], []
    for part, count in _EPISODES.items():
        for episode in range(count):
            observations, actions = _episode(episode if part == "train" else 10_000 + episode)
            sequences.append(torch.from_numpy(observations))
            steps.append(torch.from_numpy(actions))
            split.append(part)
    train = torch.cat([sequence for sequence, part in zip(sequences, split, strict=True) if part == "train"])
    problem = CartPole(
        name="cartpole",
        title="balance a pole by noisy places and angles, imitating a controller that sees speeds (500 at most)",
        inputs=Numbers(len(_SHOWN)),
        targets=Symbols(2),
        length=_STEPS,
        acting=_TEST_STEPS,
        seconds=60,
        measure=RETURN,
        choice=ACCURACY,
        sequences=standardised(sequences, split),
        steps=steps,
        split=split,
        group="control",
    )
    problem.mean, problem.deviation = train.mean(0), train.std(0).clamp(min=1e-6)
    return problem


def controller(state: np.ndarray) -> int:
    """The action of a linear controller that sees everything."""
    return int(_GAINS @ state > 0)


def _episode(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What is shown at every step, and what the controller would do."""
    pole, random = _environment(), np.random.default_rng(seed)
    state, _ = pole.reset(seed=seed)
    shown, actions = [], []
    for _ in range(_STEPS):
        action = controller(state)
        shown.append(_seen(state, random))
        actions.append(action)
        state, _, fell, _, _ = pole.step(int(random.integers(2)) if random.random() < _WILD else action)
        if fell:
            break
    return np.stack(shown), np.array(actions, dtype=np.int64)


def _seen(state: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Place and angle as a sensor gives them."""
    return state[_SHOWN].astype(np.float64) + _NOISE * random.standard_normal(len(_SHOWN))


def _environment() -> Any:
    try:
        from gymnasium.envs.classic_control.cartpole import CartPoleEnv
    except ImportError:
        raise MissingData("needs the package gymnasium: pip install gymnasium") from None
    return CartPoleEnv()
