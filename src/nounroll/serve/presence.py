"""Presence of a client: cancel work for a client that has left, and disconnect a client that does not read."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def while_present(app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Run an app on a request whose body has been read, until it has answered or the client has left.

    Raises:
        ClientDisconnect: the client left before the whole answer was sent.
    """
    answered, sent = False, False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()  # the code below notices a client that leaves
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def noted(message: Message) -> None:
        nonlocal answered
        answered = message["type"] == "http.response.body" and not message.get("more_body")
        await send(message)

    async def leaves() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    work, left = asyncio.ensure_future(app(scope, replay, noted)), asyncio.create_task(leaves())
    try:
        await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        if work.done() or answered:  # uvicorn also reports the end of an answer as a disconnect
            await work
            return
    finally:
        work.cancel()
        left.cancel()
        await asyncio.gather(work, left, return_exceptions=True)
    if not work.cancelled() and (error := work.exception()):
        raise error
    raise ClientDisconnect


def sending_within(seconds: float, send: Send) -> Send:
    """Wrap ``send``; raise ClientDisconnect if the client does not read a message in time."""

    async def limited(message: Message) -> None:
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError as error:
            raise ClientDisconnect from error

    return limited
