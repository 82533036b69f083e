"""What no loss has read costs no backward pass, and all gradients are what they were."""

from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor

from helpers import SYMBOLS, draw_values, gradients, make_batch, make_bptt, make_student
from nounroll.core.seeding import generator
from nounroll.models.student import Student
from nounroll.nn.unread import unread_costs_nothing


class Passes:
    """How many times torch computed a gradient of what was made; it goes on without one where there is none."""

    def __init__(self) -> None:
        self.count = 0

    def of(self, made: Tensor) -> Tensor:
        made.grad_fn.register_hook(self._ran)  # type: ignore[union-attr]
        return made

    def _ran(self, _: object, gradients: tuple[Tensor | None, ...]) -> None:
        self.count += gradients[0] is not None


def passes(loss: Callable[[Tensor], Tensor], marked: Callable[[Tensor], Tensor] = unread_costs_nothing) -> int:
    """Backward passes of what made the last three of five values."""
    seen = Passes()
    made = seen.of(torch.ones(3, requires_grad=True) * 2)
    loss(torch.cat([torch.ones(2, requires_grad=True), marked(made)])).backward()
    return seen.count


def test_values_that_are_read_have_their_gradient() -> None:
    values = torch.ones(3, requires_grad=True)
    (unread_costs_nothing(values) * torch.tensor([0.0, 1.0, float("nan")])).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([0.0, 1.0, float("nan")]), equal_nan=True)


def test_only_values_that_are_read_are_gone_through() -> None:
    assert passes(lambda whole: whole[2:].sum()) == 1
    assert passes(lambda whole: whole[:2].sum()) == 0
    assert passes(lambda whole: whole[:2].sum(), marked=lambda values: values) == 1  # torch alone carries zeros


def test_an_lstm_whose_readout_alone_is_read_has_the_gradients_of_its_steps() -> None:
    student, inputs = make_student("lstm"), draw_values(SYMBOLS, 3, 21)

    def found(rollout: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        return gradients(student.readout(rollout(inputs)).square().sum(), student)

    expected = found(student.stepped_rollout)
    for name, value in found(student.rollout).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-10, msg=name)


def test_a_loss_of_outputs_alone_rebuilds_no_carry() -> None:
    def steps(read: Callable[[Student], object]) -> int:
        with mock.patch("nounroll.cells.lstm.torch.addcmul", side_effect=torch.addcmul) as recurrence:
            read(make_student("lstm"))
        return recurrence.call_count

    inputs = draw_values(SYMBOLS, 3, 21)
    assert steps(lambda student: student.outputs(inputs)) == 0
    assert steps(lambda student: make_bptt(student)(make_batch(3, 21), {}, generator(0, "loss"), 0.5)) == 0
    assert steps(lambda student: student.rollout(inputs)) == 21


def test_that_spares_the_rebuilt_carry_of_an_lstm() -> None:
    def nodes(student: Student) -> int:
        """Backward passes of the elementwise recurrence, one a step."""
        seen, inputs, addcmul = Passes(), draw_values(SYMBOLS, 3, 21), torch.addcmul
        with mock.patch("nounroll.cells.lstm.torch.addcmul", lambda *given: seen.of(addcmul(*given))):
            student.readout(student.rollout(inputs)).square().sum().backward()
        return seen.count

    assert nodes(make_student("lstm")) == 0
    with mock.patch("nounroll.cells.lstm.unread_costs_nothing", lambda values: values):
        assert nodes(make_student("lstm")) == 21
