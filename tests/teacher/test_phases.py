"""Phases that inputs turn: their naive twin, how they go on from a memory, and what they start as."""

import math

import pytest
import torch
from torch import Tensor

from helpers import gradients
from nounroll.nn.norm import rms_normalise
from nounroll.teacher.phases import Phases

B, T, WIDTH, SIZE = 3, 9, 12, 7  # an odd number of numbers: three phases, and one that is not used


def phases() -> Phases:
    torch.manual_seed(0)
    made = Phases(WIDTH, SIZE).double()
    with torch.no_grad():
        made.keep.bias.fill_(1.0)
        made.keep.weight.mul_(20)
    return made


def inputs(seed: int = 1) -> Tensor:
    return torch.randn(B, T, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def turned_step_by_step(made: Phases, x: Tensor) -> Tensor:
    """The naive twin: z_t = k_t exp(i θ_t) z_{t-1} + (1 - k_t), in real numbers."""
    real, imaginary = x.new_ones(B, made.count), x.new_zeros(B, made.count)
    found = []
    for e in rms_normalise(x).unbind(1):
        keep, turn = made.keep(e).sigmoid(), made.turn(e)
        real, imaginary = (
            keep * (turn.cos() * real - turn.sin() * imaginary) + 1 - keep,
            keep * (turn.sin() * real + turn.cos() * imaginary),
        )
        found.append(torch.cat([real, imaginary, x.new_zeros(B, SIZE - 2 * made.count)], dim=-1))
    return torch.stack(found, dim=1)


def test_phases_equal_their_naive_twin_with_gradients() -> None:
    made = phases()
    fast, slow = made(inputs())[0], turned_step_by_step(made, inputs())
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)
    expected = gradients(slow.sin().sum(), made)
    for name, value in gradients(fast.sin().sum(), made).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-12, msg=name)


@torch.no_grad()
def test_phases_do_not_see_the_future() -> None:
    made, changed = phases(), inputs()
    changed[:, 5:] += 1
    assert torch.equal(made(inputs())[0][:, :5], made(changed)[0][:, :5])


@pytest.mark.parametrize("scale", [1.0, 0.3])
@torch.no_grad()
def test_phases_go_on_from_a_memory_by_its_direction(scale: float) -> None:
    made = phases()
    made.keep.bias.fill_(40.0)  # nothing is forgotten, so each z has length 1
    made.keep.weight.zero_()
    whole, _ = made(inputs())
    rest, _ = made(inputs()[:, 4:], scale * whole[:, 3])
    torch.testing.assert_close(rest, whole[:, 4:], rtol=0, atol=1e-9)


@torch.no_grad()
def test_phases_start_as_clocks_of_2_to_128_steps() -> None:
    made = Phases(WIDTH, 16)
    torch.testing.assert_close(2 * math.pi / made.turn.bias[[0, -1]], torch.tensor([2.0, 128.0]))
    assert made.turn(rms_normalise(inputs().float())).sub(made.turn.bias).abs().amax() < 0.2
    assert made.keep(rms_normalise(inputs().float())).sigmoid().amin() > 0.98


@torch.no_grad()
def test_no_inputs_turn_nothing() -> None:
    numbers, place = phases()(inputs()[:, :0], torch.ones(B, SIZE, dtype=torch.float64))
    assert numbers.shape == (B, 0, SIZE)
    assert place.shape == (B, 0, WIDTH)


@torch.no_grad()
def test_half_precision_inputs_are_turned_in_single_precision() -> None:
    numbers, place = phases().bfloat16()(inputs().bfloat16())
    assert numbers.dtype == place.dtype == torch.bfloat16
    assert numbers.isfinite().all()
