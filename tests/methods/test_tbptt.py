"""Truncated BPTT against twins that take one step after another, its state, and where its gradients end."""

from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from helpers import (
    SHAPE,
    SYMBOLS,
    assert_same_gradients,
    gradients,
    make_batch,
    make_bptt,
    make_student,
    make_tbptt,
)
from nounroll.core.batch import Batch, Real, Space
from nounroll.core.seeding import generator
from nounroll.methods import TBPTT, tbptt
from nounroll.methods.base import State
from nounroll.models.student import Student
from nounroll.rollout.windows import staggered

B, T = 3, 8
FIVE = ("mlp", "gru", "lstm", "tape", "mingru")


def make(cell: str = "mlp", space: Space = SYMBOLS, **settings: Any) -> TBPTT:
    return make_tbptt(make_student(cell, inputs=space, targets=space), **settings)


def new_batch(index: int, length: int = T, space: Space = SYMBOLS, rows: int = B) -> Batch:
    """A batch for each index; not every step is scored."""
    return make_batch(rows, length, space, space, sparse=True, seed=3 * index)


def scoring(batch: Batch, mask: Tensor) -> Batch:
    """The same sequences, scored elsewhere."""
    return Batch(batch.inputs, batch.targets, mask.expand(batch.mask.shape))


def step_of(method: TBPTT, batch: Batch, state: State | None = None, seed: int = 0) -> tuple[Tensor, State]:
    losses, after = method(batch, state or {}, generator(seed, "loss"), 0.5)
    assert losses.keys() == {"loss", "readout"}
    assert losses["loss"] is losses["readout"]
    return losses["loss"], after


def assert_same(loss: Tensor, twin: Tensor, student: Student) -> None:
    torch.testing.assert_close(loss, twin, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(loss, twin, student)


def surprises(student: Student, batch: Batch, t: int, memory: Tensor) -> list[Tensor]:
    """-log p(y_t) of each row that is scored at t."""
    outputs = student.readout(memory)
    return [
        -student.targets.log_prob(outputs[b][None], batch.targets[b, t][None])[0]
        for b in range(len(memory))
        if batch.mask[b, t]
    ]


def learn(student: Student, loss: Tensor) -> None:
    """A step of gradient descent."""
    found = gradients(loss, student)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            parameter -= 0.3 * found[f"0.{name}"]


# --- windows that go on from where the step before left them ------------------------------------------


@dataclass
class UnderWay:
    """A batch, the memory after its first ``at`` steps, and no graph behind that memory."""

    batch: Batch
    memory: Tensor
    at: int = 0


class Walk:
    """The naive twin: every training step walks each batch that is under way one window further."""

    def __init__(self, method: TBPTT, first: Batch) -> None:
        self.student = method.student
        self.length, window = first.length, method.settings.window
        windows = -(-self.length // window)
        self.width = -(-self.length // windows)
        rolled = self.student.stepped_rollout(first.inputs).detach()
        self.under_way = [UnderWay(first, rolled[:, t], t) for t in range(self.width, self.length, self.width)]

    def step(self, batch: Batch) -> Tensor:
        student, losses = self.student, []
        walkers = [UnderWay(batch, student.initial_memory(batch.batch_size)), *self.under_way]
        for one in walkers:
            memory, stop = one.memory, min(one.at + self.width, self.length)
            for t in range(one.at, stop):
                memory = student.step(one.batch.inputs[:, t], memory)
                losses += surprises(student, one.batch, t, memory)
            one.memory, one.at = memory.detach(), stop
        self.under_way = [one for one in walkers if one.at < self.length]
        return torch.stack(losses).mean()


@pytest.mark.parametrize(
    ("cell", "space", "settings"),
    [
        ("mlp", SYMBOLS, {"window": 4}),
        ("mlp", Real(2), {"window": 1}),
        ("gru", SYMBOLS, {"window": 3}),
        ("lstm", Real(2), {"window": 3}),
        ("tape", SYMBOLS, {"window": 5}),
        ("mingru", SYMBOLS, {"window": 2}),
        ("lstm", SYMBOLS, {"window": 4}),
    ],
    ids=str,
)
def test_carried_windows_equal_batches_that_are_walked_one_window_a_step(
    cell: str, space: Space, settings: dict[str, Any]
) -> None:
    """Also when the student learns in between: a memory is of the weights at the time."""
    method, state = make(cell, space, **settings), {}
    walk = Walk(method, new_batch(0, space=space))
    for index in range(-(-T // method.settings.window) + 2):
        batch = new_batch(index, space=space)
        loss, state = step_of(method, batch, state)
        assert_same(loss, walk.step(batch), method.student)
        learn(method.student, loss)


def test_control_memories_of_the_weights_as_they_are_now_are_found() -> None:
    method, first, second = make(window=4), new_batch(0), new_batch(1)
    walk = Walk(method, first)
    walk.step(first)
    loss, _ = step_of(method, first)
    learn(method.student, loss)
    with torch.no_grad():
        _, state = step_of(method, first)
    with pytest.raises(AssertionError):
        assert_same(step_of(method, second, state)[0], walk.step(second), method.student)


def stream_twin(student: Student, batch: Batch, width: int) -> Tensor:
    """BPTT through the whole stream, with the gradient cut before every window."""
    memory, losses = student.initial_memory(B), []
    for t in range(batch.length):
        memory = student.step(batch.inputs[:, t], memory if t % width or not t else memory.detach())
        losses += surprises(student, batch, t, memory)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("window", [2, 5])
@pytest.mark.parametrize("cell", FIVE)
def test_one_long_stream_has_the_loss_of_bptt_that_is_cut_at_windows(cell: str, window: int) -> None:
    """One batch is scored, and those beside it are not: its windows are met in as many training steps."""
    length = 11
    method, stream = make(cell, window=window), new_batch(1, length)
    count = -(-length // window)
    width = -(-length // count)
    unscored = [scoring(new_batch(index, length), torch.zeros(1, 1, dtype=torch.bool)) for index in range(count)]
    _, state = step_of(method, unscored[0])
    total, scored = torch.zeros(()), 0
    for g, batch in enumerate([stream, *unscored[1:]]):
        loss, state = step_of(method, batch, state)
        here = int(stream.mask[:, g * width : (g + 1) * width].sum())
        total, scored = total + here * loss, scored + here
    assert scored == int(stream.mask.sum())
    assert_same(total / scored, stream_twin(method.student, stream, width), method.student)


def third_step(method: TBPTT, state_of: Any = lambda state: state) -> tuple[Tensor, Tensor]:
    """The loss of a training step that goes on from two others, and its twin's."""
    walk, state = Walk(method, new_batch(0)), {}
    for index in range(2):
        walk.step(new_batch(index))
        _, state = step_of(method, new_batch(index), state)
    return step_of(method, new_batch(2), state_of(state))[0], walk.step(new_batch(2))


def test_control_windows_that_are_not_staggered_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(window=4)
    assert_same(*third_step(method), method.student)
    monkeypatch.setattr(tbptt, "staggered", lambda values, width: values[:, :, :width])
    with pytest.raises(AssertionError):
        torch.testing.assert_close(*third_step(method), check_dtype=False)


def test_control_a_memory_that_is_not_detached_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(window=4)
    with monkeypatch.context() as patch:
        detach = Tensor.detach
        patch.setattr(Tensor, "detach", lambda self: self if self.shape == (2 * B, *SHAPE) else detach(self))
        loss, twin = third_step(method)
    torch.testing.assert_close(loss, twin, check_dtype=False)  # its value does not give it away
    with pytest.raises(AssertionError):
        assert_same_gradients(loss, twin, method.student)


@pytest.mark.parametrize(
    ("name", "axis"), [("memory", 0), ("memory", 1), ("inputs", 1), ("targets", 0), ("targets", 1), ("mask", 1)]
)
def test_control_a_state_in_another_order_is_found(name: str, axis: int) -> None:
    """Of batches (0) or of rows (1)."""
    method = make(window=3)
    method.student.head.out.weight.data.mul_(30)  # which says very different things of different memories
    with pytest.raises(AssertionError):
        torch.testing.assert_close(
            *third_step(method, lambda state: {**state, name: state[name].roll(1, axis)}), check_dtype=False
        )


# --- the state ----------------------------------------------------------------------------------------


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_state_is_the_batches_under_way_the_latest_first() -> None:
    method, batches, state = make("gru", window=3), [new_batch(index) for index in range(3)], {}
    for batch in batches:
        _, state = step_of(method, batch, state)
    for name in ("inputs", "targets", "mask"):
        assert torch.equal(state[name], torch.stack([getattr(batch, name) for batch in batches[:0:-1]]))
    for g, (batch, steps) in enumerate(zip(batches[:0:-1], (3, 6), strict=True)):
        expected = method.student.stepped_rollout(batch.inputs)[:, steps]
        torch.testing.assert_close(state["memory"][g], expected, rtol=0, atol=1e-12)
    assert not any(values.requires_grad for values in state.values())


def test_the_same_state_gives_the_same_loss_and_nothing_is_kept_on_the_module() -> None:
    method = make(window=3)
    _, state = step_of(method, new_batch(0))
    given, parts = {name: values.clone() for name, values in state.items()}, [vars(m) for m in method.modules()]
    former = [{name: id(value) for name, value in part.items()} for part in parts]
    loss, after = step_of(method, new_batch(1), state)
    assert same(state, given)  # it is not written to
    assert [{name: id(value) for name, value in part.items()} for part in parts] == former
    step_of(method, new_batch(2), after)
    for one in (method, make_tbptt(method.student, window=3)):  # another has met no batch
        again, same_after = step_of(one, new_batch(1), state)
        assert torch.equal(again, loss)
        assert same(same_after, after)


@pytest.mark.parametrize(
    ("former", "window"),
    [
        (new_batch(0, 2 * T), 6),  # as many windows of longer sequences
        (new_batch(0, T + 1), 3),
        (new_batch(0, rows=B + 1), 3),
        (new_batch(0, rows=B - 1), 3),
        (new_batch(0), 2),  # more windows
        (new_batch(0), 4),
        (new_batch(0, 3), 3),  # a single window
    ],
    ids=["longer", "one step longer", "more rows", "fewer rows", "more windows", "fewer windows", "one window"],
)
def test_a_state_of_another_form_starts_afresh(former: Batch, window: int) -> None:
    method, batch = make(window=3), new_batch(1)
    _, foreign = step_of(make_tbptt(method.student, window=window), former)
    ours, fresh = step_of(method, batch, foreign), step_of(method, batch)
    assert torch.equal(ours[0], fresh[0])
    assert same(ours[1], fresh[1])


def test_control_a_state_of_the_same_form_does_not_start_afresh() -> None:
    method, batch = make(window=3), new_batch(1)
    _, state = step_of(method, new_batch(0))
    assert not torch.equal(step_of(method, batch, state)[0], step_of(method, batch)[0])


def test_vectors_of_another_width_start_afresh() -> None:
    _, foreign = step_of(make(space=Real(3)), new_batch(0, space=Real(3)))
    method, batch = make(space=Real(2)), new_batch(1, space=Real(2))
    assert torch.equal(step_of(method, batch, foreign)[0], step_of(method, batch)[0])


def test_a_step_that_goes_on_unrolls_one_window_of_each_batch_and_nothing_else() -> None:
    method = make("lstm", window=4)
    student = method.student
    with mock.patch.object(student, "rollout", wraps=student.rollout) as rollout:
        _, state = step_of(method, new_batch(0))
        assert rollout.call_count == 1  # the first fills all places
        with mock.patch.object(student, "features", wraps=student.features) as features:
            step_of(method, new_batch(1), state)
    assert rollout.call_count == 1
    ((inputs, start),) = [call.args for call in features.call_args_list]
    assert inputs.shape == (2 * B, 4)
    assert torch.equal(start[B:], state["memory"][0])


def test_its_longest_chain_is_a_window_where_the_state_is_carried() -> None:
    assert make(window=4).sequential_flops(10.0, 3.0, T) == 10.0 * 4
    assert make(window=4).sequential_flops(10.0, 3.0, 1) == 10.0  # a parallel scan
    assert make(window=100).sequential_flops(10.0, 3.0, T) == 10.0 * T
    assert make(window=4, carry=False).sequential_flops(10.0, 3.0, T) == 10.0 * T


def test_it_must_not_hand_over_a_worse_student() -> None:
    assert make().improves_only


# --- the last window is not always whole ----------------------------------------------------------------


def padded(values: Tensor, width: int, fill: int) -> Tensor:
    """``staggered`` with something else than zeros after the last step. Here that is one step after its start."""
    found = staggered(values, width).clone()
    found[-1, :, 1:] = fill
    return found


def test_what_fills_up_the_last_window_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = make(window=3), new_batch(1, 7)
    _, state = step_of(method, new_batch(0, 7))
    loss, after = step_of(method, batch, state)
    monkeypatch.setattr(
        tbptt, "staggered", lambda v, width: staggered(v, width) if v.dtype == torch.bool else padded(v, width, 4)
    )
    filled, same_after = step_of(method, batch, state)
    assert torch.equal(filled, loss)
    assert same(after, same_after)
    expected = gradients(loss, method.student)
    assert all(torch.equal(g, expected[name]) for name, g in gradients(filled, method.student).items())


def test_control_scored_filling_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = make(window=3), new_batch(1, 7)
    walk = Walk(method, batch)
    assert_same(step_of(method, batch)[0], walk.step(batch), method.student)
    monkeypatch.setattr(
        tbptt, "staggered", lambda v, width: padded(v, width, 1) if v.dtype == torch.bool else staggered(v, width)
    )
    with pytest.raises(AssertionError):
        torch.testing.assert_close(
            step_of(method, batch)[0], Walk(method, batch).step(batch), rtol=1e-6, atol=1e-7, check_dtype=False
        )


# --- one rollout whose gradients end at windows -----------------------------------------------------------


def cut_twin(method: TBPTT, batch: Batch, seed: int = 0) -> Tensor:
    """One step after another, and no gradient into the first memory of a window. The first window is a part of one."""
    s, student, draws = method.settings, method.student, generator(seed, "loss")
    first = int(torch.randint(s.window, (1,), generator=draws)) + 1 if s.window < T else T
    begins = {0, *range(first, T, s.window)}
    memory, losses = student.initial_memory(B), []
    for t in range(T):
        if t in begins:
            memory = memory.detach() if t else memory
        memory = student.step(batch.inputs[:, t], memory)
        losses += surprises(student, batch, t, memory)
    return torch.stack(losses).mean()


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        ("mlp", {"window": 1}),
        ("gru", {"window": 3}),
        ("lstm", {"window": 7}),
        ("tape", {"window": 100}),
        ("lstm", {"window": 9}),
    ],
    ids=str,
)
def test_without_carry_it_equals_a_stepped_rollout_that_is_detached_at_windows(
    cell: str, settings: dict[str, Any]
) -> None:
    method, batch = make(cell, carry=False, **settings), new_batch(0)
    for seed in (0, 1):
        loss, state = step_of(method, batch, seed=seed)
        assert state == {}
        assert_same(loss, cut_twin(method, batch, seed), method.student)


def test_control_a_rollout_that_is_not_cut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = make(carry=False), new_batch(0)
    twin = cut_twin(method, batch)
    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "detach", lambda self: self)
        loss, _ = step_of(method, batch)
    torch.testing.assert_close(loss, twin, rtol=1e-6, atol=1e-7, check_dtype=False)
    with pytest.raises(AssertionError):
        assert_same_gradients(loss, twin, method.student)


def test_without_carry_a_window_may_end_after_any_step() -> None:
    """And the loss has the same value wherever it does."""
    method, batch = make("gru", carry=False, window=3), new_batch(0)
    begins = set()
    for seed in range(20):
        with mock.patch.object(method.student, "features", wraps=method.student.features) as windows:
            loss, _ = step_of(method, batch, seed=seed)
        lengths = [call.args[0].shape[1] for call in windows.call_args_list]
        assert sum(lengths) == T
        assert max(lengths) <= 3
        begins |= set(torch.tensor(lengths).cumsum(0).tolist())
        torch.testing.assert_close(loss, step_of(method, batch)[0])
    assert begins == set(range(1, T + 1))


@pytest.mark.parametrize(("window", "carry"), [(T, True), (100, True), (T, False), (100, False)])
@pytest.mark.parametrize("cell", ["mlp", "lstm"])
def test_one_window_over_all_of_it_is_bptt(cell: str, window: int, carry: bool) -> None:
    method, batch = make(cell, window=window, carry=carry), new_batch(0)
    loss, state = step_of(method, batch)
    assert state == {}
    whole, _ = make_bptt(method.student)(batch, {}, generator(0, "loss"), 0.5)
    assert_same(loss, whole["loss"], method.student)


# --- how far gradients go ---------------------------------------------------------------------------------


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("window", [1, 3])
def test_a_gradient_stays_in_its_window_and_the_first_moves_the_empty_memory(window: int, carry: bool) -> None:
    """The loss at y_s alone moves x_t just when both are in one window and t <= s."""
    method = make_tbptt(make_student("gru", inputs=Real(2)), window=window, carry=carry)
    if carry:
        begins = list(range(0, T, window))
    else:
        begins = [0, *range(int(torch.randint(window, (1,), generator=generator(0, "loss"))) + 1, T, window)]
    place = [max(begin for begin in begins if begin <= t) for t in range(T)]
    for s in range(T):
        batch = make_batch(B, T, inputs=Real(2))
        inputs, only = batch.inputs.clone().requires_grad_(), torch.arange(T) == s
        loss, _ = step_of(method, scoring(Batch(inputs, batch.targets), only))
        by_input, by_empty = torch.autograd.grad(loss, [inputs, method.student.empty_memory], allow_unused=True)
        moved = by_input.abs().amax((0, 2)) > 0
        assert moved.tolist() == [t <= s and place[t] == place[s] for t in range(T)]
        assert bool(by_empty is not None and by_empty.any()) == (place[s] == 0)


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("cell", FIVE)
def test_all_of_the_student_learns_and_its_empty_memory_too(cell: str, carry: bool) -> None:
    method = make(cell, window=3, carry=carry)
    _, state = step_of(method, new_batch(0))
    loss, _ = step_of(method, new_batch(1), state)
    assert {name for name, g in gradients(loss, method.student).items() if not g.any()} == set()
