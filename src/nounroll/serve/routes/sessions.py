"""Sessions: list, open, feed, sample, act, fork, snapshot, restore, look, close."""

import math
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import torch
from fastapi import APIRouter, HTTPException, Request, Response
from torch import Tensor

from nounroll.core.batch import Space
from nounroll.core.spaces import Sampling
from nounroll.serve.answer import answer
from nounroll.serve.elements import read
from nounroll.serve.requests import Act, Feed, Sample
from nounroll.serve.service import Served, Service
from nounroll.serve.session import Session
from nounroll.serve.sessions import InUse
from nounroll.serve.writing import Piece, pieces

router = APIRouter(prefix="/v1/sessions")


@router.get("")
async def all_of_them(service: Served) -> dict[str, Any]:
    """Return every open session, and their largest number."""
    now = time.monotonic()
    listed = [about(service, one) | {"idle_seconds": now - one.used} for one in service.sessions.open.values()]
    return {"object": "list", "data": listed, "most": service.settings.most_sessions}


@router.post("", status_code=201)
async def create(service: Served) -> dict[str, Any]:
    return about(service, await service.sessions.create())


@router.post("/restore", status_code=201)
async def restore(service: Served, request: Request) -> dict[str, Any]:
    return about(service, await service.sessions.restore(await request.body()))


@router.get("/{id}")
async def look(service: Served, id: str) -> dict[str, Any]:
    session = find(service, id)
    service.batcher.enter()
    try:
        return about(service, session) | await seen(service, session)
    finally:
        service.batcher.leave()


@router.delete("/{id}", status_code=204)
async def close(service: Served, id: str) -> None:
    await service.sessions.close(find(service, id))


@router.post("/{id}/feed")
async def feed(service: Served, id: str, body: Feed) -> dict[str, Any]:
    session = idle(service, id)
    if (body.text is None) == (body.inputs is None):
        raise ValueError("give either text or inputs")
    given = service.read(body.text or "" if body.inputs is None else body.inputs)
    targets = service.student.targets if service.task.autoregressive else None
    async with service.sessions.working(session, whole=True):
        bits, outputs = await read(service, session, given, partial(surprise, targets) if targets else None)
        known = [one for one in bits if one is not None] if targets else None
        result: dict[str, Any] = {"surprise": known, "logits": outputs.tolist()}
        if body.watch:
            result |= await seen(service, session)
    return about(service, session) | result


def surprise(targets: Space, outputs: Tensor, value: Tensor) -> float:
    """Return -log p(value) in bits, of a density in the data's unit; 0 if an input is no target."""
    if bool(targets.invalid(value).any()):
        return 0.0
    return float(-targets.log_prob(outputs[None], value[None])[0]) / math.log(2)


@router.post("/{id}/sample")
async def sample(service: Served, id: str, body: Sample) -> Response:
    session = idle(service, id)
    service.check_may_write(body)
    if not session.read:
        raise ValueError("the session has read nothing yet; feed it first")

    async def written() -> AsyncGenerator[Piece]:
        async with service.sessions.working(session, whole=not body.stream):
            async for piece in pieces(service, session, body, body.draws()):
                piece.seen = about(service, session) | (await seen(service, session) if body.watch else {})
                yield piece

    def frame(written: list[Piece]) -> dict[str, Any]:
        elements = [element.value for piece in written for element in piece.elements]
        text = "".join(piece.text for piece in written)
        return {**written[-1].seen, "text": text, "elements": elements, "finish_reason": written[-1].finish_reason}

    return await answer(written(), frame, stream=body.stream)


@router.post("/{id}/act")
async def act(service: Served, id: str, body: Act) -> dict[str, Any]:
    """Read an observation and return an action."""
    session = idle(service, id)
    given = service.read([body.observation])  # type: ignore[arg-type]  # refuses values outside the space
    async with service.sessions.working(session, whole=True):
        if body.begin:
            service.sessions.memories.begin(session)
        _, outputs = await read(service, session, given)
        sampling = Sampling(temperature=body.temperature)
        action = sampling.draw(service.student.targets, outputs[None], body.draws(session.read))[0]
        result: dict[str, Any] = {"action": action.tolist(), "logits": outputs.tolist()}
        if body.watch:
            result |= await seen(service, session)
    return about(service, session) | result


@router.post("/{id}/fork", status_code=201)
async def fork(service: Served, id: str) -> dict[str, Any]:
    return about(service, await service.sessions.fork(idle(service, id)))


@router.get("/{id}/snapshot")
async def snapshot(service: Served, id: str) -> Response:
    return Response(await service.sessions.snapshot(idle(service, id)), media_type="application/zip")


def find(service: Service, id: str) -> Session:
    if id not in service.sessions.open:
        raise HTTPException(404, "there is no such session; create one: POST /v1/sessions")
    session = service.sessions.open[id]
    session.used = time.monotonic()
    return session


def idle(service: Service, id: str) -> Session:
    session = find(service, id)
    if session.in_use:
        raise InUse
    return session


def about(service: Service, session: Session) -> dict[str, Any]:
    size = service.student.empty_memory.nbytes
    return {"id": session.id, "read": session.read, "memory_bytes": size, "step_seconds": session.step_seconds}


async def seen(service: Service, session: Session) -> dict[str, Any]:
    """Return the memory (K, d), the teacher's memory and the drift; None for the last two if it cannot judge."""
    memory = service.pool.memories[session.slot].clone()
    result: dict[str, Any] = {"memory": memory.tolist(), "teacher": None, "drift": None}
    if service.judge and session.inputs:
        verdict = await service.judge.ask(memory, torch.stack(session.inputs))
        result |= {"teacher": verdict.label.tolist(), "drift": verdict.drift}
    return result
