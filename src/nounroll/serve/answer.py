"""Answers: all pieces in one JSON object, or each in an event of a stream."""

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
    """Answer with all pieces in one JSON object, or with each in an event. A fault before the first has its own status.

    Args:
        source: of the pieces.
        frame: what is said of some of them.
        stream: each by itself.
        closing: what a stream says after the last piece.
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
        except (Busy, ValueError) as error:  # the status is sent: it was 200
            yield _event(error_body(*refusal(error)))
            return
        if closing:
            yield _event(closing())
        yield "data: [DONE]\n\n"

    return _Stream(events(), source.aclose)


def _event(said: dict[str, Any]) -> str:
    return f"data: {json.dumps(said)}\n\n"


class _Stream(StreamingResponse):
    """Events, and the action at their end, also when the client left before the first."""

    def __init__(self, events: AsyncIterator[str], end: Callable[[], Awaitable[None]]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._end()


async def merged(sources: Sequence[AsyncGenerator[P]]) -> AsyncGenerator[tuple[int, P]]:
    """The items of several sources as they come, each with the number of its source."""
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
