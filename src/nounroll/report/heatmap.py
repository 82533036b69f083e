"""Picture of one memory over time."""

from typing import Any

from nounroll.report.style import Picture, panels

_MOST = 2.5  # standard deviations at which the colour scale ends


def heatmap(a: dict[str, Any]) -> Picture:
    """Draw student above teacher: a row is a number of the memory, a column a time step."""
    found = a["heatmap"]
    kinds = [(name, found[key]) for name, key in (("student", "own"), ("teacher", "labels")) if found[key] is not None]
    figure, axes = panels(rows=len(kinds), height=2.6, sharex=True, squeeze=False)
    images = []
    for (ax,), (kind, rows) in zip(axes, kinds, strict=True):
        values = list(zip(*rows, strict=True))
        look = {"cmap": "coolwarm", "vmin": -_MOST, "vmax": _MOST, "interpolation": "nearest"}
        images.append(ax.imshow(values, aspect="auto", **look))
        ax.set(title=kind, ylabel="numbers, slow to quick", yticks=[])
        ax.grid(visible=False)
    axes[-1][0].set_xlabel("time steps read")
    figure.colorbar(images[0], ax=axes[:, 0], label="standard deviations from its mean", aspect=40, pad=0.02)
    count = len(found["own"][0])
    some = f"{count} of its {found['numbers']:,}" if count < found["numbers"] else "All its"
    caption = (
        f"One held-out sequence. {some} numbers of the memory, one per row, the slowest on top. A row of"
        " constant colour remembers; a row that flickers follows the inputs."
    )
    return Picture("heatmap", "The memory, step by step", caption, figure)
