"""The kept hashes are those of the versions that are pinned, and pip refuses a wheel with another one."""

import hashlib
import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "pins").glob("*.txt"))


def program() -> Any:
    spec = importlib.util.spec_from_file_location("pins", ROOT / "pins" / "pins.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain(requirement: str) -> str:
    """By the rule of PEP 503: Jinja2 and jinja2, ml_dtypes and ml-dtypes are one."""
    return re.sub(r"[-_.]+", "-", requirement.partition("==")[0]).lower() + "==" + requirement.partition("==")[2]


def test_there_is_one_for_the_machine_that_the_gate_is_known_to_run_on() -> None:
    assert "cpython3.11-linux-x86_64-glibc.txt" in [path.name for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_pinned_package_has_a_hash(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    requirements, hashes = zip(*(line.split(" --hash=sha256:") for line in lines), strict=True)
    assert sorted(map(plain, requirements)) == sorted(map(plain, program().pinned()))
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes)


def admits(requires_python: str | None) -> bool:
    """Whether a package can be installed with the oldest Python that the README promises."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    return requires_python is None or SpecifierSet(requires_python).contains(oldest)


def test_what_is_pinned_can_be_installed_with_the_oldest_python() -> None:
    names = {plain(one).partition("==")[0] for one in program().pinned()}
    found = {plain(one.metadata["Name"]).partition("==")[0]: one.metadata["Requires-Python"] for one in distributions()}
    assert len(names & found.keys()) > 50
    assert {name: found[name] for name in names & found.keys() if not admits(found[name])} == {}
    assert not admits(">=3.11.5")
    assert admits(">=3.10, !=3.12.1")


def test_the_install_asks_for_them() -> None:
    recipe = (ROOT / "Makefile").read_text()
    assert '$(BIN)/pip install --quiet --require-hashes --no-deps --only-binary :all: -r "$$pins"' in recipe


@pytest.mark.parametrize("right", [True, False], ids=["a wheel", "control: another wheel of that name"])
def test_pip_heeds_a_hash(tmp_path: Path, right: bool) -> None:
    wheel, info = tmp_path / "nothing-1.0-py3-none-any.whl", "nothing-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes() if right else b"").hexdigest()
    (tmp_path / "pins.txt").write_text(f"nothing==1.0 --hash=sha256:{digest}\n")
    options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-index", "--find-links", tmp_path]
    words = ["install", "--dry-run", "--quiet", *options, "-r", tmp_path / "pins.txt"]
    ended = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)
    assert (ended.returncode == 0) is right, ended.stderr
    assert ("DO NOT MATCH THE HASHES" in ended.stderr) is not right
