"""Every fault that a run's folder can have is found, the file named; a whole one is whole."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from helpers import tiny_recipe
from nounroll.cli.main import main
from nounroll.experiments.run import train
from nounroll.experiments.verify import verify
from nounroll.storage import checkpoint

FLIPS = 400 if "NOUNROLL_NIGHTLY" in os.environ else 100


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(tiny_recipe("training.steps=6", "training.evaluations=1"), folder=folder)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_a_run_that_is_whole(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify(run)
    assert found.faults == []
    assert found.folders == 3  # two checkpoints and the student
    inside = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    assert (found.files, found.size) == (len(inside), sum(path.stat().st_size for path in inside))
    assert main(["verify", str(run)]) == 0
    assert capsys.readouterr().out.startswith(f"{run} is whole: 3 checkpoints and models")


def test_a_flipped_bit_anywhere_is_found(run: Path) -> None:
    """But for metrics and recipe, whose text may well say something else: no manifest holds them."""
    draw = random.Random(0)
    guarded = [path for path in run.rglob("*") if path.is_file() and path.parent != run]
    for _ in range(FLIPS):
        path = draw.choice(guarded)
        data = path.read_bytes()
        place = draw.randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :])
        (fault,) = verify(run).faults
        assert str(path) in fault
        path.write_bytes(data)
    assert verify(run).faults == []


def test_control_without_manifests_flips_pass(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = run / "student" / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert verify(run).faults
    names = {"model": weights.read_bytes(), "config": (run / "student" / "config.json").read_bytes()}
    plain = [("config.json", lambda: names["config"]), ("model.safetensors", lambda: names["model"])]
    verified = checkpoint.reading._verified
    monkeypatch.setattr(checkpoint.reading, "_verified", lambda f: plain if f.name == "student" else verified(f))
    assert verify(run).faults == []


STEP = "checkpoints/step-00000006"


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("recipe.yaml", "length: [", "recipe.yaml is not valid YAML"),
        ("recipe.yaml", "length: 0", "task is missing"),
        ("metrics.jsonl", "{}\n{", "metrics.jsonl ends within a line, as after a kill"),
        ("metrics.jsonl", "{}\n{\n{}\n", "metrics.jsonl, line 2 cannot be read"),
        ("metrics.jsonl", "{}\n1\n", "metrics.jsonl, line 2 cannot be read"),
        ("metrics.jsonl", "{}\n", f"{STEP} was written after"),
        ("metrics.json", "", "metrics.json"),
        ("chosen.json", '{"method": "bptt"}', "chosen.json cannot be read: "),
        (f"{STEP}/extra.json", "{}", "extra.json is not in the manifest"),
        (f"{STEP}/counters.json", None, "counters.json cannot be read: No such file"),
        (f"{STEP}/manifest.json", None, "manifest.json cannot be read: No such file"),
        ("student/manifest.json", None, "student/manifest.json cannot be read: No such file"),
        ("student/model.safetensors", None, "model.safetensors cannot be read: No such file"),
    ],
)
def test_faults(run: Path, file: str, content: str | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    if content is None:
        (run / file).unlink()
    else:
        (run / file).write_text(content)
    assert main(["verify", str(run)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(said in line for line in lines), lines
    assert all(str(run) in line or "recipe" in line for line in lines), lines
    assert main(["verify", str(run), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"] == lines


def test_a_student_that_is_gone_is_missed(run: Path) -> None:
    shutil.rmtree(run / "student")
    (fault,) = verify(run).faults
    assert "student" in fault


def test_what_holds_no_run_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"nounroll verify: {tmp_path} holds no run; there is no recipe.yaml in it\n"
