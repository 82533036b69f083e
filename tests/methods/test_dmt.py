"""DMT against a naive twin that walks one window at a time, and how far its gradients go."""

from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import (
    DMT_VALUES,
    SYMBOLS,
    assert_same_gradients,
    gradients,
    make_batch,
    make_dmt,
    make_student,
    make_teacher,
)
from nounroll.batch import Batch, Real, Space
from nounroll.methods import DMT
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.rollout.windows import window_starts
from nounroll.seeding import generator

B, T = 3, 8


def make(cell: str = "mlp", inputs: Space = SYMBOLS, **settings: Any) -> DMT:
    student = make_student(cell, inputs=inputs)
    return make_dmt(student, make_teacher(student), **settings)


def twin(method: DMT, batch: Batch, progress: float) -> dict[str, Tensor]:
    """The same loss: each window of each row alone, one step of the cell after another."""
    s, student, teacher = method.settings, method.student, method._teacher[0]
    draws = generator(0, "loss")
    width = min(s.window, T)
    starts = window_starts(T, width, int(torch.randint(width, (), generator=draws))).tolist()
    share = s.mixing * max(0.0, 1 - 2 * progress)
    expert = torch.rand(B * len(starts), generator=draws) < share
    with torch.no_grad():
        labels, own = teacher.memories(batch.inputs), student.stepped_rollout(batch.inputs)
    drift = [((own[b, t + 1] - labels[b, t + 1]) ** 2).mean() for b in range(B) for t in range(T)]
    regression, readout = [], []
    for b in range(B):
        for w, start in enumerate(starts):
            memory = (labels if expert[b * len(starts) + w] else own)[b, start][None]
            for t in range(start, start + width):
                memory = student.step(batch.inputs[b, t][None], memory)
                regression.append(((memory[0] - labels[b, t + 1]) ** 2).mean())
                if batch.mask[b, t]:
                    outputs = student.readout(memory)
                    readout.append(negative_log_likelihood(student.targets, outputs, batch.targets[b, t][None])[0])
    named = {"drift": drift, "dynamics": regression, "readout": readout}
    return {name: torch.stack(values).mean() for name, values in named.items()}


@pytest.mark.parametrize(
    ("cell", "settings", "progress"),
    [
        ("mlp", {"window": 3}, 0.5),
        ("gru", {"window": 1}, 0.5),
        ("lstm", {"window": 100}, 0.5),
        ("mlp", {"window": 3, "mixing": 0.7}, 0.1),
        ("mlp", {"window": 3, "mixing": 0.7}, 0.6),
    ],
)
def test_the_loss_equals_its_naive_twin(cell: str, settings: dict[str, Any], progress: float) -> None:
    method, batch = make(cell, **settings), make_batch(B, T, sparse=True)
    ours, parts = method(batch, generator(0, "loss"), progress), twin(method, batch, progress)
    for name, value in parts.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-6, atol=1e-7, check_dtype=False, msg=name)
    total = DMT_VALUES["dynamics"] * parts["dynamics"] + DMT_VALUES["readout"] * parts["readout"]
    torch.testing.assert_close(ours["loss"], total, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(ours["loss"], total, method.student)


def test_mixing_starts_windows_at_the_teachers_memories_and_ends_half_way() -> None:
    batch = make_batch(B, T)
    plain, mixed = make(), make(mixing=1.0)
    early, later = (
        [method(batch, generator(0, "loss"), progress)["loss"] for method in (plain, mixed)] for progress in (0.0, 0.5)
    )
    assert not torch.equal(*early)
    assert torch.equal(*later)


# --- gradients ----------------------------------------------------------------------------------------


def test_the_teacher_is_frozen() -> None:
    method = make(mixing=1.0)
    teacher = method._teacher[0]
    method(make_batch(B, T), generator(0, "loss"), 0.0)["loss"].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert not {id(p) for p in teacher.parameters()} & {id(p) for p in method.parameters()}
    learns = {name for name, p in method.student.named_parameters() if p.grad is not None and p.grad.any()}
    assert learns == {name for name, _ in method.student.named_parameters()} - {"empty_memory"}


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("cell", ["mlp", "gru"])
def test_a_gradient_stays_in_its_window(cell: str, window: int) -> None:
    """The loss at y_s alone moves x_t just when some window holds both, and t <= s."""
    method = make(cell, inputs=Real(2), window=window, dynamics=0.0)
    offset = int(torch.randint(window, (), generator=generator(0, "loss")))
    starts = window_starts(T, window, offset).tolist()
    for s in range(T):
        batch = make_batch(B, T, inputs=Real(2))
        inputs = batch.inputs.clone().requires_grad_()
        only = torch.zeros(B, T, dtype=torch.bool)
        only[:, s] = True
        loss = method(Batch(inputs, batch.targets, only), generator(0, "loss"), 0.5)["loss"]
        moved = torch.autograd.grad(loss, inputs)[0].abs().amax((0, 2)) > 0
        together = [any(start <= t <= s < start + window for start in starts) for t in range(T)]
        assert moved.tolist() == together


def test_control_a_rollout_with_gradients_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make("mlp", inputs=Real(2), window=1, dynamics=0.0)
    monkeypatch.setattr(torch, "no_grad", torch.enable_grad)
    batch = make_batch(B, T, inputs=Real(2))
    inputs = batch.inputs.clone().requires_grad_()
    only = torch.zeros(B, T, dtype=torch.bool)
    only[:, -1] = True
    loss = method(Batch(inputs, batch.targets, only), generator(0, "loss"), 0.5)["loss"]
    assert (torch.autograd.grad(loss, inputs)[0].abs().amax((0, 2)) > 0).all()


def test_drift_is_a_figure_not_a_loss() -> None:
    losses = make()(make_batch(B, T), generator(0, "loss"), 0.5)
    assert not losses["drift"].requires_grad
    assert gradients(losses["loss"], make().student)  # the others are


def test_it_must_not_hand_over_a_worse_student() -> None:
    assert make().improves_only
