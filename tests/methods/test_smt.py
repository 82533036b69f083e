"""SMT against a naive twin that steps one transition at a time, and who gets gradients from its parts."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import (
    SMT_VALUES,
    SYMBOLS,
    assert_same_gradients,
    gradients,
    make_batch,
    make_smt,
    make_student,
    make_teacher,
)
from nounroll.batch import Batch, Real, Space
from nounroll.methods import SMT
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.objectives.uniformity import uniformity
from nounroll.seeding import generator

B, T = 3, 7


def chosen_times(method: SMT, draws: torch.Generator) -> Tensor:
    """The times t of each row whose transitions count, (B, S): the draw that the method documents."""
    count = method.settings.transitions
    if count is None or count >= T:
        return torch.arange(T).expand(B, -1)
    return torch.rand(B, T, generator=draws).argsort(dim=1)[:, :count]


def scored(method: SMT, outputs: Tensor, target: Tensor) -> Tensor:
    return negative_log_likelihood(method.student.targets, outputs[None], target[None])[0]


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def twin(method: SMT, batch: Batch) -> dict[str, Tensor]:
    """The same loss, one row, one time, one step of the cell after another."""
    s, student, teacher = method.settings, method.student, method.teacher
    draws = generator(0, "loss")
    labels = teacher.memories(batch.inputs)  # index t + 1 is m_t
    readout, step_readout, regression, decoding = [], [], [], []
    times = chosen_times(method, draws)
    for b in range(B):
        for t in times[b].tolist():
            after, x, y = labels[b, t + 1], batch.inputs[b, t], batch.targets[b, t]
            predicted = student.step(x[None], labels[b, t][None])[0]
            regression.append(((predicted - after) ** 2).sum() / after.numel())
            if batch.mask[b, t]:
                readout.append(scored(method, student.readout(after), y))
                step_readout.append(scored(method, student.readout(predicted), y))
    picks = torch.randint(times.shape[1], (B, s.windows), generator=draws)
    for b in range(B):
        for t in times[b, picks[b]].tolist():
            assert teacher.decoder is not None
            stop = min(t + s.horizon, T)
            outputs = teacher.decoder(labels[b, t + 1][None], batch.inputs[b, t + 1 : stop][None])[0]
            assert len(outputs) == stop - t
            decoding += [
                scored(method, outputs[i], batch.targets[b, t + i]) for i in range(stop - t) if batch.mask[b, t + i]
            ]
    everywhere = torch.stack([labels[b, t + 1] for b in range(B) for t in times[b].tolist()])
    return {
        "readout": mean(readout),
        "dynamics": mean(regression),
        "step_readout": mean(step_readout),
        "decoding": mean(decoding),
        "uniformity": uniformity(everywhere).mean(),
    }


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("transitions", [None, 4])
@pytest.mark.parametrize("teacher", ["causal", "window"])
def test_the_loss_equals_its_naive_twin(teacher: str, transitions: int | None, space: Space) -> None:
    student = make_student("gru" if teacher == "window" else "mlp", inputs=space, targets=space)
    method = make_smt(student, make_teacher(student, kind=teacher), transitions=transitions)
    batch = make_batch(B, T, inputs=space, targets=space, sparse=True)
    ours, parts = method(batch, generator(0, "loss"), 0.5), twin(method, batch)
    for name, value in parts.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-6, atol=1e-7, check_dtype=False, msg=name)
    total = sum((SMT_VALUES[name] * value for name, value in parts.items()), torch.zeros(()))
    torch.testing.assert_close(ours["loss"], total, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(ours["loss"], total, student, method.teacher)


def test_terms_of_weight_zero_are_left_out() -> None:
    student = make_student()
    batch = make_batch()
    whole = make_smt(student, make_teacher(student))(batch, generator(0, "loss"), 0.5)
    assert {"decoding", "uniformity", "step_readout"} <= whole.keys()
    bare = make_smt(student, make_teacher(student), decoding=0.0, uniformity=0.0, step_readout=0.0)
    assert not {"decoding", "uniformity", "step_readout"} & bare(batch, generator(0, "loss"), 0.5).keys()
    without_decoder = make_smt(student, make_teacher(student, decoder_layers=0))
    assert "decoding" not in without_decoder(batch, generator(0, "loss"), 0.5)


def test_the_horizon_may_be_longer_than_the_sequence() -> None:
    student = make_student()
    method = make_smt(student, make_teacher(student), horizon=100)
    assert torch.isfinite(method(make_batch(length=3), generator(0, "loss"), 0.5)["loss"])


def test_explained_is_the_share_of_the_labels_variance_that_the_cell_gets_right() -> None:
    student = make_student()
    method, batch = make_smt(student, make_teacher(student)), make_batch()
    losses = method(batch, generator(0, "loss"), 0.5)
    labels = method.teacher.memories(batch.inputs)[:, 1:].flatten(0, 1)
    variance = ((labels - labels.mean(0)) ** 2).sum(0).mean() / (len(labels) - 1)
    torch.testing.assert_close(losses["explained"], (1 - losses["dynamics"] / variance).detach())
    assert not losses["explained"].requires_grad


# --- who learns from the dynamics loss ----------------------------------------------------------------


def dynamics_gradients(**settings: Any) -> tuple[dict[str, float], Tensor]:
    """Gradient norms of the dynamics loss per part, and for each label m_s (index of batch.py)."""
    student = make_student()
    teacher = make_teacher(student)
    method = make_smt(student, teacher, **settings)
    seen: list[Tensor] = []
    memories = teacher.memories
    teacher.memories = lambda *given: seen.append(memories(*given)) or seen[-1]  # type: ignore[method-assign]
    loss = method(make_batch(B, T), generator(0, "loss"), 0.5)["dynamics"]
    assert teacher.decoder is not None
    parts: dict[str, list[torch.nn.Module]] = {
        "cell": [student.cell],
        "readout": [student.head],
        "encoder": [teacher.encoder],
        "memory head": [teacher.head],
        "decoder": [teacher.decoder],
    }
    norms = {name: sum(float(g.norm()) for g in gradients(loss, *part).values()) for name, part in parts.items()}
    by_label = torch.autograd.grad(loss, seen[0], allow_unused=True)[0] if loss.requires_grad else None
    sizes = torch.zeros(T + 1) if by_label is None else torch.stack([g.norm() for g in by_label.unbind(1)])
    return norms, sizes


@pytest.mark.parametrize(("labels_learn", "inputs_learn"), list(itertools.product([True, False], repeat=2)))
def test_labels_learn_and_inputs_learn_decide_exactly(labels_learn: bool, inputs_learn: bool) -> None:
    norms, sizes = dynamics_gradients(labels_learn=labels_learn, inputs_learn=inputs_learn)
    reached = {name for name, norm in norms.items() if norm > 0}
    assert reached == {"cell"} | ({"encoder", "memory head"} if labels_learn or inputs_learn else set())
    assert bool(sizes[0] > 0) == inputs_learn  # m_∅ is the input of a step and the label of none
    assert bool(sizes[-1] > 0) == labels_learn  # the last memory is a label alone
    assert bool((sizes[1:-1] > 0).all()) == (labels_learn or inputs_learn)


def test_other_losses_reach_the_teacher_whatever_the_dynamics_loss_may() -> None:
    student = make_student()
    method = make_smt(student, make_teacher(student), labels_learn=False, inputs_learn=False)
    losses = method(make_batch(), generator(0, "loss"), 0.5)
    for name in ("readout", "decoding", "uniformity"):
        assert any(g.any() for g in gradients(losses[name], method.teacher.encoder).values()), name
    assert not any(g.any() for g in gradients(losses["decoding"], student).values())


def test_it_hands_over_the_student_as_it_is() -> None:
    student = make_student()
    assert not make_smt(student, make_teacher(student)).improves_only
