"""The presence of a client: work for one that has gone is cancelled, and one that does not read is cut off."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def while_present(app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Run an app on a request whose body has been read, until it has answered or its client has gone.

    Raises:
        ClientDisconnect: the client has gone before the whole answer was sent.
    """
    answered, sent = False, False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()  # who leaves is noticed below
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
        if work.done() or answered:  # uvicorn calls the end of an answer a disconnect, too
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
    """Send as ``send`` does; raise ClientDisconnect where the client does not take a message in time."""

    async def limited(message: Message) -> None:
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError as error:
            raise ClientDisconnect from error

    return limited
