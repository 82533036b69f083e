"""Fixtures for the tests of the tasks."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(autouse=True)
def _denormals_count() -> None:
    """Training takes them for 0, in the whole process: what a file holds must not depend on the test before."""
    torch.set_flush_denormal(False)


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The package ``datasets``, offline and with a cache of its own; the test is skipped without it."""
    package = pytest.importorskip("datasets")
    monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(package.config, "HF_HUB_OFFLINE", True)
    return package


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, bytes]], None]:
    """Put a package on the path that holds these files, as pip would."""

    def install(package: str, files: dict[str, bytes]) -> None:
        site = tmp_path / f"site-{package}"
        names = [*files, f"{package}-1.0.dist-info/METADATA", f"{package}-1.0.dist-info/RECORD"]
        contents = [*files.values(), f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(), b""]
        for name, content in zip(names, contents, strict=True):
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_bytes(content)
        (site / names[-1]).write_text("".join(f"{name},,\n" for name in names))
        monkeypatch.syspath_prepend(site)

    return install
