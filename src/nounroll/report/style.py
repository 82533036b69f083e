"""Style of all pictures."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

STUDENT, TEACHER, GUESS, BPTT, TBPTT = "#1f6feb", "#d9730d", "#8a8f98", "#6f42c1", "#1a7f37"
LINES: dict[str, dict[str, Any]] = {  # the student's line is drawn over its teacher's, which stays visible
    "teacher": {"color": TEACHER, "lw": 4, "alpha": 0.45},
    "student": {"color": STUDENT, "lw": 1.5},
}

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@dataclass(frozen=True)
class Picture:
    """Figure with its caption.

    Attributes:
        name: name of its file.
        title: a few words.
        caption: how to read it, and its main result.
        figure: the figure to save.
    """

    name: str
    title: str
    caption: str
    figure: Figure


@contextmanager
def styled() -> Iterator[None]:
    """Apply one style to all figures made and saved inside."""
    from matplotlib import rc_context

    with rc_context(_STYLE):
        yield


def panels(columns: int = 1, rows: int = 1, *, height: float = 3.0, **options: Any) -> tuple[Figure, Any]:
    """Create a figure of 7.2 inches with one axes object or an array of them."""
    figure = Figure(figsize=(7.2, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def save(pictures: Iterable[Picture], folder: Path) -> list[Path]:
    """Write each picture as ``folder``/NAME.png; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with styled():
        for picture in pictures:
            paths.append(folder / f"{picture.name}.png")
            picture.figure.savefig(paths[-1], dpi=150)
    return paths
