"""The routes: OpenAI's models and completions, sessions, metrics."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import torch
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send
from torch import Tensor

from nounroll.batch import Real
from nounroll.data.task import SequenceTask
from nounroll.generation import Sampling
from nounroll.serve.batcher import Batcher, Busy
from nounroll.serve.guard import Guard, error_body
from nounroll.serve.metrics import Metrics
from nounroll.serve.pool import Full, Pool
from nounroll.serve.sessions import InUse, Session, Sessions
from nounroll.serve.settings import ServeSettings
from nounroll.serve.text import Decoder
from nounroll.student import Student


class _Body(BaseModel):
    """What is not known is refused: a setting that were ignored would mislead."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Writing(_Body):
    """How much to draw, and how."""

    max_tokens: int = Field(16, ge=1)
    temperature: float = Field(1.0, ge=0, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=1)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int = Field(0, ge=0)
    stop: str | list[str] | None = None
    stream: bool = False


class Completion(Writing):
    model: str
    prompt: str | list[int]


class Feed(_Body):
    """Text as the task reads it, or inputs: symbols, or vectors."""

    text: str | None = None
    inputs: list[int] | list[list[float]] | None = None


def create_app(student: Student, task: SequenceTask, name: str, settings: ServeSettings | None = None) -> FastAPI:
    """The server of one student.

    Args:
        student: trained, on the CPU.
        task: what it was trained on: it reads and writes the text of requests.
        name: of the model.
        settings: limits and token.
    """
    settings = settings or ServeSettings()
    metrics, pool = Metrics(), Pool(student.float().eval(), settings.slots)
    batcher = Batcher(pool, settings.queue, metrics)
    sessions = Sessions(student, task, pool, batcher)
    metrics.slots.set_function(lambda: pool.taken)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stepping = asyncio.create_task(batcher.run())
        yield
        stepping.cancel()
        await asyncio.wait([stepping])

    app = FastAPI(title="nounroll", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sessions, app.state.pool = sessions, pool
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    _add_errors(app)

    def find(id: str) -> Session:
        if id not in sessions.open:
            raise HTTPException(404, "there is no such session; create one: POST /v1/sessions")
        return sessions.open[id]

    def idle(id: str) -> Session:
        session = find(id)
        if session.in_use:
            raise InUse
        return session

    def about(session: Session) -> dict[str, Any]:
        return {"id": session.id, "read": session.read, "memory_bytes": pool.memories[session.slot].nbytes}

    def values(given: str | list[int] | list[list[float]]) -> Tensor:
        """A prompt as inputs of the task's space."""
        if isinstance(given, str):
            result = task.encode(given)
        else:
            dtype = torch.float32 if isinstance(task.inputs, Real) else torch.int64
            try:
                result = torch.tensor(given, dtype=dtype)
            except (ValueError, TypeError, RuntimeError, OverflowError) as error:
                raise ValueError("inputs are not an array of numbers of one shape") from error
        if not len(result):
            raise ValueError("prompt is empty; at least one input is needed")
        if result.shape[1:] != task.inputs.event_shape:
            raise ValueError(f"inputs have shape {tuple(result.shape)}; they must be of the space {task.inputs}")
        if len(result) > settings.prompt:
            raise ValueError(f"prompt has {len(result)} elements; this server takes at most {settings.prompt}")
        task.inputs.check("prompt", result)
        return result

    def may_write(body: Writing) -> None:
        if not task.autoregressive:
            raise ValueError("this model's targets are not its next inputs, so it cannot write; feed its sessions")
        if body.max_tokens > settings.tokens:
            raise ValueError(f"max_tokens is {body.max_tokens}; this server draws at most {settings.tokens}")

    async def pieces(session: Session, body: Writing) -> AsyncIterator[tuple[str, Any, str | None]]:
        """(text, element, why it ended): text that a stop may still begin in is held back."""
        stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
        stops = [stop for stop in stops if stop]
        hold = max((len(stop) for stop in stops), default=1) - 1
        decoder, pending = Decoder(task), ""
        sampling = Sampling(temperature=body.temperature, top_k=body.top_k, top_p=body.top_p)
        async for element in sessions.write(session, body.max_tokens, sampling, body.seed):
            pending += decoder.add(element)
            found = [place for place in map(pending.find, stops) if place >= 0]
            if found:
                yield pending[: min(found)], element.tolist(), "stop"
                return
            ready = len(pending) - hold if hold else len(pending)
            yield pending[: max(ready, 0)], element.tolist(), None
            pending = pending[max(ready, 0) :]
        yield pending + decoder.end(), None, "length"

    async def answer(session: Session, prompt: Tensor | None, body: Writing, frame: Any, close: bool) -> Response:
        """Read the prompt, write, and give it whole or piece by piece."""

        async def written() -> AsyncGenerator[dict[str, Any]]:
            with sessions.working(session):
                if prompt is not None:
                    await sessions.feed(session, prompt)
                async for text, element, reason in pieces(session, body):
                    yield {"text": text, "element": element, "finish_reason": reason}

        async def end() -> None:
            await source.aclose()
            if close and session.id in sessions.open:
                sessions.close(session)

        source = written()
        try:
            first = await anext(source)
        except BaseException:
            await end()
            raise

        async def events() -> AsyncIterator[str]:
            yield f"data: {json.dumps(frame([first]))}\n\n"
            async for piece in source:
                yield f"data: {json.dumps(frame([piece]))}\n\n"
            yield "data: [DONE]\n\n"

        if body.stream:
            return _Stream(events(), end)
        try:
            return JSONResponse(frame([first, *[piece async for piece in source]]))
        finally:
            await end()

    # -- OpenAI's -----------------------------------------------------------------------------------

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "nounroll"}]}

    @app.post("/v1/completions")
    async def completions(body: Completion) -> Response:
        if body.model != name:
            raise HTTPException(404, f"model is {body.model!r}; this server has {name!r}")
        may_write(body)
        prompt = values(body.prompt)
        session, created = sessions.create(), int(time.time())

        def frame(pieces: list[dict[str, Any]]) -> dict[str, Any]:
            count = sum(piece["element"] is not None for piece in pieces)
            choice = {
                "index": 0,
                "text": "".join(piece["text"] for piece in pieces),
                "logprobs": None,
                "finish_reason": pieces[-1]["finish_reason"],
            }
            usage = {"prompt_tokens": len(prompt), "completion_tokens": count, "total_tokens": len(prompt) + count}
            extra = {} if body.stream else {"usage": usage}
            return {
                "id": f"cmpl-{session.id}",
                "object": "text_completion",
                "created": created,
                "model": name,
                "choices": [choice],
                **extra,
            }

        return await answer(session, prompt, body, frame, close=True)

    # -- sessions -----------------------------------------------------------------------------------

    @app.post("/v1/sessions", status_code=201)
    async def create() -> dict[str, Any]:
        return about(sessions.create())

    @app.post("/v1/sessions/restore", status_code=201)
    async def restore(request: Request) -> dict[str, Any]:
        return about(sessions.restore(await request.body()))

    @app.get("/v1/sessions/{id}")
    async def look(id: str) -> dict[str, Any]:
        session = find(id)
        return {**about(session), "memory": pool.memories[session.slot].tolist()}

    @app.delete("/v1/sessions/{id}", status_code=204)
    async def close(id: str) -> None:
        sessions.close(idle(id))

    @app.post("/v1/sessions/{id}/feed")
    async def feed(id: str, body: Feed) -> dict[str, Any]:
        session = idle(id)
        if (body.text is None) == (body.inputs is None):
            raise ValueError("give either text or inputs")
        given = values(body.text or "" if body.inputs is None else body.inputs)
        with sessions.working(session):
            surprise = await sessions.feed(session, given)
        return {**about(session), "surprise": surprise, "logits": pool.readout(session.slot).tolist()}

    @app.post("/v1/sessions/{id}/sample")
    async def sample(id: str, body: Writing) -> Response:
        session = idle(id)
        may_write(body)
        if not session.read:
            raise ValueError("the session has read nothing yet; feed it first")

        def frame(pieces: list[dict[str, Any]]) -> dict[str, Any]:
            elements = [piece["element"] for piece in pieces if piece["element"] is not None]
            text = "".join(piece["text"] for piece in pieces)
            return {**about(session), "text": text, "elements": elements, "finish_reason": pieces[-1]["finish_reason"]}

        return await answer(session, None, body, frame, close=False)

    @app.post("/v1/sessions/{id}/fork", status_code=201)
    async def fork(id: str) -> dict[str, Any]:
        return about(sessions.fork(idle(id)))

    @app.get("/v1/sessions/{id}/snapshot")
    async def snapshot(id: str) -> Response:
        return Response(sessions.snapshot(idle(id)), media_type="application/octet-stream")

    # -- operation ----------------------------------------------------------------------------------

    @app.get("/metrics")
    async def counted() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    return app


class _Stream(StreamingResponse):
    """Events, and what has to be done when they end, also when the client left before the first."""

    def __init__(self, events: AsyncIterator[str], end: Callable[[], Awaitable[None]]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._end()


def _add_errors(app: FastAPI) -> None:
    """Every error in one line, as OpenAI's clients read it."""

    def reply(status: int, message: str) -> JSONResponse:
        return JSONResponse(error_body(status, " ".join(message.split())), status)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return reply(error.status_code, error.detail)

    @app.exception_handler(ValueError)
    async def mistaken(request: Request, error: ValueError) -> JSONResponse:
        return reply(400, str(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return reply(400, f"{'.'.join(map(str, first['loc'][1:2]))}: {first['msg']}")

    @app.exception_handler(InUse)
    async def in_use(request: Request, error: InUse) -> JSONResponse:
        return reply(409, "the session is at work on another request; wait for it")

    @app.exception_handler(Full)
    async def full(request: Request, error: Full) -> JSONResponse:
        return reply(429, "all memories are in use; close a session or come back later")

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> JSONResponse:
        return reply(503, "the queue is full; come back later")
