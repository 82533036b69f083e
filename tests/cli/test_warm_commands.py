"""``nounroll train --from`` begins with another run, and ``nounroll resume --steps`` gives a finished one more."""

import json
from pathlib import Path

import yaml

from commands import Command, one_line


def test_train_from_a_run_and_then_more(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--method", "smt+dmt", "--out", "old").status == 0
    ended = nounroll("train", "tiny.yaml", "--from", "old", "--method", "dmt", "--steps", "4", "--out", "new", "--json")
    assert (ended.status, json.loads(ended.out)["metrics"]["steps"]) == (0, 4)
    origin = json.loads(Path("new/start/origin.json").read_text())
    assert origin["student"]["path"] == origin["teacher"]["path"] == str(Path("old").resolve())
    assert len(origin["student"]["sha256"]) == 64
    more = nounroll("resume", "new", "--steps", "3", "--json")
    assert (more.status, json.loads(more.out)["metrics"]["steps"]) == (0, 7)
    text = Path("new/recipe.yaml").read_text()
    assert yaml.safe_load(text)["training"]["steps"] == 7
    again = nounroll("resume", "new", "--json")
    assert (again.status, json.loads(again.out)["metrics"]["steps"]) == (0, 7)
    assert nounroll("verify", "new").status == 0


def test_that_nothing_better_was_made_is_said(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--method", "smt", "--out", "old").status == 0
    ruin = ("--steps", "2", "--set", "training.learning_rate=9.0")
    ended = nounroll("train", "tiny.yaml", "--from", "old", "--method", "smt", "--out", "new", *ruin)
    said = one_line(ended, 0, "nounroll: no better student was made")
    assert said.endswith("it is the one that was there before\n")
    assert Path("new/student/model.safetensors").read_bytes() == Path("old/student/model.safetensors").read_bytes()


def test_mistakes_are_one_line(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--method", "bptt", "--out", "old").status == 0
    warm = ("train", "tiny.yaml", "--from", "old", "--out", "new")
    assert "dmt needs smt before it" in one_line(nounroll(*warm, "--method", "dmt"), 2)
    assert "dmt needs smt before it" in one_line(nounroll(*warm, "--method", "dmt", "--dry-run"), 2)
    assert "--from is not given" in one_line(nounroll("train", "tiny.yaml", "--new", "head"), 2)
    assert "new is 'tail'; it must be inputs or head" in one_line(nounroll(*warm, "--new", "tail"), 2)
    assert "the student that is given has" in one_line(nounroll(*warm, "--set", "cell.memory_width=6"), 2)
    assert "nowhere holds no run" in one_line(nounroll("train", "tiny.yaml", "--from", "nowhere"), 2)
    assert "give exactly one of them" in one_line(nounroll("resume", "old", "--steps", "3", "--seconds", "3"), 2)
    assert "training.steps is 0; it must be more than 0" in one_line(nounroll("resume", "old", "--steps", "0"), 2)
    assert not Path("new").exists()
    Path("begun").mkdir()
    Path("begun/recipe.yaml").write_text(Path("old/recipe.yaml").read_text())
    line = one_line(nounroll("resume", "begun", "--steps", "3"), 2)
    assert "steps is 3, more for a run that is finished, and begun is not; leave it out" in line
