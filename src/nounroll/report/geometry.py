"""Picture of memories in two dimensions."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from nounroll.report.style import Picture, panels

_COLOURS = ("#1f6feb", "#d9730d", "#2da44e", "#bf3989", "#6f42c1", "#1b7c83", "#bf8700", "#cf222e", "#57606a")
_REST = "#d0d7de"
_PATHS = 8  # sequences drawn as lines


def geometry(a: dict[str, Any]) -> Picture:
    """Draw student above teacher in one plane: coloured by time on the left, by target on the right."""
    g = a["geometry"]
    kinds = [(name, g[key]) for name, key in (("student", "own"), ("teacher", "labels")) if g[key] is not None]
    colour, named, said = _colours(sorted(one for row in g["targets"] for one in row if one is not None))
    figure, axes = panels(2, len(kinds), sharex=True, sharey=True, squeeze=False, height=3.3)
    by_time = []
    for row, (kind, paths) in zip(axes, kinds, strict=True):
        for path in paths[:_PATHS]:
            row[0].plot(*zip(*path, strict=True), color=_REST, lw=0.6, zorder=1)
        points = list(zip(*(point for path in paths for point in path), strict=True))
        size = {"s": 8, "linewidths": 0, "rasterized": True, "zorder": 2}
        times = [time for path in paths for time in g["times"][: len(path)]]
        by_time.append(row[0].scatter(*points, c=times, cmap="viridis", **size))
        row[1].scatter(*points, c=[colour(one) for targets in g["targets"] for one in targets], **size)
        row[0].set(title=f"{kind}, by time", ylabel="second direction")
        row[1].set(title=f"{kind}, by the next target")
    for ax in axes[-1]:
        ax.set(xlabel="first direction")
    for target, one in named.items():
        axes[-1][1].scatter([], [], s=16, color=one, label=a.get("symbols", {}).get(f"{target:g}", f"{target:g}"))
    if named:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18), "ncols": 5, "handletextpad": 0.1}
        axes[-1][1].legend(**below, columnspacing=1)
    figure.colorbar(by_time[0], ax=axes[:, 0], label="time steps read", location="bottom", aspect=40, pad=0.02)
    shares = [f"{share:.0%}" for share in g["explained"]]
    caption = (
        f"Memories of {len(g['own'])} sequences along their first two principal components ({' and '.join(shares)}"
        f" of the variance). Left, the colour is the time; right, the next target to predict. {said}"
    )
    return Picture("geometry", "The memory in two dimensions", caption, figure)


def _colours(targets: list[float]) -> tuple[Callable[[float | None], Any], dict[float | None, str], str]:
    """Choose a colour for each target, a legend and its title: by frequency for symbols, by size for numbers."""
    from matplotlib import colormaps

    if any(target % 1 for target in targets):
        low, high = targets[0], targets[-1]
        return (
            lambda target: _REST if target is None else colormaps["coolwarm"]((target - low) / (high - low or 1.0)),
            {},
            "Blue is a small number and red a large one.",
        )
    frequent = [target for target, _ in Counter(targets).most_common(len(_COLOURS))]
    named: dict[float | None, str] = dict(zip(sorted(frequent), _COLOURS, strict=False))
    rest = "; grey is every other" if len(set(targets)) > len(named) else ""
    return lambda target: named.get(target, _REST), named, f"Each of {len(named)} targets has a colour{rest}."
