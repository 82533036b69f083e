"""A task's option out of its range is refused in one line that names it, its value and what is allowed."""

import re
from pathlib import Path

import numpy as np
import pytest

from nounroll.data import TASKS, build, describe
from out_of_range import TASK_OPTIONS


@pytest.mark.parametrize(("option", "value", "allowed"), TASK_OPTIONS)
def test_an_option_out_of_range(tmp_path: Path, option: str, value: object, allowed: str) -> None:
    kind, _, name = option.partition(".")
    options = {name: value}
    if kind == "array":
        np.save(tmp_path / "a.npy", np.arange(9))
        options["path"] = str(tmp_path / "a.npy")
    if kind == "table":
        options["path"] = "none.csv"  # numbers are checked before anything is read
    with pytest.raises(ValueError, match=f"^{re.escape(f'{option} is {value}; {allowed}')}$"):
        build(kind, options)


def test_the_table_knows_every_number() -> None:
    numbers = {
        f"{kind}.{option.name}"
        for kind in TASKS
        for option in describe(kind)[1]
        if {"int", "float"} & set(option.type.split(" | "))
    }
    assert numbers == {option for option, _, _ in TASK_OPTIONS}
