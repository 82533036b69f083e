"""OpenAI's routes: models and completions."""

import time
from collections.abc import AsyncGenerator
from secrets import token_urlsafe
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from nounroll.serve.requests import Completion
from nounroll.serve.service import Served
from nounroll.serve.writing import Piece, answer, pieces

router = APIRouter()


@router.get("/v1/models")
async def models(service: Served) -> dict[str, Any]:
    model = {"id": service.name, "object": "model", "created": 0, "owned_by": "nounroll"}
    return {"object": "list", "data": [model]}


@router.post("/v1/completions")
async def completions(service: Served, request: Request, body: Completion) -> Response:
    if body.model != service.name:
        raise HTTPException(404, f"model is {body.model!r}; this server has {service.name!r}")
    service.check_may_write(body)
    prompt = service.read(body.prompt)
    head = {"id": f"cmpl-{token_urlsafe(12)}", "object": "text_completion", "created": int(time.time())}

    async def written() -> AsyncGenerator[Piece]:
        async with service.sessions.passing() as session:
            await service.sessions.feed(session, prompt)
            async for piece in pieces(service, session, body):
                yield piece

    def frame(written: list[Piece]) -> dict[str, Any]:
        text = "".join(piece.text for piece in written)
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": written[-1].finish_reason}
        count = sum(piece.element is not None for piece in written)
        usage = {"prompt_tokens": len(prompt), "completion_tokens": count, "total_tokens": len(prompt) + count}
        return {**head, "model": service.name, "choices": [choice], **({} if body.stream else {"usage": usage})}

    return await answer(request, written(), frame, stream=body.stream)
