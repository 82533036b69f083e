"""Answers to clients: all pieces in one JSON object, or a stream with one event for each piece."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from nounroll.serve.batcher import Busy
from nounroll.serve.errors import error_body, refusal

P = TypeVar("P")


async def answer(
    source: AsyncGenerator[P],
    frame: Callable[[list[P]], dict[str, Any]],
    *,
    stream: bool,
    closing: Callable[[], dict[str, Any]] | None = None,
) -> Response:
    """Answer with all pieces in one JSON object, or with an event for each; an early error sets the HTTP status.

    Args:
        source: the pieces.
        frame: builds the JSON object of some pieces.
        stream: send one event for each piece.
        closing: builds the last event of a stream.
    """
    if not stream:
        async with aclosing(source):
            return JSONResponse(frame([piece async for piece in source]))
    first = await anext(source)

    async def events() -> AsyncIterator[str]:
        yield _event(frame([first]))
        try:
            async for piece in source:
                yield _event(frame([piece]))
        except (Busy, ValueError) as error:  # status 200 is already sent
            yield _event(error_body(*refusal(error)))
            return
        if closing:
            yield _event(closing())
        yield "data: [DONE]\n\n"

    return _Stream(events(), source.aclose)


def _event(said: dict[str, Any]) -> str:
    return f"data: {json.dumps(said)}\n\n"


class _Stream(StreamingResponse):
    """Stream of events that runs ``end`` afterwards, even if the client leaves before the first event."""

    def __init__(self, events: AsyncIterator[str], end: Callable[[], Awaitable[None]]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._end()


async def merged(sources: Sequence[AsyncGenerator[P]]) -> AsyncGenerator[tuple[int, P]]:
    """Yield the items of several sources in order of arrival, each with the index of its source."""
    coming = {asyncio.ensure_future(anext(source, None)): i for i, source in enumerate(sources)}
    try:
        while coming:
            done, _ = await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
            for one in sorted(done, key=coming.__getitem__):
                place, item = coming.pop(one), one.result()
                if item is not None:
                    yield place, item
                    coming[asyncio.ensure_future(anext(sources[place], None))] = place
    finally:
        for one in coming:
            one.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
        for source in sources:
            await source.aclose()
