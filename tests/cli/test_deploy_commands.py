"""Export and serve, as commands."""

import json
import os
import shutil
import signal
import subprocess
import urllib.request
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
    assert "--port is 70000" in one_line(nounroll("serve", "runs/tiny", "--port", 70000), 2)
    for limit in ("slots", "queue", "prompt", "tokens", "body"):
        assert f"{limit} is 0" in one_line(nounroll("serve", "runs/tiny", f"--{limit}", 0), 2)


def test_a_server_answers_and_ends_in_good_order_at_sigterm(nounroll: Command) -> None:
    assert nounroll("train", "text.yaml", "--steps", 1).status == 0
    environment = os.environ | {"NOUNROLL_TOKEN": "secret"}
    command = [*PYTHON, "serve", "runs/text", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as process:
        try:
            assert process.stderr is not None
            address = process.stderr.readline().split(" at ")[1].split(";")[0]
            request = urllib.request.Request(f"{address}/v1/models", headers={"Authorization": "Bearer secret"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["data"][0]["id"] == "text"
        finally:
            process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert out == f"{address} is closed\n"
