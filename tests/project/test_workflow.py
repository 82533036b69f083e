"""The ways of working that CONTRIBUTING.md names: targets of the Makefile, checks before a commit."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def listed(makefile: Path) -> set[str]:
    """List the targets that ``make help`` names."""
    words = ["make", "--no-print-directory", "-f", str(makefile), "help"]
    shown = subprocess.run(words, cwd=makefile.parent, capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in shown.splitlines()}


def phony(makefile: Path) -> set[str]:
    """List the targets that are no files."""
    return set(re.findall(r"^\.PHONY: (.*)$", makefile.read_text(), re.MULTILINE)[0].split())


def test_make_help_names_every_target() -> None:
    assert len(phony(ROOT / "Makefile")) > 10
    assert listed(ROOT / "Makefile") == phony(ROOT / "Makefile")


def test_control_a_target_without_a_word_on_it_is_found(tmp_path: Path) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text((ROOT / "Makefile").read_text().replace("clean: ## ", "clean: # "))
    assert phony(makefile) - listed(makefile) == {"clean"}


def test_the_contribution_guide_names_targets_that_there_are() -> None:
    named = set(re.findall(r"`make ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text()))
    assert len(named) > 8
    assert named <= phony(ROOT / "Makefile")


def test_checks_before_a_commit_fetch_nothing() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [one["repo"] for one in repositories] == ["local"]
    entries = {hook["id"]: hook["entry"].split() for hook in repositories[0]["hooks"]}
    assert set(entries) == {"ruff", "format", "words"}
    assert {words[0].partition("/")[0] for words in entries.values()} == {".venv"}
    assert all((ROOT / word).is_file() for words in entries.values() for word in words if word.startswith("tests/"))
