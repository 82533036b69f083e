"""Picture of the results of ``nounroll bench``."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nounroll.report.curves import check_path
from nounroll.report.style import panels, styled


def draw_speed(path: Path, result: Mapping[str, Any]) -> None:
    """Draw tokens per second against the context; with curves, also a step's time and peak memory against T.

    Args:
        path: PNG, SVG or PDF file.
        result: result of ``nounroll.bench.measure``.

    Raises:
        ValueError: the file has another extension.
    """
    check_path("figure", path)
    curves, rows = result.get("scaling", []), result["generation"]
    drawn = [partial(_generation, rows=rows)] if not curves or len({row["context"] for row in rows}) > 1 else []
    for measure, label, scale in (("seconds", "seconds", 1.0), ("bytes", "peak memory, MiB", 2.0**20)):
        if curves:
            drawn.append(partial(_against_length, rows=curves, measure=measure, label=label, scale=scale))
    with styled():
        figure, axes = panels(rows=len(drawn), squeeze=False)
        for place, draw in zip(axes[:, 0], drawn, strict=True):
            draw(place)
            place.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)


def _generation(axes: Any, rows: list[dict[str, Any]]) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        lines.setdefault(row["name"].partition(",")[0], []).append((row["context"], row["per_second"]))
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="tokens read before", title="generation, tokens per second")


def _against_length(axes: Any, rows: list[dict[str, Any]], measure: str, label: str, scale: float) -> None:
    """Draw a line for each method, with the same colour in all panels."""
    colours = {name: f"C{place}" for place, name in enumerate(sorted({row["method"] for row in rows}))}
    for row in rows:
        if row["measure"] == measure and row["axis"] == "length":
            name = row["method"] if row["exponent"] is None else f"{row['method']} ∝ T^{row['exponent']:.2f}"
            values = [value / scale for value in row["found"]]
            axes.plot(row["values"], values, marker="o", color=colours[row["method"]], label=name)
    axes.set(xscale="log", yscale="log", xlabel="T", title=f"a training step, {label}")
