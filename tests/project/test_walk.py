"""The walks of docs/walk.md lead to the lines that they name, and visit few files."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "walk.md"
MOST = {"One training step": 6, "A setting, from YAML to its use": 5, "A request through the server": 6}


def program() -> Any:
    spec = spec_from_file_location("walk_of_docs", ROOT / "docs" / "walk.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_stop_is_at_the_line_that_the_page_names() -> None:
    text = PAGE.read_text()
    assert program().renewed(text, PAGE.parent) == text, "run python docs/walk.py"


def test_each_walk_visits_few_files() -> None:
    walks = dict(part.partition("\n")[::2] for part in PAGE.read_text().split("\n## ")[1:])
    assert list(walks) == list(MOST)
    for title, most in MOST.items():
        files = {found["file"] for found in program().STOP.finditer(walks[title])}
        assert 3 <= len(files) <= most, title


def test_control_a_shifted_line_is_found(tmp_path: Path) -> None:
    page = "[`Loop.run`](loop.py#L2) and [`x = 1`](loop.py#L3)"
    (tmp_path / "loop.py").write_text("class Loop:\n    def run(self):\n        x = 1\n")
    assert program().renewed(page, tmp_path) == page
    (tmp_path / "loop.py").write_text("\nclass Loop:\n    def run(self):\n        x = 1\n")
    assert program().renewed(page, tmp_path) == page.replace("L3", "L4").replace("L2", "L3")


@pytest.mark.parametrize("name", ["Loop.start", "run", "pass", "y = 1", "= 1"])
def test_control_a_name_that_is_gone_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.py").write_text("class Loop:\n    def run(self):\n        x = 1\n        z = 1\n")
    with pytest.raises(ValueError, match=re.escape(name)):
        program().renewed(f"[`{name}`](loop.py#L1)", tmp_path)
