"""Double precision on a device without it: mps, whose tensors refuse float64."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from nounroll.core import precision
from nounroll.core.precision import wide

SOURCES = Path(precision.__file__).parents[1]
ON_DEVICES = ("cells", "core", "methods", "models", "nn", "objectives", "rollout", "teacher", "training")


class OnMps(torch.Tensor):
    """A tensor that says that it is on mps, and refuses float64 as tensors there do."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("mps")

    def double(self, *given: Any, **named: Any) -> torch.Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    def cpu(self, *given: Any, **named: Any) -> torch.Tensor:
        return torch.tensor(self.tolist())


def test_numbers_of_a_device_without_float64_are_converted_on_the_cpu() -> None:
    there = torch.tensor([0.5, -2.0]).as_subclass(OnMps)  # type: ignore[arg-type]
    with pytest.raises(TypeError):  # control
        there.double()
    assert torch.equal(wide(there), torch.tensor([0.5, -2.0], dtype=torch.float64))


def test_what_runs_on_devices_converts_by_this_function_alone() -> None:
    of_data = ("base", "bits", "categorical", "real", "standard")  # spaces measure data, which is on the CPU
    paths = [path for name in ON_DEVICES for path in (SOURCES / name).rglob("*.py")]
    found = [path for path in paths if re.search(r"\.double\(\)|torch\.float64", path.read_text())]
    assert {path for path in found if path.stem not in of_data} == {Path(precision.__file__)}
