"""How drawn elements become an answer: piece by piece, until a stop or the length ends it."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from nounroll.serve.requests import Writing
from nounroll.serve.service import Service
from nounroll.serve.session import Session
from nounroll.serve.text import Decoder


@dataclass
class Piece:
    """A part of what is written.

    Attributes:
        text: what is known of it; characters that a stop may begin with come later.
        element: that was drawn; None at the end.
        finish_reason: why it ends here, or None.
        drawn: how many elements were, up to here.
        seen: what else an answer says of this instant.
    """

    text: str
    element: Any
    drawn: int
    finish_reason: Literal["stop", "length"] | None = None
    seen: dict[str, Any] = field(default_factory=dict)


async def pieces(service: Service, session: Session, body: Writing) -> AsyncGenerator[Piece]:
    """What a session writes on."""
    stops, decoder, pending = body.stops, Decoder(service.task), ""
    hold, drawn = max((len(stop) for stop in stops), default=1) - 1, 0
    async with aclosing(service.sessions.write(session, body.max_tokens, body.sampling, body.draws())) as elements:
        async for element in elements:
            drawn += 1
            pending += decoder.add(element)
            found = [place for place in map(pending.find, stops) if place >= 0]
            if found:
                yield Piece(pending[: min(found)], element.tolist(), drawn, "stop")
                return
            ready = max(len(pending) - hold, 0)
            yield Piece(pending[:ready], element.tolist(), drawn)
            pending = pending[ready:]
    yield Piece(pending + decoder.end(), None, drawn, "length")


async def answer(
    request: Request,
    source: AsyncGenerator[Piece],
    frame: Callable[[list[Piece]], dict[str, Any]],
    *,
    stream: bool,
    closing: Callable[[Piece], dict[str, Any]] | None = None,
) -> Response:
    """All pieces in one JSON object, or each in an event. What goes wrong before the first has a status of its own.

    Args:
        request: that is answered.
        source: of the pieces.
        frame: what is said of some of them.
        stream: each by itself.
        closing: what a stream says after the last piece, of it.

    Raises:
        ClientDisconnect: nobody waits for the answer any more.
    """
    first = await anext(source)
    if not stream:
        written = [first]
        async with aclosing(source):
            async for piece in source:
                if await request.is_disconnected():
                    raise ClientDisconnect
                written.append(piece)
        return JSONResponse(frame(written))

    async def events() -> AsyncIterator[str]:
        piece = first
        yield f"data: {json.dumps(frame([piece]))}\n\n"
        async for piece in source:
            yield f"data: {json.dumps(frame([piece]))}\n\n"
        if closing:
            yield f"data: {json.dumps(closing(piece))}\n\n"
        yield "data: [DONE]\n\n"

    return _Stream(events(), source.aclose)


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
