"""Picture of a sweep."""

from pathlib import Path
from typing import Any

from nounroll.report.numbers import measure
from nounroll.report.style import STUDENT, panels, styled


def save_sweep(result: dict[str, Any], path: Path) -> None:
    """Draw bits and accuracy (or rmse) against the size of the memory, or against the setting if the size is constant.

    Diverged runs are left out. Values of a setting that are not numbers are drawn side by side.
    """
    points = [point for point in result["points"] if point["metrics"]]
    sizes = [point["memory"] for point in points]
    by_size = None not in sizes and len(set(sizes)) == len(sizes)
    values = sizes if by_size else [point["value"] for point in points]
    numbers = all(isinstance(value, int | float) and value > 0 for value in values)
    names = ["bits", measure(points[0]["metrics"])] if points else ["bits"]
    with styled():
        figure, axes = panels(len(names), squeeze=False)
        for ax, name in zip(axes[0], names, strict=True):
            places = values if numbers else range(len(values))
            ax.plot(places, [point["metrics"][name] for point in points], "o-", color=STUDENT)
            ax.set(title=name, xlabel="numbers in memory, K d" if by_size else result["setting"])
            if numbers:
                ax.set_xscale("log")
            ax.set_xticks(places, [str(value) for value in values])
            ax.minorticks_off()
        figure.savefig(path, dpi=130)
