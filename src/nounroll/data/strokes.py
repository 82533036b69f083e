"""Strokes: line drawings as black and white pixels, sparse and long."""

import xml.etree.ElementTree as ElementTree  # expat limits the growth of entities; tests/bad_data.py  # nosec B405
from pathlib import Path

import numpy as np
from fontTools.pens.basePen import BasePen
from fontTools.svgLib import SVGPath
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from nounroll.core.notices import notice
from nounroll.data.checks import whole_number
from nounroll.data.files import existing, files_below, first_names, read_bytes, unreadable
from nounroll.data.images import PixelImages
from nounroll.data.rows import held_out_rows
from nounroll.data.sources import packaged

_PIECES = 4  # straight pieces for each curve
_BERNSTEIN = [
    ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3) for t in (i / _PIECES for i in range(1, _PIECES + 1))
]


class Strokes(PixelImages):
    """Line drawings in raster order, with lines one pixel wide; most pixels are paper.

    ::

        inputs    START  0  0  1  0  0  ...        START = 2; 0 paper, 1 ink
        targets   0      0  1  0  0  1  ...        side * side steps; a smaller length reads the first pixels

    A fixed random tenth of the drawings is held out.

    Args:
        path: a folder of SVG files at any depth, with paths and simple shapes. None: the 6,703 characters of KanjiVG
            (kanjivg.tagaini.net, CC BY-SA 3.0) from the package kanjivg, without variants.
        side: height and width in pixels, 4 to 256.
    """

    def __init__(self, *, path: str | Path | None = None, side: int = 28) -> None:
        whole_number("strokes.side", side, 4, 256)
        if path is None:
            files = packaged("kanjivg", "*.svg", "strokes", "data")
            files = [file for file in files if "-" not in file.stem]  # a variant resembles its main form
        else:
            files = [file for file in _files(path) if file.suffix == ".svg"]
            if not files:
                raise ValueError(f"strokes.path is '{path}'; it must be a folder that holds .svg files")
        images = np.stack([_raster(file, side) for file in files])
        held_out = held_out_rows(f"strokes.path '{path}'", len(images))
        super().__init__(images=images, held_out=held_out, levels=2, name="strokes")


def _files(path: str | Path) -> list[Path]:
    """List the files below a folder. A notice names links out of the folder, which are not followed."""
    files, links = files_below("strokes.path", existing("strokes.path", path))
    if links:
        notice(f"strokes.path is '{path}'; left out of it: {first_names(links)}")
    return files


def _raster(file: Path, side: int) -> UInt8[np.ndarray, "side side"]:
    """Draw a file in a square of ``side`` pixels, with 1 on the lines."""
    try:
        drawing, lines = SVGPath.fromstring(read_bytes("strokes.path", file)), _Lines()
        _check_groups(drawing.root)
        drawing.draw(lines)
        corner, size = _frame(drawing.root)
        picture = Image.new("L", (side, side))
        pencil = ImageDraw.Draw(picture)
        for line in lines.found:
            points = (np.array(line) - corner) / size
            if not (np.abs(points - 0.5) < 1.5).all():
                raise ValueError("a line runs far out of the picture")
            pencil.line((points * side).ravel().tolist(), fill=1)
    except Exception as error:  # the readers of XML, paths and numbers raise other types
        raise unreadable("strokes.path", file, error) from None
    return np.asarray(picture)


class _Lines(BasePen):
    """Pen that collects a drawing's lines, with curves as straight pieces."""

    def __init__(self) -> None:
        super().__init__(None)
        self.found: list[list[tuple[float, float]]] = []

    def _moveTo(self, pt: tuple[float, float]) -> None:
        self.found.append([pt])

    def _lineTo(self, pt: tuple[float, float]) -> None:
        self.found[-1].append(pt)

    def _curveToOne(self, pt1: tuple[float, float], pt2: tuple[float, float], pt3: tuple[float, float]) -> None:
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = self.found[-1][-1], pt1, pt2, pt3
        self.found[-1] += [
            (a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3) for a, b, c, d in _BERNSTEIN
        ]

    def _closePath(self) -> None:
        self.found[-1].append(self.found[-1][0])


def _frame(root: ElementTree.Element) -> tuple[Float[np.ndarray, "2"], float]:
    """Return the upper left corner of the picture, and the length of its longer side."""
    box = root.get("viewBox") or f"0 0 {root.get('width')} {root.get('height')}"
    numbers = [float(number) for number in box.replace(",", " ").split() if number != "None"]
    if len(numbers) != 4 or not min(numbers[2:]) > 0:
        raise ValueError(f"it needs a viewBox, or width and height, and has {numbers}")
    return np.array(numbers[:2]), max(numbers[2:])


def _check_groups(root: ElementTree.Element) -> None:
    """Refuse transforms of groups; only transforms of shapes are supported."""
    if any("transform" in group.attrib for group in root.iter("{http://www.w3.org/2000/svg}g")):
        raise ValueError("it transforms groups, which is not supported")
