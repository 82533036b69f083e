"""Environments that need a memory, with experts that see what is hidden.

The first group is POPGym's (Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning",
arXiv 2303.01859), by its package: ``pip install popgym``. The others are ``nounroll.control``'s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nounroll.control import Acrobot, CartPole, MountainCar, TMaze


@dataclass(frozen=True)
class Problem:
    """What is to be imitated.

    Attributes:
        title: for the table.
        make: an environment.
        expert: (environment, observation) -> an action, or None where any will do.
        length: steps of each episode that training reads.
        episodes: that each round adds.
        rounds: of playing and training; 1 where what is seen does not hang on what is done.
        seconds: CPU time of training.
    """

    title: str
    make: Callable[[], Any]
    expert: Callable[[Any, Any], Any]
    length: int
    episodes: int
    rounds: int
    seconds: float


def _popgym(module: str, name: str) -> Callable[[], Any]:
    def make() -> Any:
        from importlib import import_module

        return getattr(import_module(f"popgym.envs.{module}"), name)()

    return make


def first_card(env: Any, observation: Any) -> int:
    return int(env.unwrapped.card)


def card_before(env: Any, observation: Any) -> int | None:
    """The suit of k - 1 cards ago; None while there were not as many."""
    game = env.unwrapped
    hand = game.deck["player"]
    return int(game.deck.suits_idx[hand[-game.k]]) if len(hand) >= game.k else None


def last_card_left(env: Any, observation: Any) -> int | None:
    """The suit of the last card that was not said yet; None while cards are shown."""
    game = env.unwrapped
    return int(game.deck.suits_idx[game.deck["system"][-1]]) if game.mode == 0 else None


def count_of_query(env: Any, observation: Any) -> int:
    game = env.unwrapped
    return int(game.counts[game.query])


PROBLEMS = {
    "repeat-first-hard": Problem(
        "RepeatFirst Hard, 831 steps", _popgym("repeat_first", "RepeatFirstHard"), first_card, 128, 300, 1, 20
    ),
    "repeat-previous-medium": Problem(
        "RepeatPrevious Medium, 31 cards back, 103 steps",
        _popgym("repeat_previous", "RepeatPreviousMedium"),
        card_before,
        103,
        5000,
        1,
        45,
    ),
    "cartpole": Problem("CartPole without velocities, 500 steps", CartPole, CartPole.expert, 200, 50, 4, 48),
    "repeat-previous-easy": Problem(
        "RepeatPrevious Easy, 3 cards back, 51 steps",
        _popgym("repeat_previous", "RepeatPreviousEasy"),
        card_before,
        51,
        5000,
        1,
        20,
    ),
    "count-recall-easy": Problem(
        "CountRecall Easy, 51 steps", _popgym("count_recall", "CountRecallEasy"), count_of_query, 51, 5000, 1, 20
    ),
    "autoencode-easy": Problem(
        "Autoencode Easy, 52 cards backwards", _popgym("autoencode", "AutoencodeEasy"), last_card_left, 103, 5000, 1, 20
    ),
    "t-maze-1000": Problem("T-maze, 1,000 steps", lambda: TMaze(1000), TMaze.expert, 1001, 100, 1, 20),
    "mountain-car": Problem("MountainCar without velocity", MountainCar, MountainCar.expert, 200, 50, 3, 20),
    "acrobot": Problem("Acrobot without velocities", Acrobot, Acrobot.expert, 200, 50, 3, 20),
}
