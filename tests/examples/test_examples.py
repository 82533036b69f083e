"""The examples do what they say."""

import random
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import nounroll
from helpers import make_student
from nounroll.core.batch import Categorical
from nounroll.data.text import Text
from nounroll.experiments.run import fit
from nounroll.models.generation import Generation, Sampling
from nounroll.models.student import Student
from stand_ins import STAND_INS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALL: dict[str, Any] = {
    "cell.memory_width": 32,
    "teacher.width": 32,
    "teacher.layers": 1,
    "teacher.decoder_layers": 1,
    "training.batch_size": 16,
    "training.evaluations": 1,
    "training.learning_rate": 1e-2,
}


def example(name: str) -> Callable[..., None]:
    return runpy.run_path(str(EXAMPLES / name))["main"]


def test_own_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lights = ["green", "green", "green", "yellow", "red", "red"]
    rows = "".join(f"{i},{lights[i % 6]}\n" for i in range(1800))
    (tmp_path / "lights.csv").write_text("second,state\n" + rows)
    example("own_tokens.py")(str(tmp_path / "lights.csv"), "state", steps=60, settings=SMALL)
    bits, goes_on = capsys.readouterr().out.splitlines()
    assert float(bits.split()[0]) < 0.5
    assert bits.endswith("a guess among 3 takes 1.58")
    assert goes_on == "it goes on: " + " ".join(lights * 2)


def test_own_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("own_cell.py")(str(tmp_path / "fading"), steps=6, settings=SMALL)
    right, same = capsys.readouterr().out.splitlines()
    assert right.endswith("are right; of guesses, 12%")
    assert same == "loaded, it remembers the same: True"


def test_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = {"cell.memory_width": 8, "training.evaluations": 1}
    example("forecast.py")(str(tmp_path), method="bptt", cell="gru", steps=3, settings=small)
    head, name, *rows, way = capsys.readouterr().out.splitlines()
    assert head.split() == ["mase", "scrps", "coverage", "naive_mase"]
    assert name.strip() == "unique_id"
    assert "IBM" in [row.split()[0] for row in rows]
    assert (tmp_path / "prices.png").stat().st_size > 10_000
    assert f"nounroll forecast {tmp_path}/model" in way
    assert len(nounroll.Forecaster.load(tmp_path / "model").predict()) >= 12 * 9


def test_chorales(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("music21")
    (tmp_path / "scores").mkdir()
    small = {"cell.memory_width": 8, "training.evaluations": 1}
    main = example("chorales.py")
    main(str(tmp_path / "out"), str(STAND_INS["music"](tmp_path / "scores")), method="bptt", steps=3, settings=small)
    assert "nats a frame of pieces that no choice has seen" in capsys.readouterr().out
    assert (tmp_path / "out/written.mid").read_bytes().startswith(b"MThd")
    assert (tmp_path / "out/chorales.png").stat().st_size > 10_000
    assert nounroll.Student.from_pretrained(tmp_path / "out/student").inputs.columns[0] == "voice1"


@pytest.mark.nightly
def test_from_a_transformer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "book.py").write_text("def is_odd(x):\n    return x % 2 == 1\n" * 900)
    small = {"cell.memory_width": 8, "training.batch_size": 2, "training.evaluations": 1, "training.device": "cpu"}
    main = example("from_a_transformer.py")
    main(str(tmp_path / "gpt2"), str(tmp_path / "book.py"), steps=3, tokens={"gru": 1024}, settings=small)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" bits a token: ")[2] for line in lines] == [
        "the Transformer itself",
        "gru from the Transformer, 512 tokens",
        "gru from scratch, smt+dmt, 1,024 tokens",
        "gru from scratch, tbptt, 1,024 tokens",
    ]
    assert all(0 < float(line.split()[0]) < 10 for line in lines)


# -- a log ----------------------------------------------------------------------------------------

ODD = [
    "12:00:00 ERROR disk /dev/sda1 is full: cannot write job state\n",
    "Traceback (most recent call last):\n",
    "kernel: Out of memory: Killed process 4172 (python)\n",
]


def log(lines: int, seed: int) -> list[str]:
    """What a program writes all day."""
    draws = random.Random(seed)
    kinds = (
        "INFO worker {0} took job {1}",
        "INFO worker {0} finished job {1} in {2} ms",
        "INFO queue holds {2} jobs",
        "INFO heartbeat",
    )
    made = []
    for second in range(lines):
        text = draws.choice(kinds).format(draws.randrange(4), draws.randrange(1000, 9999), draws.randrange(10, 99))
        made.append(f"12:{second // 60 % 60:02}:{second % 60:02} {text}\n")
    return made


@pytest.fixture(scope="module")
def watcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder whose network has learnt from an older log."""
    folder = tmp_path_factory.mktemp("log")
    (folder / "old.log").write_text("".join(log(2000, seed=0)))
    task = Text(path=folder / "old.log")
    run = fit(task, method="bptt", cell="gru", length=64, steps=120, settings=SMALL)
    run.student.save_pretrained(folder / "run" / "student")
    return folder / "run"


def flagged(run: Path, lines: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    example("watch_log.py")(str(run), lines)
    return [line.partition("a byte  ")[2] + "\n" for line in capsys.readouterr().out.splitlines()]


def test_odd_lines_of_a_log_are_found(watcher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = log(200, seed=1)
    for place, line in zip((60, 110, 170), ODD, strict=True):
        lines.insert(place, line)
    assert flagged(watcher, lines, capsys) == ODD
    assert flagged(watcher, log(200, seed=1), capsys) == []  # control: nothing is odd where nothing was planted
    untaught = make_student("gru", Categorical(256), Categorical(256), dtype=torch.float32)
    untaught.save_pretrained(tmp_path / "student")
    assert flagged(tmp_path, lines, capsys) != ODD  # control: it takes a network that has learnt what is usual


# -- a session ------------------------------------------------------------------------------------


def test_a_session_goes_on_in_another_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make_student("gru", Categorical(256), Categorical(256), dtype=torch.float32).eval()
    one.save_pretrained(tmp_path / "student")
    session = tmp_path / "session"
    example("resume_session.py")(str(tmp_path), str(session), "It was", "20")
    first = capsys.readouterr().out
    command = [sys.executable, str(EXAMPLES / "resume_session.py"), str(tmp_path), str(session), " a dark", "20"]
    second = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert first + second == never_stopped(one, ("It was", " a dark"))
    assert sum(path.stat().st_size for path in session.iterdir()) < 20_000


def never_stopped(student: Student, texts: tuple[str, ...]) -> str:
    """The same in one process, and without a file."""
    generation = Generation(student, 1, Sampling(temperature=0.7), torch.Generator().manual_seed(0))
    said = ""
    for text in texts:
        drawn = generation.read(torch.tensor([list(text.encode())])).write(20)[0]
        said += text + bytes(drawn.tolist()).decode(errors="replace") + "\n"
    return said
