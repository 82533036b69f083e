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
from nounroll.methods import DMT, dmt
from nounroll.methods.dmt import _CLEARLY_WORSE
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.rollout.windows import window_starts
from nounroll.seeding import generator
from nounroll.student import Student

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
    mixed = torch.rand(B * len(starts), generator=draws) < share
    with torch.no_grad():
        labels, own = teacher.memories(batch.inputs), student.stepped_rollout(batch.inputs)
    drift = [((own[b, t + 1] - labels[b, t + 1]) ** 2).mean() for b in range(B) for t in range(T)]
    spread = torch.stack([labels[b, start] for b in range(B) for start in starts]).var(0).mean()
    regression, readout, lost = [], [], []
    for b in range(B):
        for w, start in enumerate(starts):
            times = range(start, start + width)
            far = s.lost is not None and ((own[b, start] - labels[b, start]) ** 2).mean() > s.lost * spread
            lost.append(torch.tensor(float(far and helpless(student, batch, b, times, own, labels))))
            expert = mixed[b * len(starts) + w] or lost[-1]
            memory = (labels if expert else own)[b, start][None]
            for t in times:
                memory = student.step(batch.inputs[b, t][None], memory)
                regression.append(((memory[0] - labels[b, t + 1]) ** 2).mean())
                if batch.mask[b, t]:
                    readout.append(surprise(student, batch, b, t, memory[0]))
    named = {"drift": drift, "dynamics": regression, "readout": readout, "lost": lost}
    return {name: torch.stack(values).mean() for name, values in named.items()}


def surprise(student: Student, batch: Batch, b: int, t: int, memory: Tensor) -> Tensor:
    """-log p(y_t) of one memory."""
    return negative_log_likelihood(student.targets, student.readout(memory[None]), batch.targets[b, t][None])[0]


@torch.no_grad()
def helpless(student: Student, batch: Batch, b: int, times: range, own: Tensor, labels: Tensor) -> bool:
    """Whether nothing is scored in a window, or the student's memories read clearly worse there than the teacher's."""
    worse = [
        surprise(student, batch, b, t, own[b, t + 1]) - surprise(student, batch, b, t, labels[b, t + 1])
        for t in times
        if batch.mask[b, t]
    ]
    return not worse or bool(torch.stack(worse).mean() > _CLEARLY_WORSE)


def assert_equals_its_twin(method: DMT, batch: Batch, progress: float, pull: float) -> dict[str, Tensor]:
    ours, parts = method(batch, generator(0, "loss"), progress), twin(method, batch, progress)
    for name, value in parts.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-6, atol=1e-7, check_dtype=False, msg=name)
    total = pull * parts["dynamics"] + method.settings.readout * parts["readout"]
    torch.testing.assert_close(ours["loss"], total, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(ours["loss"], total, method.student)
    return ours


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
    losses = assert_equals_its_twin(
        make(cell, **settings), make_batch(B, T, sparse=True), progress, DMT_VALUES["dynamics"]
    )
    assert losses["lost"] == 0


@pytest.mark.parametrize(("progress", "pull"), [(0.0, 0.8), (0.25, 0.65), (1.0, 0.2)])
def test_the_pull_to_the_teacher_goes_linearly_to_its_last_weight(progress: float, pull: float) -> None:
    method = make(dynamics=0.8, last_dynamics=0.2)
    assert_equals_its_twin(method, make_batch(B, T, sparse=True), progress, pull)


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("settings", [{}, {"mixing": 0.7}, {"window": 1}, {"window": 3}], ids=str)
def test_so_does_the_loss_where_the_student_is_lost(settings: dict[str, Any], space: Space) -> None:
    student = opinionated(make_student(inputs=space, targets=space))
    method = make_dmt(student, make_teacher(student), **{"window": 2, "lost": 2.5, **settings})
    batch = make_batch(B, T, inputs=space, targets=space, sparse=True)
    losses = assert_equals_its_twin(method, batch, 0.2, DMT_VALUES["dynamics"])
    assert 0 < losses["lost"] < 1  # some windows are, some are not
    if "mixing" not in settings:  # by which the same windows may start at the teacher's memory
        never = make_dmt(student, method._teacher[0], **{"window": 2, **settings})(batch, generator(0, "loss"), 0.2)
        assert not torch.equal(never["dynamics"], losses["dynamics"])  # it counts


def opinionated(student: Student) -> Student:
    """A student whose readout says very different things of different memories."""
    with torch.no_grad():
        student.head.out.weight.mul_(30)
    return student


N, W = 40, 3  # windows and their width, in the tests of who is lost


class Windows:
    """Windows whose readout is worse than the teacher's by ``worse`` nats, and whose start is off by ``drift``.

    The readout is taken off the memory: the surprise at a symbol is the first number in it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lost: float | None = 0.5) -> None:
        self.method = make(lost=lost)
        draws = generator(0, "test")
        self.expert = torch.randn(N, 2, 8, generator=draws, dtype=torch.float64)
        self.label = torch.rand(N, W, 2, 8, generator=draws, dtype=torch.float64)
        self.variance = ((self.expert - self.expert.mean(0)) ** 2).sum(0).mean() / (N - 1)
        self.mask = torch.ones(N, W, dtype=torch.bool)
        monkeypatch.setattr(self.method.student, "readout", lambda memory: memory[..., 0, :1])
        monkeypatch.setattr(dmt, "negative_log_likelihood", lambda _, outputs, targets: outputs[..., 0])

    def lost(self, drift: Tensor, worse: Tensor) -> Tensor:
        """drift (N,), in multiples of the memories' variance; worse (N, W), in nats."""
        mine = self.label.clone()
        mine[:, :, 0, 0] += worse
        start = self.expert + (drift * self.variance).sqrt()[:, None, None]
        targets = torch.zeros(N, W, dtype=torch.int64)
        return self.method._lost(start, self.expert, mine, self.label, targets, self.mask)


def spread(low: float, high: float) -> Tensor:
    return torch.linspace(low, high, N, dtype=torch.float64)


@pytest.mark.parametrize("limit", [0.1, 0.5, 2.0])
def test_it_is_lost_only_where_it_is_far_from_the_teacher(monkeypatch: pytest.MonkeyPatch, limit: float) -> None:
    drift, worse = spread(0.0, 3.0), torch.full((N, W), 9.0, dtype=torch.float64)
    assert torch.equal(Windows(monkeypatch, limit).lost(drift, worse), drift > limit)


def test_and_only_where_it_reads_clearly_worse_on_the_mean_of_what_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    far = torch.full((N,), 5.0, dtype=torch.float64)
    windows, worse = Windows(monkeypatch), spread(-1.0, 2.0)
    assert torch.equal(windows.lost(far, worse[:, None].expand(N, W)), worse > _CLEARLY_WORSE)
    unequal = worse[:, None] + torch.tensor([2.0, -3.0, 1.0])
    assert torch.equal(windows.lost(far, unequal), worse > _CLEARLY_WORSE)
    windows.mask[:, 1] = False
    assert torch.equal(windows.lost(far, unequal), worse + 1.5 > _CLEARLY_WORSE)


def test_where_nothing_is_scored_the_distance_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, drift = Windows(monkeypatch), spread(0.0, 3.0)
    windows.mask[::2] = False
    expected = (drift > 0.5) & ~windows.mask[:, 0]
    assert torch.equal(windows.lost(drift, torch.full((N, W), -9.0, dtype=torch.float64)), expected)


def test_with_no_limit_it_is_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows(monkeypatch, None)
    far = torch.full((N,), 1e9, dtype=torch.float64)
    assert not windows.lost(far, torch.full((N, W), 1e9, dtype=torch.float64)).any()


@pytest.mark.parametrize(("size", "length"), [(1, 1), (1, 5), (3, 1)])
def test_one_window_or_one_step(size: int, length: int) -> None:
    method = make(lost=0.01, window=8)
    losses = method(make_batch(size, length), generator(0, "loss"), 0.5)
    assert all(torch.isfinite(value) for value in losses.values())


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
    method = make(cell, inputs=Real(2), window=window, dynamics=0.0, last_dynamics=0.0)
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
    method = make("mlp", inputs=Real(2), window=1, dynamics=0.0, last_dynamics=0.0)
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
