"""The everyday tasks by name. Building one reads its data."""

from collections.abc import Callable

from suite_tasks.cartpole import cartpole
from suite_tasks.chorales import chorales
from suite_tasks.forecasts import carbon_dioxide, sunspots
from suite_tasks.images import digits, mnist
from suite_tasks.probes import copy_32, keys_values_64, modular_64, parity_64, retrieval_256, stack_128
from suite_tasks.problem import MissingData, Problem
from suite_tasks.series import gunpoint, motions, vowels, watch
from suite_tasks.synthetic import adding_100, adding_400, rare_events
from suite_tasks.text import standard_library

TASKS: dict[str, Callable[[], Problem]] = {
    "adding-100": adding_100,
    "adding-400": adding_400,
    "retrieval": retrieval_256,
    "keys-values": keys_values_64,
    "copy": copy_32,
    "stack": stack_128,
    "parity": parity_64,
    "modular-arithmetic": modular_64,
    "events": rare_events,
    "vowels": vowels,
    "gunpoint": gunpoint,
    "motions": motions,
    "watch": watch,
    "sunspots": sunspots,
    "co2": carbon_dioxide,
    "digits": digits,
    "mnist": mnist,
    "text": standard_library,
    "chorales": chorales,
    "cartpole": cartpole,
}

__all__ = ["TASKS", "MissingData", "Problem"]
