"""Bad recipes and bad data files end a command in one line with exit status 2; nothing is left behind."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import yaml

from bad_data import BadData, bad_data, good_data
from bad_recipes import Bad, bad_recipes
from commands import TINY, Command, Ended
from nounroll.experiments.recipe import parse
from nounroll.storage import files

EACH = 1 if os.environ.get("NOUNROLL_NIGHTLY") else 4  # a quarter of them
DOCUMENT = yaml.safe_load(TINY)
RECIPES = bad_recipes(parse({**DOCUMENT, "task": {"kind": "parity"}, "name": "run"}))
FILES = bad_data()


def wrong(ended: Ended, said: str) -> str | None:
    """What is not as it should be about how a command ended; None when all is."""
    if ended.status != 2:
        return f"exit status {ended.status}: {ended.error!r}"
    if ended.out or ended.error.count("\n") != 1 or not ended.error.endswith("\n"):
        return f"not one line: {ended.out + ended.error!r}"
    if not ended.error.startswith("nounroll train: ") or said not in ended.error:
        return f"{said!r} is not in {ended.error!r}"
    if not ended.error[:-1].isprintable() or len(ended.error) > 1000:
        return f"not for a terminal: {ended.error!r}"
    return "something is left behind" if Path("runs").exists() else None


def train_on(nounroll: Command, kind: str, options: dict[str, object]) -> Ended:
    Path("bad.yaml").write_text(yaml.safe_dump({**DOCUMENT, "task": {"kind": kind, "options": options}}))
    return nounroll("train", "bad.yaml")


def answers_to_recipes(nounroll: Command, recipes: list[Bad]) -> list[str]:
    faults = []
    for bad in recipes:
        Path("bad.yaml").write_bytes(bad.content)
        if fault := wrong(nounroll("train", "bad.yaml"), bad.said):
            faults.append(f"{bad.fault}: {fault}")
    return faults


def answers_to_data(nounroll: Command, tmp_path: Path, patch: pytest.MonkeyPatch, files: list[BadData]) -> list[str]:
    faults = []
    for number, bad in enumerate(files):
        folder = tmp_path / str(number)
        folder.mkdir()
        patch.chdir(folder)
        bad.lay()
        if fault := wrong(train_on(nounroll, bad.kind, bad.options), bad.said):
            faults.append(f"{bad.fault}: {fault}")
    return faults


def test_there_are_enough_of_them() -> None:
    assert len(RECIPES) >= 300
    assert len(FILES) >= 200
    assert len({bad.content for bad in RECIPES}) == len(RECIPES)


def test_every_bad_recipe_is_answered_in_one_line(nounroll: Command) -> None:
    assert answers_to_recipes(nounroll, RECIPES[::EACH]) == []


def test_every_bad_data_file_is_answered_in_one_line(
    nounroll: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answers_to_data(nounroll, tmp_path, monkeypatch, FILES[::EACH]) == []


def test_a_file_that_may_not_be_read(nounroll: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may be allowed to read everything, so the system's answer is given for it."""

    real = files.opened

    def refuse(path: Path, **named: Any) -> BinaryIO:
        if path.suffix == ".csv":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **named)

    Path("a.csv").write_text("a\n1\n")
    with monkeypatch.context() as patch:
        patch.setattr(files, "opened", refuse)
        assert wrong(train_on(nounroll, "series", {"path": "a.csv"}), "'a.csv'; it cannot be read (Permission") is None


def test_control_good_ones_are_trained_on(nounroll: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (kind, options, lay) in enumerate(good_data()):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        lay()
        ended = train_on(nounroll, kind, options)
        assert ended.status == 0, (kind, options, ended)


def test_control_a_reader_that_lets_its_error_out_is_seen(
    nounroll: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reader of many, which takes every cell for a number: its faults are seen, and those of another are none."""
    cells = [bad for bad in FILES if bad.kind == "series" and " in row " in bad.fault]
    others = [bad for bad in FILES if bad.kind == "array"][:3]
    monkeypatch.setattr("nounroll.data.csv_table.is_number", lambda cell: True)
    faults = answers_to_data(nounroll, tmp_path, monkeypatch, [*cells, *others])
    assert len(cells) // 2 < len(faults) <= len(cells)
    assert all(fault.startswith("series: ") for fault in faults)
