"""Figures in readable form."""

from collections.abc import Iterable, Mapping
from typing import Any

_FORMATS = {
    "flops": ".2e",
    "sequential_flops": ".2e",
    "steps": ",.0f",
    "tokens": ",.0f",
    "accuracy": ".1%",
    "rank": ".3g",
    "variance": ".2g",
    "leak": ".2g",
    "drift": ".2g",
}
_UNITS = {
    "loss": "loss, nats, as a density in the data's unit",
    "bits": "bits, as a density in the data's unit",
    "rmse": "rmse, in the data's unit",
    "rmse_standardised": "rmse, in standard deviations",
    "loss_standardised": "loss, nats, of standardised values",
}
_FROM_EMPTY = "_from_empty"  # figures of a stream with each sequence from m_∅


def figure(name: str, value: float | None) -> str:
    """Format a metric: figure("accuracy", 0.5) is "50.0%", and "accuracy@512" is formatted in the same way."""
    return (
        "-" if value is None else format(value, _FORMATS.get(name.partition("@")[0].removesuffix(_FROM_EMPTY), ",.4g"))
    )


def label(name: str, metrics: Mapping[str, Any]) -> str:
    """Return a metric's name with its unit, if any: "rmse" becomes "rmse, in the data's unit"."""
    plain = name.removesuffix(_FROM_EMPTY)
    found = _UNITS.get(plain, plain) if "rmse_standardised" in metrics else plain
    return found if plain == name else f"{found}; each sequence from the empty memory"


def measure(metrics: Iterable[str]) -> str:
    """Return the metric that is easiest to read: accuracy if there is one, else rmse, else bits."""
    return next((name for name in ("accuracy", "rmse") if name in metrics), "bits")


def deviation(name: str, value: float) -> str:
    """Format a standard deviation of a metric with two digits: deviation("loss", 0.01234) is "0.012"."""
    return figure(name, value) if name == "accuracy" else format(value, ".2g")


def is_past(analysis: dict[str, Any]) -> bool:
    """Return whether the network has fewer bits than its teacher's memories under its own and a fitted readout."""
    beside = (analysis["teacher"]["metrics"]["bits"], analysis["refitted"]["bits"])
    return analysis["student"]["metrics"]["bits"] < min(beside)
