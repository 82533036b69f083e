"""A teacher of slots packs: its decoder answers every query from the memory before the first one."""

import pytest
import torch

from nounroll import Run, fit
from nounroll.data.keys_values import KeysValues

PAIRS, LENGTH = 4, 32


def packed(run: Run) -> float:
    """Share of queries that the decoder answers from the teacher's memory at the cut before the first of them."""
    teacher = run.teacher
    assert teacher is not None
    assert teacher.decoder is not None
    batch = run.task.test().sample(256, LENGTH, torch.Generator().manual_seed(0))
    cut = int(batch.mask.any(0).nonzero().min())
    with torch.no_grad():
        outputs = teacher.decoder(teacher.memories(batch.inputs)[:, cut], batch.inputs[:, cut:])[:, 1:]
    scored = batch.mask[:, cut:]
    return float((outputs.argmax(-1) == batch.targets[:, cut:])[scored].float().mean())


def trained(kind: str) -> Run:
    settings = {"teacher.kind": kind, "teacher.horizon": 0, "training.evaluations": 1, "smt.until_passed": False}
    return fit(KeysValues(pairs=PAIRS), method="smt", cell="mlp", length=LENGTH, steps=450, settings=settings)


@pytest.mark.nightly
def test_four_pairs_are_nearly_all_in_the_memory_after_450_steps() -> None:
    """0.945 was measured, and 0.977 for slots without phases (docs/lab-notes.md)."""
    assert packed(trained("slots")) >= 0.9


@pytest.mark.nightly
def test_control_a_teacher_that_looks_back_holds_few_of_them() -> None:
    assert packed(trained("causal")) < 0.6
