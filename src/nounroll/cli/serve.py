"""Command ``nounroll serve``"""

import contextlib
import gc
import os
import secrets
import socket
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli.terminal import note

_LOOPBACK_NAMES = ("127.0.0.1", "::1", "localhost")
_NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    run: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    public: bool = False,
    origins: str = "",
    slots: int = 256,
    queue: int = 128,
    prompt: int = 8192,
    tokens: int = 4096,
    body: int = 1 << 20,
    idle: float = 3600.0,
    sessions: Path | None = None,
) -> dict[str, Any]:
    """Serve a trained network over HTTP: OpenAI's completions, sessions that keep a memory, and a page to see it.

    If the environment variable NOUNROLL_TOKEN is set, every request must carry it as a bearer token. If it is not set
    and other machines can reach the server, the command makes a token and prints it.

    Args:
        run: folder of a run or of a student.
        host: address to listen on; by default only this machine can reach the server.
        port: port to listen on; 0 chooses a free one.
        public: accept requests without a token from everyone who can reach the server.
        origins: addresses whose web pages may use the server, such as https://example.com, separated by commas.
        slots: number of memories held at once, for sessions and completions; sessions take at most three quarters.
        queue: largest number of answers in progress or waiting.
        prompt: largest number of elements in one prompt or feed.
        tokens: largest number of elements drawn for one answer.
        body: largest size of a request's body, in bytes.
        idle: seconds without use after which a session is closed.
        sessions: folder to save sessions in; by default they end with the server.
    """
    for package in _NEEDED:
        if find_spec(package) is None:
            raise ValueError(f"serve needs the package {package}; pip install 'nounroll[serve]'")
    from nounroll.experiments.run_folder import open_alone, open_student, open_teacher
    from nounroll.serve.app import create_app
    from nounroll.serve.judge import Judge
    from nounroll.serve.server import Server
    from nounroll.serve.settings import ServeSettings

    if not 0 <= port <= 65535:
        raise ValueError(f"--port is {port}; it must be between 0 and 65535")
    token, made = _token(host, public)
    settings = ServeSettings(
        token=token,
        hosts=(*_LOOPBACK_NAMES, host) if _is_loopback(host) else (),
        origins=tuple(origin.strip() for origin in origins.split(",") if origin.strip()),
        slots=slots,
        queue=queue,
        prompt=prompt,
        tokens=tokens,
        body=body,
        idle=idle,
    )
    judge = None
    if (run / "config.json").is_file() and not (run / "recipe.yaml").is_file():
        task, student = open_alone(run)
    else:
        recipe, task, student = open_student(run, with_data=False)
        if teacher := open_teacher(run, student):
            try:
                judge = Judge.of(teacher, student, open_student(run)[1], recipe.length)
            except ValueError as error:
                note(f"no drift is shown: {error}")
    app = create_app(student, task, run.resolve().name, settings, folder=sessions, judge=judge)
    for line in app.state.service.sessions.set_aside:
        note(f"a session is damaged: {line}")
    with _listen(host, port) as listening:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        note(f"serving {run} at {address}; Ctrl-C ends it")
        if made:
            note(f"its token is {token}; NOUNROLL_TOKEN in the environment sets another, --public asks for none")
        gc.freeze()  # all loaded objects stay until the end; shutdown is a second faster
        with contextlib.suppress(KeyboardInterrupt):  # the server shuts down cleanly, then passes the signal on
            Server(app, app.state.service).run(sockets=[listening])
    return {"run": str(run), "address": address}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(f"{result['address']} is closed")


def _token(host: str, public: bool) -> tuple[str | None, bool]:
    """Return the token that requests must carry, and whether it was generated here."""
    given = os.environ.get("NOUNROLL_TOKEN")
    if public and given is not None:
        raise ValueError("--public lets everyone in, and NOUNROLL_TOKEN asks for a token; leave one of them out")
    if given is not None or public or _is_loopback(host):
        return given, False
    return secrets.token_urlsafe(24), True


def _is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ValueError(f"cannot listen on --host {host} --port {port}: {error.strerror or error}") from error
