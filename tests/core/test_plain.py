"""NumPy's scalars and arrays, paths and devices are accepted wherever Python's own values are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from forked import run_code
from nounroll import Batch, Categorical, Real, SequenceTask, data, fit
from nounroll.core.plain import count, plain
from nounroll.data.task import draw
from nounroll.experiments.recipe import parse
from nounroll.experiments.run import plan

SMALL = {"cell.memory_width": np.int64(8), "readout_width": np.int32(16), "training.batch_size": np.uint8(4)}


def test_values_become_those_of_json() -> None:
    given = {
        "int": np.int64(3),
        "float": np.float32(0.5),
        "text": np.str_("a"),
        "bool": np.bool_(True),
        "array": np.arange(2),
        "tensor": torch.tensor(1.5),
        "path": Path("a/b"),
        "device": torch.device("cpu"),
        "nested": [(np.int64(1),), {"deep": range(2)}],
    }
    wanted = {"int": 3, "float": 0.5, "text": "a", "bool": True, "array": [0, 1], "tensor": 1.5, "path": "a/b"}
    wanted |= {"device": "cpu", "nested": [[1], {"deep": [0, 1]}]}
    assert plain(given) == wanted
    assert json.loads(json.dumps(plain(given))) == wanted


def test_settings_are_read_as_they_are_meant() -> None:
    settings = {
        **SMALL,
        "smt.teacher": Path("runs/\N{SNOWMAN}"),
        "training.device": torch.device("cpu"),
        "training.learning_rate": np.float64(1e-5),
    }
    recipe = plan("smt+dmt", "gru", length=16, budget={"steps": 2}, settings=settings)
    assert (recipe.length, recipe.cell.memory_width, recipe.training.budget.amount) == (16, 8, 2)
    assert (recipe.smt.teacher, recipe.training.device) == ("runs/\N{SNOWMAN}", "cpu")
    assert recipe.training.learning_rate == 1e-5
    assert parse(recipe.to_dict()) == recipe


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), [1.0]])
def test_settings_that_are_nothing_plain_are_refused_by_name(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^training\.learning_rate is "):
        plan("bptt", "gru", length=16, budget={"steps": 2}, settings={"training.learning_rate": value})


WITHOUT_CHECKS = """
import json
import numpy as np, torch
from nounroll import Categorical, Real, Student, compare, fit
from nounroll.cells.base import CellSettings
from nounroll.data.parity import Parity
from nounroll.models.generation import Sampling
from nounroll.experiments.run import plan
from nounroll.experiments.sweep import sweep

small = {"cell.memory_width": np.int64(8), "readout_width": np.int32(16), "training.batch_size": np.uint8(4)}
run = fit(Parity(), method=np.str_("bptt"), cell="gru", length=np.int64(8), steps=np.int64(1), seed=np.int64(3),
          settings=small, out="run")
assert run.recipe.training.seed == 3
found = compare(
    Parity(), methods=np.array(["bptt"]), cells=np.array(["gru"]), length=np.int64(8), steps=1, seeds=np.arange(2),
    learning_rates=np.array([1e-3, 1e-2]), lengths=np.array([12]), settings=small)
assert found.rows[0].seeds == 2 and set(found.rows[0].tried) == {"0.001", "0.01"}, found.rows
assert "loss@12" in found.rows[0].metrics
json.loads(found.to_json())
assert len(compare(Parity(), methods=["bptt"], cells=["gru"], length=8, steps=1, seeds=np.int64(1)).rows) == 1
recipe = plan("bptt", "gru", length=8, budget={"steps": 1}, settings=small)
assert [point.value for point in sweep(recipe, "cell.memory_width", np.array([4, 8]), Parity())] == [4, 8]
space = Categorical(np.arange(5).max() + 1)
cell = CellSettings(kind="gru", tokens=2, memory_width=np.int64(8))
Student(space, space, cell, readout_width=np.int64(16)).save_pretrained("one")
one = Student.from_pretrained("one")
assert one.inputs == Categorical(5) and Real(np.int32(2)) == Real(2)
assert one.initial_memory(np.int64(3)).shape == (3, 2, 8)
json.dumps(vars(Sampling(temperature=np.float32(0.5), top_k=np.int64(3))))
one.generate(torch.zeros(1, 1, dtype=torch.int64), np.int64(4), top_k=np.int64(2), temperature=np.float32(0.5))
"""


def test_numpy_numbers_and_arrays_are_taken_as_arguments(tmp_path: Path) -> None:
    """In a process of its own: the checks of these tests hold annotations to the letter."""
    assert run_code(WITHOUT_CHECKS, tmp_path) == (0, "")


@pytest.mark.parametrize("value", [np.int64(0), 1.5, np.float64(2), "3", None, np.arange(2)])
def test_what_is_no_size_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^Real\.d is .*; it must be a whole number of at least 1"):
        count("Real.d", value)


def test_options_of_a_task_may_be_numpy_and_paths(tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", np.arange(400) % 7)
    task = data.build("array", {"path": tmp_path / "tokens.npy", "symbols": np.int64(7)})
    assert task.inputs == Categorical(7)


class Sampled(SequenceTask):
    """A task that samples what it was given."""

    def __init__(self, space: Categorical | Real, values: Any) -> None:
        self.inputs = self.targets = space
        self.values = values

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return Batch.next_step(self.values)


REAL = np.random.default_rng(0).normal(size=(2, 5, 2))
SYMBOLS = np.arange(10).reshape(2, 5) % 3


@pytest.mark.parametrize("values", [REAL, REAL[:, ::-1], torch.from_numpy(REAL), torch.from_numpy(REAL).half()])
def test_real_samples_of_any_precision_become_float32(values: Any) -> None:
    batch = draw(Sampled(Real(2), values), 2, 4, 0, "train")
    assert (batch.inputs.dtype, batch.targets.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(batch.inputs, torch.tensor(values.tolist()).float()[:, :-1])


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.uint16, np.int32, np.int64])
def test_symbols_of_any_size_become_int64(kind: Any) -> None:
    for values in (SYMBOLS.astype(kind), torch.from_numpy(SYMBOLS.astype(kind))):
        batch = draw(Sampled(Categorical(3), values), 2, 4, 0, "train")
        assert batch.inputs.dtype == torch.int64
        assert torch.equal(batch.targets, torch.from_numpy(SYMBOLS)[:, 1:])


@pytest.mark.parametrize(("space", "values"), [(Categorical(3), SYMBOLS * 1.0), (Real(2), REAL.astype(int))])
def test_samples_of_another_kind_are_refused(space: Any, values: Any) -> None:
    with pytest.raises(ValueError, match="Sampled: inputs has dtype"):
        draw(Sampled(space, values), 2, 4, 0, "train")


def test_a_run_on_float64_samples_is_trained() -> None:
    values = torch.from_numpy(np.cumsum(np.ones((4, 9, 2)), 1) % 3)

    class Doubles(Sampled):
        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
            return Batch.next_step(self.values[torch.randint(4, (batch_size,), generator=generator), : length + 1])

    assert fit(Doubles(Real(2), values), method="bptt", cell="gru", length=8, steps=1, settings=SMALL).finished
