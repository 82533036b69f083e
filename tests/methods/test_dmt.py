"""DMT against a naive twin that walks one window at a time, and how far its gradients go."""

from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from helpers import (
    SYMBOLS,
    assert_same_gradients,
    decoding_twin,
    gradients,
    make_batch,
    make_bptt,
    make_dmt,
    make_student,
    make_tbptt,
    make_teacher,
)
from nounroll.core.batch import Batch, Real, Space
from nounroll.core.seeding import generator
from nounroll.methods import DMT, heed
from nounroll.methods.base import State
from nounroll.methods.heed import _CLEARLY_WORSE, _FULL_PULL, _LOST, is_lost
from nounroll.models.student import Student
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.rollout.windows import random_windows, unroll_windows
from nounroll.teacher import Teacher

B, T = 3, 8


def make(cell: str = "mlp", inputs: Space = SYMBOLS, *, sizes: dict[str, int] | None = None, **settings: Any) -> DMT:
    student = make_student(cell, inputs=inputs)
    return make_dmt(student, make_teacher(student, **(sizes or {})), **settings)


def losses_of(method: DMT, batch: Batch) -> dict[str, Tensor]:
    losses, state = method(batch, {}, generator(0, "loss"), 0.5)
    assert state.keys() == ({"silent"} if method.settings.only_ahead and method.settings.dynamics else set())
    return losses


def twin(method: DMT, batch: Batch) -> dict[str, Tensor]:
    """The same loss: each window of each row alone, one step of the cell after another."""
    s, student, teacher = method.settings, method.student, method._teacher[0]
    draws = generator(0, "loss")
    width = min(s.window, T)
    starts, counts = random_windows(B, T, width, draws)
    with torch.no_grad():
        labels, own = teacher.memories(batch.inputs), student.stepped_rollout(batch.inputs)
    drift = [((own[b, t + 1] - labels[b, t + 1]) ** 2).mean() for b in range(B) for t in range(T)]
    spread = torch.stack([labels[b, start] for b in range(B) for start in starts[b]]).var(0).mean()
    regression, readout, lost, behind = [], [], [], []
    known: list[list[tuple[int, Tensor]]] = [[] for _ in range(B)]
    for b in range(B):
        for w, start in enumerate(starts[b].tolist()):
            times = range(start, start + width)
            far = s.only_ahead and ((own[b, start] - labels[b, start]) ** 2).mean() > _LOST * spread
            lost.append(torch.tensor(float(far and helpless(method, batch, b, times, own, labels))))
            memory = (labels if lost[-1] else own)[b, start][None]
            for t, counts_here in zip(times, counts[b, w].tolist(), strict=True):
                memory = student.step(batch.inputs[b, t][None], memory)
                known[b].append((t, memory[0]))
                if counts_here:
                    regression.append(((memory[0] - labels[b, t + 1]) ** 2).mean())
                if counts_here and batch.mask[b, t]:
                    behind.append(lag(student, batch, b, t, own, labels))
                    readout.append(surprise(student, batch, b, t, memory[0]))
    named = {"drift": drift, "dynamics": regression, "readout": readout, "lost": lost, "ahead": behind}
    means = {name: torch.stack(values).mean() for name, values in named.items()}
    if s.decoding:
        means["decoding"] = decoding_twin(student, teacher.decoder, batch, known, draws, teacher.settings.horizon)
    lost, lead = means.pop("lost"), means.pop("ahead") / (_FULL_PULL * method.knowable)
    return {**means, "lost": lost, "ahead": lead.clamp(0, 1)} if s.only_ahead else means


def surprise(student: Student, batch: Batch, b: int, t: int, memory: Tensor) -> Tensor:
    """-log p(y_t) of one memory."""
    return -student.targets.log_prob(student.readout(memory[None]), batch.targets[b, t][None])[0]


@torch.no_grad()
def lag(student: Student, batch: Batch, b: int, t: int, own: Tensor, labels: Tensor) -> Tensor:
    """By how much the student's own memory reads y_t worse than the teacher's."""
    return surprise(student, batch, b, t, own[b, t + 1]) - surprise(student, batch, b, t, labels[b, t + 1])


def helpless(method: DMT, batch: Batch, b: int, times: range, own: Tensor, labels: Tensor) -> bool:
    """Whether nothing is scored in a window, or the student's memories read clearly worse there than the teacher's."""
    worse = [lag(method.student, batch, b, t, own, labels) for t in times if batch.mask[b, t]]
    return not worse or bool(torch.stack(worse).mean() > _CLEARLY_WORSE * method.knowable)


def assert_equals_its_twin(method: DMT, batch: Batch) -> dict[str, Tensor]:
    ours, parts = losses_of(method, batch), twin(method, batch)
    for name, value in parts.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-6, atol=1e-7, check_dtype=False, msg=name)
    pull = method.settings.dynamics * (parts["ahead"] if method.settings.only_ahead else 1)
    total = pull * parts["dynamics"] + parts["readout"]
    total = total + method.settings.decoding * parts.get("decoding", 0.0)
    torch.testing.assert_close(ours["loss"], total, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(ours["loss"], total, method.student, method._teacher[0])
    assert ("lost" in ours) == ("ahead" in ours) == method.settings.only_ahead
    return ours


@pytest.mark.parametrize(
    ("cell", "settings", "sizes"),
    [
        ("mlp", {"window": 3}, {}),
        ("gru", {"window": 1}, {}),
        ("lstm", {"window": 100}, {}),
        ("tape", {"window": 5}, {}),
        ("mlp", {"window": 3, "decoding": 0.7}, {}),
        ("gru", {"window": 2, "decoding": 0.7}, {"horizon": 1}),
        ("mingru", {"window": 100, "decoding": 0.7}, {"horizon": 100}),
    ],
    ids=str,
)
def test_the_loss_equals_its_naive_twin(cell: str, settings: dict[str, Any], sizes: dict[str, int]) -> None:
    assert_equals_its_twin(make(cell, sizes=sizes, **settings), make_batch(B, T, sparse=True))


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("only_ahead", [False, True])
def test_so_does_the_loss_in_parts(chunk: int, only_ahead: bool) -> None:
    method = make("mlp", window=3, decoding=0.0, only_ahead=only_ahead)
    method.chunk = chunk
    assert_equals_its_twin(method, make_batch(B, T, sparse=True))


def test_only_a_part_of_its_own_memories_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    method, lengths = make("mlp", window=2, decoding=0.0, only_ahead=False), []
    rollout = method.student.rollout

    def noted(inputs: Tensor, memory: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            lengths.append(inputs.shape[1])
        return rollout(inputs, memory)

    monkeypatch.setattr(method.student, "rollout", noted)
    for chunk, expected in ((0, [T - 2]), (4, [4, T - 2 - 4])):  # no window of two steps starts later
        method.chunk = chunk
        lengths.clear()
        method(make_batch(B, T), {}, generator(0, "loss"), 0.5)
        assert lengths == expected


def test_only_a_part_of_the_windows_is_unrolled_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    method, rows = make("mlp", window=2, decoding=0.0), []

    def noted(student: Student, inputs: Tensor, start: Tensor) -> Tensor:
        rows.append(len(inputs))
        return unroll_windows(student, inputs, start)

    monkeypatch.setattr("nounroll.methods.dmt.unroll_windows", noted)
    for chunk, most in ((0, B * T // 2), (2, B)):
        method.chunk = chunk
        losses_of(method, make_batch(B, T))["loss"].backward()
        assert max(rows) >= most > max(rows) // 2
        rows.clear()


def heeding(space: Space = SYMBOLS) -> tuple[Student, Teacher]:
    """A student whose readout says very different things of different memories, and a teacher that is a bit ahead."""
    student = make_student(inputs=space, targets=space)
    with torch.no_grad():
        student.head.out.weight.mul_(30 if space == SYMBOLS else 3)
    return student, make_teacher(student, seed=2 if space == SYMBOLS else 1)


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("settings", [{"window": 1}, {"window": 3}, {"window": 2, "decoding": 0.7}], ids=str)
def test_so_does_the_loss_that_heeds_the_teacher_where_it_is_ahead(settings: dict[str, Any], space: Space) -> None:
    """By any measure of what there is to know: the larger, the weaker the pull and the fewer windows are lost."""
    student, teacher = heeding(space)
    batch = make_batch(B, T, inputs=space, targets=space, sparse=True)
    found = [
        assert_equals_its_twin(make_dmt(student, teacher, knowable=knowable, only_ahead=True, **settings), batch)
        for knowable in (0.1, 4.0, 1e9)
    ]
    lost, ahead = ([float(losses[name]) for losses in found] for name in ("lost", "ahead"))
    assert 1 > lost[0] > lost[1] > lost[2] > 0
    assert 1 == ahead[0] > ahead[1] > ahead[2]
    never = losses_of(make_dmt(student, teacher, knowable=0.1, **settings), batch)
    assert not torch.equal(never["dynamics"], found[0]["dynamics"])  # where windows start counts


# --- how far the teacher is ahead, by what there is to know -------------------------------------------


def with_a_lead(monkeypatch: pytest.MonkeyPatch, better: float, batch: Batch, **settings: Any) -> DMT:
    """A method whose teacher's memories read ``better`` nats better than any others."""
    method = make(dynamics=0.8, **settings)
    labels = method._teacher[0].memories(batch.inputs)

    def readout(memories: Tensor) -> Tensor:  # the surprise at every target: less by ``better`` at a label
        known = (memories[..., None, :, :] == labels.flatten(0, 1)).flatten(-2).all(-1).any(-1)
        return torch.where(known, 0.0, better)[..., None] + 0 * memories.sum((-2, -1))[..., None]

    monkeypatch.setattr(method.student, "readout", readout)
    monkeypatch.setattr(heed, "negative_log_likelihood", lambda _, outputs, targets: outputs[..., 0])
    return method


@pytest.mark.parametrize("knowable", [0.01, 0.7, 5.0])
@pytest.mark.parametrize(("share", "pull"), [(-1.0, 0.0), (0.0, 0.0), (0.2, 0.4), (0.5, 1.0), (9.0, 1.0)])
def test_the_teacher_is_followed_as_far_as_it_is_ahead(
    monkeypatch: pytest.MonkeyPatch, share: float, pull: float, knowable: float
) -> None:
    """By a share of what there is to know: not at all where it is behind, and never more than dmt.dynamics says."""
    batch = make_batch(B, T, sparse=True)
    method = with_a_lead(monkeypatch, share * knowable, batch, only_ahead=True, knowable=knowable)
    losses = losses_of(method, batch)
    torch.testing.assert_close(losses["ahead"].item(), pull)
    torch.testing.assert_close(losses["loss"] - losses["readout"], 0.8 * pull * losses["dynamics"])


@pytest.mark.parametrize("better", [-1.0, 0.4, 9.0])
def test_without_only_ahead_it_is_followed_whatever_it_is(monkeypatch: pytest.MonkeyPatch, better: float) -> None:
    batch = make_batch(B, T, sparse=True)
    losses = losses_of(with_a_lead(monkeypatch, better, batch, only_ahead=False), batch)
    torch.testing.assert_close(losses["loss"] - losses["readout"], 0.8 * losses["dynamics"])


@pytest.mark.parametrize("unit", [0.01, 0.7, 30.0])
def test_losses_in_another_unit_have_their_thresholds_in_it(monkeypatch: pytest.MonkeyPatch, unit: float) -> None:
    """All losses times ``unit``, and what there is to know too: the same windows are lost, the pull is the same."""
    (student, teacher), batch = heeding(), make_batch(B, T, sparse=True)
    plain = losses_of(make_dmt(student, teacher, knowable=4.0, only_ahead=True), batch)
    assert 0 < plain["lost"] < 1
    assert 0 < plain["ahead"] < 1
    monkeypatch.setattr(heed, "negative_log_likelihood", lambda *given: unit * negative_log_likelihood(*given))
    scaled = losses_of(make_dmt(student, teacher, knowable=unit * 4.0, only_ahead=True), batch)
    for name in ("lost", "ahead", "dynamics", "readout"):
        torch.testing.assert_close(scaled[name], plain[name], rtol=1e-5, atol=0, msg=name)
    other = losses_of(make_dmt(student, teacher, knowable=4.0, only_ahead=True), batch)
    assert other["ahead"] != plain["ahead"]  # the control: the measure stays where it is


def test_without_a_pull_no_label_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = make(dynamics=0.0, decoding=0.7, only_ahead=True), make_batch(B, T)
    monkeypatch.setattr(method._teacher[0], "read", None)
    assert losses_of(method, batch).keys() == {"loss", "readout", "decoding"}
    with pytest.raises(TypeError):  # the control: with one it is asked
        losses_of(make_dmt(method.student, method._teacher[0], dynamics=1.0), batch)


# --- how often the teacher is asked -------------------------------------------------------------------


def asked_in(monkeypatch: pytest.MonkeyPatch, better: list[float], **settings: Any) -> list[int]:
    """The steps that ask a teacher whose lead at each step is ``better``; the state goes from step to step."""
    student = make_student("mlp")
    method, batch, asked = make_dmt(student, make_teacher(student), **settings), make_batch(B, T), []
    state: State = {}
    labels = method._taught

    def taught(batch: Batch) -> Any:
        asked.append(step)
        return labels(batch)

    def found(student: Any, windows: Any, *_: Any) -> Any:
        return windows.start, {"ahead": torch.tensor(better[step]), "lost": torch.tensor(0.0)}

    monkeypatch.setattr(method, "_taught", taught)
    monkeypatch.setattr("nounroll.methods.dmt.heed", found)
    for step in range(len(better)):
        losses, state = method(batch, state, generator(0, "loss"), 0.5)
        assert ("dynamics" in losses) == ("drift" in losses) == (step in asked)
    return asked


def test_a_teacher_that_says_nothing_is_asked_more_and_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_in(monkeypatch, [0.0] * 200, only_ahead=True) == [*range(8), 8, 16, 32, 64, 128, 192]


def test_once_it_is_ahead_it_is_asked_at_all_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    better = [0.0] * 16 + [0.3] + [0.0] * 14
    assert asked_in(monkeypatch, better, only_ahead=True) == [*range(9), *range(16, 26)]


def test_control_a_teacher_that_is_ahead_is_asked_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_in(monkeypatch, [0.3] * 20, only_ahead=True) == list(range(20))


def test_so_is_one_that_is_followed_whatever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_in(monkeypatch, [0.0] * 20, only_ahead=False) == list(range(20))


@pytest.mark.parametrize("length", [T, 3], ids=["windows", "one window"])
def test_steps_that_ask_nothing_are_steps_of_truncated_bptt(length: int) -> None:
    """Their windows continue from step to step, until a step asks."""
    method = make("mlp", only_ahead=True, window=3)
    alone, state, theirs = make_tbptt(method.student, window=3), {"silent": torch.full((1, B), 9.0)}, {}
    for step in range(9, 20):
        batch = make_batch(B, length, sparse=True, seed=step)
        found, state = method(batch, state, generator(step, "loss"), 0.5)
        assert ("dynamics" in found) == (step == 16)
        if step == 16:
            theirs = {}
        else:
            wanted, theirs = alone(batch, theirs, generator(step, "loss"), 0.5)
            assert torch.equal(found["loss"], wanted["loss"])
            assert_same_gradients(found["loss"], wanted["loss"], method.student)
        assert state.keys() == {*theirs, "silent"}
        assert all(torch.equal(state[name], values) for name, values in theirs.items())
        state["silent"] = torch.full((1, B), step + 1.0)  # whatever the teacher has said


def test_a_step_with_the_decoder_never_does_without_the_windows_own_loss() -> None:
    method = make("mlp", only_ahead=True, window=3, decoding=0.7)
    losses, state = method(make_batch(B, T), {"silent": torch.full((1, B), 9.0)}, generator(0, "loss"), 0.5)
    assert losses.keys() == {"loss", "readout", "decoding"}
    assert state.keys() == {"silent"}


# --- who is lost --------------------------------------------------------------------------------------

N, W = 40, 3  # windows and their width


class Windows:
    """Windows whose readout is worse than the teacher's by ``worse`` nats, and whose start is off by ``drift``."""

    def __init__(self, **settings: Any) -> None:
        self.method = make(**{"only_ahead": True, **settings})
        self.expert = torch.randn(N, 2, 8, generator=generator(0, "test"), dtype=torch.float64)
        self.variance = ((self.expert - self.expert.mean(0)) ** 2).sum(0).mean() / (N - 1)
        self.mask = torch.ones(N, W, dtype=torch.bool)

    def lost(self, drift: Tensor, worse: Tensor) -> Tensor:
        """drift (N,), in multiples of the memories' variance; worse (N, W), in nats."""
        start = self.expert + (drift * self.variance).sqrt()[:, None, None]
        return is_lost(start, self.expert, worse, self.mask, self.method.knowable)


def spread(low: float, high: float) -> Tensor:
    return torch.linspace(low, high, N, dtype=torch.float64)


def test_a_student_is_lost_only_where_it_is_far_from_the_teacher() -> None:
    drift, worse = spread(0.0, 3.0), torch.full((N, W), 9.0, dtype=torch.float64)
    assert torch.equal(Windows().lost(drift, worse), drift > _LOST)


@pytest.mark.parametrize("knowable", [0.2, 1.0, 7.0])
def test_and_only_where_it_reads_clearly_worse_on_the_mean_of_what_is_scored(knowable: float) -> None:
    """Clearly is a share of what there is to know."""
    far = torch.full((N,), 5.0, dtype=torch.float64)
    windows, worse = Windows(knowable=knowable), spread(-1.0, 2.0)
    clearly = _CLEARLY_WORSE * knowable
    assert torch.equal(windows.lost(far, worse[:, None].expand(N, W)), worse > clearly)
    unequal = worse[:, None] + torch.tensor([2.0, -3.0, 1.0])
    assert torch.equal(windows.lost(far, unequal), worse > clearly)
    windows.mask[:, 1] = False
    assert torch.equal(windows.lost(far, unequal), worse + 1.5 > clearly)


def test_where_nothing_is_scored_the_distance_decides() -> None:
    windows, drift = Windows(), spread(0.0, 3.0)
    windows.mask[::2] = False
    expected = (drift > _LOST) & ~windows.mask[:, 0]
    assert torch.equal(windows.lost(drift, torch.full((N, W), -9.0, dtype=torch.float64)), expected)


@pytest.mark.parametrize(("size", "length"), [(1, 1), (1, 5), (3, 1)])
def test_one_window_or_one_step(size: int, length: int) -> None:
    losses = losses_of(make(only_ahead=True, knowable=0.01, window=8), make_batch(size, length))
    assert all(torch.isfinite(value) for value in losses.values())


def test_where_nothing_is_scored_the_labels_alone_can_teach() -> None:
    x = make_batch(B, T).inputs
    batch = Batch(x, x, torch.zeros(B, T, dtype=torch.bool))
    paper, ours = (losses_of(make(only_ahead=only_ahead), batch) for only_ahead in (False, True))
    assert paper["readout"] == ours["readout"] == ours["ahead"] == 0
    torch.testing.assert_close(paper["loss"], 1.1 * paper["dynamics"])
    assert ours["loss"] == 0


# --- gradients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoding", [0.0, 1.0])
def test_of_the_teacher_only_the_decoder_learns_and_only_where_it_is_used(decoding: float) -> None:
    method = make(decoding=decoding)
    teacher = method._teacher[0]
    assert teacher.decoder is not None
    losses_of(method, make_batch(B, T))["loss"].backward()
    learning = {id(p) for p in teacher.decoder.parameters()} if decoding else set()
    assert {id(p) for p in teacher.parameters() if p.grad is not None} == learning
    assert {id(p) for p in teacher.parameters()} & {id(p) for p in method.parameters()} == learning
    learns = {name for name, p in method.student.named_parameters() if p.grad is not None and p.grad.any()}
    assert learns == {name for name, _ in method.student.named_parameters()} - {"empty_memory"}


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("cell", ["mlp", "gru"])
def test_a_gradient_stays_in_its_window(cell: str, window: int) -> None:
    """The likelihood of y_s moves x_t just when the window that counts y_s holds x_t too, and t <= s."""
    method = make(cell, inputs=Real(2), window=window)
    starts, counts = random_windows(B, T, window, generator(0, "loss"))
    for s in range(T):
        batch = make_batch(B, T, inputs=Real(2))
        inputs = batch.inputs.clone().requires_grad_()
        only = torch.zeros(B, T, dtype=torch.bool)
        only[:, s] = True
        loss = losses_of(method, Batch(inputs, batch.targets, only))["readout"]
        moved = torch.autograd.grad(loss, inputs)[0].abs().amax(2) > 0
        holds = (
            (starts <= s)
            & (s < starts + window)
            & counts.gather(2, (s - starts).clamp(0, window - 1)[..., None])[..., 0]
        )
        first = starts[holds]  # one a row
        together = [[begin <= t <= s for t in range(T)] for begin in first.tolist()]
        assert moved.tolist() == together


def test_control_a_rollout_with_gradients_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make("mlp", inputs=Real(2), window=1)
    monkeypatch.setattr(torch, "no_grad", torch.enable_grad)
    batch = make_batch(B, T, inputs=Real(2))
    inputs = batch.inputs.clone().requires_grad_()
    only = torch.zeros(B, T, dtype=torch.bool)
    only[:, -1] = True
    loss = losses_of(method, Batch(inputs, batch.targets, only))["readout"]
    assert (torch.autograd.grad(loss, inputs)[0].abs().amax((0, 2)) > 0).all()


def test_figures_are_no_losses() -> None:
    losses = losses_of(make(only_ahead=True), make_batch(B, T))
    assert {name for name, value in losses.items() if not value.requires_grad} == {"drift", "ahead", "lost"}


def test_it_must_not_hand_over_a_worse_student() -> None:
    assert make().improves_only


@pytest.mark.parametrize("window", [T, 100])
def test_one_window_over_all_of_it_is_bptt(window: int) -> None:
    method, batch = make(window=window, dynamics=0.0, decoding=0.7), make_batch(B, T, sparse=True)
    loss = losses_of(method, batch)["readout"]
    whole = make_bptt(method.student)(batch, {}, generator(0, "loss"), 0.5)[0]["readout"]
    torch.testing.assert_close(loss, whole)
    ours, theirs = gradients(loss, method.student), gradients(whole, method.student)
    for name in ours.keys() - {"0.empty_memory"}:  # of which DMT's is detached
        torch.testing.assert_close(ours[name], theirs[name])


@pytest.mark.parametrize(
    ("settings", "rollouts"),
    [({}, 1), ({"dynamics": 0.0, "decoding": 0.7}, 1), ({"only_ahead": True}, 2), ({"window": 3}, 2)],
    ids=str,
)
def test_its_own_memories_are_made_where_they_are_needed(settings: dict[str, Any], rollouts: int) -> None:
    """One window from m_∅ is all there is to roll out, unless its memories are compared with the teacher's before."""
    method = make(**{"window": T, **settings})
    with mock.patch.object(method.student, "rollout", wraps=method.student.rollout) as made:
        losses_of(method, make_batch(B, T))
    assert made.call_count == rollouts


def test_its_longest_chain_is_a_rollout_and_what_is_left_of_a_window() -> None:
    assert make(window=4).sequential_flops(10.0, 3.0, T) == 3.0 * T + 7.0 * 4
    assert make(window=100).sequential_flops(10.0, 3.0, T) == 10.0 * T
    assert make(window=4).sequential_flops(10.0, 3.0, 1) == 10.0  # a parallel scan
