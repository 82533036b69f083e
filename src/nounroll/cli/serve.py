"""``nounroll serve``"""

import contextlib
import os
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli.terminal import note

_OWN = ("127.0.0.1", "localhost")
_NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    run: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    slots: int = 256,
    queue: int = 128,
    prompt: int = 8192,
    tokens: int = 4096,
    body: int = 1 << 20,
    sessions: Path | None = None,
) -> dict[str, Any]:
    """Serve a trained network over HTTP: OpenAI's completions, sessions that keep a memory, and a page to see it.

    When the environment has NOUNROLL_TOKEN, every request must carry it as a bearer token.

    Args:
        run: the run's folder.
        host: address to listen on; this machine alone when left out.
        port: to listen on; 0 takes a free one.
        slots: memories held at once, of sessions and completions.
        queue: requests that may step at once, the waiting ones included.
        prompt: elements in one prompt or feed, at most.
        tokens: elements drawn by one request, at most.
        body: bytes of a request's body, at most.
        sessions: folder to keep sessions in, so that they survive the server; they end with it when left out.
    """
    for package in _NEEDED:
        if find_spec(package) is None:
            raise ValueError(f"serve needs the package {package}; pip install 'nounroll[serve]'")
    import uvicorn

    from nounroll.run_folder import open_student, open_teacher
    from nounroll.serve.app import create_app
    from nounroll.serve.judge import Judge
    from nounroll.serve.settings import ServeSettings

    if not 0 <= port <= 65535:
        raise ValueError(f"--port is {port}; it must be between 0 and 65535")
    limits = {"slots": slots, "queue": queue, "prompt": prompt, "tokens": tokens, "body": body}
    settings = ServeSettings(token=os.environ.get("NOUNROLL_TOKEN"), **limits)
    recipe, task, student = open_student(run, with_data=False)
    judge = None
    if teacher := open_teacher(run, student):
        try:
            judge = Judge.of(teacher, student, open_student(run)[1], recipe.length)
        except ValueError as error:
            note(f"no drift is shown: {error}")
    app = create_app(student, task, run.resolve().name, settings, folder=sessions, judge=judge)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    with _listen(host, port) as listening:
        address = f"http://{host}:{listening.getsockname()[1]}"
        note(f"serving {run} at {address}; Ctrl-C ends it")
        if settings.token is None and host not in _OWN:
            note(f"whoever reaches {host} may use it; NOUNROLL_TOKEN in the environment asks for a token")
        with contextlib.suppress(KeyboardInterrupt):  # the server ends in good order, then passes the signal on
            server.run(sockets=[listening])
    return {"run": str(run), "address": address}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(f"{result['address']} is closed")


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise ValueError(f"--host {host} --port {port} cannot be listened on: {error.strerror or error}") from error
