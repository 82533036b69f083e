"""Sessions: open, feed, sample, fork, snapshot, restore, look, close."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import torch
from fastapi import APIRouter, HTTPException, Request, Response

from nounroll.serve.requests import Feed, Sample
from nounroll.serve.service import Served, Service
from nounroll.serve.session import Session
from nounroll.serve.sessions import InUse
from nounroll.serve.writing import Piece, answer, pieces

router = APIRouter(prefix="/v1/sessions")


@router.post("", status_code=201)
async def create(service: Served) -> dict[str, Any]:
    return about(service, await service.sessions.create())


@router.post("/restore", status_code=201)
async def restore(service: Served, request: Request) -> dict[str, Any]:
    return about(service, await service.sessions.restore(await request.body()))


@router.get("/{id}")
async def look(service: Served, id: str) -> dict[str, Any]:
    session = find(service, id)
    return about(service, session) | await seen(service, session)


@router.delete("/{id}", status_code=204)
async def close(service: Served, id: str) -> None:
    await service.sessions.close(idle(service, id))


@router.post("/{id}/feed")
async def feed(service: Served, id: str, body: Feed) -> dict[str, Any]:
    session = idle(service, id)
    if (body.text is None) == (body.inputs is None):
        raise ValueError("give either text or inputs")
    given = service.read(body.text or "" if body.inputs is None else body.inputs)
    async with service.sessions.working(session):
        surprise = await service.sessions.feed(session, given)
        result = {"surprise": surprise, "logits": service.pool.readout(session.slot).tolist()}
        if body.watch:
            result |= await seen(service, session)
    return about(service, session) | result


@router.post("/{id}/sample")
async def sample(service: Served, request: Request, id: str, body: Sample) -> Response:
    session = idle(service, id)
    service.check_may_write(body)
    if not session.read:
        raise ValueError("the session has read nothing yet; feed it first")

    async def written() -> AsyncGenerator[Piece]:
        async with service.sessions.working(session):
            async for piece in pieces(service, session, body):
                piece.seen = about(service, session) | (await seen(service, session) if body.watch else {})
                yield piece

    def frame(written: list[Piece]) -> dict[str, Any]:
        elements = [piece.element for piece in written if piece.element is not None]
        text = "".join(piece.text for piece in written)
        return {**written[-1].seen, "text": text, "elements": elements, "finish_reason": written[-1].finish_reason}

    return await answer(request, written(), frame, stream=body.stream)


@router.post("/{id}/fork", status_code=201)
async def fork(service: Served, id: str) -> dict[str, Any]:
    return about(service, await service.sessions.fork(idle(service, id)))


@router.get("/{id}/snapshot")
async def snapshot(service: Served, id: str) -> Response:
    return Response(await service.sessions.snapshot(idle(service, id)), media_type="application/zip")


def find(service: Service, id: str) -> Session:
    if id not in service.sessions.open:
        raise HTTPException(404, "there is no such session; create one: POST /v1/sessions")
    return service.sessions.open[id]


def idle(service: Service, id: str) -> Session:
    session = find(service, id)
    if session.in_use:
        raise InUse
    return session


def about(service: Service, session: Session) -> dict[str, Any]:
    size = service.pool.memories[session.slot].nbytes
    return {"id": session.id, "read": session.read, "memory_bytes": size, "step_seconds": session.step_seconds}


async def seen(service: Service, session: Session) -> dict[str, Any]:
    """The memory's numbers, (K, d). What the teacher's are and how far that is, or None where it cannot say."""
    memory = service.pool.memories[session.slot].clone()
    result: dict[str, Any] = {"memory": memory.tolist(), "teacher": None, "drift": None}
    if service.judge and session.inputs:
        judging = service.judge.verdict, memory, torch.stack(session.inputs)
        verdict = await asyncio.get_running_loop().run_in_executor(service.batcher.thread, *judging)
        result |= {"teacher": verdict.label.tolist(), "drift": verdict.drift}
    return result
