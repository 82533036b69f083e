"""Where nothing is scored nothing is trained, measured or decided, and it is said."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import nounroll
from nounroll.core.batch import Batch, Categorical
from nounroll.data.task import SequenceTask
from nounroll.models.student import Student
from nounroll.report.training import training_picture
from nounroll.rollout import evaluate as evaluating
from nounroll.rollout.evaluate import evaluate
from nounroll.training import handover as handing

SMALL = {"teacher.width": 16, "teacher.layers": 1, "cell.memory_width": 8, "cell.tokens": 2, "readout_width": 16}
METHODS = ("bptt", "tbptt", "smt+dmt", "smt+tbptt", "transformer", "auto")


class Masked(SequenceTask):
    """The successor of each symbol; ``scored`` says where it counts, in training and in validation."""

    inputs = targets = Categorical(4)

    def __init__(self, training: Callable[..., torch.Tensor], validation: Callable[..., torch.Tensor]) -> None:
        self.scored, self.held_out = training, validation

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.randint(4, (batch_size, length), generator=generator)
        return Batch(x, (x + 1) % 4, self.scored(batch_size, length, generator))

    def validation(self) -> SequenceTask:
        return Masked(self.held_out, self.held_out)


def everywhere(rows: int, length: int, generator: torch.Generator) -> torch.Tensor:
    return torch.ones(rows, length, dtype=torch.bool)


def nowhere(rows: int, length: int, generator: torch.Generator) -> torch.Tensor:
    return torch.zeros(rows, length, dtype=torch.bool)


def rarely(rows: int, length: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(rows, length, generator=generator) < 1e-3


def fitted(task: SequenceTask, method: str, steps: int = 12) -> nounroll.Run:
    return nounroll.fit(task, method=method, length=16, steps=steps, settings={**SMALL, "training.batch_size": 8})


def said(run: nounroll.Run) -> list[str]:
    return [record["warning"] for record in run.history if record.get("warning")]


def assert_no_figure_is_made_up(run: nounroll.Run) -> None:
    for record in (run.metrics, *(r for r in run.history if r["event"] in ("evaluation", "train"))):
        assert record.get("loss") != 0.0
        assert all(math.isfinite(v) for v in record.values() if isinstance(v, float))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:Masked scores nothing")
def test_a_mask_that_is_false_everywhere(method: str) -> None:
    run = fitted(Masked(nowhere, nowhere), method)
    assert any("Masked scores nothing" in warning for warning in said(run))
    assert not {"loss", "accuracy"} & run.metrics.keys()
    assert not [record for record in run.history if record["event"] in ("train", "restart", "passed")]
    assert_no_figure_is_made_up(run)
    assert training_picture(run.history) is None


@pytest.mark.filterwarnings("ignore:Masked scores nothing")
def test_no_budget_is_spent_on_it() -> None:
    """A budget of seconds ends at once."""
    run = nounroll.fit(Masked(nowhere, nowhere), method="bptt", cell="gru", length=16, seconds=600, settings=SMALL)
    assert [record["event"] for record in run.history if record["event"] != "evaluation"] == ["unscored"]
    assert run.metrics["seconds"] < 60


@pytest.mark.parametrize("method", METHODS)
def test_a_validation_part_in_which_nothing_is_scored(method: str) -> None:
    run = fitted(Masked(everywhere, nowhere), method, steps=60)
    assert said(run)[-1].startswith("Masked scores nothing in 1,024 time steps of its validation part")
    assert not {"loss", "accuracy"} & run.metrics.keys()
    assert not [record for record in run.history if record["event"] in ("restart", "passed")]
    assert_no_figure_is_made_up(run)


def test_the_student_learns_all_the_same_and_is_handed_over() -> None:
    run = fitted(Masked(everywhere, nowhere), "bptt", steps=150)
    batch = Masked(everywhere, everywhere).sample(32, 16, torch.Generator().manual_seed(5))
    assert evaluate(run.student, [batch])["accuracy"] > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_batches_in_which_nothing_is_scored_change_nothing(method: str) -> None:
    run = fitted(Masked(rarely, everywhere), method, steps=60)
    assert [record for record in run.history if record["event"] == "train"]
    assert_no_figure_is_made_up(run)


def test_control_a_figure_of_nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(self: Any) -> dict[str, float]:
        return {"loss": self.loss / max(self.scored, 1), "accuracy": self.sums["hits"] / max(self.scored, 1)}

    monkeypatch.setattr(evaluating._Score, "metrics", planted)
    run = fitted(Masked(everywhere, nowhere), "bptt")
    with pytest.raises(AssertionError):
        assert_no_figure_is_made_up(run)


def test_figures_of_nothing_are_none() -> None:
    batch = Masked(nowhere, nowhere).sample(2, 4, torch.Generator())
    assert all(math.isnan(value) for value in evaluate(Student(Categorical(4), Categorical(4)), [batch]).values())


class Rare(SequenceTask):
    """An alarm on one symbol in fifty."""

    inputs, targets = Categorical(50), Categorical(2)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.randint(50, (batch_size, length), generator=generator)
        return Batch(x, (x == 7).long())


def rare() -> nounroll.Run:
    sizes = {"teacher.width": 32, "cell.memory_width": 16, "readout_width": 32}
    settings = {**SMALL, **sizes, "smt.window": 1, "smt.share": 20}
    return nounroll.fit(Rare(), method="smt+dmt", cell="mlp", length=32, steps=240, settings=settings)


@pytest.mark.nightly
def test_what_was_learnt_of_a_rare_event_is_kept() -> None:
    run = rare()
    last_of_smt = [r["loss"] for r in run.history if r["event"] == "evaluation" and r["method"] == "smt"][-1]
    guess = -(0.02 * math.log(0.02) + 0.98 * math.log(0.98))
    assert last_of_smt < guess / 2
    assert not [record for record in run.history if record["event"] == "restart"]
    assert run.metrics["loss"] < 1.1 * last_of_smt


@pytest.mark.nightly
def test_control_a_threshold_in_nats_throws_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a nat is more than there is to know of an event in fifty."""
    monkeypatch.setattr(handing, "_KNOWS", 1.5)
    assert [record for record in rare().history if record["event"] == "restart"]
