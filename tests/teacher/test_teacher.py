"""Teachers against their slow twins: one pass over all prefixes equals a pass over each."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import CELL_KINDS, SHAPE, SYMBOLS, TEACHERS, draw_values, gradients, make_student, make_teacher
from nounroll.cells.base import constrain
from nounroll.core.batch import Real, Space
from nounroll.teacher import Teacher, TeacherSettings

T = 6


def assert_close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)  # rotary angles are float32


@torch.no_grad()
@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("kind", TEACHERS)
def test_a_memory_is_the_label_of_its_prefix_alone(kind: str, space: Space) -> None:
    teacher, inputs = make_teacher(make_student(inputs=space), **TEACHERS[kind]), draw_values(space, 3, T)
    memories = teacher.memories(inputs)
    assert memories.shape == (3, T + 1, *SHAPE)
    for length in range(1, T + 1):
        assert_close(teacher.memories(inputs[:, :length]), memories[:, : length + 1])


@torch.no_grad()
@pytest.mark.parametrize("kind", TEACHERS)
def test_chosen_positions_are_those_of_the_whole(kind: str) -> None:
    teacher, inputs = make_teacher(make_student(), **TEACHERS[kind]), draw_values(SYMBOLS, 3, T)
    positions = torch.tensor([[0, 6, 2, 2], [5, 1, 0, 3], [6, 6, 4, 1]])
    expected = torch.stack([teacher.memories(inputs)[b, positions[b]] for b in range(3)])
    assert_close(teacher.memories(inputs, positions), expected)


@torch.no_grad()
@pytest.mark.parametrize("context", [2, 100])
def test_the_window_encoder_reads_each_window_by_itself(context: int) -> None:
    teacher, inputs = make_teacher(make_student(), kind="window", context=context), draw_values(SYMBOLS, 2, T)
    encoder: Any = teacher.encoder
    for b in range(2):
        for s in range(T + 1):
            window = encoder.embed(inputs[b, max(0, s - context) : s])
            state = encoder.trunk(torch.cat([window, encoder.summary[None]])[None])[:, -1]
            expected = constrain(teacher._cell[0], teacher.head(state).view(1, *SHAPE))[0]
            assert_close(teacher.memories(inputs)[b, s], expected)


@torch.no_grad()
def test_many_windows_are_encoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, inputs = make_teacher(make_student(), kind="window"), draw_values(SYMBOLS, 3, T)
    whole = teacher.memories(inputs)
    monkeypatch.setattr("nounroll.teacher.window._ROWS", 4)
    assert_close(teacher.memories(inputs), whole)


def test_a_window_encoder_sees_256_inputs_in_a_run() -> None:
    assert make_teacher(make_student(), kind="window").encoder.context == 256


@pytest.mark.parametrize("kind", ["causal", "window"])
def test_an_encoder_that_is_computed_again_has_the_same_gradients(kind: str) -> None:
    student, inputs = make_student(), draw_values(SYMBOLS, 3, T)
    plain, sparing = (make_teacher(student, kind=kind, recompute=recompute) for recompute in (False, True))
    expected = gradients(plain.memories(inputs).sin().sum(), plain)
    for name, value in gradients(sparing.memories(inputs).sin().sum(), sparing).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("cell", CELL_KINDS)
def test_labels_are_memories_that_the_cell_can_hold(cell: str) -> None:
    student = make_student(cell)
    teacher = make_teacher(student)
    with torch.no_grad():
        teacher.head.weight.mul_(100)
    labels = teacher.memories(draw_values(SYMBOLS, 3, T))
    if cell in ("mlp", "transformer", "tape"):
        assert torch.allclose(labels.square().mean(-1), torch.ones(1, dtype=torch.float64), atol=1e-4)
    elif cell == "mingru":
        assert (labels > 0).all()
    else:
        assert labels.abs().max() <= (3 if cell in ("lstm", "pooled") else 1)


def test_the_cells_weights_are_not_the_teachers() -> None:
    student = make_student()
    mine = {id(p) for p in make_teacher(student).parameters()}
    assert not mine & {id(p) for p in student.parameters()}


# --- the decoder --------------------------------------------------------------------------------------


def decoder_of(teacher: Teacher) -> Any:
    assert teacher.decoder is not None
    return teacher.decoder


@torch.no_grad()
@pytest.mark.parametrize("token_shift", [True, False])
def test_the_decoder_predicts_one_more_than_it_sees(token_shift: bool) -> None:
    """[m_t, x_{t+1}, ...]: the i-th prediction changes with the memory and with the first i inputs alone."""
    decoder = decoder_of(make_teacher(make_student(), token_shift=token_shift))
    memory, future = torch.randn(3, *SHAPE, dtype=torch.float64), draw_values(SYMBOLS, 3, 4)
    outputs = decoder(memory, future)
    assert outputs.shape == (3, 5, SYMBOLS.n)
    assert_close(decoder(memory, future[:, :0]), outputs[:, :1])
    for i in range(4):
        other = future.clone()
        other[:, i] = (other[:, i] + 1) % SYMBOLS.n
        moved = (decoder(memory, other) - outputs).abs().amax((0, 2)) > 1e-12
        assert moved.tolist() == [position > i for position in range(5)]
    for k in range(SHAPE[0]):
        other = memory.clone()
        other[:, k] += 1
        assert ((decoder(other, future) - outputs).abs().amax((0, 2)) > 1e-6).all()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["causal", "slots"])
def test_the_decoder_predicts_only_the_steps_that_are_asked_for(kind: str) -> None:
    decoder = decoder_of(make_teacher(make_student(), kind=kind))
    memory, future = torch.randn(3, *SHAPE, dtype=torch.float64), draw_values(SYMBOLS, 3, 4)
    at = torch.tensor([[4, 0], [1, 1], [2, 3]])
    assert_close(
        decoder(memory, future, at), decoder(memory, future).gather(1, at[..., None].expand(-1, -1, SYMBOLS.n))
    )


@torch.no_grad()
def test_the_decoder_tells_memory_tokens_apart() -> None:
    decoder = decoder_of(make_teacher(make_student()))
    memory, future = torch.randn(3, *SHAPE, dtype=torch.float64), draw_values(SYMBOLS, 3, 2)
    assert not torch.allclose(decoder(memory.flip(1), future), decoder(memory, future), atol=1e-3)


def test_the_decoder_knows_its_horizon() -> None:
    assert decoder_of(make_teacher(make_student(), horizon=7)).horizon == 7


def test_no_decoder() -> None:
    assert make_teacher(make_student(), decoder_layers=0).decoder is None


# --- settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "lstm"}, "teacher.kind is 'lstm'; it must be one of causal, slots, window, transformers"),
        ({"width": 1}, "teacher.width is 1; it must be at least 2"),
        ({"layers": 0}, "teacher.layers is 0; it must be at least 1"),
        ({"decoder_layers": -1}, "teacher.decoder_layers is -1; it must be at least 0"),
        ({"horizon": -1}, "teacher.horizon is -1; it must be at least 0"),
        ({"decoder_layers": 1001}, "teacher.decoder_layers is 1001; it must be at most 1000"),
        ({"width": 15}, "teacher.width is 15; it must be even"),
    ],
)
def test_settings_out_of_range(values: dict[str, Any], message: str) -> None:
    settings = {"width": 16, **{k: v for k, v in values.items() if k != "kind"}}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checked_later(settings, values.get("kind", "causal"))


@pytest.mark.parametrize(
    ("width", "heads"), [(2, 1), (4, 1), (8, 2), (12, 2), (16, 4), (64, 4), (94, 1), (100, 2), (256, 4)]
)
def test_heads_follow_from_the_width(width: int, heads: int) -> None:
    """A head's width is even, as rotary positions need it."""
    assert TeacherSettings(width=width).heads == heads


def checked_later(values: dict[str, Any], kind: Any) -> None:
    """The settings with any kind: from Python types are not checked before the class is."""
    settings = TeacherSettings(**values)
    object.__setattr__(settings, "kind", kind)
    settings.__post_init__()
