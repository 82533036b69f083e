"""Export and serve, as commands."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from commands import PYTHON, Command, one_line


def test_export_writes_and_says_what(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--steps", 1).status == 0
    result = json.loads(nounroll("export", "runs/tiny", "--to", "safetensors", "--json").out)
    assert result["difference"] == 0
    assert all(Path(path).is_file() for path in result["files"])


@pytest.mark.parametrize("command", ["export", "serve"])
def test_a_folder_that_is_no_run(nounroll: Command, command: str) -> None:
    assert "holds no run" in one_line(nounroll(command, "."), 2, f"nounroll {command}: ")


@pytest.mark.parametrize("command", ["export", "serve", "report"])
def test_a_run_that_was_never_finished(nounroll: Command, command: str) -> None:
    assert nounroll("train", "tiny.yaml", "--steps", 1).status == 0
    shutil.rmtree("runs/tiny/student")
    assert "holds no trained student yet" in one_line(nounroll(command, "runs/tiny"), 2, f"nounroll {command}: ")


def test_mistakes(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--steps", 1).status == 0
    assert "to is 'gguf'" in one_line(nounroll("export", "runs/tiny", "--to", "gguf"), 2)
    own = Path("runs/tiny/student/model.safetensors").read_bytes()
    said = one_line(nounroll("export", "runs/tiny", "--to", "safetensors", "--out", "runs/tiny"), 2)
    assert "--out is 'runs/tiny', which holds a run and its own student; give another folder" in said
    assert Path("runs/tiny/student/model.safetensors").read_bytes() == own
    assert "--port is 70000" in one_line(nounroll("serve", "runs/tiny", "--port", 70000), 2)
    assert "origins holds 'x'" in one_line(nounroll("serve", "runs/tiny", "--origins", "x"), 2)
    for limit in ("slots", "queue", "prompt", "tokens", "body", "idle"):
        assert f"{limit} is 0" in one_line(nounroll("serve", "runs/tiny", f"--{limit}", 0), 2)


@contextmanager
def serving(*words: str, token: str | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of runs/text in a process of its own, and its address."""
    environment = os.environ | ({} if token is None else {"NOUNROLL_TOKEN": token})
    command = [*PYTHON, "serve", "runs/text", "--port", "0", *words]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as process:
        try:
            assert process.stderr is not None
            yield process, process.stderr.readline().split(" at ")[1].split(";")[0]
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[str, str, float]:
    """What a server says on stdout and stderr after SIGTERM, and how long it takes to end."""
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return out, error, time.monotonic() - start


def asked(address: str, path: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, headers=headers), timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_server_answers_and_ends_in_good_order_at_sigterm(nounroll: Command) -> None:
    assert nounroll("train", "text.yaml", "--steps", 1).status == 0
    with serving(token="secret") as (process, address):
        assert asked(address, "/v1/models", Authorization="Bearer secret") == 200
        assert asked(address, "/v1/models") == 401
        assert asked(address, "/health") == 200
        assert asked(address, "/health", Host="evil.example") == 403
        out, error, _ = ended(process)
    assert (out, error) == (f"{address} is closed\n", "")


def test_a_server_for_other_machines_makes_a_token(nounroll: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nounroll("train", "text.yaml", "--steps", 1).status == 0
    monkeypatch.delenv("NOUNROLL_TOKEN", raising=False)
    with serving("--host", "0.0.0.0") as (process, address):
        assert process.stderr is not None
        token = process.stderr.readline().split("its token is ")[1].split(";")[0]
        assert len(token) > 30
        here = address.replace("0.0.0.0", "127.0.0.1")
        assert asked(here, "/v1/models") == 401
        assert asked(here, "/v1/models", Authorization=f"Bearer {token}", Host="any.example") == 200
    with serving("--host", "0.0.0.0", "--public") as (_, address):
        assert asked(address.replace("0.0.0.0", "127.0.0.1"), "/v1/models") == 200
    monkeypatch.setenv("NOUNROLL_TOKEN", "secret")
    ended_ = nounroll("serve", "runs/text", "--public")
    assert "--public lets everyone in, and NOUNROLL_TOKEN asks for a token" in one_line(ended_, 2)


def test_a_server_ends_within_five_seconds_under_load(nounroll: Command) -> None:
    """Clients that are written to, that read nothing, whose prompts are read, and that never end what they ask."""
    assert nounroll("train", "text.yaml", "--steps", 1).status == 0
    sent = {
        "read": {"model": "text", "prompt": "It was", "max_tokens": 4096, "stream": True},
        "asks": {"model": "text", "prompt": "x" * 8192, "max_tokens": 1},
    }
    with serving("--sessions", "kept") as (process, address), ExitStack() as stack:
        port = int(address.rsplit(":", 1)[1])
        for body in (json.dumps(one).encode() for one in sent.values()):
            head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            for part in [whole] * 8 + [whole[:-1]] * 4 + [head.encode()] * 4:
                client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
                client.sendall(part)
        time.sleep(1)
        out, error, seconds = ended(process)
    print(f"ended {seconds:.1f} s after SIGTERM")
    assert (out, error) == (f"{address} is closed\n", "")
    assert seconds < 5
