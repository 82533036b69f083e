"""The page at ``/``, and its description of the model."""

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Response

from nounroll.data.corpus import reads_bytes
from nounroll.serve.routes.forecast import columns
from nounroll.serve.service import Served, Service

router = APIRouter()

_SCRIPTS = ("page", "panel", "fan", "pictures", "server")
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in _SCRIPTS},
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def _add(path: str, name: str, media_type: str) -> None:
    content = files("nounroll.serve").joinpath("page", name).read_bytes()

    @router.get(path)
    async def file() -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)


for _path, (_name, _media_type) in FILES.items():
    _add(_path, _name, _media_type)


@router.get("/v1/about")
async def about(service: Served) -> dict[str, Any]:
    """Describe the model's inputs and targets, and the size of its memory."""
    task = service.task
    return {
        "model": service.name,
        "writes": task.autoregressive,
        "text": reads_bytes(task),
        "prompt": task.prompt().tolist(),
        "image": _image(service),
        "series": columns(service),
        "symbols": task.targets.symbols,
        "columns": None if task.targets.symbols is not None else task.targets.columns,
        "memory_shape": list(service.student.memory_shape),
        "memory_bytes": service.student.empty_memory.nbytes,
        "teacher_length": service.judge.length if service.judge else None,
        "most_tokens": service.settings.tokens,
    }


def _image(service: Service) -> dict[str, int] | None:
    """Return height, width and grey levels if the model draws images."""
    shape, levels = getattr(service.task, "image_shape", None), getattr(service.task, "levels", None)
    return None if shape is None or levels is None else {"height": shape[0], "width": shape[1], "levels": levels}
