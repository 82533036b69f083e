"""Standard deviations that are fitted to held-out errors: only they change, and they fit."""

import pytest
import torch

from helpers import make_batch, make_student, same_state, state
from nounroll.core.batch import Batch, Real
from nounroll.rollout.evaluate import evaluate
from nounroll.rollout.spread import fit_spread

SCALED = Real(2, (10.0, -5.0), (4.0, 0.01))


def batch() -> Batch:
    found = make_batch(40, 6, targets=SCALED, sparse=True)
    return Batch(found.inputs, SCALED.place(found.targets), found.mask)


@pytest.mark.parametrize("surer", [0.0, -3.0, -6.0])
def test_the_stated_deviation_becomes_that_of_the_errors(surer: float) -> None:
    student, seen = make_student(targets=SCALED, dtype=torch.float32), batch()
    with torch.no_grad():
        student.head.out.bias[2:] += surer
    before = evaluate(student, [seen])
    fit_spread(student, [seen])
    after = evaluate(student, [seen])
    assert after["rmse"] == before["rmse"]
    assert after["loss"] < before["loss"]
    mean, log_scale = student(seen.inputs)[0][seen.mask].detach().chunk(2, dim=-1)
    squares = ((seen.targets[seen.mask] - mean) * torch.exp(-log_scale)).square().mean(0)
    torch.testing.assert_close(squares, torch.ones_like(squares), rtol=1e-3, atol=0.0)


def test_without_a_target_nothing_changes() -> None:
    student, seen = make_student(targets=SCALED, dtype=torch.float32), batch()
    before = state(student)
    fit_spread(student, [Batch(seen.inputs, seen.targets, torch.zeros_like(seen.mask))])
    assert same_state(state(student), before)
