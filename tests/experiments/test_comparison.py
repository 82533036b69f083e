"""compare: equal conditions, an honest choice of the learning rate, nothing run when something is wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import Tensor, nn

import nounroll
from helpers import tiny_recipe
from nounroll.data.parity import Parity
from nounroll.experiments import comparison
from nounroll.experiments.compared import Comparison, Row
from nounroll.experiments.comparison import compare
from nounroll.experiments.recipe import Recipe
from nounroll.experiments.run import train
from nounroll.methods import DMT, settings_read
from nounroll.report.curves import check_path, mean_curve
from nounroll.rollout.evaluate import evaluate_teacher, validation_batches
from nounroll.training.guard import TrainingError

SETTINGS: dict[str, Any] = {
    "readout_width": 8,
    "cell.tokens": 1,
    "cell.memory_width": 8,
    "cell.width": 8,
    "teacher.width": 8,
    "teacher.layers": 1,
    "smt.share": 1.0,
    "training.batch_size": 4,
    "training.learning_rate": 1e-3,
    "training.evaluations": 1,
}
SIZES: dict[str, Any] = {"length": 4, "steps": 3, "settings": SETTINGS}


class OwnCell(nn.Module):
    memory_shape = (1, 3)

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 3)

    def step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        return torch.tanh(self.map(torch.cat([inputs[:, None].float(), memory[:, 0]], dim=1)))[:, None]


def test_every_method_with_every_cell_under_one_budget(capsys: pytest.CaptureFixture[str]) -> None:
    cell = OwnCell()
    before = cell.map.weight.clone()
    result = compare(Parity(), methods=["smt+dmt", "bptt"], cells=["mlp", cell, OwnCell()], seeds=[3, 4], **SIZES)
    names = ("mlp", "OwnCell 1", "OwnCell 2")
    assert [(row.method, row.cell) for row in result.rows] == [
        *((method, name) for name in names for method in ("smt+dmt", "teacher")),
        *(("bptt", name) for name in names),
    ]
    for row in result.rows:
        steps = 2 if row.method == "teacher" else 3  # it is ready when smt is
        assert (row.seeds, row.metrics["steps"], row.metrics["tokens"]) == (2, steps, steps * 4 * 4)
        assert row.spread is not None
        assert row.metrics["flops"] > row.metrics["sequential_flops"] > 0
        assert ("drift" in row.metrics) == (row.method == "smt+dmt")
    assert torch.equal(cell.map.weight, before), "a user's cell is copied for each run"
    assert capsys.readouterr() == ("", "")


def test_it_equals_fit_with_the_same_settings() -> None:
    (row,) = compare(Parity(), methods=["bptt"], cells=["gru"], **SIZES).rows
    metrics = nounroll.fit(Parity(), method="bptt", cell="gru", **SIZES).metrics
    assert row.metrics | {"seconds": 0} == {**metrics, "seconds": 0}
    assert row.spread is None


def test_without_rates_each_method_has_its_own() -> None:
    sizes = {**SIZES, "settings": {k: v for k, v in SIZES["settings"].items() if k != "training.learning_rate"}}
    rows = compare(Parity(), methods=["smt+dmt", "bptt"], cells=["gru"], **sizes).rows
    assert [row.learning_rate for row in rows if row.method != "teacher"] == [2e-3, 6e-3]
    rows = compare(Parity(), methods=["smt+dmt", "bptt"], cells=["mlp"], **SIZES).rows
    assert {row.learning_rate for row in rows} == {1e-3}


def test_the_best_learning_rate_by_validation_loss_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = outcomes(
        monkeypatch, lambda rate, seed: {0.1: [3.0, 1.0], 0.01: [1.4, 1.5], 0.5: [None, 0.1]}[rate][seed]
    )
    (row,) = compare(Parity(), methods=["bptt"], cells=["mlp"], seeds=2, learning_rates=[0.1, 0.01, 0.5], **SIZES).rows
    assert len(trained) == 6
    assert row.learning_rate == 0.01
    assert row.tried == {"0.1": 2.0, "0.01": 1.45, "0.5": None}
    assert row.metrics["loss"] == pytest.approx(101.45), "the metrics are of other sequences than the choice"
    assert row.spread == pytest.approx(0.0707, abs=1e-4)
    assert [run["loss"] for run in row.runs] == [101.4, 101.5]


def test_other_settings_are_chosen_in_the_same_way_each_method_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Recipe] = []

    def outcome(recipe: Recipe, *_: object) -> object:
        """Large batches suit bptt, small ones smt; the curriculum is nothing to either."""
        trained.append(recipe)
        size, bptt = recipe.training.batch_size, recipe.method == "bptt"
        value = recipe.training.learning_rate + (-size if bptt else size)
        return comparison._Outcome(value, {"loss": 100.0 + value})

    monkeypatch.setattr(comparison, "_outcome", outcome)
    grid = {"training.batch_size": [4, 8], "training.curriculum": [0, 2]}
    rows = compare(
        Parity(), methods=["smt", "bptt"], cells=["mlp"], seeds=2, learning_rates=[0.5, 0.1], grid=grid, **SIZES
    ).rows
    assert len(trained) == 2 * 2 * 2 * 2 * 2
    assert len({str(recipe.to_dict()) for recipe in trained}) == len(trained), "each combination once"
    assert [row.settings["training.batch_size"] for row in rows] == [4, 8]
    assert [row.learning_rate for row in rows] == [0.1, 0.1]
    assert rows[0].tried["0.5 training.batch_size=8 training.curriculum=0"] == 8.5
    assert len(rows[0].tried) == 8
    text = str(Comparison(rows))
    assert "training.batch_size" in text


def test_what_a_method_does_not_read_is_not_tried_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Recipe] = []

    def outcome(recipe: Recipe, *_: object) -> object:
        trained.append(recipe)
        return comparison._Outcome(1.0, {"loss": 1.0})

    monkeypatch.setattr(comparison, "_outcome", outcome)
    grid = {"dmt.window": [4, 8], "cell.memory_width": [8, 16], "training.weight_decay": [0.5, 1.0]}
    methods, cells = ["smt+dmt", "bptt", "transformer"], ["mlp", OwnCell()]
    rows = compare(Parity(), methods=methods, cells=cells, grid=grid, **SIZES).rows
    tried = {row.name: len(row.tried) for row in rows}
    assert tried == {
        "smt+dmt, mlp": 8,
        "smt+dmt, OwnCell": 4,  # what cell.* says is for cells that are built
        "bptt, mlp": 4,
        "bptt, OwnCell": 2,
        "transformer": 2,
    }
    assert len(trained) == sum(tried.values())
    assert set(rows[-1].settings) == {"training.weight_decay"}
    with pytest.raises(ValueError, match=r"dmt\.window is 0"):  # for it will be read one day
        compare(Parity(), methods=["bptt"], cells=["mlp"], grid={"dmt.window": [0]}, **SIZES)


@pytest.mark.parametrize("method", ["smt", "smt+dmt", "tbptt", "bptt", "smt+dmt+bptt", "transformer"])
def test_what_is_said_to_be_read_is_all_that_changes_a_run(method: str) -> None:
    """Every group that is not named may say anything; with the control that one that is named may not."""
    read = settings_read(method)
    other = {
        "teacher": "teacher.layers=2",
        "cell": "cell.width=8",
        "readout_width": "readout_width=8",
        "smt": "smt.noise=0.7",
        "dmt": "dmt.window=2",
        "tbptt": "tbptt.window=2",
        "training": "training.learning_rate=1e-3",
    }

    def losses(changes: list[str]) -> list[float]:
        sizes = ("training.steps=6", "training.evaluations=1", "training.curriculum=0")
        run = train(tiny_recipe(f"method={method}", *sizes, *changes))
        return [record["loss"] for record in run.history if record["event"] == "train"]

    as_it_is = losses([])
    assert losses([change for name, change in other.items() if name not in read]) == as_it_is
    for name in read:
        assert losses([other[name]]) != as_it_is, name


def test_without_a_grid_the_table_has_no_such_column() -> None:
    rows = compare(Parity(), methods=["bptt"], cells=["mlp"], **SIZES).rows
    assert rows[0].settings == {}
    assert "training." not in str(Comparison(rows))


def test_runs_that_diverge_do_not_end_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes(monkeypatch, lambda rate, seed: None)
    result = compare(Parity(), methods=["bptt"], cells=["mlp"], **SIZES)
    assert result.rows == [Row("bptt", "mlp", 0.001, 1, {}, [], None, {"0.001": None})]
    assert "bptt" in str(result)
    with pytest.raises(ValueError, match="there is no learning curve to draw"):
        result.draw("curves.png")


def test_a_training_error_counts_as_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TrainingError("not finite")

    monkeypatch.setattr(comparison, "train", fail)
    assert compare(Parity(), methods=["bptt"], cells=["mlp"], **SIZES).rows[0].metrics == {}


def test_tables_and_json() -> None:
    runs = [{"loss": 0.4, "accuracy": 0.7}, {"loss": 0.6, "accuracy": 0.8}]
    rows = [
        Row("bptt", "mlp", 0.001, 2, {"loss": 0.5, "accuracy": 0.75, "tokens": 12345.0}, runs, 0.25, {"0.001": 0.6}),
        Row("smt", "mlp", 0.001, 2, {"loss": 0.5, "accuracy": 0.75, "drift": 0.001}, runs, 0.0, {"0.001": 0.6}),
    ]
    result = Comparison(rows)
    assert [Row(**row) for row in json.loads(result.to_json())["rows"]] == rows
    text = str(result)
    for word in ("loss", "0.5 ± 0.14", "75.0% ± 7.1%", "12,345", "drift", "0.001"):
        assert word in text
    assert "rmse" not in text
    assert "flops" not in text


def test_progress_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    compare(Parity(), methods=["bptt"], cells=["mlp"], progress=True, **SIZES)
    out, error = capsys.readouterr()
    assert out == ""
    assert error == "[1/1] bptt, mlp, learning rate 0.001, seed 0\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["bptt", "sgd"]}, "method is 'sgd'; it must be a chain"),
        ({"methods": ["dmt"]}, "dmt needs smt before it"),
        ({"cells": ["mlp", "brain"]}, "cell.kind is 'brain'; it must be one of"),
        ({"cells": ["mlp", "gru"], "settings": {"cell.layers": 2}}, "cell.layers is 2; the gru cell has one layer"),
        ({"cells": [nn.Linear(1, 1)]}, "Linear.memory_shape is None"),
        ({"methods": []}, r"methods is \[\]; it must be a list of at least one"),
        ({"seeds": 0}, r"seeds is \[\]; it must be a list of at least one"),
        ({"cells": "mlp"}, "cells is 'mlp'; it must be a list"),
        ({"learning_rates": [0.1, -1.0]}, "training.learning_rate is -1.0; it must be more than 0"),
        ({"seconds": 3.0}, "give exactly one of them"),
        ({"settings": {"teacher.widht": 3}}, "teacher.widht is unknown"),
        ({"length": 0}, "length is 0; it must be at least 1"),
        ({"tokens": 3}, "training.steps is 3 and training.tokens is 3; give exactly one of them"),
        ({"steps": None, "flops": 0.0}, "training.flops is 0.0; it must be more than 0"),
        ({"methods": ["transformer+dmt"]}, "or the baseline transformer alone"),
        ({"grid": {"training.widht": [3]}}, "training.widht is unknown"),
        ({"grid": {"training.batch_size": [4, 0]}}, "training.batch_size is 0; it must be more than 0"),
        ({"grid": {"training.batch_size": []}}, r"grid has \[\] for training.batch_size; it must be"),
        ({"grid": {"cell.kind": ["mlp"]}}, "grid has cell.kind; it is for settings that may differ between the runs"),
        ({"grid": {"training.steps": [3, 9]}}, "grid has training.steps; it is for settings that may differ"),
        ({"grid": {"task.options": [{}]}}, "grid has task.options; it is for settings that may differ"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    trained = outcomes(monkeypatch, lambda rate, seed: 1.0)
    with pytest.raises(ValueError, match=said):
        compare(Parity(), **{"methods": ["bptt"], "cells": ["mlp"], **SIZES, **changes})
    assert trained == []


def test_the_callers_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    compare(Parity(), methods=["bptt"], cells=["mlp"], **SIZES)
    assert torch.equal(torch.get_rng_state(), state)


# --- the rivals that are no recurrent networks --------------------------------------------------------


def test_the_transformer_has_a_row_and_no_cell() -> None:
    result = compare(Parity(), methods=["transformer", "bptt"], cells=["mlp", "gru"], **SIZES)
    assert [row.name for row in result.rows] == ["transformer", "bptt, mlp", "bptt, gru"]
    metrics = result.rows[0].metrics
    assert metrics.keys() == result.rows[1].metrics.keys()
    assert metrics["tokens"] == 3 * 4 * 4
    assert metrics["sequential_flops"] == pytest.approx(metrics["flops"] / (4 * 4))  # no step waits for another


def test_the_teachers_row_is_the_teacher_as_smt_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained on by nothing after that: a chain's teacher is that of its smt alone, with as many steps."""
    chain = compare(Parity(), methods=["smt+dmt"], cells=["mlp"], **{**SIZES, "steps": 4})
    alone = nounroll.fit(Parity(), method="smt", cell="mlp", **{**SIZES, "steps": 2})
    teacher = chain.rows[1]
    assert (teacher.method, teacher.cell, teacher.metrics["steps"]) == ("teacher", "mlp", 2)
    assert alone.teacher is not None
    batches = validation_batches(Parity(), 0, 4, 0, stream="test")  # the sequences of all final metrics
    expected = evaluate_teacher(alone.student, batches, alone.teacher.memories)
    for name, value in expected.items():
        assert teacher.metrics[name] == pytest.approx(value)
    monkeypatch.setattr(DMT, "improves_only", False)  # so that what dmt did is kept
    after = nounroll.fit(Parity(), method="smt+dmt", cell="mlp", **{**SIZES, "steps": 4})
    assert after.teacher is not None
    moved = evaluate_teacher(after.student, batches, after.teacher.memories)
    assert moved["loss"] != teacher.metrics["loss"]  # by the readout that dmt moved on it would be another


# --- learning curves ----------------------------------------------------------------------------------


def test_every_row_has_curves_and_a_picture(tmp_path: Path) -> None:
    settings = {**SETTINGS, "training.evaluations": 3}
    result = compare(
        Parity(),
        methods=["smt+dmt", "bptt", "transformer"],
        cells=["mlp"],
        length=4,
        tokens=96,
        seeds=2,
        settings=settings,
    )
    assert [row.name for row in result.rows] == ["smt+dmt, mlp", "teacher, mlp", "bptt, mlp", "transformer"]
    for row in result.rows:
        assert [len(curve) for curve in row.curves] == ([7, 7] if row.method == "smt+dmt" else [3, 3])
        for curve, run in zip(row.curves, row.runs, strict=True):
            for axis in ("tokens", "flops", "sequential_flops", "seconds"):
                values = [point[axis] for point in curve]
                assert values == sorted(values)
                assert values[-1] == pytest.approx(run[axis], abs=0.02)
    result.draw(tmp_path / "figures" / "curves.png")
    assert imread(tmp_path / "figures" / "curves.png").shape[2] == 4


def test_a_mean_curve_over_seeds_that_were_evaluated_at_other_moments() -> None:
    """Two straight lines in log x, of which every mean and deviation is known."""
    one = [{"seconds": 10.0**k, "loss": 4.0 - k} for k in (0, 1, 3)]
    other = [{"seconds": 10.0**k, "loss": 6.0 - k} for k in (-1, 2, 4)]
    x, mean, deviation = mean_curve([one, other], "seconds")
    assert (x[0], x[-1]) == pytest.approx((1.0, 1000.0))
    assert mean == pytest.approx(5.0 - np.log10(x))
    assert deviation == pytest.approx(2**0.5)
    x, mean, deviation = mean_curve([one], "seconds")
    assert (list(x), list(mean), list(deviation)) == ([1.0, 10.0, 1000.0], [4.0, 3.0, 1.0], [0.0] * 3)


def test_the_name_of_a_figure() -> None:
    with pytest.raises(ValueError, match=r"^--figure is 'curves.txt'; it must end in .png, .svg, .pdf$"):
        check_path("--figure", Path("curves.txt"))


def outcomes(monkeypatch: pytest.MonkeyPatch, loss: Any) -> list[Recipe]:
    """Runs that are not run: each has the validation loss of its (learning rate, seed), and 100 more in its metrics."""
    trained: list[Recipe] = []

    def outcome(recipe: Recipe, *_: object) -> object:
        trained.append(recipe)
        value = loss(recipe.training.learning_rate, recipe.training.seed)
        return None if value is None else comparison._Outcome(value, {"loss": 100.0 + value})

    monkeypatch.setattr(comparison, "_outcome", outcome)
    return trained


def test_other_lengths_are_measured_too_on_sequences_of_that_length(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = []
    measure = comparison.evaluate_task

    def spy(task: Any, model: Any, batches: Any) -> Any:
        spans.extend((batch.length, batch.batch_size) for batch in batches)
        return measure(task, model, batches)

    monkeypatch.setattr(comparison, "evaluate_task", spy)
    plain = compare(Parity(), methods=["smt"], cells=["mlp"], **SIZES)
    assert spans == [(4, 64)]
    result = compare(Parity(), methods=["smt"], cells=["mlp"], lengths=[8, 16], **SIZES)
    assert spans[1:] == [(4, 64), (8, 64), (16, 64)]
    student, teacher = result.rows
    assert {name for name in student.metrics if "@" in name} == {
        f"{name}@{length}" for name in ("loss", "bits", "accuracy") for length in (8, 16)
    }
    assert student.metrics["loss"] == plain.rows[0].metrics["loss"]
    assert not any("@" in name for name in teacher.metrics)
    assert "accuracy@16" in str(result)


def test_a_length_that_the_task_has_not_ends_it_before_a_run(tmp_path: Path) -> None:
    path = tmp_path / "small.txt"
    path.write_text("sixteen letters." * 4)
    with pytest.raises(ValueError, match="length"):
        compare(nounroll.data.build("text", {"path": str(path)}), lengths=[4000], **SIZES)
