"""Every test runs with types and shapes checked: jaxtyping's annotations, by beartype (see ``typechecking``)."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import typechecking

# Plain pytest tests the sources as they are; the gate sets NOUNROLL_INSTALLED and tests what it has installed.
if "NOUNROLL_INSTALLED" not in os.environ:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [sys.path[0], os.environ.get("PYTHONPATH")]))

typechecking.install("nounroll")

# What a shell starts in the background ignores Ctrl-C, and so would every command that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A run that reads files leaves a key there (experiments/consent.py); that of whoever runs the tests is not touched.
_CONFIGURATION = tempfile.TemporaryDirectory()
os.environ["XDG_CONFIG_HOME"] = _CONFIGURATION.name

# Thousands of checkpoints are synced to disk. In memory, where there is room, the same calls take no time.
_MEMORY = Path("/dev/shm")
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 2**32:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# The gate tries the same examples every time; the nightly run tries new ones.
settings.register_profile("gate", derandomize=True)
if "NOUNROLL_NIGHTLY" not in os.environ:
    settings.load_profile("gate")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws does not depend on which tests its worker has run before, nor do the calls that are checked."""
    torch.manual_seed(0)
    typechecking.begin()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The pages of the documentation take minutes: they start first, so that no worker waits for them at the end."""
    items.sort(key=lambda item: "test_a_page_runs" not in item.name)
