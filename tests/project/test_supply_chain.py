"""What the project takes in and gives out: floors of dependencies, contacts, the bill of materials, hosted CI."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# The first release of each without the weaknesses that were known when it was written down here.
FIRST_SAFE = {
    "torch": "2.10",  # weights_only loading
    "lightning-fabric": "2.6.4",  # malicious releases of its sibling
    "PyYAML": "5.4",
    "fonttools": "4.60.2",  # files written by varLib, entities in SVG
    "pillow": "12.2",  # PSD tiles, FITS bombs
    "Jinja2": "3.1.6",
    "filelock": "3.20.3",  # links at the place of a lock
    "scikit-learn": "1.5",
    "onnx": "1.21",  # external data by links
    "fastapi": "0.109.1",
    "starlette": "0.49.1",  # ranges and uploads that block
    "h11": "0.16",  # chunked bodies
    "transformers": "5.0",
    "pytest": "9.0.3",  # its temporary folders
}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition(".post")[0]))


def floors(project: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The lowest release that each requirement admits, by name."""
    requirements = [
        *project["dependencies"],
        *(one for group in project["optional-dependencies"].values() for one in group),
    ]
    found = (re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", requirement) for requirement in requirements)
    return {match[1]: numbers(match[2]) for match in found if match}


def too_low(project: dict[str, Any]) -> list[str]:
    """The requirements that admit a release with a known weakness."""
    admitted = floors(project)
    return [name for name, first in FIRST_SAFE.items() if admitted.get(name, (0,)) < numbers(first)]


def test_no_requirement_admits_a_release_with_a_known_weakness() -> None:
    assert too_low(PROJECT) == []


def test_control_a_floor_that_is_too_low_is_seen() -> None:
    lower = [requirement.replace("12.2", "12.1") for requirement in PROJECT["dependencies"]]
    assert too_low({**PROJECT, "dependencies": lower}) == ["pillow"]


def test_what_the_gate_runs_with_is_admitted() -> None:
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    held = {re.sub("[-_.]+", "-", name).lower(): numbers(version) for name, version in pinned.items()}
    extra = {
        "datasets",
        "gluonts",
        "kanjivg",
        "mlxtend",
        "music21",
        "tensorboardX",
        "tensorboardx",
    }  # of no development install
    for name, floor in floors(PROJECT).items():
        assert name in extra or held[re.sub("[-_.]+", "-", name).lower()] >= floor, name


def test_whoever_finds_a_weakness_knows_where_to_go() -> None:
    urls = PROJECT["urls"]
    assert urls.keys() >= {"Repository", "Issues", "Changelog", "Security"}
    assert urls["Security"] in (ROOT / "SECURITY.md").read_text()


def test_hosted_ci_runs_the_gate_and_may_only_read() -> None:
    for path in (ROOT / ".github" / "workflows").iterdir():
        text = path.read_text()
        document = yaml.safe_load(text)
        assert document["permissions"] == {"contents": "read"}
        assert "pull_request_target" not in text
        assert "secrets" not in text
        steps = [step for job in document["jobs"].values() for step in job["steps"]]
        assert [step["run"] for step in steps if "run" in step] == ["make test"]
        assert all(step["with"]["persist-credentials"] is False for step in steps if "checkout" in step.get("uses", ""))


@pytest.mark.parametrize("module", ["fcntl", "resource", "termios"])
def test_the_package_is_imported_where_there_is_no_unix(module: str) -> None:
    names = "nounroll, nounroll.experiments.run, nounroll.serve.store, nounroll.cli.main"
    code = f"import sys; sys.modules[{module!r}] = None\nimport {names}\nnounroll.fit, nounroll.compare"
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_makefile_writes_a_bill_of_materials() -> None:
    assert re.search(r"^sbom: .*\n(\t.*\n)*\t.*cyclonedx-py environment .*\n", (ROOT / "Makefile").read_text(), re.M)
