"""Spaces and batches: the time index, and errors that name the array, the value and what is allowed."""

import re
from typing import Any

import pytest
import torch

from nounroll.core.batch import Batch, Categorical, Real, Space
from nounroll.core.seeding import generator

SYMBOLS, VECTORS = Categorical(4), Real(2)


def fails(message: str) -> Any:
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


# --- spaces -------------------------------------------------------------------------------------------


def test_sizes() -> None:
    assert (SYMBOLS.event_shape, SYMBOLS.readout_size) == ((), 4)
    assert (VECTORS.event_shape, VECTORS.readout_size) == ((2,), 4)
    for space in (SYMBOLS, VECTORS):
        zeros = space.zeros(3, 5)
        assert zeros.shape == (3, 5, *space.event_shape)
        assert not zeros.any()
        space.check("zeros", zeros)


@pytest.mark.parametrize("n", [0, -1])
def test_empty_spaces(n: int) -> None:
    with fails(f"Categorical.n is {n}; it must be a whole number of at least 1"):
        Categorical(n)
    with fails(f"Real.d is {n}; it must be a whole number of at least 1"):
        Real(n)


@pytest.mark.parametrize(
    ("space", "values", "message"),
    [
        (SYMBOLS, torch.zeros(2), "x has dtype torch.float32; a Categorical array must be torch.int64"),
        (SYMBOLS, torch.zeros(2).int(), "x has dtype torch.int32; a Categorical array must be torch.int64"),
        (SYMBOLS, torch.tensor([0, 4]), "x holds the symbol 4; Categorical(4) allows 0..3"),
        (SYMBOLS, torch.tensor([3, -1, 9]), "x holds the symbol -1; Categorical(4) allows 0..3"),
        (VECTORS, torch.zeros(1, 2).long(), "x has dtype torch.int64; a Real array must be floating point"),
        (
            VECTORS,
            torch.tensor([[0.0, 1.0], [torch.nan, 0.0]]),
            "x holds nan at index (1, 0); Real arrays must be finite",
        ),
        (VECTORS, torch.tensor([[0.0, -torch.inf]]), "x holds -inf at index (0, 1); Real arrays must be finite"),
    ],
)
def test_values_outside_a_space(space: Space, values: torch.Tensor, message: str) -> None:
    with fails(message):
        space.check("x", values)


def test_values_inside_a_space() -> None:
    SYMBOLS.check("x", torch.tensor([[0, 3], [1, 2]]))
    SYMBOLS.check("x", torch.zeros(0, 3, dtype=torch.int64))
    VECTORS.check("x", torch.randn(3, 2))


# --- batches ------------------------------------------------------------------------------------------


def test_the_time_index_of_the_next_step() -> None:
    """y_t = x_{t+1}."""
    batch = Batch.next_step(torch.tensor([[1, 2, 3, 4]]))
    assert batch.inputs.tolist() == [[1, 2, 3]]
    assert batch.targets.tolist() == [[2, 3, 4]]
    assert batch.mask.all()
    assert (batch.batch_size, batch.length) == (1, 3)
    vectors = torch.arange(8.0).view(1, 4, 2)
    assert torch.equal(Batch.next_step(vectors).targets, vectors[:, 1:])


def test_the_arrays_of_batches_are_in_the_order_of_a_batch() -> None:
    batches = [Batch(torch.full((1, 2), i), torch.full((1, 2), -i), torch.full((1, 2), i > 0)) for i in range(2)]
    joined = Batch(*(torch.cat(values) for values in Batch.arrays(batches).values()))
    assert joined.inputs[:, 0].tolist() == [0, 1]
    assert joined.targets[:, 0].tolist() == [0, -1]
    assert joined.mask[:, 0].tolist() == [False, True]
    assert list(Batch.arrays([])) == ["inputs", "targets", "mask"]


def test_rows() -> None:
    batch = Batch(torch.arange(6).view(3, 2), torch.arange(6).view(3, 2) + 1, torch.tensor([[True, False]] * 3))
    part = batch.rows(1, 3)
    assert part.inputs.tolist() == [[2, 3], [4, 5]]
    assert part.targets.tolist() == [[3, 4], [5, 6]]
    assert part.mask.tolist() == [[True, False]] * 2
    assert batch.to("cpu").rows(0, 1).length == 2


def ints(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64)


@pytest.mark.parametrize(
    ("batch", "spaces", "message"),
    [
        (
            Batch(ints(2, 4), ints(2, 4)),
            (SYMBOLS, SYMBOLS),
            "T: inputs have shape (2, 4); Categorical(n=4) at this size needs (2, 3)",
        ),
        (
            Batch(ints(2, 3), ints(2, 3)),
            (SYMBOLS, VECTORS),
            "T: targets have shape (2, 3); Real(d=2) at this size needs (2, 3, 2)",
        ),
        (
            Batch(ints(2, 3), torch.full((2, 3), 7)),
            (SYMBOLS, SYMBOLS),
            "T: targets holds the symbol 7; Categorical(4) allows 0..3",
        ),
        (
            Batch(torch.zeros(2, 3), ints(2, 3)),
            (SYMBOLS, SYMBOLS),
            "T: inputs has dtype torch.float32; a Categorical array must be torch.int64",
        ),
    ],
)
def test_a_batch_that_is_not_what_was_asked_for(batch: Batch, spaces: tuple[Space, Space], message: str) -> None:
    with fails(message):
        batch.check("T", *spaces, 2, 3)


@pytest.mark.parametrize(
    ("mask", "is_"), [(ints(2, 3), "torch.int64 of shape (2, 3)"), (torch.ones(2, 2) > 0, "torch.bool of shape (2, 2)")]
)
def test_a_mask_that_is_none(mask: torch.Tensor, is_: str) -> None:
    batch = Batch(ints(2, 3), ints(2, 3))
    object.__setattr__(batch, "mask", mask)
    with fails(f"T: mask is {is_}; it must be torch.bool of shape (2, 3)"):
        batch.check("T", SYMBOLS, SYMBOLS, 2, 3)


def test_a_good_batch() -> None:
    Batch(ints(2, 3), torch.zeros(2, 3, 2)).check("T", SYMBOLS, VECTORS, 2, 3)


# --- seeding ------------------------------------------------------------------------------------------


def test_a_draw_is_a_function_of_seed_stream_and_step() -> None:
    def numbers(*key: Any) -> list[int]:
        return torch.randint(1 << 40, (4,), generator=generator(*key)).tolist()

    assert numbers(0, "train", 5) == numbers(0, "train", 5)
    keys = [(0, "train", 5), (1, "train", 5), (0, "validation", 5), (0, "train", 6), (0, "train"), (10, "train", 5)]
    assert len({tuple(numbers(*key)) for key in keys}) == len(keys)
