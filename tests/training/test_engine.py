"""One optimiser step: what is not finite changes nothing, parts of a batch add up, students and teachers clip apart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import CELL_KINDS, FREE, make_batch, make_bptt, make_smt, make_student, make_teacher, same_state, state
from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.data.task import SequenceTask
from nounroll.experiments.run import fit
from nounroll.methods import BPTT, DMT, SMT, TBPTT
from nounroll.methods.base import Method, State
from nounroll.training.accumulation import shares
from nounroll.training.devices import best_device, devices
from nounroll.training.engine import Engine
from nounroll.training.settings import Budget, TrainingSettings
from own_parts import Echo, RunningMean


def settings(**values: Any) -> TrainingSettings:
    return TrainingSettings(
        **{"budget": Budget("steps", 10), "batch_size": 8, "device": "cpu", "precision": "32-true", **values}
    )


def one_student() -> Any:
    return make_student(dtype=torch.float32)


class Spoilt(Method):
    """BPTT whose loss, or a gradient of it, is not finite on chosen calls."""

    def __init__(self, student: Any, spoil: dict[int, str]) -> None:
        super().__init__()
        self.inner, self.student, self.spoil, self.calls = make_bptt(student), student, spoil, 0

    def forward(
        self, batch: Batch, state: State, generator: torch.Generator, progress: float
    ) -> tuple[dict[str, Tensor], State]:
        losses, state = self.inner(batch, state, generator, progress)
        how, self.calls = self.spoil.get(self.calls), self.calls + 1
        if how == "gradient":  # sqrt(0): a value of 0 whose gradient is not finite
            zero = (self.student.head.out.bias[0] * 0).abs()
            return {"loss": losses["loss"] + zero.sqrt()}, state
        factor = {"nan": torch.nan, "inf": torch.inf, "figure": 1.0, None: 1.0}[how]
        part = {"figure": losses["loss"] * torch.nan} if how == "figure" else {}
        return {"loss": losses["loss"] * factor, **part}, state

    def sequential_flops(self, per_token: float, cell_step: float, length: int) -> float:
        return 0.0


def optimizer_state(engine: Engine) -> dict[str, Tensor]:
    inner = engine.optimizer.state_dict()["state"]
    return {f"{index}/{name}": value.clone() for index, one in inner.items() for name, value in one.items()}


def step(engine: Engine, method: Any, index: int, *, sparse: bool = False) -> dict[str, float] | None:
    parts = (generator(0, f"loss/{part}", index) for part in range(engine.settings.accumulate))
    found = engine.step(method, make_batch(8, 5, seed=index, sparse=sparse), {}, parts, 0.5, 1.0)
    return None if found is None else found[0]


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


def trained(accumulate: int, *, sparse: bool) -> tuple[list[float], dict[str, Tensor]]:
    student = one_student()
    engine = Engine(settings(accumulate=accumulate), {"student": student})
    method = engine.prepare(make_bptt(student))
    losses = [step(engine, method, index, sparse=sparse) for index in range(4)]
    return [one["loss"] for one in losses if one is not None], state(student)


@pytest.mark.parametrize("sparse", [False, True])
def test_parts_of_a_batch_add_up_to_the_whole(sparse: bool) -> None:
    """A sparse batch has parts with different numbers of scored targets."""
    losses, weights = trained(1, sparse=sparse)
    assert len(losses) == 4
    for accumulate in (2, 4, 8):
        in_parts, same_weights = trained(accumulate, sparse=sparse)
        assert in_parts == pytest.approx(losses, abs=1e-6)
        for name, value in weights.items():
            torch.testing.assert_close(same_weights[name], value, rtol=0, atol=1e-6)


def test_parts_weigh_as_much_as_they_score() -> None:
    batch = Batch(torch.zeros(4, 3, dtype=torch.long), torch.zeros(4, 3, dtype=torch.long), torch.zeros(4, 3) > 0)
    assert shares(batch, {}, 2) == [0.5, 0.5]
    batch.mask[0], batch.mask[3, 0] = True, True
    assert shares(batch, {}, 2) == pytest.approx([0.75, 0.25])
    assert shares(batch, {}, 4) == pytest.approx([0.75, 0, 0, 0.25], abs=1e-6)
    unfinished = torch.zeros(2, 4, 3) > 0
    unfinished[1, 3, :2], unfinished[0, 2] = True, True
    assert shares(batch, {"mask": unfinished}, 2) == pytest.approx([3 / 9, 6 / 9])


def test_student_and_teacher_are_clipped_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.engine._CLIP", 0.01)
    student = one_student()
    teacher = make_teacher(student, dtype=torch.float32)
    modules = {"student": student, "teacher": teacher}
    engine = Engine(settings(), modules)
    method = engine.prepare(make_smt(student, teacher))
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
    engine.step(method, make_batch(8, 5), {}, [generator(0, "loss")], 0.5, 0.25)
    assert [group["lr"] for group in engine.optimizer.param_groups] == [0.125]
    before = state(student)
    engine.step(method, make_batch(8, 5), {}, [generator(0, "loss")], 0.5, 0.0)
    assert same_state(state(student), before)


# --- hard cases of smt --------------------------------------------------------------------------------

OURS: dict[str, Any] = {"relative": True, "noise": 1.0, "labels_learn": 0.05}


def smt_step(teacher_change: Callable[[Any], None], batch: Batch, **values: Any) -> None:
    """A step of SMT is finite and leaves finite weights that have moved."""
    student = one_student()
    teacher = make_teacher(student, dtype=torch.float32)
    with torch.no_grad():
        teacher_change(teacher)
    engine = Engine(settings(batch_size=batch.batch_size), {"student": student, "teacher": teacher})
    method = engine.prepare(make_smt(student, teacher, **OURS, **values))
    before = state(student)
    for index in range(3):
        losses = engine.step(method, batch, {}, [generator(0, "loss", index)], 0.5, 1.0)
        assert losses is not None
    assert not same_state(state(student), before)
    assert all(value.isfinite().all() for value in state(student, teacher).values())


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_memories_that_do_not_vary_make_a_finite_step(size: float) -> None:
    def collapse(teacher: Any) -> None:
        teacher.head.weight.zero_()
        teacher.head.bias.mul_(size)

    smt_step(collapse, make_batch(8, 5))


@pytest.mark.parametrize(("rows", "length", "transitions"), [(1, 5, 1), (1, 1, 0)])
def test_one_memory_makes_a_finite_step(rows: int, length: int, transitions: int) -> None:
    smt_step(lambda _: None, make_batch(rows, length), transitions=transitions)


# --- precision and devices ----------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELL_KINDS)
@pytest.mark.parametrize("task", [Echo(), RunningMean()], ids=lambda task: type(task).__name__)
def test_bfloat16_trains_on_the_cpu(cell: str, task: SequenceTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of each method: autocast is on in the loss, and the batch and the weights stay what they are."""
    seen: list[tuple[bool, Batch]] = []
    for method in (SMT, DMT, TBPTT, BPTT):
        forward = method.forward

        def spy(self: Any, batch: Batch, *given: Any, forward: Any = forward) -> Any:
            seen.append((torch.is_autocast_enabled("cpu"), batch))
            return forward(self, batch, *given)

        monkeypatch.setattr(method, "forward", spy)
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)
    values: dict[str, Any] = {
        **{f"smt.{name}": value for name, value in OURS.items()},
        "cell.tokens": 2,
        "cell.memory_width": 8,
        "cell.width": 16,
        "smt.share": 1.0,
        "dmt.dynamics": 1.0,
        "dmt.window": 3,
        "tbptt.window": 3,
        "teacher.width": 16,
        "teacher.layers": 1,
        "readout_width": 16,
        "training.batch_size": 4,
        "training.precision": "bf16-mixed",
        "training.device": "cpu",
        "training.evaluations": 1,
    }
    run = fit(task, method="smt+dmt+tbptt+bptt", cell=cell, length=8, steps=8, settings=values)
    trained = [record["method"] for record in run.history if record["event"] == "train"]
    assert trained == ["smt", "smt", "dmt", "dmt", "tbptt", "tbptt", "bptt", "bptt"]  # no step was skipped
    kind = torch.int64 if task.inputs == Echo.inputs else torch.float32
    for autocast, batch in seen:
        assert autocast
        assert (batch.inputs.dtype, batch.targets.dtype, batch.mask.dtype) == (kind, kind, torch.bool)
        assert isinstance(batch, Batch)
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in state(run.student).values())


@pytest.mark.parametrize(
    ("mps", "cuda", "found"),
    [
        (False, False, ["cpu"]),
        (True, False, ["cpu", "mps"]),
        (False, True, ["cpu", "cuda"]),
        (True, True, ["cpu", "mps", "cuda"]),
    ],
)
def test_devices(monkeypatch: pytest.MonkeyPatch, mps: bool, cuda: bool, found: list[str]) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert devices() == found
    assert best_device() == found[-1]


@pytest.mark.parametrize("device", ["mps", "cuda"])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr("nounroll.training.engine.devices", lambda: ["cpu"])
    with pytest.raises(ValueError, match=f"^training.device is '{device}'; this machine has cpu$"):
        Engine(settings(device=device), {"student": one_student()})
