"""Modules that moved can be imported by the paths that version 0.1 had."""

import importlib
import subprocess
import sys
import warnings

import pytest

from nounroll.core.former_paths import MOVED


@pytest.mark.parametrize("name", MOVED)
def test_a_former_path_is_the_module_at_its_new_place(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert importlib.import_module(f"nounroll.{name}") is importlib.import_module(MOVED[name])


def test_a_former_path_says_where_its_module_is() -> None:
    script = "from nounroll.student import Student; import nounroll.recipe; from nounroll import checkpoint"
    ended = subprocess.run([sys.executable, "-W", "always", "-c", script], capture_output=True, text=True, check=True)
    said = [line for line in ended.stderr.splitlines() if "DeprecationWarning" in line]
    assert [line.partition("DeprecationWarning: ")[2] for line in said] == [
        "nounroll.recipe has moved to nounroll.experiments.recipe",
        "nounroll.checkpoint has moved to nounroll.storage.checkpoint",
    ]


def test_other_names_are_unknown() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nounroll.no_such_module")
