"""Range checks of settings. Each message names the setting, its value and the allowed range."""


def at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError unless ``value >= least``."""
    if not value >= least:
        raise ValueError(f"{name} is {value}; it must be at least {least}")


def more_than(name: str, value: float, bound: float) -> None:
    """Raise ValueError unless ``value > bound``."""
    if not value > bound:
        raise ValueError(f"{name} is {value}; it must be more than {bound}")


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless ``low <= value <= high``."""
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must be within {low} and {high}")
