"""Folders of strangers: no command reads or writes outside them, hangs, or says more than one line."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from commands import TINY, Command, Ended, one_line
from nounroll.experiments import consent
from nounroll.storage import files
from strangers import Stranger, contents, hostile_recipes, hostile_runs, in_time, opened_files

EACH = 1 if os.environ.get("NOUNROLL_NIGHTLY") else 4  # a quarter of them
RUNS, RECIPES = hostile_runs(), hostile_recipes()
CANARY = "It was a bright cold day in April. " * 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small network."""
    from nounroll.experiments.recipe import load
    from nounroll.experiments.run import train

    folder = tmp_path_factory.mktemp("whole")
    (folder / "tiny.yaml").write_text(f"task: {{kind: parity}}\n{TINY}")
    train(load(folder / "tiny.yaml"), folder=folder / "run")
    return folder / "run"


def wrong(ended: Ended, command: str, said: str) -> str | None:
    """What is not as it should be about how a command refused a folder; None when all is."""
    line = " ".join((ended.out + ended.error).split()) if command == "verify" else ended.error
    lines = (ended.out + ended.error).count("\n")
    if ended.status != 2 and not (command == "verify" and ended.status == 1):
        return f"exit status {ended.status}: {ended.out + ended.error!r}"
    if (command != "verify" and ended.out) or lines < 1 or (lines > 1 and command != "verify"):
        return f"not one line: {ended.out + ended.error!r}"
    if not line.strip().isprintable() or len(line) > 20_000:
        return f"not for a terminal: {line!r}"
    return None if said in line else f"{said!r} is not in {line!r}"


def answers(nounroll: Command, place: Path, strangers: list[Stranger], whole: Path | None = None) -> list[str]:
    """The faults of all answers. Each stranger's folder has a place of its own, with a canary outside it."""
    faults: list[str] = []
    for number, stranger in enumerate(strangers):
        for command in stranger.commands:
            base = place / f"{number}-{command}"
            run, outside = base / "run", base / "outside"
            outside.mkdir(parents=True)
            (outside / "canary").write_text(CANARY)
            shutil.copytree(whole, run) if whole else run.mkdir()
            stranger.lay(run, outside)
            os.chdir(run)
            what, before = f"{stranger.fault}, {command}", contents(outside)
            with opened_files() as seen, in_time(faults, what):
                ended = nounroll(command, run / "recipe.yaml" if command == "train" else run)
            if fault := wrong(ended, command, stranger.said):
                faults.append(f"{what}: {fault}")
            faults += [f"{what}: it opened {one}" for one in seen if one.startswith((str(outside), "/etc/pass"))]
            if contents(outside) != before or {*base.iterdir()} != {run, outside}:
                faults.append(f"{what}: something outside has changed")
            os.chdir(place)
            shutil.rmtree(base)
    return faults


def test_there_are_enough_of_them() -> None:
    assert len(RUNS) >= 50
    assert len(RECIPES) >= 200
    for strangers in (RUNS, RECIPES):
        assert len({stranger.fault for stranger in strangers}) == len(strangers)


def test_every_run_of_a_stranger_is_refused(nounroll: Command, tmp_path: Path, whole: Path) -> None:
    assert answers(nounroll, tmp_path, RUNS[::EACH], whole) == []


def test_every_recipe_of_a_stranger_is_refused(nounroll: Command, tmp_path: Path) -> None:
    assert answers(nounroll, tmp_path, RECIPES[::EACH]) == []


def test_control_links_that_are_followed_are_seen(
    nounroll: Command, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "strange", lambda folder: iter(()))
    monkeypatch.setattr(files, "_SAFE", 0)
    monkeypatch.setattr(files, "_refuse_strange", lambda *_: None)
    (log,) = (one for one in RUNS if one.fault == "metrics.jsonl is a link out")

    def lay(run: Path, outside: Path) -> None:
        log.lay(run, outside)
        with (outside / "metrics.jsonl").open("a") as file:
            file.write('{"event": "mine"}\n')  # not of the run: whoever resumes it cuts it off

    faults = answers(nounroll, tmp_path, [Stranger("a log", lay, ("resume",), "")], whole)
    assert any("it opened" in fault for fault in faults)
    assert any("outside has changed" in fault for fault in faults)


def test_control_data_that_is_read_without_consent_is_seen(
    nounroll: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consent, "_leading_out", lambda *_: iter(()))
    faults = answers(nounroll, tmp_path, [one for one in RECIPES if one.fault in ("text: above", "text: by a link")])
    assert sum("it opened" in fault for fault in faults) >= 2


# --- consent --------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A recipe whose text is outside its folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "book.txt").write_text(CANARY)
    (tmp_path / "recipes").mkdir()
    recipe = tmp_path / "recipes" / "mine.yaml"
    recipe.write_text(f"task: {{kind: text, options: {{path: {tmp_path}/data/book.txt}}}}\n{TINY}")
    return recipe


def test_trust_and_a_path_in_the_command_are_consents(nounroll: Command, elsewhere: Path, tmp_path: Path) -> None:
    ended = nounroll("train", elsewhere)
    assert ended.status == 2
    assert ended.error == (
        f"nounroll train: task.options.path is '{tmp_path}/data/book.txt', which is outside the recipe's folder"
        f" '{tmp_path}/recipes'; add --trust to read it, or where it is an option:"
        f" --set task.options.path={tmp_path}/data/book.txt\n"
    )
    assert not Path("runs").exists()
    assert nounroll("train", elsewhere, "--trust", "--out", "trusted").status == 0
    named = f"task.options.path={tmp_path}/data/book.txt"
    assert nounroll("train", elsewhere, "--set", named, "--out", "named").status == 0


def test_a_run_remembers_the_consent(nounroll: Command, elsewhere: Path) -> None:
    assert nounroll("train", elsewhere, "--trust", "--out", "run").status == 0
    for command in ("evaluate", "resume"):
        assert nounroll(command, "run").status == 0
    adapt = ("adapt", "run", "--rehearse", "0", "--anchor", "0", "--steps", "2")
    assert nounroll(*adapt, "--out", "adapted").status == 0
    Path("run/consent.json").rename("consent.json")
    assert "add --trust" in nounroll(*adapt, "--out", "refused").error
    Path("consent.json").rename("run/consent.json")
    assert nounroll("generate", "run", "--prompt", "It", "--length", "3").status == 0
    Path("run").rename("moved")
    assert nounroll("evaluate", "moved").status == 0


def test_the_run_of_a_rehearsed_task_is_read_with_consent(nounroll: Command) -> None:
    """Otherwise the folder of a stranger could name any run of the user's to train on."""
    assert nounroll("train", "tiny.yaml", "--out", "old").status == 0
    assert nounroll("adapt", "old", "--steps", "1", "--out", "new").status == 0
    assert nounroll("resume", "new", "--steps", "1").status == 0
    Path("new/consent.json").unlink()
    said = one_line(nounroll("resume", "new", "--steps", "1"), 2)
    place = Path("old").absolute()
    assert f"rehearse is '{place}', which is outside the recipe's folder" in said
    assert said.endswith("add --trust to read it, or give it again\n")
    assert nounroll("resume", "new", "--steps", "1", "--trust").status == 0
    assert nounroll("resume", "new", "--steps", "1").status == 0


@pytest.mark.parametrize("fault", ["no signature", "another path", "another user", "a forged one"])
def test_a_signature_that_is_not_the_users_for_this_path_does_not_count(
    nounroll: Command, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    assert nounroll("train", elsewhere, "--trust", "--out", "run").status == 0
    signature = Path("run/consent.json")
    if fault == "no signature":
        signature.unlink()
    elif fault == "another path":
        (tmp_path / "data" / "secret.txt").write_text(CANARY)
        recipe = Path("run/recipe.yaml")
        recipe.write_text(recipe.read_text().replace("book.txt", "secret.txt"))
    elif fault == "another user":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other"))
    else:
        signature.write_text('{"task.options.path": "' + "0" * 64 + '"}')
    ended = nounroll("evaluate", "run")
    assert ended.status == 2
    assert "add --trust to read it" in ended.error
    assert nounroll("evaluate", "run", "--trust").status == 0


def test_without_a_place_for_the_key_nothing_is_remembered(
    nounroll: Command, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert nounroll("train", elsewhere, "--trust", "--out", "run").status == 0
    assert not Path("run/consent.json").exists()
    assert "add --trust" in nounroll("evaluate", "run").error


def test_the_key_is_the_users_alone(nounroll: Command, elsewhere: Path) -> None:
    assert nounroll("train", elsewhere, "--trust", "--out", "run").status == 0
    key = Path(os.environ["XDG_CONFIG_HOME"]) / "nounroll" / "key"
    assert key.stat().st_mode & 0o077 == 0
    assert len(key.read_bytes()) == 32


def test_runs_that_begin_at_once_share_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "new"))
    write = files.write_bytes
    monkeypatch.setattr(files, "write_bytes", lambda *given, **how: (time.sleep(0.05), write(*given, **how)))
    with ThreadPoolExecutor(4) as pool:
        keys = {*pool.map(lambda _: consent._key(make=True), range(4))}
    assert len(keys) == 1
    assert None not in keys
