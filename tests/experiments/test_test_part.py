"""No choice sees the test part: whatever is in it, training, trials and the student stay what they are."""

from typing import Any

import pytest
import torch

from helpers import FREE, TINY, same_state, state, tiny_recipe
from nounroll.core.batch import Batch, Categorical
from nounroll.data.task import SequenceTask
from nounroll.experiments import auto
from nounroll.experiments.recipe import Recipe, parse
from nounroll.experiments.run import Run, train
from nounroll.training.observer import Observer


class Parts(SequenceTask):
    """Say the symbol of one step ago; the test part may be anything at all."""

    inputs, targets = Categorical(5), Categorical(5)

    def __init__(self, poison: bool = False, is_test: bool = False) -> None:
        self.poison, self.is_test = poison, is_test

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        x = torch.randint(5, (batch_size, length), generator=generator)
        y = torch.cat([torch.zeros(batch_size, 1, dtype=torch.int64), x[:, :-1]], dim=1)
        if not (self.poison and self.is_test):
            return Batch(x, y)
        return Batch(x * 0 + 3, (y + 2) % 5, (x > 2) | (torch.arange(length) == 0))

    def validation(self) -> SequenceTask:
        return Parts(self.poison)

    def test(self) -> SequenceTask:
        return Parts(self.poison, is_test=True)


OPEN = {name: value for name, value in TINY.items() if name not in ("method", "cell")}
RECIPES: dict[str, Recipe] = {
    "a chain": tiny_recipe("training.steps=16", "training.evaluations=4"),
    "smt that may end": tiny_recipe("method=smt+dmt", "smt.until_passed=true", "training.evaluations=4"),
    "patience": tiny_recipe(
        "method=bptt", "training.patience=1", "training.evaluations=6", "training.learning_rate=0.3"
    ),
    "auto": parse(OPEN, ["training.steps=40", "cell.tokens=2", "cell.memory_width=8", "cell.width=16"]),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.pace.step_cost", lambda *_: FREE)
    monkeypatch.setattr("nounroll.training.loop._LOGGED", 1)
    monkeypatch.setattr(auto, "_LEAST", {"steps": 0.5})


def seen(run: Run) -> list[dict[str, Any]]:
    """The records of a run, but for the clock and the last figures of a teacher."""
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in run.history
        if record["event"] != "teacher"
    ]


def is_same(one: Run, other: Run) -> bool:
    alike = one.chosen == other.chosen and one.recipe == other.recipe and seen(one) == seen(other)
    return alike and same_state(state(one.model), state(other.model))


@pytest.mark.parametrize("name", RECIPES)
def test_another_test_part_changes_the_last_figures_alone(name: str) -> None:
    clean, poisoned = (train(RECIPES[name], Parts(poison)) for poison in (False, True))
    assert is_same(clean, poisoned)
    assert clean.metrics["loss"] != poisoned.metrics["loss"]
    assert clean.metrics["steps"] == poisoned.metrics["steps"]


@pytest.mark.parametrize("name", RECIPES)
def test_training_is_done_before_the_test_part_is_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at twice before, whether it can be measured and for a fingerprint; a teacher's figures are told."""
    clean, asked = train(RECIPES[name], Parts()), []
    sample = Parts.sample

    def noted(self: Parts, batch_size: int, *given: Any) -> Batch:
        if self.is_test:
            asked.append(batch_size)
        return sample(self, batch_size, *given)

    monkeypatch.setattr(Parts, "sample", noted)
    monkeypatch.setattr("nounroll.experiments.result._final_metrics", lambda *_: {})
    monkeypatch.setattr(Observer, "test_batches", lambda self: self.validation)
    monkeypatch.setattr(Observer, "_for_teacher", lambda self, stream: self.validation)
    assert is_same(train(RECIPES[name], Parts()), clean)
    assert asked == [2, 4]


@pytest.mark.parametrize("name", RECIPES)
def test_control_a_peek_at_the_test_part_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Students are chosen on it in place of the validation part."""
    monkeypatch.setattr(Parts, "validation", lambda self: Parts(self.poison, is_test=True))
    clean, poisoned = (train(RECIPES[name], Parts(poison)) for poison in (False, True))
    assert not is_same(clean, poisoned)
