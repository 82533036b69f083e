"""``nounroll adapt`` carries a run's student on to another task."""

import json
from pathlib import Path

from commands import Command, one_line
from helpers import same_state
from nounroll import Heads, Student
from nounroll.experiments.recipe import load


def test_adapt_and_then_more(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--method", "bptt", "--out", "old").status == 0
    ended = nounroll("adapt", "old", "--task", "parity", "--steps", "3", "--out", "new", "--json")
    metrics = json.loads(ended.out)["metrics"]
    assert (ended.status, metrics["steps"]) == (0, 3)
    assert {"memory_change", "old_loss", "old_loss_before", "old_accuracy"} <= metrics.keys()
    origin = json.loads(Path("new/start/origin.json").read_text())
    assert origin["rehearse"] == {"path": str(Path("old").absolute()), "task": "parity"}
    more = nounroll("resume", "new", "--steps", "2", "--json")  # the old task is that of the run it came from
    assert (more.status, json.loads(more.out)["metrics"]["steps"]) == (0, 5)
    assert nounroll("verify", "new").status == 0
    assert nounroll("report", "new").status == 0
    table = nounroll("adapt", "old", "--task", "parity", "--steps", "2", "--head", "new", "--update", "readout")
    assert table.status == 0
    assert "memory_change" in table.out
    assert Path("runs/adapted-tiny").is_dir()
    Path("old").rename("elsewhere")
    said = one_line(nounroll("resume", "new"), 2, "nounroll resume: the run rehearses the task of another run: ")
    assert said.endswith("/old holds no run; there is no recipe.yaml in it\n")


def test_the_task_of_the_run_keeps_its_options(nounroll: Command) -> None:
    assert (
        nounroll(
            "train",
            "tiny.yaml",
            "--set",
            "task.kind=keys_values",
            "--set",
            "task.options.pairs=2",
            "--set",
            "length=8",
            "--method",
            "bptt",
            "--out",
            "old",
        ).status
        == 0
    )
    adapt = ("adapt", "old", "--steps", "2", "--rehearse", "0", "--anchor", "0")
    assert nounroll(*adapt, "--out", "new").status == 0
    assert load("new/recipe.yaml").task == load("old/recipe.yaml").task
    more = ("--head", "new", "--set", "task.options.pairs=1")
    assert nounroll(*adapt, *more, "--out", "other").status == 0
    assert load("other/recipe.yaml").task.options == {**load("old/recipe.yaml").task.options, "pairs": 1}


def test_mistakes_are_one_line(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--method", "bptt", "--out", "old").status == 0
    adapt = ("adapt", "old", "--steps", "2", "--out", "new")
    assert "task.kind is 'pairs'" in one_line(nounroll(*adapt, "--task", "pairs"), 2)
    assert "--head is 'odd'; it must be keep or new" in one_line(
        nounroll(*adapt, "--task", "parity", "--head", "odd"), 2
    )
    assert "adapt.rehearse is 1" in one_line(nounroll(*adapt, "--task", "parity", "--rehearse", "1"), 2)
    assert "adapt.update is 'some'" in one_line(nounroll(*adapt, "--task", "parity", "--update", "some"), 2)
    assert "give one of them" in one_line(nounroll(*adapt, "--task", "parity", "--seconds", "3"), 2)
    assert "method is 'adapt'; it begins with a trained student" in one_line(
        nounroll("train", "tiny.yaml", "--method", "adapt"), 2
    )
    assert not Path("new").exists()


def test_many_tasks_on_one_network(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--method", "bptt", "--out", "old").status == 0
    many = ("--many", "first=tiny.yaml", "--many", "again=tiny.yaml", "--steps", "3")
    ended = nounroll("adapt", "old", *many, "--out", "heads", "--json")
    found = json.loads(ended.out)
    assert (ended.status, found["heads"], found["finished"]) == (0, "heads", True)
    assert {name: set(metrics) >= {"loss", "accuracy"} for name, metrics in found["metrics"].items()} == {
        "first": True,
        "again": True,
    }
    heads = Heads.from_pretrained("heads")
    assert heads.metrics == found["metrics"]
    assert same_state(heads.student.state_dict(), Student.from_pretrained("old/student").state_dict())
    table = nounroll("adapt", "old", *many)
    assert table.status == 0
    assert "2 heads on one network" in table.out
    assert Heads.from_pretrained("runs/heads-tiny").metrics == heads.metrics

    for command in ("evaluate", "verify"):
        said = one_line(nounroll(command, "heads"), 2)
        assert "heads holds no run; it holds heads, which nounroll.Heads.from_pretrained opens\n" in said
    said = one_line(nounroll("evaluate", "old/student"), 2)
    assert "holds no run; it holds a student, which nounroll.Student.from_pretrained opens\n" in said

    adapt = ("adapt", "old", *many)
    assert "--out is heads, which is there already" in one_line(nounroll(*adapt, "--out", "heads"), 2)
    assert "--many is given, and --task too" in one_line(nounroll(*adapt, "--task", "parity"), 2)
    assert "--many is given, and --set too" in one_line(nounroll(*adapt, "--set", "adapt.anchor=0"), 2)
    assert "--many got 'tiny.yaml'; it takes NAME=RECIPE" in one_line(
        nounroll("adapt", "old", "--many", "tiny.yaml"), 2
    )
    same = nounroll(*adapt, "--many", "first=tiny.yaml", "--out", "others")
    assert "--many has 3 tasks with 2 names; give each a name of its own" in one_line(same, 2)
    assert not Path("others").exists()
