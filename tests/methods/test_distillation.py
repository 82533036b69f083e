"""What a pretrained teacher expects next is in the targets of the student's readout, in SMT and in DMT."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import (
    SYMBOLS,
    assert_same_gradients,
    gradients,
    make_batch,
    make_dmt,
    make_smt,
    make_student,
    make_teacher,
)
from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.methods import smt
from nounroll.methods.base import Method
from nounroll.models.student import Student
from nounroll.objectives.readout import negative_log_likelihood, readout_loss, taught
from nounroll.teacher import Teacher
from pretrained_models import llama, save_model

SHARE = 0.3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def both(model: Path, share: float = SHARE, **settings: Any) -> tuple[Student, Teacher]:
    student = make_student()
    form = {"kind": "transformers", "path": str(model), "frozen": True, "distillation": share, **settings}
    return student, make_teacher(student, **form)


def losses(method: Method, batch: Batch) -> dict[str, Tensor]:
    return method(batch, {}, generator(0, "loss"), 0.5)[0]


def mixed(student: Student, teacher: Teacher, batch: Batch, outputs: Tensor, share: float = SHARE) -> Tensor:
    """The mean over scored elements, one after another."""
    with torch.no_grad():
        seen = teacher.read(batch.inputs)[:, 1:]
        expected = teacher.encoder.model.get_output_embeddings()(seen)
    found = []
    for b, t in batch.mask.nonzero().tolist():
        p, q = outputs[b, t].float().softmax(-1), expected[b, t].float().softmax(-1)
        divergence = sum(q[k] * (q[k].log() - p[k].log()) for k in range(SYMBOLS.n))
        found.append(-(1 - share) * p[batch.targets[b, t]].log() + share * divergence)
    return torch.stack(found).mean()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("chunk", [0, 3])
def test_smt_is_its_twin(model: Path, sparse: bool, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the readout at every place, in place of as many that are drawn."""
    monkeypatch.setattr(smt, "some_places", lambda mask, *_: torch.arange(mask.shape[1]).expand(len(mask), -1))
    student, teacher = both(model)
    batch = make_batch(3, 7, sparse=sparse)
    found = losses(make_smt(student, teacher, transitions=0, window=3, step_readout=1.0, chunk=chunk), batch)
    labels = teacher.memories(batch.inputs)
    twin = mixed(student, teacher, batch, student.readout(labels[:, 1:]))
    torch.testing.assert_close(found["readout"], twin)
    assert_same_gradients(found["readout"], twin, student, teacher)
    assert "look_back" not in found  # a frozen model has nothing to learn


def test_the_cells_own_steps_are_taught_too(model: Path) -> None:
    student, teacher = both(model)
    batch = make_batch(3, 7)
    found = losses(make_smt(student, teacher, transitions=0, window=1, step_readout=1.0), batch)
    labels = teacher.memories(batch.inputs)
    after = torch.stack([student.step(batch.inputs[:, t], labels[:, t]) for t in range(7)], dim=1)
    twin = mixed(student, teacher, batch, student.readout(after))
    torch.testing.assert_close(found["step_readout"], twin)
    assert_same_gradients(found["step_readout"], twin, student, teacher)


@pytest.mark.parametrize("dynamics", [1.0, 0.0])
@pytest.mark.parametrize("sparse", [False, True])
def test_dmt_is_its_twin(model: Path, sparse: bool, dynamics: float) -> None:
    """One window over all of time."""
    student, teacher = both(model)
    batch = make_batch(3, 7, sparse=sparse)
    found = losses(make_dmt(student, teacher, window=7, dynamics=dynamics, decoding=1.0), batch)["readout"]
    twin = mixed(student, teacher, batch, student.readout(student.rollout(batch.inputs)[:, 1:]))
    torch.testing.assert_close(found, twin)
    ours, its = (gradients(loss, student) for loss in (found, twin))
    del ours["0.empty_memory"], its["0.empty_memory"]  # DMT starts from it, and leaves it as it is
    for name, value in ours.items():
        torch.testing.assert_close(value, its[name], rtol=1e-5, atol=1e-7)


def test_windows_of_dmt_are_taught_their_own_places(model: Path) -> None:
    """Windows of one step: every place is taught what the model expects there, from the student's own memories."""
    student, teacher = both(model)
    batch = make_batch(3, 7)
    found = losses(make_dmt(student, teacher, window=1), batch)["readout"]
    twin = mixed(student, teacher, batch, student.readout(student.rollout(batch.inputs)[:, 1:]))
    torch.testing.assert_close(found, twin)
    elsewhere = Batch(batch.inputs.roll(1, 1), batch.targets)
    wrong = mixed(student, teacher, elsewhere, student.readout(student.rollout(batch.inputs)[:, 1:]))
    assert not torch.allclose(found, wrong)  # control: what is expected at other places is another


@pytest.mark.parametrize("kind", ["smt", "dmt"])
def test_a_share_of_0_is_the_targets_alone(model: Path, kind: str) -> None:
    make = {"smt": make_smt, "dmt": make_dmt}[kind]
    batch = make_batch(3, 7)
    of_none, of_some = (losses(make(*both(model, share)), batch)["loss"] for share in (0.0, SHARE))
    student, teacher = both(model, 0.0)
    teacher.encoder.look_back = lambda _: None
    torch.testing.assert_close(losses(make(student, teacher), batch)["loss"], of_none)
    assert not torch.allclose(of_some, of_none)


def test_a_model_that_is_trained_learns_from_its_targets_and_not_from_the_student(tmp_path: Path) -> None:
    """Its own head predicts the targets; what it expects is given to the student without a way back."""
    student, teacher = both(save_model(tmp_path, llama), 1.0, frozen=False)  # its head and its tokens share nothing
    batch = make_batch(3, 7)
    found = losses(make_smt(student, teacher, decoding=0.0), batch)
    outputs = teacher.look_back(teacher.read(batch.inputs))
    assert outputs is not None
    twin = negative_log_likelihood(SYMBOLS, outputs, batch.targets).mean()
    torch.testing.assert_close(found["look_back"], twin)
    head = teacher.encoder.model.lm_head.weight
    (gradient,) = torch.autograd.grad(found["loss"], head, retain_graph=True)
    (expected,) = torch.autograd.grad(twin, head)
    torch.testing.assert_close(gradient, expected)


def test_the_divergence_is_0_just_where_both_agree() -> None:
    outputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(4, dtype=torch.int64)
    torch.testing.assert_close(taught(SYMBOLS, outputs, targets, outputs, 1.0), torch.zeros(4), atol=1e-6, rtol=0)
    assert (taught(SYMBOLS, outputs, targets, outputs.roll(1, 0), 1.0) > 1e-3).all()


def test_nothing_is_taught_where_nothing_is_scored() -> None:
    features = torch.randn(2, 3, 5, requires_grad=True)
    mask, targets = torch.zeros(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.int64)
    loss = readout_loss(lambda x: x, SYMBOLS, features, targets, mask, torch.randn(2, 3, 5), 0.5)
    loss.backward()
    assert loss == 0
    assert features.grad is not None
    assert not features.grad.any()
