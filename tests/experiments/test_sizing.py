"""A size that is counted on shapes alone is that of the model which is built."""

from dataclasses import replace

import pytest
import torch

from helpers import tiny_recipe
from nounroll.core.batch import Batch
from nounroll.data.parity import Parity
from nounroll.data.retrieval import Retrieval
from nounroll.experiments.facts import look
from nounroll.experiments.sizing import size
from nounroll.methods import DMT, SMT
from nounroll.methods.cost import step_cost
from nounroll.models.student import Student
from nounroll.teacher import build_teacher


@pytest.mark.parametrize("cell", ["mlp", "gru"])
def test_shapes_alone_give_the_figures_of_what_is_built(cell: str) -> None:
    task, recipe = Parity(), tiny_recipe(f"cell.kind={cell}", "smt.uniformity=0", "smt.decoding=0", "smt.window=3")
    knowable = look(task, recipe.length, 0).knowable
    student = Student(task.inputs, task.targets, recipe.cell, readout_width=recipe.readout_width)
    teacher = build_teacher(recipe.teacher, task.inputs, task.targets, student.cell)
    found = size(replace(recipe, smt=replace(recipe.smt, uniformity=1.0, decoding=1.0)), task)
    counts = [sum(p.numel() for p in part.parameters()) for part in (student, teacher)]
    assert [found.student, found.teacher] == counts
    built = step_cost(SMT(student, teacher, recipe.smt), task, recipe.length, 1)["flops"]
    teacher.encoder.all_at_once = False  # as it is counted: each label is made once
    assert found.smt == step_cost(SMT(student, teacher, recipe.smt), task, recipe.length, 1)["flops"] > 0
    assert found.smt == pytest.approx(built, rel=0.2)
    dmt = step_cost(DMT(student, teacher, recipe.dmt, knowable), task, recipe.length, 1)["flops"]
    assert found.dmt == pytest.approx(dmt, rel=0.1)  # of windows that are not whole the rest is read out too
    optimizer = torch.optim.AdamW([*student.parameters(), *teacher.parameters()])
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.zeros_like(p)
    optimizer.step()
    kept = [t for one in optimizer.state.values() for t in one.values() if t.dim()]
    weights = [t for group in optimizer.param_groups for p in group["params"] for t in (p, p.grad)]
    assert found.training_bytes == pytest.approx(sum(t.nbytes for t in [*kept, *weights]), rel=1e-3)
    assert found.label_bytes == teacher.memories(torch.zeros(1, recipe.length, dtype=torch.int64)).nbytes


def test_a_recipe_without_the_pull_to_labels_has_a_size() -> None:
    found = size(tiny_recipe("dmt.dynamics=0", "dmt.decoding=1"), Parity())
    assert found == size(tiny_recipe(), Parity())


def test_a_recipe_for_few_scored_targets_has_a_size() -> None:
    found = size(tiny_recipe("teacher.kind=slots", "dmt.only_ahead=false", "cell.memory_width=16"), Retrieval())
    assert found.dmt > 0


class Reset(Parity):
    """Parity whose memory is reset in the middle of each row."""

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        resets = (torch.arange(length) == length // 2).expand(batch_size, -1)
        return replace(super().sample(batch_size, length, generator), resets=resets)


def test_a_task_with_resets_has_the_size_of_one_without() -> None:
    assert size(tiny_recipe(), Reset()) == size(tiny_recipe(), Parity())


def test_a_plan() -> None:
    found = size(tiny_recipe(), Parity())
    plan = found.plan(20, 1e9)
    assert plan["tokens"] == 20 * found.student
    assert plan["flops"] == plan["tokens"] * (found.smt + found.dmt) / 2 == plan["seconds"] * 1e9
    with pytest.raises(ValueError, match="flops_per_second is 0; it must be more than 0"):
        found.plan(20, 0)
