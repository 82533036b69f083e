"""How commands begin and end: help, JSON, exit statuses, one line for every mistake."""

import errno
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import PYTHON, Command, one_line
from nounroll.cli.main import COMMANDS, main
from out_of_range import OUT_OF_RANGE, TASK_OPTIONS, override

# -- help -----------------------------------------------------------------------------------------


def test_help_names_every_command(nounroll: Command) -> None:
    for words in ([], ["--help"], ["-h"]):
        ended = nounroll(*words)
        assert (ended.status, ended.error) == (0, "")
        assert all(re.search(rf"^  {name} +[A-Z].*\.$", ended.out, re.MULTILINE) for name in COMMANDS), ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_its_docstring(nounroll: Command, command: str) -> None:
    ended = nounroll(command, "--help")
    assert (ended.status, ended.error) == (0, "")
    assert "--json" in ended.out
    function = getattr(importlib.import_module(f"nounroll.cli.{command}"), command)
    for text in re.findall(r"^\s{4,}\w+: (.*)", function.__doc__, re.MULTILINE):
        assert " ".join(text.split()) in " ".join(ended.out.split())


def test_help_shows_forms_and_defaults(nounroll: Command) -> None:
    for command, said in (
        ("train", "--from FROM "),
        ("train", "--set NAME=VALUE "),
        ("generate", "--stop STOP "),
        ("serve", "0 chooses a free one. By default 8000."),
        ("adapt", "or the empty memory only (start). By default all."),
    ):
        assert said in " ".join(nounroll(command, "--help").out.split())


def test_version(nounroll: Command) -> None:
    assert re.fullmatch(r"nounroll \d+\.\d+\.\d+\n", nounroll("--version").out)


def test_python_runs_the_package_as_the_command() -> None:
    ended = subprocess.run([sys.executable, "-m", "nounroll", "tran"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("nounroll: 'tran' is not a command; it must be one of quickstart, train")


def test_help_is_quick_because_it_does_not_load_torch() -> None:
    script = "import sys; from nounroll.cli.main import main; main(['--help']); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.endswith("False\n")


# -- mistakes of the user's -----------------------------------------------------------------------

MISTAKES = {
    "unknown command": ("trian tiny.yaml", "'trian' is not a command; it must be one of quickstart, train"),
    "unknown option": ("train tiny.yaml --sedd 3", "unrecognized arguments: --sedd 3"),
    "no abbreviations": ("train tiny.yaml --sec 3", "unrecognized arguments: --sec 3"),
    "missing argument": ("train", "required: recipe"),
    "missing value": ("train tiny.yaml --seed", "--seed: expected one argument"),
    "too many arguments": ("evaluate a b", "unrecognized arguments: b"),
    "wrong type of an option": ("train tiny.yaml --steps 1.5", "--steps is '1.5'; it must be a whole number"),
    "not a number": ("train tiny.yaml --seconds soon", "--seconds is 'soon'; it must be a number"),
    "negative steps": ("train tiny.yaml --steps -3", "training.steps is -3; it must be more than 0"),
    "two budgets": ("train tiny.yaml --steps 3 --seconds 3", "give exactly one"),
    "set without a value": ("train tiny.yaml --set cell.width", "--set got 'cell.width'; it takes NAME=VALUE"),
    "set without a name": ("train tiny.yaml --set =3", "--set got '=3'; it takes NAME=VALUE"),
    "set of an unknown name": ("train tiny.yaml --set cell.hue=3", "cell.hue is unknown; cell has kind, tokens"),
    "set of an unknown group": ("train tiny.yaml --set sell.width=3", "sell is unknown; a recipe has"),
    "set of the wrong type": ("train tiny.yaml --set cell.width=wide", "cell.width is 'wide'; it must be a whole"),
    "set below a value": ("train tiny.yaml --set length.x=3", "length.x cannot be set: length is not a group"),
    "unknown method": ("train tiny.yaml --method sgd", "method is 'sgd'; it must be a chain of smt, dmt, tbptt"),
    "unknown cell": ("train tiny.yaml --cell brain", "cell.kind is 'brain'; it must be one of auto, mlp"),
    "out of range": ("train tiny.yaml --length 0", "length is 0; it must be at least 1"),
    "missing recipe": ("train nothing.yaml", "recipe nothing.yaml cannot be read: No such file or directory"),
    "recipe is a folder": ("train .", "cannot be read: Is a directory"),
    "recipe is no YAML": ("train broken.yaml", "recipe broken.yaml is not valid YAML"),
    "recipe is no text": ("train binary.yaml", "recipe binary.yaml"),
    "empty recipe": ("train empty.yaml", "recipe empty.yaml holds NoneType; it must hold names and values"),
    "recipe without a task": ("train taskless.yaml", "task is missing; a recipe needs it"),
    "unknown key in a recipe": ("train unknown.yaml", "lenght is unknown; a recipe has name, task, length"),
    "wrong type in a recipe": ("train mistyped.yaml", "training.batch_size is 'many'; it must be a whole number"),
    "null in a recipe": ("train null.yaml", "length is None; it must be a whole number"),
    "unknown task": ("train tiny.yaml --set task.kind=poker", "task.kind is 'poker'; it must be one of retrieval"),
    "unknown option of a task": ("train tiny.yaml --set task.options.n=3", "task.options.n is not an option of parity"),
    "option that is required": ("train pathless.yaml", "task.options.path is not set; array needs it"),
    "longer than the data": ("train text.yaml --length 5000", "length is 5000; Text holds sequences of at most"),
    "longer than the held-out data": ("train text.yaml --length 200", "length is 200; Text holds sequences of at most"),
    "missing data": ("train text.yaml --set task.options.path=no.txt", "text.path is 'no.txt'; there is no such file"),
    "empty data": ("train text.yaml --set task.options.path=empty.txt", "empty.txt'; the file is empty"),
    "unreadable data": ("train series.yaml --set task.options.path=.", "series.path is '.'; it cannot be read"),
    "NaN in a CSV file": ("train series.yaml --set task.options.path=nan.csv", "nan.csv', line 3, column 'a' is 'nan'"),
    "token outside the space": ("train tokens.yaml", "array.path 'tokens.npy' holds 9 at position 4; the tokens"),
    "out is a file": ("train tiny.yaml --out tiny.yaml", "run folder tiny.yaml cannot be written"),
    "out is below a file": ("train tiny.yaml --out tiny.yaml/run", "run folder tiny.yaml/run cannot be written"),
    "resume of nothing": ("resume nothing", "nothing holds no run; there is no recipe.yaml in it"),
    "evaluate nothing": ("evaluate nothing", "nothing holds no run"),
    "generate from nothing": ("generate nothing", "nothing holds no run"),
    "no trained network yet": ("evaluate begun", "begun holds no trained student yet; continue with: nounroll resume"),
    "report into no folder": ("report begun --out no/x.html", "--out is 'no/x.html'; the folder no does not exist"),
    "no sequences": ("evaluate begun --sequences 0", "--sequences is 0; it must be at least 1"),
    "compare unknown methods": ("compare tiny.yaml --methods bptt,sgd", "method is 'sgd'; it must be a chain"),
    "compare unknown cells": ("compare tiny.yaml --cells mlp,brain", "cell.kind is 'brain'; it must be one of"),
    "compare nothing": ("compare tiny.yaml --cells ,", "cells is []; it must be a list of at least one"),
    "compare no lengths": ("compare tiny.yaml --lengths 8,x", "--lengths is '8,x'; it must be whole numbers"),
    "compare no rates": ("compare tiny.yaml --learning-rates x", "--learning-rates is 'x'; it must be numbers"),
    "compare an empty grid": ("compare tiny.yaml --grid smt.noise", "--grid is 'smt.noise'; it must be a"),
    "compare a broken grid": ("compare tiny.yaml --grid smt.noise=[", "--grid is 'smt.noise=['; it must be a"),
    "compare a grid twice": ("compare tiny.yaml --grid a.b=1 --grid a.b=2", "--grid has a.b twice; give all"),
    "no time to start quickly": ("quickstart --seconds-per-run 0", "--seconds-per-run is 0.0; it must be more than 0"),
}  # fmt: skip


@pytest.fixture
def broken(folder: Path) -> None:
    """Files with something wrong in each."""
    tiny = Path("tiny.yaml").read_text()
    Path("broken.yaml").write_text("length: [8\n")
    Path("binary.yaml").write_bytes(b"\x00\xff\xfe")
    Path("empty.yaml").write_text("")
    Path("taskless.yaml").write_text("length: 8\n")
    Path("unknown.yaml").write_text(tiny.replace("length", "lenght"))
    Path("mistyped.yaml").write_text(tiny.replace("batch_size: 4", "batch_size: many"))
    Path("null.yaml").write_text(tiny.replace("length: 8", "length: null"))
    Path("pathless.yaml").write_text(tiny.replace("parity", "array"))
    Path("tokens.yaml").write_text(tiny.replace("parity", "array, options: {path: tokens.npy, symbols: 8}"))
    np.save("tokens.npy", np.array([0, 1, 2, 3, 9] * 10))
    Path("empty.txt").write_text("")
    Path("nan.csv").write_text("a,b\n1,2\nnan,3\n" + "1,2\n" * 50)
    Path("begun").mkdir()
    Path("begun/recipe.yaml").write_text(tiny)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(("words", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_ends_in_one_line(nounroll: Command, words: str, said: str) -> None:
    ended = nounroll(*words.split())
    command = words.split()[0]
    line = one_line(ended, 2, f"nounroll {command}: " if command in COMMANDS else "nounroll: ")
    assert said in line
    assert ended.out == ""
    assert not Path("runs").exists(), "nothing is left behind"


@pytest.mark.parametrize(("setting", "value", "allowed"), OUT_OF_RANGE)
def test_a_setting_out_of_range_ends_in_one_line(nounroll: Command, setting: str, value: object, allowed: str) -> None:
    ended = nounroll("train", "tiny.yaml", "--set", override(setting, value))
    assert one_line(ended, 2) == f"nounroll train: {setting} is {value}; {allowed}\n"
    assert ended.out == ""
    assert not Path("runs").exists()


@pytest.mark.parametrize(("option", "value", "allowed"), TASK_OPTIONS)
def test_an_option_out_of_range_ends_in_one_line(nounroll: Command, option: str, value: object, allowed: str) -> None:
    kind, _, name = option.partition(".")
    options = {name: value}
    if kind == "array":
        np.save("a.npy", np.arange(9))
        options["path"] = "a.npy"
    if kind == "table":
        options["path"] = "none.csv"  # numbers are checked before anything is read
    words = [word for key, given in options.items() for word in ("--set", override(f"task.options.{key}", given))]
    ended = nounroll("train", "tiny.yaml", "--set", f"task.kind={kind}", *words)
    assert one_line(ended, 2) == f"nounroll train: {option} is {value}; {allowed}\n"
    assert not Path("runs").exists()


def test_a_device_that_is_not_there_is_a_mistake(nounroll: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("nounroll.training.engine.devices", lambda: ["cpu"])
        ended = nounroll("train", "tiny.yaml", "--set", "training.device=cuda")
    assert one_line(ended, 2) == "nounroll train: training.device is 'cuda'; this machine has cpu\n"
    assert not Path("runs").exists(), "so that the next attempt finds the way free"
    assert nounroll("train", "tiny.yaml").status == 0


# -- faults of ours, of the machine, of training --------------------------------------------------


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("nounroll.storage.checkpoint.writing.write_file", "runs/tiny/checkpoints/step-"),
        ("nounroll.training.log.MetricsFile.write", "runs/tiny"),
        ("nounroll.models.student.Student.save_pretrained", "runs/tiny"),
    ],
)
def test_a_full_disk_is_a_fault_in_one_line(
    nounroll: Command, monkeypatch: pytest.MonkeyPatch, place: str, named: str
) -> None:
    monkeypatch.setattr(place, full_disk)
    line = one_line(nounroll("train", "tiny.yaml"), 1, "nounroll train: ")
    assert named in line
    assert "No space left on device" in line


def test_losses_that_are_not_finite_end_in_one_line(nounroll: Command) -> None:
    words = ("--set", "training.learning_rate=1e30", "--steps", 40)
    assert "not finite" in one_line(
        nounroll("train", "tiny.yaml", *words), 1, "nounroll train: losses, gradients or weights"
    )


def test_a_fault_of_ours_ends_in_one_line_and_says_how_to_see_more(
    nounroll: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("nounroll.data.describe", fail)
    line = one_line(nounroll("tasks"), 1)
    assert line == "nounroll tasks: RuntimeError: two lines (NOUNROLL_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("NOUNROLL_TRACEBACK", "1")
    ended = nounroll("tasks")
    assert "Traceback" in ended.error
    assert ended.error.endswith(line)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_in_one_line(
    nounroll: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    former = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr("nounroll.data.describe", lambda _: signal.raise_signal(number))
    assert one_line(nounroll("tasks"), 130) == "nounroll tasks: interrupted\n"
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == former


def test_a_full_disk_behind_stdout_is_a_fault_in_one_line() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run([*PYTHON, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "nounroll: output: No space left on device\n")


# -- JSON -----------------------------------------------------------------------------------------


def test_json_is_one_object_and_nothing_else(nounroll: Command) -> None:
    assert set(json.loads(nounroll("train", "text.yaml", "--json").out)) == {"run", "finished", "metrics"}
    commands = {
        "resume runs/text": {"run", "finished", "metrics"},
        "evaluate runs/text --sequences 4": {"run", "sequences", "length", "metrics", "teacher"},
        "generate runs/text --length 3": {"run", "prompt", "text", "image", "midi"},
        "compare tiny.yaml --methods bptt --cells mlp": {"recipe", "rows"},
        "tasks": {"tasks"},
    }
    for words, names in commands.items():
        ended = nounroll(*words.split(), "--json")
        assert ended.status == 0, ended
        assert ended.out.count("\n") == 1
        assert set(json.loads(ended.out)) == names


def test_main_takes_its_words_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nounroll", "--version"])
    assert main() == 0
