"""Variations of training sequences: as far as sequences differ in level and size, and no farther."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from helpers import make_bptt, make_student
from nounroll.core.batch import Batch
from nounroll.core.spaces import Bits, Categorical, Count, Positive, Product, Real, Space
from nounroll.data.sequences import Sequences
from nounroll.data.task import SequenceTask
from nounroll.experiments.resolve import resolve
from nounroll.experiments.run import plan
from nounroll.training import schedule
from nounroll.training.loop import Loop
from nounroll.training.pace import Link
from nounroll.training.schedule import scored_batch
from nounroll.training.settings import Budget, TrainingSettings
from nounroll.training.variation import varied

LENGTHS = torch.tensor([9, 12, 5, 12])


def recordings() -> Batch:
    """Four padded rows of two coordinates: the first differs in level and size, the second is standardised."""
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(4, 12, 2, generator=draws)
    for row, n in enumerate(LENGTHS.tolist()):
        part = x[row, :n]
        x[row, :n] = (part - part.mean(0)) / part.std(0, correction=0)
        x[row, :n, 0] = (1 + row) * x[row, :n, 0] + 3 * row
        x[row, n:] = 7.0
    mask = torch.arange(12) == LENGTHS[:, None] - 1
    return Batch(x, torch.zeros(4, 12, dtype=torch.int64), mask)


def levels_and_sizes(batch: Batch) -> tuple[Tensor, Tensor]:
    rows = [batch.inputs[row, :n] for row, n in enumerate(LENGTHS.tolist())]
    return torch.stack([one.mean(0) for one in rows]), torch.stack([one.std(0, correction=0) for one in rows])


def test_levels_and_sizes_change_as_far_as_rows_differ_in_them() -> None:
    batch, after = recordings(), varied(recordings(), 0.5, torch.Generator().manual_seed(1))
    for before, now in zip(levels_and_sizes(batch), levels_and_sizes(after), strict=True):
        assert (before[:, 0] - now[:, 0]).abs().min() > 1e-3
        torch.testing.assert_close(before[:, 1], now[:, 1], rtol=0, atol=1e-5)


def test_the_shape_of_a_row_and_its_padding_stay() -> None:
    batch, after = recordings(), varied(recordings(), 0.5, torch.Generator().manual_seed(1))
    (mean, size), (mean_after, size_after) = levels_and_sizes(batch), levels_and_sizes(after)
    for row, n in enumerate(LENGTHS.tolist()):
        before = (batch.inputs[row, :n] - mean[row]) / size[row]
        now = (after.inputs[row, :n] - mean_after[row]) / size_after[row]
        torch.testing.assert_close(before, now, rtol=0, atol=1e-4)
        assert torch.equal(batch.inputs[row, n:], after.inputs[row, n:])
    assert torch.equal(batch.targets, after.targets)
    assert torch.equal(batch.mask, after.mask)


@pytest.mark.parametrize("rows", [1, 4])
def test_it_is_a_function_of_its_arguments(rows: int) -> None:
    batch = recordings().rows(0, rows)
    one, same = (varied(batch, 0.5, torch.Generator().manual_seed(3)).inputs for _ in range(2))
    assert torch.equal(one, same)
    assert one.isfinite().all()


def test_columns_of_marks_stay() -> None:
    """A column that says where a value is missing, say."""
    batch = recordings()
    marks = (torch.rand(batch.mask.shape, generator=torch.Generator().manual_seed(1)) < 0.5).float()[..., None]
    marked = replace(batch, inputs=torch.cat([batch.inputs, marks], dim=-1))
    after = varied(marked, 0.5, torch.Generator().manual_seed(3)).inputs
    assert torch.equal(after[..., -1:], marks)
    assert not torch.equal(after[..., :-1], batch.inputs)


@pytest.mark.parametrize(
    "space", [Categorical(3), Bits(2), Count(1), Positive(1), Product(a=Categorical(3), b=Real(1))], ids=str
)
def test_spaces_whose_elements_are_no_measurements_stay(space: Space) -> None:
    class Some(SequenceTask):
        inputs, targets = space, Categorical(2)

        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
            shape = (batch_size, length)
            return Batch(space.example(*shape, generator=generator), torch.zeros(shape, dtype=torch.int64))

    plain, after = (
        scored_batch(Some(), TrainingSettings(budget=Budget("steps", 1), batch_size=8, vary=vary), [5], 0.5, 1)
        for vary in (0.0, 0.5)
    )
    assert torch.equal(plain.inputs, after.inputs)
    if isinstance(space, Positive):  # the control: as real numbers they would be moved
        assert not torch.equal(varied(plain, 0.5, torch.Generator().manual_seed(0)).inputs, plain.inputs)


def test_rows_that_are_flat_stay_finite() -> None:
    batch = Batch(torch.ones(3, 5, 1), torch.zeros(3, 5, dtype=torch.int64), torch.ones(3, 5, dtype=torch.bool))
    assert torch.equal(varied(batch, 0.5, torch.Generator().manual_seed(0)).inputs, batch.inputs)


# --- in training ------------------------------------------------------------------------------------------


def series() -> Sequences:
    draws = torch.Generator().manual_seed(0)
    levels = torch.arange(12) % 2
    inputs = [torch.randn(6, 1, generator=draws) + 3 * level for level in levels.tolist()]
    return Sequences(inputs, labels=levels.tolist(), split=(0.5, 0.25, 0.25))


def inputs_trained_on(vary: float, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What a loop hands to its method at each step."""
    task, seen = series(), []
    student = make_student("gru", inputs=Real(1), targets=task.targets).float()
    settings = TrainingSettings(budget=Budget("steps", 3), batch_size=4, device="cpu", vary=vary, evaluations=1)
    loop = Loop(
        task=task,
        stages=(6,),
        student=student,
        teacher=None,
        chain=[Link("bptt", make_bptt(student), 1.0, 1.0)],
        settings=settings,
        knowable=0.7,
    )
    step = loop.engine.step

    def spied(method: object, batch: Batch, *others: object) -> object:
        seen.append(batch.inputs.clone())
        return step(method, batch, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(loop.engine, "step", spied)
    loop.run()
    return seen


def test_training_sees_varied_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, moved = (inputs_trained_on(vary, monkeypatch) for vary in (0.0, 0.5))
    assert len(plain) == len(moved) == 3
    assert all(not torch.equal(one, other) for one, other in zip(plain, moved, strict=True))


def test_control_a_loop_that_does_not_vary_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "varied", lambda batch, amount, generator: batch)
    with pytest.raises(AssertionError):
        test_training_sees_varied_sequences(monkeypatch)


def test_few_series_with_labels_are_varied_by_default_and_symbols_are_not() -> None:
    recipe = plan("auto", None, length=6, budget={"seconds": 60})
    resolved = resolve(recipe, series())
    assert (resolved.recipe.training.vary, resolved.reasons["training.vary"]) == (0.5, "few series")
    symbols = Sequences([[0, 1, 2]] * 12, labels=[0, 1] * 6, split=(0.5, 0.25, 0.25))
    assert resolve(plan("auto", None, length=3, budget={"seconds": 60}), symbols).recipe.training.vary == 0
