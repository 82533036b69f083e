"""The watch over what readers do is let down for the type checkers' own code and for nothing else."""

from pathlib import Path
from types import ModuleType

import pytest

from audit import watched

WRITES = "def act(path):\n    open(path, 'w').close()\n"


def module(name: str) -> ModuleType:
    made = ModuleType(name)
    exec(WRITES, vars(made))
    return made


@pytest.mark.parametrize("name", ["nounroll.models.student", "own", "beartypes", "jaxtyping_of_mine", "own.jaxtyping"])
def test_what_another_module_does_is_seen(tmp_path: Path, name: str) -> None:
    act = module(name).act
    with watched() as seen:
        act(tmp_path / "note")
    assert len(seen) == 1
    assert seen[0].startswith("open ")


def test_what_a_checker_calls_is_seen(tmp_path: Path) -> None:
    """The exemption is for the function that acts, not for those it was called by."""
    checker = ModuleType("beartype.door")
    exec("def call(act, path):\n    act(path)\n", vars(checker))
    act = module("own").act
    with watched() as seen:
        checker.call(act, tmp_path / "note")
    assert len(seen) == 1


@pytest.mark.parametrize("name", ["beartype", "beartype.door", "jaxtyping._decorator"])
def test_control_a_checker_itself_is_not(tmp_path: Path, name: str) -> None:
    act = module(name).act
    with watched() as seen:
        act(tmp_path / "note")
    assert seen == []
