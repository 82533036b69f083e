"""OpenAI's routes: models and completions."""

import time
from collections.abc import AsyncGenerator
from secrets import token_urlsafe
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from nounroll.serve.requests import Completion
from nounroll.serve.service import Served, Service
from nounroll.serve.writing import Piece, answer, pieces

router = APIRouter()


@router.get("/v1/models")
async def models(service: Served) -> dict[str, Any]:
    return {"object": "list", "data": [await model(service, service.name)]}


@router.get("/v1/models/{id}")
async def model(service: Served, id: str) -> dict[str, Any]:
    _check_model(service, id)
    return {"id": id, "object": "model", "created": 0, "owned_by": "nounroll"}


@router.post("/v1/completions")
async def completions(service: Served, request: Request, body: Completion) -> Response:
    _check_model(service, body.model)
    service.check_may_write(body)
    prompt = service.read(body.prompt)
    head = {"id": f"cmpl-{token_urlsafe(12)}", "object": "text_completion", "created": int(time.time())}
    head["model"] = service.name

    async def written() -> AsyncGenerator[Piece]:
        async with service.sessions.passing() as session:
            await service.sessions.feed(session, prompt)
            async for piece in pieces(service, session, body):
                yield piece

    def frame(written: list[Piece]) -> dict[str, Any]:
        text = "".join(piece.text for piece in written)
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": written[-1].finish_reason}
        return {**head, "choices": [choice], **({} if body.stream else {"usage": usage(written[-1])})}

    def usage(last: Piece) -> dict[str, int]:
        read = len(prompt)
        return {"prompt_tokens": read, "completion_tokens": last.drawn, "total_tokens": read + last.drawn}

    def closing(last: Piece) -> dict[str, Any]:
        return {**head, "choices": [], "usage": usage(last)}

    closed = closing if body.stream_options.include_usage else None
    return await answer(request, written(), frame, stream=body.stream, closing=closed)


def _check_model(service: Service, name: str) -> None:
    if name != service.name:
        raise HTTPException(404, f"model is {name!r}; this server has {service.name!r}")
