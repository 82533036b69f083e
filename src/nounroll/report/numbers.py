"""Figures as people read them."""

_FORMATS = {
    "flops": ".2e",
    "sequential_flops": ".2e",
    "steps": ",.0f",
    "tokens": ",.0f",
    "accuracy": ".1%",
    "drift": ".2g",
}


def figure(name: str, value: float | None) -> str:
    """A metric as text: figure("accuracy", 0.5) is "50.0%"."""
    return "-" if value is None else format(value, _FORMATS.get(name, ",.4g"))
