"""Fixtures for the tests of the tasks."""

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
