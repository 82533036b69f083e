"""Analyse and report on runs of every kind."""

import json
import re
import shutil
from pathlib import Path

import pytest

from commands import Command, one_line

PICTURES = {"lengths", "positions", "drift", "heatmap", "geometry", "spectrum", "gradients", "ahead", "packing"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of their own look at these; here they would take most of the time."""
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: {"flops": 1.0, "sequential_flops": 1.0})
    monkeypatch.setattr("nounroll.analysis.refit._STEPS", 2)
    monkeypatch.setattr("nounroll.analysis.refit._TOKENS", 512)
    monkeypatch.setattr("nounroll.analysis.lengths._FACTORS", (1, 2))


@pytest.fixture
def run(nounroll: Command) -> Path:
    assert nounroll("train", "tiny.yaml", "--method", "smt+dmt", "--set", "smt.decoding=1").status == 0
    return Path("runs/tiny")


def test_a_run_with_a_teacher(nounroll: Command, run: Path) -> None:
    ended = nounroll("analyze", run, "--sequences", 6)
    assert ended.status == 0, ended
    assert re.search(r"student .* teacher .* a constant guess", ended.out)
    assert "drift / variance" in ended.out
    assert {path.stem for path in (run / "figures").iterdir()} == PICTURES
    document = json.loads((run / "analysis.json").read_text())
    assert document["run"] == "runs/tiny"
    assert document["sequences"] == 6
    assert document["length"] == 8
    again = json.loads(nounroll("analyze", run, "--sequences", 6, "--json").out)
    assert {name: value for name, value in again.items() if name != "figures"} == document


def test_a_decoder_that_was_never_trained_is_not_shown(nounroll: Command) -> None:
    weights = ("--set", "smt.decoding=0", "--set", "dmt.decoding=1")
    assert nounroll("train", "tiny.yaml", "--method", "smt", *weights).status == 0
    found = json.loads(nounroll("analyze", "runs/tiny", "--sequences", 6, "--json").out)
    assert (found["teacher"]["ahead"], found["student"]["ahead"], found["packing"]) == (None, None, [])


def test_bytes_are_named_as_people_write_them(nounroll: Command) -> None:
    nounroll("train", "text.yaml", "--method", "bptt")
    symbols = json.loads(nounroll("analyze", "runs/text", "--sequences", 6, "--json").out)["symbols"]
    assert (symbols["32"], symbols["116"]) == ("' '", "'t'")


def test_a_run_of_bptt_alone(nounroll: Command) -> None:
    nounroll("train", "tiny.yaml", "--method", "bptt")
    ended = nounroll("analyze", "runs/tiny", "--sequences", 6)
    assert ended.status == 0, ended
    assert "teacher" not in ended.out
    assert {path.stem for path in Path("runs/tiny/figures").iterdir()} == PICTURES - {"drift", "ahead", "packing"}


def test_a_folder_whose_checkpoints_were_removed(nounroll: Command, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    assert json.loads(nounroll("analyze", run, "--sequences", 6, "--json").out)["teacher"] is None


def test_evaluate_puts_the_teacher_beside_the_student(nounroll: Command, run: Path) -> None:
    found = json.loads(nounroll("evaluate", run, "--sequences", 6, "--json").out)
    analysed = json.loads(nounroll("analyze", run, "--sequences", 6, "--json").out)
    assert found["metrics"] == analysed["student"]["metrics"]
    assert found["teacher"] == analysed["teacher"]["metrics"]
    assert "its teacher's memories" in nounroll("evaluate", run).out
    nounroll("train", "tiny.yaml", "--method", "bptt", "--out", "runs/bptt")
    assert json.loads(nounroll("evaluate", "runs/bptt", "--json").out)["teacher"] is None


@pytest.mark.parametrize("recipe", ["tiny", "text", "digits", "series"])
def test_a_report_is_one_file_that_loads_nothing(nounroll: Command, recipe: str) -> None:
    nounroll("train", f"{recipe}.yaml", "--method", "smt+dmt")
    ended = nounroll("report", f"runs/{recipe}", "--sequences", 4)
    assert ended.status == 0, ended
    page = Path(f"runs/{recipe}/report.html").read_text()
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page)
    assert len(sources) >= 7
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"<script|<link|@import|url\(", page)
    shown = {
        "tiny": ["What it answers"],
        "text": ["What it writes", "What surprises it"],
        "digits": ["What it draws", "how surprising each pixel"],
        "series": ["What it predicts"],
    }
    assert all(one in page for one in shown[recipe])
    assert "batch_size: 4" in page  # the recipe


def test_a_report_escapes_what_a_network_writes(nounroll: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.data.text.Text.decode", lambda *_: "<script>alert(1)</script>")
    nounroll("train", "text.yaml")
    assert nounroll("report", "runs/text", "--sequences", 4, "--out", "page.html").status == 0
    page = Path("page.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


@pytest.mark.parametrize("command", ["analyze", "report"])
def test_mistakes(nounroll: Command, run: Path, command: str) -> None:
    assert "--sequences is 0" in one_line(nounroll(command, run, "--sequences", 0), 2)
    assert "--length is -1" in one_line(nounroll(command, run, "--length", -1), 2)
    assert "holds no run" in one_line(nounroll(command, "nowhere"), 2)
    nounroll("train", "digits.yaml", "--method", "bptt")
    assert "at most 64" in one_line(nounroll(command, "runs/digits", "--length", 65), 2)


def test_in_place_of_a_damaged_teacher_the_one_before_is_taken_and_it_is_said(nounroll: Command, run: Path) -> None:
    before, newest = sorted(run.glob("checkpoints/step-*/teacher.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1] + b"\0\0")
    said = nounroll("analyze", run).error.splitlines()[0]
    assert said.startswith(f"nounroll: {newest} is damaged: ")
    assert said.endswith(f"; {before.parent} is taken in its place")
    before.write_bytes(b"")
    assert "teacher.safetensors is damaged" in one_line(nounroll("analyze", run), 2)
