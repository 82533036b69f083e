"""What takes long to build, once for all the processes that run the tests."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def built_once(tmp_path_factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """Return the folder that ``build`` has filled; the others wait for the first process that asks.

    pytest-xdist hands the tests of one module to several processes, and each has fixtures of its own. If the build
    fails, the next that asks tries again and fails as well.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            place = tmp_path_factory.mktemp(name)
            build(place)
            place.rename(folder)
    return folder
