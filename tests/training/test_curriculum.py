"""A curriculum takes as many sequences at every length, and the tokens that it counts are those it trained on."""

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import FREE, make_bptt, make_dmt, make_smt, make_student, make_tbptt, make_teacher
from nounroll.core.batch import Batch
from nounroll.training.engine import Engine
from nounroll.training.loop import Loop
from nounroll.training.observer import Observer
from nounroll.training.pace import Link
from nounroll.training.schedule import _SHORTER, stages
from nounroll.training.settings import Budget, TrainingSettings
from own_parts import Echo

SHARES = {"smt": 2.0, "dmt": 1.0, "tbptt": 1.0, "bptt": 1.5}


def run(length: int, steps: int, **values: Any) -> tuple[Loop, list[tuple[str, int, int]]]:
    """A run whose steps train nothing, and (method, sequences, length) of each batch that they got."""
    student = make_student(dtype=torch.float32)
    teacher = make_teacher(student, dtype=torch.float32)
    methods = {
        "smt": make_smt(student, teacher),
        "dmt": make_dmt(student, teacher),
        "tbptt": make_tbptt(student),
        "bptt": make_bptt(student),
    }
    settings = TrainingSettings(
        budget=Budget("steps", steps), device="cpu", precision="32-true", evaluations=1, **values
    )
    seen: list[tuple[str, int, int]] = []

    def step(self: Engine, method: Any, batch: Batch, *_: Any) -> tuple[dict[str, float], dict[str, Any]]:
        seen.append((type(method.module).__name__.lower(), *batch.inputs.shape))
        return {"loss": 1.0}, {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "step", step)
        patch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)
        patch.setattr("nounroll.training.loop._LOGGED", 1)
        patch.setattr(Observer, "measure", lambda *_: {"loss": 1.0})
        patch.setattr(Observer, "measure_teacher", lambda *_: {"loss": 1.0})
        patch.setattr(Observer, "collapse", lambda _: {})
        loop = Loop(
            task=Echo(),
            stages=tuple(stages(settings, length)),
            student=student,
            teacher=teacher,
            chain=[Link(name, method, SHARES[name], 1.0) for name, method in methods.items()],
            settings=settings,
            knowable=1.0,
        )
        assert loop.run() == "finished"
    return loop, seen


@settings(max_examples=30, deadline=None)
@given(
    length=st.integers(16, 300),
    steps=st.integers(1, 60),
    batch_size=st.integers(1, 6),
)
def test_every_length_has_the_same_number_of_sequences(length: int, steps: int, batch_size: int) -> None:
    loop, seen = run(length, steps, batch_size=batch_size, curriculum=16)
    assert len(seen) == loop.counters.step == steps
    assert {sequences for _, sequences, _ in seen} == {batch_size}

    assert 16 <= loop.stages[0] < 32
    assert loop.stages[-1] == length
    tokens: Counter[str] = Counter()
    for name, sequences, span in seen:
        tokens[f"{name}/{span}"] += sequences * span
    assert loop.counters.tokens == tokens
    assert loop.counters.spent("tokens") == sum(sequences * span for _, sequences, span in seen)
    logged = [record for record in loop.history if record["event"] == "train"]
    assert [record["length"] for record in logged] == [span for _, _, span in seen]
    assert logged[-1]["tokens"] == loop.counters.spent("tokens")

    for method in SHARES:
        spans = [span for name, _, span in seen if name == method]
        assert spans == sorted(spans)
        assert set(spans) <= set(loop.stages)
        each = len(spans) * _SHORTER / max(1, len(loop.stages) - 1)
        assert all(abs(spans.count(short) - each) <= 1 for short in loop.stages[:-1])


def test_without_a_curriculum_every_batch_has_the_full_length() -> None:
    _, seen = run(64, 9, batch_size=2, curriculum=0)
    assert {span for _, _, span in seen} == {64}
