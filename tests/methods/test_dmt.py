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
    make_teacher,
    tiny_recipe,
)
from nounroll.batch import Batch, Real, Space
from nounroll.methods import DMT, DMTSettings, dmt
from nounroll.methods.carried import from_tensors, to_tensors
from nounroll.methods.dmt import _CLEARLY_WORSE
from nounroll.methods.noise import add_noise
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.rollout.windows import random_windows
from nounroll.seeding import generator
from nounroll.student import Student

B, T = 3, 8
FROM_ITSELF: dict[str, Any] = {"dynamics": 0.0, "decoding": 0.0, "rollout": "carried"}


def make(cell: str = "mlp", inputs: Space = SYMBOLS, **settings: Any) -> DMT:
    student = make_student(cell, inputs=inputs)
    return make_dmt(student, make_teacher(student), **settings)


def twin(method: DMT, batch: Batch, progress: float) -> dict[str, Tensor]:
    """The same loss: each window of each row alone, one step of the cell after another."""
    s, student, teacher = method.settings, method.student, method._teacher[0]
    draws = generator(0, "loss")
    width = min(s.window, T)
    starts, counts = random_windows(B, T, width, draws)
    share = s.mixing * max(0.0, 1 - 2 * progress)
    mixed = torch.rand(starts.numel(), generator=draws).view_as(starts) < share if share > 0 else starts < 0
    with torch.no_grad():
        labels, own = teacher.memories(batch.inputs), student.stepped_rollout(batch.inputs)
    drift = [((own[b, t + 1] - labels[b, t + 1]) ** 2).mean() for b in range(B) for t in range(T)]
    spread = torch.stack([labels[b, start] for b in range(B) for start in starts[b]]).var(0).mean()
    regression, readout, lost, behind = [], [], [], []
    known: list[list[tuple[int, Tensor]]] = [[] for _ in range(B)]
    begun: list[tuple[int, range, list[bool], Tensor]] = []
    for b in range(B):
        for w, start in enumerate(starts[b].tolist()):
            times = range(start, start + width)
            far = s.lost is not None and ((own[b, start] - labels[b, start]) ** 2).mean() > s.lost * spread
            lost.append(torch.tensor(float(far and helpless(student, batch, b, times, own, labels))))
            expert = mixed[b, w] or lost[-1]
            begun.append((b, times, counts[b, w].tolist(), (labels if expert else own)[b, start][None]))
    noisy = add_noise(torch.stack([memory for *_, memory in begun]), s.noise, draws)
    for (b, times, counted, _), memory in zip(begun, noisy, strict=True):
        for t, counts_here in zip(times, counted, strict=True):
            memory = student.step(batch.inputs[b, t][None], memory)
            known[b].append((t, memory[0]))
            if counts_here:
                regression.append(((memory[0] - labels[b, t + 1]) ** 2).mean())
            if counts_here and batch.mask[b, t]:
                behind.append(lag(student, batch, b, t, own, labels))
                readout.append(surprise(student, batch, b, t, memory[0]))
    named = {"drift": drift, "dynamics": regression, "readout": readout, "lost": lost, "ahead": behind}
    means = {name: torch.stack(values).mean() for name, values in named.items()}
    decoder = teacher.decoder
    if s.decoding:
        means["decoding"] = decoding_twin(student, decoder, batch, known, draws, count=s.decoded, horizon=s.horizon)
    return {**means, "ahead": means["ahead"].clamp(0, 1)}


def surprise(student: Student, batch: Batch, b: int, t: int, memory: Tensor) -> Tensor:
    """-log p(y_t) of one memory."""
    return negative_log_likelihood(student.targets, student.readout(memory[None]), batch.targets[b, t][None])[0]


@torch.no_grad()
def lag(student: Student, batch: Batch, b: int, t: int, own: Tensor, labels: Tensor) -> Tensor:
    """By how much the student's own memory reads y_t worse than the teacher's."""
    return surprise(student, batch, b, t, own[b, t + 1]) - surprise(student, batch, b, t, labels[b, t + 1])


def helpless(student: Student, batch: Batch, b: int, times: range, own: Tensor, labels: Tensor) -> bool:
    """Whether nothing is scored in a window, or the student's memories read clearly worse there than the teacher's."""
    worse = [lag(student, batch, b, t, own, labels) for t in times if batch.mask[b, t]]
    return not worse or bool(torch.stack(worse).mean() > _CLEARLY_WORSE)


def assert_equals_its_twin(method: DMT, batch: Batch, progress: float) -> dict[str, Tensor]:
    ours, parts = method(batch, generator(0, "loss"), progress), twin(method, batch, progress)
    for name, value in parts.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-6, atol=1e-7, check_dtype=False, msg=name)
    pull = method.settings.dynamics * (parts["ahead"] if method.settings.only_ahead else 1)
    total = pull * parts["dynamics"] + method.settings.readout * parts["readout"]
    total = total + method.settings.decoding * parts.get("decoding", 0.0)
    torch.testing.assert_close(ours["loss"], total, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(ours["loss"], total, method.student, method._teacher[0])
    return ours


@pytest.mark.parametrize(
    ("cell", "settings", "progress"),
    [
        ("mlp", {"window": 3}, 0.5),
        ("gru", {"window": 1}, 0.5),
        ("lstm", {"window": 100}, 0.5),
        ("mlp", {"window": 3, "only_ahead": False}, 0.5),
        ("mlp", {"window": 3, "decoding": 0.7}, 0.5),
        ("gru", {"window": 2, "decoding": 0.7, "horizon": 1, "decoded": 5}, 0.5),
        ("mlp", {"window": 3, "mixing": 0.7}, 0.1),
        ("mlp", {"window": 3, "mixing": 0.7}, 0.6),
        ("mlp", {"window": 3, "mixing": 0.7, "noise": 0.8}, 0.1),
        ("gru", {"window": 100, "noise": 0.8, "decoding": 0.7}, 0.5),
    ],
)
def test_the_loss_equals_its_naive_twin(cell: str, settings: dict[str, Any], progress: float) -> None:
    losses = assert_equals_its_twin(make(cell, **settings), make_batch(B, T, sparse=True), progress)
    assert losses["lost"] == 0


@pytest.mark.parametrize("better", [-1.0, 0.4, 9.0])
def test_the_teacher_is_followed_as_far_as_it_is_ahead(monkeypatch: pytest.MonkeyPatch, better: float) -> None:
    """In nats a scored element: not at all where it is behind, and never more than dmt.dynamics says."""
    method, batch = make(dynamics=0.8), make_batch(B, T, sparse=True)
    labels = method._teacher[0].memories(batch.inputs)

    def readout(memories: Tensor) -> Tensor:  # the surprise at every target: less by ``better`` at a label
        known = (memories[..., None, :, :] == labels.flatten(0, 1)).flatten(-2).all(-1).any(-1)
        return torch.where(known, 0.0, better)[..., None] + 0 * memories.sum((-2, -1))[..., None]

    monkeypatch.setattr(method.student, "readout", readout)
    monkeypatch.setattr(dmt, "negative_log_likelihood", lambda _, outputs, targets: outputs[..., 0])
    losses = method(batch, generator(0, "loss"), 0.5)
    ahead = min(max(better, 0.0), 1.0)
    torch.testing.assert_close(losses["ahead"].item(), ahead)
    torch.testing.assert_close(losses["loss"] - 0.6 * losses["readout"], 0.8 * ahead * losses["dynamics"])


def test_without_a_pull_the_teacher_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = make(dynamics=0.0), make_batch(B, T)
    monkeypatch.setattr(method._teacher[0], "memories", None)
    losses = method(batch, generator(0, "loss"), 0.5)
    assert losses.keys() == {"loss", "readout"}
    with pytest.raises(TypeError):  # the control: with one it is asked
        make_dmt(method.student, method._teacher[0], dynamics=1.0)(batch, generator(0, "loss"), 0.5)


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("settings", [{}, {"mixing": 0.7}, {"window": 1}, {"window": 3}], ids=str)
def test_so_does_the_loss_where_the_student_is_lost(settings: dict[str, Any], space: Space) -> None:
    student = opinionated(make_student(inputs=space, targets=space))
    method = make_dmt(student, make_teacher(student), **{"window": 2, "lost": 2.5, **settings})
    batch = make_batch(B, T, inputs=space, targets=space, sparse=True)
    losses = assert_equals_its_twin(method, batch, 0.2)
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
    """Windows whose readout is worse than the teacher's by ``worse`` nats, and whose start is off by ``drift``."""

    def __init__(self, lost: float | None = 0.5) -> None:
        self.method = make(lost=lost)
        self.expert = torch.randn(N, 2, 8, generator=generator(0, "test"), dtype=torch.float64)
        self.variance = ((self.expert - self.expert.mean(0)) ** 2).sum(0).mean() / (N - 1)
        self.mask = torch.ones(N, W, dtype=torch.bool)

    def lost(self, drift: Tensor, worse: Tensor) -> Tensor:
        """drift (N,), in multiples of the memories' variance; worse (N, W), in nats."""
        start = self.expert + (drift * self.variance).sqrt()[:, None, None]
        return self.method._lost(start, self.expert, worse, self.mask)


def spread(low: float, high: float) -> Tensor:
    return torch.linspace(low, high, N, dtype=torch.float64)


@pytest.mark.parametrize("limit", [0.1, 0.5, 2.0])
def test_it_is_lost_only_where_it_is_far_from_the_teacher(limit: float) -> None:
    drift, worse = spread(0.0, 3.0), torch.full((N, W), 9.0, dtype=torch.float64)
    assert torch.equal(Windows(limit).lost(drift, worse), drift > limit)


def test_and_only_where_it_reads_clearly_worse_on_the_mean_of_what_is_scored() -> None:
    far = torch.full((N,), 5.0, dtype=torch.float64)
    windows, worse = Windows(), spread(-1.0, 2.0)
    assert torch.equal(windows.lost(far, worse[:, None].expand(N, W)), worse > _CLEARLY_WORSE)
    unequal = worse[:, None] + torch.tensor([2.0, -3.0, 1.0])
    assert torch.equal(windows.lost(far, unequal), worse > _CLEARLY_WORSE)
    windows.mask[:, 1] = False
    assert torch.equal(windows.lost(far, unequal), worse + 1.5 > _CLEARLY_WORSE)


def test_where_nothing_is_scored_the_distance_decides() -> None:
    windows, drift = Windows(), spread(0.0, 3.0)
    windows.mask[::2] = False
    expected = (drift > 0.5) & ~windows.mask[:, 0]
    assert torch.equal(windows.lost(drift, torch.full((N, W), -9.0, dtype=torch.float64)), expected)


def test_with_no_limit_it_is_never_lost() -> None:
    windows = Windows(None)
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


@pytest.mark.parametrize("decoding", [0.0, 1.0])
def test_of_the_teacher_only_the_decoder_learns_and_only_where_it_is_used(decoding: float) -> None:
    method = make(mixing=1.0, decoding=decoding)
    teacher = method._teacher[0]
    assert teacher.decoder is not None
    method(make_batch(B, T), generator(0, "loss"), 0.0)["loss"].backward()
    learning = {id(p) for p in teacher.decoder.parameters()} if decoding else set()
    assert {id(p) for p in teacher.parameters() if p.grad is not None} == learning
    assert {id(p) for p in teacher.parameters()} & {id(p) for p in method.parameters()} == learning
    learns = {name for name, p in method.student.named_parameters() if p.grad is not None and p.grad.any()}
    assert learns == {name for name, _ in method.student.named_parameters()} - {"empty_memory"}


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("cell", ["mlp", "gru"])
def test_a_gradient_stays_in_its_window(cell: str, window: int) -> None:
    """The loss at y_s alone moves x_t just when the window that counts y_s holds x_t too, and t <= s."""
    method = make(cell, inputs=Real(2), window=window, dynamics=0.0)
    starts, counts = random_windows(B, T, window, generator(0, "loss"))
    for s in range(T):
        batch = make_batch(B, T, inputs=Real(2))
        inputs = batch.inputs.clone().requires_grad_()
        only = torch.zeros(B, T, dtype=torch.bool)
        only[:, s] = True
        loss = method(Batch(inputs, batch.targets, only), generator(0, "loss"), 0.5)["loss"]
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
    method = make("mlp", inputs=Real(2), window=1, dynamics=0.0)
    monkeypatch.setattr(torch, "no_grad", torch.enable_grad)
    batch = make_batch(B, T, inputs=Real(2))
    inputs = batch.inputs.clone().requires_grad_()
    only = torch.zeros(B, T, dtype=torch.bool)
    only[:, -1] = True
    loss = method(Batch(inputs, batch.targets, only), generator(0, "loss"), 0.5)["loss"]
    assert (torch.autograd.grad(loss, inputs)[0].abs().amax((0, 2)) > 0).all()


# --- windows that are cut out of the rollout itself -------------------------------------------------


def one_pass_twin(method: DMT, batch: Batch) -> Tensor:
    """The same loss: one step after another, and no gradient into the first memory of a window."""
    s, student, draws = method.settings, method.student, generator(0, "loss")
    first = int(torch.randint(s.window, (1,), generator=draws)) if s.window < T else 0
    begins = {0, *range(first or s.window, T, s.window)}
    memory, losses, known = student.initial_memory(B), [], [[] for _ in range(B)]
    for t in range(T):
        if t in begins:
            memory = add_noise(memory.detach()[:, None], s.noise, draws)[:, 0]
        memory = student.step(batch.inputs[:, t], memory)
        for b in range(B):
            known[b].append((t, memory[b]))
            if batch.mask[b, t]:
                losses.append(surprise(student, batch, b, t, memory[b]))
    total = s.readout * torch.stack(losses).mean()
    if s.decoding:
        decoder = method._teacher[0].decoder
        decoded = decoding_twin(student, decoder, batch, known, draws, count=s.decoded, horizon=s.horizon)
        total = total + s.decoding * decoded
    return total


@pytest.mark.parametrize("settings", [{}, {"window": 1}, {"window": 100}, {"noise": 0.8}, {"decoding": 0.7}], ids=str)
@pytest.mark.parametrize("cell", ["mlp", "lstm"])
def test_a_rollout_with_windows_cut_out_of_it_equals_its_naive_twin(cell: str, settings: dict[str, Any]) -> None:
    method, batch = make(cell, dynamics=0.0, rollout="once", **settings), make_batch(B, T, sparse=True)
    loss, total = method(batch, generator(0, "loss"), 0.5)["loss"], one_pass_twin(method, batch)
    torch.testing.assert_close(loss, total, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(loss, total, method.student, method._teacher[0])


def test_control_windows_that_are_not_cut_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = make(dynamics=0.0, rollout="once"), make_batch(B, T, sparse=True)
    total = one_pass_twin(method, batch)
    monkeypatch.setattr(torch.Tensor, "detach", lambda self: self)
    loss = method(batch, generator(0, "loss"), 0.5)["loss"]
    with pytest.raises(AssertionError):
        assert_same_gradients(loss, total, method.student, method._teacher[0])


def test_it_has_the_value_of_windows_side_by_side() -> None:
    """Only where gradients end differs: every step is counted once, from the student's own memory before it."""
    for cell in ("gru", "tape"):
        once = make(cell, dynamics=0.0, rollout="once")
        apart = make_dmt(once.student, once._teacher[0], dynamics=0.0, rollout="sequential")
        batch = make_batch(B, T, sparse=True)
        torch.testing.assert_close(*(m(batch, generator(0, "loss"), 0.5)["loss"] for m in (once, apart)))


# --- windows that go on from where the step before left them --------------------------------------


def new_batch(index: int, length: int = T) -> Batch:
    """Another one for each index; not every step is scored."""
    return make_batch(B, length, sparse=True, seed=3 * index)


def carried_twin(method: DMT, batches: list[Batch], draws: torch.Generator) -> Tensor:
    """The loss of a student that never changed: of batch g, the latest first, window g of its own rollout."""
    s, student = method.settings, method.student
    count = -(-T // s.window)
    width, losses, starts = -(-T // count), [], []
    for g, batch in enumerate(batches):
        starts.append(student.stepped_rollout(batch.inputs)[:, g * width].detach())
    noisy = add_noise(torch.stack(starts, dim=1).flatten(0, 1)[:, None], s.noise, draws)[:, 0]
    for g, batch in enumerate(batches):
        held = noisy[g :: len(batches)]
        for t in range(g * width, min(T, (g + 1) * width)):
            held = student.step(batch.inputs[:, t], held)
            losses += [surprise(student, batch, b, t, held[b]) for b in range(B) if batch.mask[b, t]]
    return s.readout * torch.stack(losses).mean()


@pytest.mark.parametrize(("cell", "window"), [("mlp", 4), ("mlp", 1), ("gru", 3), ("lstm", 3), ("tape", 5)])
def test_windows_that_are_carried_on_equal_their_naive_twin(cell: str, window: int) -> None:
    """Over several steps: each batch is met again, a window further on, until it ends."""
    method, count = make(cell, window=window, readout=0.7, **FROM_ITSELF), -(-T // window)
    met: list[Batch] = []
    for step in range(count + 2):
        batch = new_batch(step)
        met = [batch, *met][:count] if met else [batch] * count  # the first fills all places
        loss, total = method(batch, generator(0, "loss"), 0.5)["loss"], carried_twin(method, met, generator(0, "loss"))
        torch.testing.assert_close(loss, total, rtol=1e-6, atol=1e-7, check_dtype=False)
        assert_same_gradients(loss, total, method.student, method._teacher[0])


def test_control_a_batch_that_stays_where_it_is_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(window=4, **FROM_ITSELF)
    monkeypatch.setattr(dmt, "staggered", lambda values, width: torch.stack([v[:, :width] for v in values], dim=1))
    first, second = new_batch(0), new_batch(1)
    method(first, generator(0, "loss"), 0.5)
    loss = method(second, generator(0, "loss"), 0.5)["loss"]
    with pytest.raises(AssertionError):
        torch.testing.assert_close(loss, carried_twin(method, [second, first], generator(0, "loss")), check_dtype=False)


def test_noise_is_for_the_first_memory_of_each_window() -> None:
    method, batch = make(window=4, noise=0.8, **FROM_ITSELF), new_batch(0)
    loss = method(batch, generator(0, "loss"), 0.5)["loss"]
    total = carried_twin(method, [batch] * 2, generator(0, "loss"))
    torch.testing.assert_close(loss, total, rtol=1e-6, atol=1e-7, check_dtype=False)


def test_what_is_carried_is_of_the_weights_at_the_time() -> None:
    """A memory is made once, and is not made again when the student has changed."""
    method = make(window=4, **FROM_ITSELF)
    method(new_batch(0), generator(0, "loss"), 0.5)
    before = method.carried[0][1]
    with torch.no_grad():
        for weight in method.student.cell.parameters():
            weight += 0.1
    with mock.patch.object(method.student, "outputs", wraps=method.student.outputs) as made:
        method(new_batch(1), generator(0, "loss"), 0.5)
    ((inputs, start),) = [call.args for call in made.call_args_list]  # nothing else is rolled out
    assert inputs.shape == (2 * B, 4)
    assert torch.equal(start[1::2], before)


def test_sequences_of_another_length_begin_anew() -> None:
    method = make(window=4, **FROM_ITSELF)
    method(new_batch(0), generator(0, "loss"), 0.5)
    assert [b.length for b, _ in method.carried] == [T]
    method(new_batch(1, 3 * T), generator(0, "loss"), 0.5)
    assert [b.length for b, _ in method.carried] == [3 * T] * 5
    method(new_batch(2, 4), generator(0, "loss"), 0.5)  # a single window
    assert method.carried == ()


def test_no_gradient_and_no_memory_of_a_graph_is_carried() -> None:
    method = make(window=4, **FROM_ITSELF)
    method(new_batch(0), generator(0, "loss"), 0.5)
    assert not any(memory.requires_grad for _, memory in method.carried)


def test_what_is_carried_comes_back_from_tensors() -> None:
    method = make(window=2, **FROM_ITSELF)
    method(new_batch(0), generator(0, "loss"), 0.5)
    method(new_batch(1), generator(0, "loss"), 0.5)
    back = from_tensors(to_tensors(method.carried))
    assert len(back) == 3
    for (ours, memory), (theirs, same) in zip(back, method.carried, strict=True):
        assert torch.equal(memory, same)
        assert all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in ("inputs", "targets", "mask"))
    assert from_tensors(to_tensors(())) == ()


def test_its_longest_chain_is_a_window() -> None:
    assert make(window=4, **FROM_ITSELF).sequential_flops(10.0, 3.0, T) == 10.0 * 4
    assert make(dynamics=0.0, rollout="once", window=4).sequential_flops(10.0, 3.0, T) == 3.0 * T + 7.0 * 4
    assert make(window=4, **FROM_ITSELF).sequential_flops(10.0, 3.0, 1) == 10.0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "carried"),
        ({"decoding": 0.7}, "once"),
        ({"dynamics": 0.1}, "sequential"),
        ({"mixing": 0.1}, "sequential"),
        ({"rollout": "sequential"}, "sequential"),
        ({"rollout": "newton"}, "newton"),
        ({"rollout": "once"}, "once"),
    ],
    ids=str,
)
def test_how_windows_begin_if_it_is_left_open(settings: dict[str, Any], expected: str) -> None:
    assert make(**{"dynamics": 0.0, "decoding": 0.0, "rollout": None, **settings})._how == expected


@pytest.mark.parametrize("rollout", ["once", "carried"])
@pytest.mark.parametrize(("name", "value"), [("dynamics", 0.1), ("mixing", 0.5)])
def test_windows_that_may_start_elsewhere_need_a_rollout(rollout: str, name: str, value: float) -> None:
    with pytest.raises(
        ValueError,
        match=rf"^dmt\.rollout is '{rollout}' and dmt\.{name} is {value}; windows .* need dmt\.rollout=sequential$",
    ):
        make(**{"dynamics": 0.0, "decoding": 0.0, "rollout": rollout, name: value})


def test_the_decoder_needs_sequences_that_are_not_carried() -> None:
    with pytest.raises(
        ValueError, match=r"^dmt\.rollout is 'carried' and dmt\.decoding is 0\.7; .*, set dmt\.rollout=once$"
    ):
        make(**{**FROM_ITSELF, "decoding": 0.7})


def test_drift_is_a_figure_not_a_loss() -> None:
    losses = make()(make_batch(B, T), generator(0, "loss"), 0.5)
    assert not losses["drift"].requires_grad
    assert gradients(losses["loss"], make().student)  # the others are


def test_it_must_not_hand_over_a_worse_student() -> None:
    assert make().improves_only


@pytest.mark.parametrize("window", [T, 100])
def test_one_window_over_all_of_it_is_bptt(window: int) -> None:
    method, batch = make(window=window, dynamics=0.0), make_batch(B, T, sparse=True)
    loss, whole = (m(batch, generator(0, "loss"), 0.5)["readout"] for m in (method, make_bptt(method.student)))
    torch.testing.assert_close(loss, whole)
    ours, theirs = gradients(loss, method.student), gradients(whole, method.student)
    for name in ours.keys() - {"0.empty_memory"}:  # of which DMT's is detached
        torch.testing.assert_close(ours[name], theirs[name])


@pytest.mark.parametrize("solver", ["newton", "diagonal", "jacobi"])
def test_a_rollout_by_a_solver_gives_the_same_loss(solver: str) -> None:
    batch = make_batch(B, T, sparse=True)
    plain = make(lost=0.01)
    solved = make_dmt(plain.student, plain._teacher[0], lost=0.01, rollout=solver, tolerance=1e-9)
    found = solved(batch, generator(0, "loss"), 0.5)
    assert found["iterations"] >= 1
    assert found["stepped"] == 0
    assert_same_gradients(found["loss"], plain(batch, generator(0, "loss"), 0.5)["loss"], plain.student)


def test_there_is_no_other_rollout() -> None:
    with pytest.raises(
        ValueError,
        match=r"^dmt\.rollout is 'fast'; it must be one of sequential, once, carried, newton, diagonal, jacobi or nu",
    ):
        tiny_recipe("dmt.rollout=fast")


def test_a_compiled_loss_unrolls_windows_of_one_shape() -> None:
    """Cut out of the rollout, the first window is of another length each time, and each length is compiled anew."""
    assert DMTSettings().suited_to(1.0, alike=True).rollout == "sequential"
    assert DMTSettings().suited_to(1.0).rollout is None
    assert DMTSettings(rollout="once").suited_to(1.0, alike=True).rollout == "once"


@pytest.mark.parametrize("name", ["dynamics", "decoding"])
def test_what_is_left_open_is_filled_in_for_the_data(name: str) -> None:
    found = [getattr(DMTSettings().suited_to(scored), name) for scored in (0.0, 0.49, 0.5, 1.0)]
    assert found == [1.0, 1.0, 0.0, 0.0]
    assert getattr(DMTSettings(**{name: 0.3}).suited_to(1.0), name) == 0.3
