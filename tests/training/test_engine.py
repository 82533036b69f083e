"""One optimiser step: what is not finite changes nothing, parts of a batch add up, students and teachers clip apart."""

from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import make_batch, make_bptt, make_smt, make_student, make_teacher, same_state, state
from nounroll.batch import Batch
from nounroll.methods.base import Method
from nounroll.seeding import generator
from nounroll.training.engine import Engine
from nounroll.training.settings import TrainingSettings


def settings(**values: Any) -> TrainingSettings:
    return TrainingSettings(**{"steps": 10, "batch_size": 8, "device": "cpu", "precision": "32-true", **values})


def one_student() -> Any:
    return make_student(dtype=torch.float32)


class Spoilt(Method):
    """BPTT whose loss, or a gradient of it, is not finite on chosen calls."""

    def __init__(self, student: Any, spoil: dict[int, str]) -> None:
        super().__init__()
        self.inner, self.student, self.spoil, self.calls = make_bptt(student), student, spoil, 0

    def forward(self, batch: Batch, generator: torch.Generator, progress: float) -> dict[str, Tensor]:
        losses = self.inner(batch, generator, progress)
        how, self.calls = self.spoil.get(self.calls), self.calls + 1
        if how == "gradient":  # sqrt(0): a value of 0 whose gradient is not finite
            zero = (self.student.head.out.bias[0] * 0).abs()
            return {"loss": losses["loss"] + zero.sqrt()}
        factor = {"nan": torch.nan, "inf": torch.inf, "figure": 1.0, None: 1.0}[how]
        part = {"figure": losses["loss"] * torch.nan} if how == "figure" else {}
        return {"loss": losses["loss"] * factor, **part}

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return 0.0


def optimizer_state(engine: Engine) -> dict[str, Tensor]:
    inner = engine.optimizer.state_dict()["state"]
    return {f"{index}/{name}": value.clone() for index, one in inner.items() for name, value in one.items()}


def step(engine: Engine, method: Any, index: int) -> dict[str, float] | None:
    parts = (generator(0, f"loss/{part}", index) for part in range(engine.settings.accumulate))
    return engine.step(method, make_batch(8, 5, seed=index), parts, 0.5, 1.0)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("how", ["nan", "inf", "gradient", "figure"])
def test_a_step_that_is_not_finite_changes_nothing(how: str, accumulate: int) -> None:
    student = one_student()
    engine = Engine(settings(accumulate=accumulate), {"student": student})
    method = engine.prepare(Spoilt(student, {2 * accumulate + accumulate - 1: how}))
    for index in range(2):
        assert step(engine, method, index) is not None
    before, optimizer = state(student), optimizer_state(engine)
    assert optimizer
    assert step(engine, method, 2) is None
    assert same_state(state(student), before)
    assert same_state(optimizer_state(engine), optimizer)
    assert step(engine, method, 3) is not None
    assert not same_state(state(student), before)


def trained(accumulate: int) -> tuple[list[float], dict[str, Tensor]]:
    student = one_student()
    engine = Engine(settings(accumulate=accumulate), {"student": student})
    method = engine.prepare(make_bptt(student))
    losses = [step(engine, method, index) for index in range(4)]
    return [one["loss"] for one in losses if one is not None], state(student)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    losses, weights = trained(1)
    assert len(losses) == 4
    for accumulate in (2, 4, 8):
        in_parts, same_weights = trained(accumulate)
        assert in_parts == pytest.approx(losses, abs=1e-6)
        for name, value in weights.items():
            torch.testing.assert_close(same_weights[name], value, rtol=0, atol=1e-6)


def test_student_and_teacher_are_clipped_apart() -> None:
    student = one_student()
    teacher = make_teacher(student, dtype=torch.float32)
    modules = {"student": student, "teacher": teacher}
    engine = Engine(settings(clip=0.01), modules)
    method = engine.prepare(make_smt(student, teacher, readout=100.0, decoding=1.0))
    losses = step(engine, method, 0)
    assert losses is not None
    for name, module in modules.items():
        assert losses[f"{name}_gradient_norm"] > 0.01  # what it was before the cut
        after = torch.stack([p.grad.norm() for p in module.parameters() if p.grad is not None]).norm()
        assert after.item() == pytest.approx(0.01, rel=1e-3)


def test_the_learning_rate_is_the_schedules() -> None:
    student = one_student()
    engine = Engine(settings(learning_rate=0.5), {"student": student})
    method = engine.prepare(make_bptt(student))
    engine.step(method, make_batch(8, 5), [generator(0, "loss")], 0.5, 0.25)
    assert [group["lr"] for group in engine.optimizer.param_groups] == [0.125]
    before = state(student)
    engine.step(method, make_batch(8, 5), [generator(0, "loss")], 0.5, 0.0)
    assert same_state(state(student), before)
