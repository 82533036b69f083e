"""A network of bytes, and what it is as ONNX: the translation takes seconds, so that all tests share one."""

from pathlib import Path

import pytest
import torch

from helpers import make_student
from nounroll.core.batch import Categorical
from nounroll.export import export
from nounroll.models.student import Student


@pytest.fixture(scope="session")
def bytes_student() -> Student:
    return make_student("mlp", Categorical(256), Categorical(256), dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def bytes_folder(bytes_student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``nounroll export --to onnx`` writes of it."""
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("onnx")
    assert export(bytes_student, "onnx", folder)["difference"] <= 1e-3
    return folder
