"""What ``nounroll bench`` found, as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nounroll.report.curves import check_path
from nounroll.report.style import panels, styled


def draw_speed(path: Path, result: Mapping[str, Any]) -> None:
    """Tokens per second against what was read before; with curves, also a step's time and its peak memory against T.

    Args:
        path: PNG, SVG or PDF file.
        result: what ``nounroll.bench.measure`` returned.

    Raises:
        ValueError: the file's name has another ending.
    """
    check_path("figure", path)
    curves = result.get("scaling", [])
    with styled():
        figure, axes = panels(rows=3 if curves else 1, squeeze=False)
        _generation(axes[0, 0], result["generation"])
        for place, (measure, label, scale) in enumerate(
            (("seconds", "seconds", 1.0), ("bytes", "peak memory, MiB", 2.0**20)) if curves else (), start=1
        ):
            _against_length(axes[place, 0], curves, measure, label, scale)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)


def _generation(axes: Any, rows: list[dict[str, Any]]) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        lines.setdefault(row["name"].partition(",")[0], []).append((row["context"], row["per_second"]))
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="tokens read before", title="generation, tokens per second")
    axes.legend()


def _against_length(axes: Any, rows: list[dict[str, Any]], measure: str, label: str, scale: float) -> None:
    for row in rows:
        if row["measure"] == measure and row["axis"] == "length":
            power = "" if row["exponent"] is None else f" ∝ T^{row['exponent']:.2f}"
            axes.plot(row["values"], [value / scale for value in row["found"]], marker="o", label=row["method"] + power)
    axes.set(xscale="log", yscale="log", xlabel="T", title=f"a training step, {label}")
    axes.legend()
