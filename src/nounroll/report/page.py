"""Self-contained HTML page, built from plain values and pictures."""

import base64
import io
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nounroll.report.images import write_grid
from nounroll.report.style import Picture
from nounroll.report.surprise import SHADES


def page(values: Mapping[str, Any], pictures: Mapping[Path, Picture]) -> str:
    """Build the HTML of a run's report.

    Args:
        values: the values of ``page.html``; every name in it is required.
        pictures: PNG files to embed, and their descriptions.
    """
    from jinja2 import Environment, StrictUndefined

    template = resources.files("nounroll.report").joinpath("page.html").read_text(encoding="utf-8")
    embedded = [
        {"title": one.title, "caption": one.caption, "data": _embedded(path.read_bytes())}
        for path, one in pictures.items()
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(template).render(**values, pictures=embedded, shades=SHADES)


def embedded_grid(images: Float[np.ndarray, "N H W"], columns: int) -> str:
    """Encode grey images as the ``src`` of an <img>."""
    file = io.BytesIO()
    write_grid(file, images, columns)
    return _embedded(file.getvalue())


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
