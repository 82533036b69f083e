"""uvicorn's server with our limits: it survives its clients' faults, and ends within seconds of a signal."""

import asyncio
import socket

import uvicorn
from starlette.types import ASGIApp

from nounroll.serve.connection import ACCEPTED, Connection, most_connections
from nounroll.serve.log import CONFIG
from nounroll.serve.service import Service

_PENDING = 1024  # connections that the system queues until they are accepted
_GRACE_SECONDS = 1.0  # time to send answers when the server ends


class Server(uvicorn.Server):
    """Server of an app until a signal.

    Args:
        app: from ``create_app``, or an app around it.
        service: the app's service.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=CONFIG,
            access_log=False,
            backlog=ACCEPTED,
            limit_concurrency=most_connections(),
            timeout_graceful_shutdown=int(2 * _GRACE_SECONDS),
        )
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or []:  # uvicorn has one number for accepted and waiting connections
            listening.listen(_PENDING)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all work at once with 503, wait a moment until answers are sent, then close every connection."""
        self._service.batcher.close()
        self._abort(waiting=True)
        asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._abort)
        await super().shutdown(sockets)

    def _abort(self, *, waiting: bool = False) -> None:
        """Close all connections, or only those without a complete request."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection) and (connection.waiting or not waiting):
                connection.transport.abort()
