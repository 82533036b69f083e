"""Pages name what there is: modules, attributes, settings; and each shows an example or a picture."""

import dataclasses
import re
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import griffe
import pytest

import nounroll
from nounroll.cells.base import CELLS
from nounroll.core.former_paths import MOVED
from nounroll.core.spaces.registry import GROUP
from nounroll.data import TASKS
from nounroll.experiments.recipe import Recipe
from nounroll.methods.base import METHODS
from nounroll.teacher.base import TEACHERS
from nounroll.training.settings import BUDGETS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DIARY = {"lab-notes.md"}  # of settings that there were
TABLES = {
    "downstream.md",
    "results.md",
    "text.md",
    "figures.md",
    "heads.md",
    "reliability.md",
    "lab-notes.md",
}  # of figures, or of tests
GROUPS = {GROUP, *(registry.group for registry in (CELLS, TASKS, METHODS, TEACHERS))}  # of entry points


@cache
def package() -> griffe.Object | griffe.Alias:
    """Read the sources of the package; nothing is imported."""
    return griffe.load("nounroll", search_paths=[Path(nounroll.__file__).parents[1]], resolve_aliases=True)


def exists(name: str) -> bool:
    """Return whether a dotted name is a module, or an attribute of one; paths of version 0.1 count."""
    if name.split(".")[1] in MOVED:
        return True
    try:
        return bool(package()[name.partition(".")[2]])
    except KeyError:
        return False


def missing_names(text: str) -> set[str]:
    """List the dotted names of the package that a page uses and that do not exist."""
    named = set(re.findall(r"(?<![\w/.@-])nounroll(?:\.[A-Za-z_]\w*)+", text))
    return {name for name in named - GROUPS if not exists(name)}


def settings() -> dict[str, set[str]]:
    """Map each group of a recipe to the names of its settings."""
    types = typing.get_type_hints(Recipe)
    groups = {one.name: types[one.name] for one in dataclasses.fields(Recipe)}
    found = {
        name: {one.name for one in dataclasses.fields(kind)}
        for name, kind in groups.items()
        if hasattr(kind, "__dataclass_fields__")
    }
    found["training"] |= set(BUDGETS)
    return found


def missing_settings(text: str) -> list[str]:
    """List the settings that a page names and that no recipe has."""
    known = settings()
    named = re.findall(r"`(smt|dmt|tbptt|adapt|teacher|training|cell)\.(\w+)", text)
    return [f"{group}.{name}" for group, name in named if name not in known[group]]


def shows(text: str) -> bool:
    """Return whether a page has a block of code, or a picture."""
    return re.search(r"^```(python|console|sh|toml)|^!\[|^<img ", text, re.MULTILINE) is not None


def but_not(pages: list[Path], names: set[str]) -> Iterator[Path]:
    """Leave out pages by their names."""
    return (page for page in pages if page.name not in names)


def test_every_name_on_a_page_exists() -> None:
    assert {page.name: found for page in PAGES if (found := missing_names(page.read_text()))} == {}


def test_every_setting_on_a_page_exists() -> None:
    assert {page.name: found for page in but_not(PAGES, DIARY) if (found := missing_settings(page.read_text()))} == {}


def test_every_page_shows_an_example_or_a_picture() -> None:
    assert [page.name for page in but_not(PAGES, TABLES) if not shows(page.read_text())] == []


@pytest.mark.parametrize("name", ["nounroll.no_such", "nounroll.Student.no_such", "nounroll.cells.base.no_such"])
def test_control_a_name_that_is_not_there_is_found(name: str) -> None:
    assert missing_names(f"See `{name}` and `nounroll.fit` and `nounroll.cells`.") == {name}


def test_control_a_setting_that_is_not_there_is_found() -> None:
    assert missing_settings("`dmt.lost` and `smt.noise: 1`, `training.seconds`") == ["dmt.lost"]


def test_control_a_page_of_words_alone_is_found() -> None:
    assert not shows("# Title\n\nWords, `code`, and ```a fence``` in a line.\n")
