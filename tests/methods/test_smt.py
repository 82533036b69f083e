"""SMT against a naive twin that steps one transition at a time, and who gets gradients from its parts."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers import (
    SMT_VALUES,
    SYMBOLS,
    assert_same_gradients,
    decoding_twin,
    fix_labels,
    gradients,
    make_batch,
    make_smt,
    make_student,
    make_teacher,
)
from nounroll.cells.base import CellSettings
from nounroll.core.batch import Batch, Real
from nounroll.core.processes import sharing
from nounroll.core.seeding import generator
from nounroll.methods import SMT, SMTSettings, smt
from nounroll.methods.noise import add_noise
from nounroll.methods.smt import scale_gradient
from nounroll.models.student import Student
from nounroll.objectives.dynamics import VARIANCE_FLOOR
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.objectives.uniformity import uniformity
from nounroll.rollout.windows import random_windows

B, T = 3, 7


def windows(method: SMT, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """The times of each row's windows (B, W, w), and which of these count."""
    count, width = method.settings.transitions or T, min(method.settings.window, T)
    if count >= T:
        starts, counts = random_windows(B, T, width, draws)
    else:
        starts = torch.rand(B, T - width + 1, generator=draws).argsort(dim=1)[:, : math.ceil(count / width)]
        counts = torch.ones(*starts.shape, width, dtype=torch.bool)
    return starts[..., None] + torch.arange(width), counts


def scored_times(mask: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """Scored times of each row, with replacement; any times of a row that scores nothing."""
    shares = [[float(scored) for scored in row] if any(row) else [1.0] * len(row) for row in mask.tolist()]
    return torch.multinomial(torch.tensor(shares), count, True, generator=draws)


def scored(method: SMT, outputs: Tensor, target: Tensor) -> Tensor:
    return -method.student.targets.log_prob(outputs[None], target[None])[0]


def losses_of(method: SMT, batch: Batch) -> dict[str, Tensor]:
    return method(batch, {}, generator(0, "loss"), 0.5)[0]


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def partly(value: Tensor, share: float) -> Tensor:
    """The value, and ``share`` of its gradient."""
    return value.detach() + share * (value - value.detach())


def noisy(memory: Tensor, noise: Tensor) -> Tensor:
    """One memory (K, d), moved by noise that is relative to each token's root mean square, which stays the same."""
    tokens = []
    for token, one in zip(memory, noise, strict=True):
        size = token.detach().square().mean().sqrt()
        moved = token + size * one
        tokens.append(size * moved / (moved.square().mean() + 1e-6).sqrt())
    return torch.stack(tokens)


def twin(method: SMT, batch: Batch) -> dict[str, Tensor]:
    """The same loss, one row, one time, one step of the cell after another."""
    s, student, teacher = method.settings, method.student, method.teacher
    draws = generator(0, "loss")
    labels = teacher.memories(batch.inputs)  # index t + 1 is m_t
    readout, step_readout, regression = [], [], []
    spans, counts = windows(method, draws)
    times = spans.flatten(1)
    everywhere = torch.stack([labels[b, t + 1] for b in range(B) for t in times[b].tolist()])
    torch.randperm(len(everywhere), generator=draws)  # whose statistics are taken: here of all
    read_out, looked_from = times, times  # a window encoder has no other labels
    if teacher.settings.kind == "causal":
        read_out = scored_times(batch.mask, times.shape[1], draws)
        looked_from = torch.arange(T).expand(B, -1)
    noise = torch.zeros(*spans.shape[:2], *student.memory_shape)
    if s.noise:
        sizes = s.noise * torch.rand(*spans.shape[:2], generator=draws)
        noise = sizes[..., None, None] * torch.randn(noise.shape, generator=draws)
    for b in range(B):
        readout += [
            scored(method, student.readout(labels[b, t + 1]), batch.targets[b, t])
            for t in read_out[b].tolist()
            if batch.mask[b, t]
        ]
        for i, span in enumerate(spans[b].tolist()):
            before = labels[b, span[0]]
            memory = noisy(before, noise[b, i].double()) if s.noise else before
            for j, t in enumerate(span):
                memory = student.step(batch.inputs[b, t][None], memory[None])[0]
                regression.append(((memory - partly(labels[b, t + 1], s.labels_learn)) ** 2).sum() / memory.numel())
                if batch.mask[b, t] and counts[b, i, j]:
                    step_readout.append(scored(method, student.readout(memory), batch.targets[b, t]))
    known = [[(t, labels[b, t + 1]) for t in looked_from[b].tolist()] for b in range(B)]
    assert teacher.decoder is not None
    decoding = decoding_twin(student, teacher.decoder, batch, known, draws, teacher.settings.horizon)
    power = 2 if s.relative else 1
    return {
        "readout": mean(readout),
        "dynamics": mean([error**power for error in regression]) ** (1 / power)
        / (variance_of(everywhere) + VARIANCE_FLOOR if s.relative else 1),
        "step_readout": mean(step_readout),
        "decoding": decoding,
        "uniformity": uniformity(everywhere).mean(),
    }


def variance_of(memories: Tensor) -> Tensor:
    """Unbiased, and the mean over coordinates."""
    return ((memories - memories.mean(0)) ** 2).sum(0).mean() / (len(memories) - 1)


def assert_equals_its_twin(method: SMT, batch: Batch) -> None:
    (ours, state), parts = method(batch, {}, generator(0, "loss"), 0.5), twin(method, batch)
    assert state == {}
    for name, value in parts.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-6, atol=1e-7, check_dtype=False, msg=name)
    total = sum((getattr(method.settings, name, 1.0) * value for name, value in parts.items()), torch.zeros(()))
    torch.testing.assert_close(ours["loss"], total, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(ours["loss"], total, method.student, method.teacher)


@pytest.mark.parametrize("teacher", ["causal", "window"])
@pytest.mark.parametrize("transitions", [0, 4])
@pytest.mark.parametrize(("window", "chunk"), [(1, 0), (1, 2), (3, 0), (3, 4)])
def test_the_loss_equals_its_naive_twin(teacher: str, transitions: int, window: int, chunk: int) -> None:
    student = make_student("gru" if teacher == "window" else "mlp")
    settings = {"transitions": transitions, "window": window, "chunk": chunk}
    assert_equals_its_twin(
        make_smt(student, make_teacher(student, kind=teacher), **settings), make_batch(B, T, sparse=True)
    )


@pytest.mark.parametrize("teacher", ["causal", "window"])
def test_so_does_the_loss_over_real_vectors(teacher: str) -> None:
    student = make_student(inputs=Real(2), targets=Real(2))
    method = make_smt(student, make_teacher(student, kind=teacher), transitions=4)
    assert_equals_its_twin(method, make_batch(B, T, inputs=Real(2), targets=Real(2), sparse=True))


OURS: dict[str, dict[str, Any]] = {
    "errors relative to the labels": {"relative": True},
    "memories with noise": {"noise": 0.8},
    "a share of the labels' gradient": {"labels_learn": 0.05},
    "labels that do not learn": {"relative": True, "labels_learn": 0.0},
    "several steps from each label": {"window": 3},
    "several steps, from few labels": {"window": 3, "transitions": 4, "noise": 0.8},
    "more steps than there are": {"window": 100},
    "all of them": {"relative": True, "noise": 1.5, "labels_learn": 0.1, "transitions": 4},
}


@pytest.mark.parametrize(("cell", "teacher"), [("mlp", "causal"), ("lstm", "window")])
@pytest.mark.parametrize("settings", OURS.values(), ids=OURS.keys())
def test_so_does_the_loss_with_the_terms_of_ours(settings: dict[str, Any], cell: str, teacher: str) -> None:
    student = make_student(cell)
    method = make_smt(student, make_teacher(student, kind=teacher), **settings)
    assert_equals_its_twin(method, make_batch(B, T, sparse=True))


@pytest.mark.parametrize("horizon", [1, 2, 100])
def test_the_decoders_horizon_is_the_teachers(horizon: int) -> None:
    student = make_student()
    teacher = make_teacher(student, horizon=horizon)
    assert_equals_its_twin(make_smt(student, teacher), make_batch(B, T, sparse=True))


# --- which labels each loss takes ---------------------------------------------------------------------

DRAWS = 40  # enough to see every time that can be drawn


def few_scored() -> Batch:
    """Rows that score one time, two, all, and none."""
    batch, mask = make_batch(4, T), torch.zeros(4, T, dtype=torch.bool)
    mask[0, 4] = mask[1, 0] = mask[1, 5] = True
    mask[2] = True
    return Batch(batch.inputs, batch.targets, mask)


def times_with_gradient(method: SMT, batch: Batch, loss: str, seed: int) -> set[tuple[int, int]]:
    """(row, t) of the labels m_t that a loss depends on."""
    labels = method.teacher.memories(batch.inputs).detach().requires_grad_()
    fix_labels(method.teacher, labels)
    value = method(batch, {}, generator(seed, "loss"), 0.5)[0][loss]
    found = torch.autograd.grad(value, labels)[0].flatten(2).any(2).nonzero().tolist()
    return {(row, position - 1) for row, position in found}


@pytest.mark.parametrize(("transitions", "window", "count"), [(1, 1, 1), (4, 3, 6), (0, 1, T)])
def test_readout_takes_scored_times_alone(
    monkeypatch: pytest.MonkeyPatch, transitions: int, window: int, count: int
) -> None:
    """As many as there are transitions. Where a row scores nothing it takes any, and they count for nothing."""
    student = make_student()
    bare = {"decoding": 0.0, "uniformity": 0.0, "step_readout": 0.0}
    method = make_smt(student, make_teacher(student), transitions=transitions, window=window, **bare)
    seen: list[Tensor] = []
    surprises = method._surprises
    monkeypatch.setattr(
        method, "_surprises", lambda label, times, *given: seen.append(times) or surprises(label, times, *given)
    )
    for seed in range(DRAWS):
        method(few_scored(), {}, generator(seed, "loss"), 0.5)
    assert {tuple(times.shape) for times in seen} == {(4, count)}
    assert [set(row.tolist()) for row in torch.cat(seen, dim=1)] == [{4}, {0, 5}, {*range(T)}, {*range(T)}]


def test_one_scored_target_is_read_out_at_every_step() -> None:
    """Though a single transition is drawn, which is hardly ever there."""
    student, batch = make_student(), make_batch(B, T)
    mask = torch.arange(T).expand(B, -1) == torch.tensor([[6], [0], [3]])
    batch = Batch(batch.inputs, batch.targets, mask)
    method = make_smt(student, make_teacher(student), transitions=1)
    outputs = student.readout(method.teacher.memories(batch.inputs)[:, 1:][mask])
    expected = negative_log_likelihood(SYMBOLS, outputs, batch.targets[mask]).mean()
    for seed in range(5):
        found = method(batch, {}, generator(seed, "loss"), 0.5)[0]["readout"]
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("transitions", [0, 1])
def test_the_decoder_looks_ahead_from_every_time_with_a_scored_target_in_sight(transitions: int) -> None:
    """From one memory of each row, wherever the transitions are; the horizon is 3."""
    student = make_student()
    method = make_smt(student, make_teacher(student, horizon=3), transitions=transitions)
    seen = [times_with_gradient(method, few_scored(), "decoding", seed) for seed in range(DRAWS)]
    assert all([row for row, _ in sorted(times)] == [0, 1, 2] for times in seen)
    in_sight = [(2, 3, 4), (0, 3, 4, 5), range(T)]
    assert set.union(*seen) == {(row, t) for row, times in enumerate(in_sight) for t in times}


@pytest.mark.parametrize("chunk", [0, 2])
@pytest.mark.parametrize(("transitions", "window", "positions"), [(1, 1, 2), (3, 1, 6), (4, 3, 8), (0, 1, T + 1)])
def test_a_window_encoder_encodes_the_positions_of_the_transitions_alone(
    monkeypatch: pytest.MonkeyPatch, transitions: int, window: int, positions: int, chunk: int
) -> None:
    """Both ends of each step: readout, decoder and statistics take none beside them."""
    student = make_student()
    method = make_smt(
        student, make_teacher(student, kind="window"), transitions=transitions, window=window, chunk=chunk
    )
    encoder, rows = method.teacher.encoder, 0
    encode = encoder._encode

    def spy(inputs: Tensor, row: Tensor, position: Tensor) -> Tensor:
        nonlocal rows
        rows += len(row)
        return encode(inputs, row, position)

    monkeypatch.setattr(encoder, "_encode", spy)
    losses = losses_of(method, make_batch(B, T))
    losses["loss"].backward()
    assert {"readout", "dynamics", "decoding", "uniformity"} <= losses.keys()
    assert rows == B * positions


@pytest.mark.parametrize("chunk", [0, 2])
def test_a_causal_encoder_reads_a_batch_once(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    student = make_student()
    method = make_smt(student, make_teacher(student), transitions=4, chunk=chunk)
    read, seen = method.teacher.encoder.read, []
    monkeypatch.setattr(method.teacher.encoder, "read", lambda inputs: seen.append(inputs.shape) or read(inputs))
    losses_of(method, make_batch(B, T))["loss"].backward()
    assert seen == [(B, T)]


# --- terms --------------------------------------------------------------------------------------------


def test_terms_of_weight_zero_are_left_out() -> None:
    student = make_student()
    batch = make_batch()
    whole = losses_of(make_smt(student, make_teacher(student)), batch)
    assert {"decoding", "uniformity", "step_readout"} <= whole.keys()
    bare = make_smt(student, make_teacher(student), decoding=0.0, uniformity=0.0, step_readout=0.0)
    assert not {"decoding", "uniformity", "step_readout"} & losses_of(bare, batch).keys()
    without_decoder = make_smt(student, make_teacher(student, decoder_layers=0))
    assert "decoding" not in losses_of(without_decoder, batch)


@pytest.mark.parametrize("relative", [False, True])
def test_explained_is_the_share_of_the_labels_variance_that_the_cell_gets_right(relative: bool) -> None:
    student = make_student()
    method, batch = make_smt(student, make_teacher(student), relative=relative), make_batch()
    losses = losses_of(method, batch)
    variance = variance_of(method.teacher.memories(batch.inputs)[:, 1:].flatten(0, 1))
    missed = losses["dynamics"] / (1 if relative else variance + VARIANCE_FLOOR)
    torch.testing.assert_close(losses["explained"], (1 - missed).detach())
    assert not losses["explained"].requires_grad


# --- errors relative to the labels --------------------------------------------------------------------


def dynamics_of(
    monkeypatch: pytest.MonkeyPatch, labels: Tensor, predicted: Tensor, **settings: Any
) -> dict[str, Tensor]:
    """The losses where the teacher's labels and the cell's predictions are these."""
    student = make_student(dtype=labels.dtype)
    teacher = make_teacher(student, dtype=labels.dtype)
    method = make_smt(student, teacher, decoding=0.0, step_readout=0.0, **settings)
    with monkeypatch.context() as patch:
        fix_labels(teacher, labels)
        patch.setattr(student.cell, "step", lambda *_: predicted.flatten(0, 1))
        return losses_of(method, make_batch(B, T))


def about(centre: Tensor, values: Tensor, scale: Tensor | float) -> Tensor:
    return centre + scale * (values - centre)


def labels_and_predictions() -> tuple[Tensor, Tensor, Tensor]:
    """And the mean of the labels, in the middle of which both are."""
    draws = generator(0, "test")
    labels = 10 * torch.randn(B, T + 1, *make_student().memory_shape, generator=draws, dtype=torch.float64)
    predicted = labels[:, 1:] + torch.randn(labels[:, 1:].shape, generator=draws, dtype=torch.float64)
    return labels, predicted, labels[:, 1:].mean((0, 1))


def test_relative_errors_do_not_depend_on_the_scale_of_memories(monkeypatch: pytest.MonkeyPatch) -> None:
    """So labels cannot make the loss small by shrinking: neither its value nor its gradient asks for that."""
    labels, predicted, centre = labels_and_predictions()

    def loss(scale: Tensor | float, relative: bool) -> Tensor:
        given = [about(centre, values, scale) for values in (labels, predicted)]
        return dynamics_of(monkeypatch, given[0], given[1], relative=relative)["dynamics"]

    for scale in (0.5, 3.0):
        torch.testing.assert_close(loss(scale, True), loss(1.0, True), rtol=1e-4, atol=0)
        torch.testing.assert_close(loss(scale, False), scale**2 * loss(1.0, False))  # the control: it shrinks
    for relative in (True, False):
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        value = loss(scale, relative)
        slope = torch.autograd.grad(value, scale)[0] / value.detach()
        assert slope.item() == pytest.approx(0.0 if relative else 2.0, abs=1e-4)


@pytest.mark.parametrize("perfect", [False, True])
def test_relative_errors_are_finite_when_all_labels_are_equal(monkeypatch: pytest.MonkeyPatch, perfect: bool) -> None:
    labels = torch.ones(B, T + 1, *make_student().memory_shape).requires_grad_()
    predicted = torch.full_like(labels[:, 1:], 1.0 if perfect else 1.1).requires_grad_()
    losses = dynamics_of(monkeypatch, labels, predicted, relative=True, uniformity=0.1)
    for value in (*losses.values(), *torch.autograd.grad(losses["loss"], [labels, predicted])):
        assert torch.isfinite(value).all()


# --- noise --------------------------------------------------------------------------------------------


def memories_to_spoil(*shape: int) -> Tensor:
    """Of other sizes than 1 too."""
    draws = generator(0, "memories")
    values = torch.randn(*shape, generator=draws, dtype=torch.float64)
    return values * (0.2 + torch.rand(*shape[:-1], 1, generator=draws, dtype=torch.float64))


def sizes_of(before: Tensor, after: Tensor) -> Tensor:
    """How much noise each token got, relative to its root mean square: the tangent of its angle, where it is wide."""
    cosine = torch.cosine_similarity(before, after, dim=-1)
    return (1 / cosine**2 - 1).clamp(min=0).sqrt()


@pytest.mark.parametrize("largest", [0.1, 1.0, 5.0])
def test_noise_keeps_the_root_mean_square_of_each_token(largest: float) -> None:
    before = memories_to_spoil(4, 6, 3, 8)
    after = add_noise(before, largest, generator(0, "noise"))
    torch.testing.assert_close(after.square().mean(-1), before.square().mean(-1), rtol=1e-3, atol=0)
    assert (sizes_of(before, after) > 1e-6).all()  # none was left as it was


def test_noise_on_a_memory_of_zeros_is_none() -> None:
    zeros = torch.zeros(1, 2, 3, 8, requires_grad=True)
    after = add_noise(zeros, 1.0, generator(0, "noise"))
    assert not after.any()
    assert torch.isfinite(torch.autograd.grad(after.sum(), zeros)[0]).all()


def test_noise_is_a_function_of_its_generator() -> None:
    before = memories_to_spoil(4, 6, 3, 8)
    torch.manual_seed(1)
    one, former = add_noise(before, 1.0, generator(0, "noise")), torch.random.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(one, add_noise(before, 1.0, generator(0, "noise")))
    torch.manual_seed(1)
    assert torch.equal(former, torch.random.get_rng_state())
    assert not torch.equal(one, add_noise(before, 1.0, generator(0, "noise", 1)))


def test_no_noise_is_no_change_and_no_draw() -> None:
    before, draws = memories_to_spoil(4, 6, 3, 8), generator(0, "noise")
    assert torch.equal(add_noise(before, 0.0, draws), before)
    assert torch.equal(draws.get_state(), generator(0, "noise").get_state())


@pytest.mark.parametrize("largest", [0.3, 1.0, 2.0])
def test_sizes_of_noise_are_uniform_up_to_the_largest_and_each_memory_has_its_own(largest: float) -> None:
    wide = 4096  # so that an angle tells the size
    before = memories_to_spoil(20, 30, 2, wide)
    sizes = sizes_of(before, add_noise(before, largest, generator(0, "noise"))) / largest
    assert sizes.max() < 1.1
    assert sizes.mean().item() == pytest.approx(0.5, abs=0.05)
    assert (sizes < 0.5).double().mean().item() == pytest.approx(0.5, abs=0.08)
    torch.testing.assert_close(sizes[..., 0], sizes[..., 1], rtol=0.15, atol=0.05)  # tokens of a memory share it
    assert sizes.mean((1, 2)).std() < 0.1  # rows do not: each covers the whole range
    assert (sizes[..., 0].std(0) > 0.15).all()
    assert (sizes[..., 0].std(1) > 0.15).all()


def test_noise_in_one_row_does_not_depend_on_another() -> None:
    before = memories_to_spoil(4, 6, 3, 8)
    other = before.clone()
    other[1:] += 1
    one, same = (add_noise(values, 1.0, generator(0, "noise"))[0] for values in (before, other))
    assert torch.equal(one, same)


def test_noise_reaches_the_cells_start_and_nothing_else() -> None:
    """Readout, decoder and statistics see the labels as they are."""
    student = make_student()
    teacher, batch = make_teacher(student), make_batch(B, T)
    plain, noise = (losses_of(make_smt(student, teacher, noise=size), batch) for size in (0.0, 1.0))
    for name in ("readout", "uniformity"):
        assert torch.equal(plain[name], noise[name])
    for name in ("dynamics", "step_readout"):
        assert not torch.equal(plain[name], noise[name])


# --- by chunks of time --------------------------------------------------------------------------------

OURS: dict[str, Any] = {"relative": True, "labels_learn": 0.3}


@pytest.mark.parametrize(
    ("settings", "cell", "teacher"),
    [
        ({"window": 1}, "mlp", {}),
        ({"window": 3}, "gru", {"decoder_layers": 2}),
        ({"window": 2, "transitions": 4, "step_readout": 0.0}, "mlp", {"kind": "window"}),
    ],
)
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_by_chunks_the_losses_and_gradients_are_the_same(
    settings: dict[str, Any], cell: str, teacher: dict[str, Any], chunk: int
) -> None:
    student = make_student(cell)
    plain = make_teacher(student, **teacher)
    sparing = make_teacher(student, **teacher, recompute=True)
    sparing.load_state_dict(plain.state_dict())
    batch = make_batch(B, T, sparse=True)
    whole, parts = (
        losses_of(make_smt(student, one, **OURS, **settings, **more), batch)
        for one, more in ((plain, {}), (sparing, {"chunk": chunk}))
    )
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, msg=name)
    ours, theirs = gradients(parts["loss"], student, sparing), gradients(whole["loss"], student, plain)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_what_is_made_again_for_a_gradient_is_what_it_was(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise too: against the same chunks, kept. The control draws other noise the second time."""
    student = make_student()
    teacher, batch = make_teacher(student), make_batch(B, T)
    method = make_smt(student, teacher, chunk=2, noise=noise, **OURS)
    loss = losses_of(method, batch)["loss"]
    found = gradients(loss, student, teacher)
    with monkeypatch.context() as patch:
        patch.setattr(smt, "again", lambda run, *given: run(*given))
        kept = losses_of(method, batch)["loss"]
        for name, value in gradients(kept, student, teacher).items():
            torch.testing.assert_close(found[name], value, msg=name)
    seeds = itertools.count()
    patched = method._steps
    monkeypatch.setattr(
        method, "_steps", lambda *given: patched(*given[:-1], torch.Generator().manual_seed(next(seeds)))
    )
    other = gradients(losses_of(method, batch)["loss"], student, teacher)
    assert any(not torch.allclose(other[name], value) for name, value in found.items()) == (noise > 0)


def kept(width: int, length: int, chunk: int) -> int:
    """Numbers that a step keeps for its gradients, weights left out."""
    cell = CellSettings(kind="mlp", tokens=2, memory_width=width, width=16)
    student = Student(SYMBOLS, SYMBOLS, cell, readout_width=16)
    teacher = make_teacher(student, recompute=bool(chunk), dtype=torch.float32)
    found = [0]

    def keep(tensor: Tensor) -> Tensor:
        found[0] += 0 if isinstance(tensor, nn.Parameter) else tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses_of(make_smt(student, teacher, chunk=chunk), make_batch(1, length))
    return found[0]


def test_by_chunks_what_a_time_step_adds_does_not_depend_on_the_size_of_memories() -> None:
    """And it is far less. Lengths are beyond those whose memories all count for the statistics."""
    added = {
        (width, chunk): kept(width, 768, chunk) - kept(width, 512, chunk)
        for width, chunk in itertools.product((8, 32), (0, 64))
    }
    assert added[8, 64] < added[8, 0] / 4
    assert added[32, 64] == added[8, 64]
    assert added[32, 0] > 1.5 * added[8, 0]  # the control


# --- one memory, memories that are all the same -------------------------------------------------------


@pytest.mark.parametrize(("size", "length", "transitions"), [(1, 5, 1), (1, 1, 0), (1, 1, 1), (2, 3, 1)])
def test_a_loss_over_one_memory(size: int, length: int, transitions: int) -> None:
    student = make_student()
    method = make_smt(student, make_teacher(student), transitions=transitions, relative=True, noise=1.0)
    losses = losses_of(method, make_batch(size, length))
    assert ("uniformity" in losses) == (size > 1)
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(torch.isfinite(g).all() for g in gradients(losses["loss"], student, method.teacher).values())


@pytest.mark.parametrize("cell", ["mlp", "gru", "lstm"])
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_memories_that_are_all_the_same(cell: str, size: float) -> None:
    """A collapsed teacher: every label is one memory, or zero."""
    student = make_student(cell, dtype=torch.float32)
    teacher = make_teacher(student, dtype=torch.float32)
    with torch.no_grad():
        teacher.head.weight.zero_()
        teacher.head.bias.mul_(size)
    method = make_smt(student, teacher, relative=True, noise=1.0, labels_learn=0.1)
    losses = losses_of(method, make_batch(B, T))
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(torch.isfinite(g).all() for g in gradients(losses["loss"], student, teacher).values())


# --- who learns from the dynamics loss ----------------------------------------------------------------


def by_label(**settings: Any) -> tuple[Tensor, SMT, Tensor]:
    """The dynamics loss, its method, and its gradient for each label m_s (index of batch.py)."""
    student = make_student()
    teacher = make_teacher(student)
    method, batch = make_smt(student, teacher, **settings), make_batch(B, T)
    labels = teacher.memories(batch.inputs)
    fix_labels(teacher, labels)
    loss = losses_of(method, batch)["dynamics"]
    return loss, method, torch.autograd.grad(loss, labels, retain_graph=True)[0]


@pytest.mark.parametrize("labels_learn", [1.0, 0.05, 0.0])
def test_labels_learn_decides_exactly(labels_learn: float) -> None:
    loss, method, found = by_label(labels_learn=labels_learn)
    student, teacher = method.student, method.teacher
    assert teacher.decoder is not None
    parts: dict[str, list[torch.nn.Module]] = {
        "cell": [student.cell],
        "readout": [student.head],
        "encoder": [teacher.encoder],
        "memory head": [teacher.head],
        "decoder": [teacher.decoder],
    }
    reached = {name for name, part in parts.items() if any(g.any() for g in gradients(loss, *part).values())}
    assert reached == {"cell", "encoder", "memory head"}
    sizes = found.square().sum(dim=(0, 2, 3)).sqrt()
    assert (sizes[:-1] > 0).all()  # as the input of a step, whatever the share
    assert bool(sizes[-1] > 0) == bool(labels_learn)  # the last memory is a label alone


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.05])
def test_a_share_is_that_share_of_the_gradient_through_labels(share: float, relative: bool) -> None:
    """Through inputs comes all of it; the cell's is the same, and so is the value."""
    loss, method, found = by_label(labels_learn=share, relative=relative)
    everything = by_label(labels_learn=1.0, relative=relative)[2]
    whole, its_method, through_inputs = by_label(labels_learn=0.0, relative=relative)
    through_labels = everything - through_inputs
    assert through_labels.any()
    torch.testing.assert_close(found, share * through_labels + through_inputs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(loss, whole, rtol=1e-12, atol=0)
    expected = gradients(whole, its_method.student.cell)
    for name, value in gradients(loss, method.student.cell).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-12)


def test_of_a_teacher_that_was_taken_nothing_learns() -> None:
    """And what is about labels alone counts for nothing. The rest has the value and the gradients that it had."""
    student = make_student()
    teacher, batch = make_teacher(student), make_batch(B, T, sparse=True)
    learning = make_smt(student, teacher, decoding=0.0, uniformity=0.0)
    taken = SMT(student, teacher, SMTSettings(**{**SMT_VALUES, "teacher": "runs/other"}))
    ours, theirs = losses_of(taken, batch), losses_of(learning, batch)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-12, atol=0, msg=name)
    assert not any(g.any() for g in gradients(ours["loss"], teacher).values())
    assert any(g.any() for g in gradients(theirs["loss"], teacher).values())
    expected = gradients(theirs["loss"], student)
    for name, value in gradients(ours["loss"], student).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_scale_gradient(share: float) -> None:
    values = torch.linspace(-2, 2, 7, dtype=torch.float64, requires_grad=True)
    scaled = scale_gradient(values, share)
    torch.testing.assert_close(scaled, values, rtol=1e-15, atol=0)
    assert scaled.requires_grad == (share > 0)
    if share:
        torch.testing.assert_close(torch.autograd.grad(scaled.sum(), values)[0], torch.full_like(values, share))


def test_other_losses_reach_the_teacher_whatever_the_dynamics_loss_may() -> None:
    student = make_student()
    method = make_smt(student, make_teacher(student), labels_learn=0.0)
    losses = losses_of(method, make_batch())
    for name in ("readout", "decoding", "uniformity"):
        assert any(g.any() for g in gradients(losses[name], method.teacher.encoder).values()), name
    assert not any(g.any() for g in gradients(losses["decoding"], student).values())


def test_it_hands_over_the_student_as_it_is() -> None:
    student = make_student()
    assert not make_smt(student, make_teacher(student)).improves_only


def test_noise_of_a_row_does_not_depend_on_how_processes_share_the_batch() -> None:
    memories = torch.randn(4, 3, 2, 5, generator=generator(0, "test"), dtype=torch.float64)
    whole = add_noise(memories, 0.8, generator(0, "loss"))
    assert not torch.allclose(whole, memories)
    for rank in range(2):
        own = slice(2 * rank, 2 * rank + 2)
        with sharing(rank, 2):
            assert torch.equal(add_noise(memories[own], 0.8, generator(0, "loss")), whole[own])
