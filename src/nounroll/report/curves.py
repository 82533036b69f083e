"""Learning curves of several runs in one picture."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

Curve = Sequence[Mapping[str, float]]  # points with a loss and the budget spent so far

_AXES = {"seconds": "seconds", "tokens": "tokens", "flops": "FLOPs", "sequential_flops": "sequential FLOPs"}
_SUFFIXES = (".png", ".svg", ".pdf")
_POINTS = 200  # points of a mean over seeds
_LEAST = 0.01  # resolution of seconds; replaces 0, which has no logarithm


def check_path(name: str, path: Path) -> None:
    """Raise ValueError unless the file extension is a picture's."""
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"{name} is '{path}'; it must end in {', '.join(_SUFFIXES)}")


def draw_curves(path: Path, rows: Iterable[tuple[str, Sequence[Curve]]]) -> None:
    """Write a picture of four panels: validation loss against seconds, tokens, FLOPs and sequential FLOPs.

    Args:
        path: PNG, SVG or PDF file.
        rows: name, and a curve for each seed. The picture shows their mean and a band of one standard deviation. A
            teacher has the previous row's colour, dashed.

    Raises:
        ValueError: the file has another extension, or there is no curve.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    check_path("figure", path)
    drawn = [(name, curves) for name, curves in rows if any(curves)]
    if not drawn:
        raise ValueError("there is no learning curve to draw; no run has finished")
    figure = Figure(figsize=(10, 7), layout="constrained")
    for axes, (axis, label) in zip(figure.subplots(2, 2, sharey=True).flat, _AXES.items(), strict=True):
        colour = -1
        for name, curves in drawn:
            teacher = name.startswith("teacher")
            colour += not teacher
            x, mean, deviation = mean_curve(curves, axis)
            look = {"color": f"C{max(colour, 0)}", "linestyle": "--" if teacher else "-"}
            axes.plot(x, mean, label=name, marker="." if len(curves) == 1 else "", **look)
            axes.fill_between(x, mean - deviation, mean + deviation, color=look["color"], alpha=0.2, linewidth=0)
        axes.set(xscale="log", xlabel=label)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(alpha=0.3)
    for axes in figure.axes[::2]:
        axes.set_ylabel("validation loss (nats)")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def mean_curve(
    curves: Sequence[Curve], axis: str
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Compute mean and standard deviation over curves, from the latest start to the earliest end.

    Seeds are evaluated at slightly different times, so each curve is interpolated linearly in the logarithm of the
    spent budget. A single curve is returned unchanged.

    Returns:
        x, mean, standard deviation (0 for a single curve).
    """
    points = [
        (np.maximum([p[axis] for p in curve], _LEAST), np.array([p["loss"] for p in curve]))
        for curve in curves
        if curve
    ]
    if len(points) == 1:
        return *points[0], np.zeros(len(points[0][0]))
    start, end = max(x[0] for x, _ in points), min(x[-1] for x, _ in points)
    grid = np.geomspace(start, end, _POINTS)
    losses = np.stack([np.interp(np.log(grid), np.log(x), loss) for x, loss in points])
    return grid, losses.mean(axis=0), losses.std(axis=0, ddof=1)
