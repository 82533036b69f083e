"""Spaces in files: a JSON round trip, names, and a space of one's own in one file outside the package."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from all_spaces import SPACES
from helpers import make_student
from nounroll.core.spaces import (
    Categorical,
    Product,
    Real,
    register_space,
    registry,
    space_from_json,
    space_to_json,
)
from nounroll.models.student import Student

OWN = '''
from dataclasses import dataclass

import torch
import nounroll


@nounroll.register_space("angle")
@dataclass(frozen=True)
class Angle(nounroll.Space):
    """An angle from -pi to pi, by a wrapped Cauchy distribution."""

    event_shape = (1,)
    readout_size = 3
    entered_size = 2

    def invalid(self, values):
        return ~(values.abs() <= torch.pi + 1e-4)

    def enter(self, values):
        return torch.cat([values.cos(), values.sin()], dim=-1)

    def _parts(self, outputs):
        towards = torch.atan2(outputs[..., :1], outputs[..., 1:2])
        return towards, 0.98 * torch.sigmoid(outputs[..., 2:])

    def log_prob(self, outputs, values):
        towards, rho = self._parts(outputs)
        density = (1 - rho**2) / (1 + rho**2 - 2 * rho * torch.cos(values - towards))
        return (density.log() - torch.log(torch.tensor(2 * torch.pi))).sum(-1)

    def choose(self, outputs, noise, sampling):
        towards, rho = self._parts(outputs)
        turn = 2 * torch.atan((1 - rho) / (1 + rho) * torch.tan(torch.pi * (noise - 0.5)))
        angle = towards + sampling.temperature * turn
        return torch.atan2(angle.sin(), angle.cos())

    def mean(self, outputs):
        return self._parts(outputs)[0]
'''
TRAIN = """
import sys, torch, nounroll
from angle import Angle


class Turning(nounroll.SequenceTask):
    inputs = targets = Angle()
    autoregressive = True

    def sample(self, batch_size, length, generator):
        turns = 0.3 * torch.arange(length + 1) + 6 * torch.rand(batch_size, 1, generator=generator)
        return nounroll.Batch.next_step(torch.atan2(turns.sin(), turns.cos())[..., None])


run = nounroll.fit(Turning(), method="bptt", cell="gru", length=8, steps=60, out=sys.argv[1], progress=False)
print(run.metrics["loss"], run.student.generate(torch.zeros(1, 1, 1), 3, generator=torch.Generator().manual_seed(0)))
"""
OPEN = """
import sys, torch, nounroll
{}
student = nounroll.Student.from_pretrained(sys.argv[1] + "/student")
print(student.targets, student.generate(torch.zeros(1, 1, 1), 3, generator=torch.Generator().manual_seed(0)))
"""


@pytest.mark.parametrize("name", SPACES)
def test_a_space_survives_json(name: str) -> None:
    space = SPACES[name]
    document = json.loads(json.dumps(space_to_json(space), sort_keys=True))
    again = space_from_json(document)
    assert again == space
    assert json.dumps(space_to_json(again)) == json.dumps(space_to_json(space))  # scales, which == passes over


def test_files_of_today_are_those_of_before() -> None:
    assert space_to_json(Categorical(5)) == {"kind": "categorical", "n": 5}
    assert space_to_json(Real(1)) == {"kind": "real", "d": 1}
    assert space_to_json(Real(1, (2.0,), (3.0,))) == {"kind": "real", "d": 1, "shift": (2.0,), "scale": (3.0,)}


def test_parts_keep_their_order_whatever_sorts_the_file() -> None:
    space = Product(b=Categorical(2), a=Categorical(3))
    again = space_from_json(json.loads(json.dumps(space_to_json(space), sort_keys=True)))
    assert again.columns == ["b", "a"]


def test_an_unknown_space_is_named() -> None:
    with pytest.raises(ValueError, match="the space 'tensor' is not known; import the file that registers it"):
        space_from_json({"kind": "tensor"})


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match=r"the space 'real' is nounroll.core.spaces.real.Real; take another name"):
        register_space("real")(Categorical)


def test_a_space_without_a_name_is_not_written() -> None:
    class Unnamed(Categorical):
        pass

    with pytest.raises(ValueError, match=r"Unnamed has no name in files; decorate it: @nounroll.register_space"):
        space_to_json(Unnamed(3))


def run(script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=environment, cwd=folder
    )


@pytest.mark.nightly
def test_a_space_of_ones_own_in_one_file_trains_saves_and_opens(tmp_path: Path) -> None:
    (tmp_path / "angle.py").write_text(OWN)
    trained = run(TRAIN, tmp_path, str(tmp_path / "run"))
    assert trained.returncode == 0, trained.stderr
    loss, drawn = trained.stdout.split(maxsplit=1)
    assert float(loss) < 1.2  # a guess has log(2 pi) = 1.84 nats
    opened = run(OPEN.format("import angle"), tmp_path, str(tmp_path / "run"))
    assert opened.returncode == 0, opened.stderr
    assert opened.stdout == f"Angle() {drawn}"
    refused = run(OPEN.format(""), tmp_path, str(tmp_path / "run"))
    assert "the space 'angle' is not known; import the file that registers it" in refused.stderr


def test_a_space_of_ones_own_is_saved_and_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twin of ``test_a_space_of_ones_own_in_one_file_trains_saves_and_opens`` in this process."""
    monkeypatch.setattr(registry, "_SPACES", dict(registry._SPACES))
    (tmp_path / "own_angle.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    angle = importlib.import_module("own_angle").Angle()
    student = make_student("gru", angle, angle, dtype=torch.float32).eval()
    student.save_pretrained(tmp_path / "student")
    opened = Student.from_pretrained(tmp_path / "student")
    assert opened.targets == angle
    x = angle.example(2, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(opened(x)[0], student(x)[0])
    angle.check("drawn", opened.generate(x, 5))
    assert 0 < angle.guess(x.flatten(0, 1))["loss"] < 2
    registry._SPACES.pop("angle")
    with pytest.raises(ValueError, match="the space 'angle' is not known; import the file that registers it"):
        Student.from_pretrained(tmp_path / "student")
