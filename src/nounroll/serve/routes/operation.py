"""Routes for operators: health and metrics."""

from fastapi import APIRouter, Response

from nounroll.serve.service import Served

router = APIRouter()

HEALTH = "/health"  # needs no token


@router.get(HEALTH)
async def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/metrics")
async def metrics(service: Served) -> Response:
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")
