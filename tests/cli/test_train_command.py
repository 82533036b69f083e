"""Train, stop, kill, resume, evaluate."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from commands import PYTHON, Command, one_line


def test_a_run_is_kept_in_its_folder(nounroll: Command) -> None:
    ended = nounroll("train", "tiny.yaml")
    assert (ended.status, ended.error) == (0, "")
    assert ended.out.startswith("runs/tiny is finished\nloss ")
    names = {path.name for path in Path("runs/tiny").iterdir()}
    assert names >= {"recipe.yaml", "metrics.jsonl", "metrics.json", "checkpoints", "student"}


def test_options_take_the_place_of_the_recipes(nounroll: Command) -> None:
    words = [
        "--steps",
        "2",
        "--cell",
        "gru",
        "--method",
        "smt+dmt",
        "--length",
        "6",
        "--seed",
        "5",
        "--out",
        "here",
        "--set",
        "cell.tokens=1",
    ]
    assert nounroll("train", "tiny.yaml", *words, "--set", "cell.memory_width=4").status == 0
    recipe = yaml.safe_load(Path("here/recipe.yaml").read_text())
    assert (recipe["method"], recipe["length"], recipe["name"]) == ("smt+dmt", 6, "tiny")
    assert {"kind": "gru", "tokens": 1, "memory_width": 4}.items() <= recipe["cell"].items()
    assert {"steps": 2, "seed": 5}.items() <= recipe["training"].items()


def test_a_dry_run_says_what_it_would_take_and_trains_nothing(nounroll: Command) -> None:
    ended = nounroll("train", "tiny.yaml", "--dry-run")
    assert (ended.status, ended.error) == (0, "")
    assert ended.out.startswith("lengths of the curriculum: 4, 8\n")
    assert "\nparameters  " in ended.out
    assert "\nIt takes at least " in ended.out
    found = json.loads(nounroll("train", "tiny.yaml", "--dry-run", "--json").out)
    size = found["footprint"]
    at_once = max(size["step"], size["evaluation"])
    assert found["memory"]["memory"]["needed"] == size["state"] + at_once + size["copies"] + size["data"]
    assert not Path("runs").exists()
    line = one_line(nounroll("train", "tiny.yaml", "--dry-run", "--set", "training.batch_size=10000000000"), 2)
    assert line.startswith("nounroll train: training.batch_size is 10000000000; with it the run takes at least ")


def test_a_dry_run_says_what_would_be_tried(nounroll: Command) -> None:
    ended = nounroll("train", "tiny.yaml", "--dry-run", "--method", "auto", "--cell", "auto")
    assert "\nauto tries bptt lstm, bptt gru, bptt tape, " in ended.out
    found = json.loads(nounroll("train", "tiny.yaml", "--dry-run", "--method", "auto", "--json").out)
    assert found["candidates"] == [["bptt", "mlp"], ["tbptt", "mlp"], ["smt+dmt", "mlp"]]
    assert found["resolved"]["facts"]["scored"] == 1.0


def test_what_was_chosen_is_told(nounroll: Command) -> None:
    ended = nounroll("train", "tiny.yaml", "--method", "auto", "--json")
    chosen = json.loads(ended.out)["chosen"]
    assert (chosen["method"], chosen["cell"]) == ("bptt", "mlp")
    assert chosen["reason"].startswith("4 steps are too few to try anything")
    assert json.loads(Path("runs/tiny/chosen.json").read_text()) == chosen
    assert "auto 4 steps are too few" in nounroll("resume", "runs/tiny").out


def test_a_run_that_ended_early_says_so(nounroll: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.training.handover._RISEN", -9.0)  # any student is worse
    monkeypatch.setattr("nounroll.training.handover.constant_guess", lambda *_: {"loss": 9.0})  # and knows something
    ended = nounroll(
        "train", "tiny.yaml", "--steps", 12, "--set", "training.patience=1", "--set", "training.evaluations=4", "--json"
    )
    assert "validation had risen; the rest of the budget is left" in ended.error
    assert json.loads(ended.out)["finished"]


def test_a_budget_in_seconds_takes_the_place_of_steps(nounroll: Command) -> None:
    result = json.loads(nounroll("train", "tiny.yaml", "--seconds", "1.5", "--json").out)
    assert 1.5 <= result["metrics"]["seconds"] < 60  # the machine may be busy
    assert result["metrics"]["steps"] > 4


def test_a_run_is_never_written_over(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml").status == 0
    before = tree(Path("runs/tiny"))
    line = one_line(nounroll("train", "tiny.yaml"), 2)
    assert "already holds a run; choose another folder, or: nounroll resume runs/tiny" in line
    assert tree(Path("runs/tiny")) == before


def test_a_run_with_a_warm_start_is_never_written_over(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml").status == 0
    assert nounroll("train", "tiny.yaml", "--from", "runs/tiny", "--out", "warm").status == 0
    before = tree(Path("warm"))
    assert "start/origin.json" in before
    for words in ([], ["--from", "runs/tiny"]):
        one_line(nounroll("train", "tiny.yaml", *words, "--out", "warm"), 2)
        assert tree(Path("warm")) == before


def test_a_finished_run_stays_as_it_is(nounroll: Command) -> None:
    first = nounroll("train", "tiny.yaml")
    before = tree(Path("runs/tiny"))
    again = nounroll("resume", "runs/tiny")
    assert again == first
    assert tree(Path("runs/tiny")) == before


def test_evaluate_measures_what_training_did(nounroll: Command) -> None:
    trained = json.loads(nounroll("train", "tiny.yaml", "--json").out)
    measured = json.loads(nounroll("evaluate", "runs/tiny", "--sequences", 8 * 64, "--json").out)
    assert measured["metrics"] == {name: trained["metrics"][name] for name in ("loss", "bits", "accuracy")}
    assert (
        "runs/tiny: 32 held-out sequences of 8 steps\nloss " in nounroll("evaluate", "runs/tiny", "--sequences", 32).out
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_that_then_goes_on(
    nounroll: Command, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    assert nounroll("train", "tiny.yaml", "--steps", 6, "--out", "whole").status == 0
    signal_at_step(3, number, monkeypatch)
    ended = nounroll("train", "tiny.yaml", "--steps", 6, "--out", "stopped", "--json")
    line = one_line(ended, 130)
    assert line == "nounroll: stopped after 3 steps; continue with: nounroll resume stopped\n"
    assert not json.loads(ended.out)["finished"]
    assert nounroll("resume", "stopped").status == 0
    assert weights("stopped") == weights("whole")


def test_a_run_that_died_before_its_first_checkpoint_starts_again(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml", "--out", "whole").status == 0
    Path("died").mkdir()
    Path("died/recipe.yaml").write_text(Path("whole/recipe.yaml").read_text())
    Path("died/metrics.jsonl").write_text('{"event": "tr')
    assert nounroll("resume", "died").status == 0
    assert weights("died") == weights("whole")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("cell.memory_width", 4, "cell.memory_width is 4, and runs/tiny/checkpoints/step-00000004 was trained with 8"),
        ("method", "smt", "method is 'smt', and"),
        ("training.seed", 1, "training.seed is 1, and"),
        ("training.batch_size", 8, "training.batch_size is 8, and"),
        ("training.steps", 3, "training.steps is 3, and"),  # more would be on top of what is spent
        ("task.kind", "retrieval", "task.kind is 'retrieval', and"),
        ("task.options", {"n": 3}, "task.options.n is not an option of parity"),
        ("cell.hue", 3, "cell.hue is unknown"),
        ("length", "long", "length is 'long'; it must be a whole number"),
    ],
)
def test_resume_refuses_another_recipe(nounroll: Command, setting: str, value: object, said: str) -> None:
    assert nounroll("train", "tiny.yaml").status == 0
    edit("runs/tiny", setting, value)
    before = tree(Path("runs/tiny"))
    assert said in one_line(nounroll("resume", "runs/tiny"), 2, "nounroll resume: ")
    assert tree(Path("runs/tiny")) == before


def test_resume_allows_what_does_not_change_the_result(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml").status == 0
    for setting, value in (("training.shard", True), ("training.device", "cpu")):
        edit("runs/tiny", setting, value)
    assert nounroll("resume", "runs/tiny").status == 0


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(nounroll: Command) -> None:
    assert nounroll("train", "tiny.yaml").status == 0
    for folder in Path("runs/tiny/checkpoints").iterdir():
        data = bytearray((folder / "student.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "student.safetensors").write_bytes(data)
    newest = "runs/tiny/checkpoints/step-00000004/student.safetensors"
    assert f"{newest} is damaged" in one_line(nounroll("resume", "runs/tiny"), 2)


def test_a_process_is_terminated_and_another_goes_on(nounroll: Command) -> None:
    words = ["--steps", "400"]
    process = subprocess.Popen(
        [*PYTHON, "train", "tiny.yaml", *words, "--out", "stopped"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    log = Path("stopped/metrics.jsonl")
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.count("\n") == 1
    assert "continue with: nounroll resume stopped" in error
    assert nounroll("resume", "stopped").status == 0
    assert nounroll("train", "tiny.yaml", *words, "--out", "whole").status == 0
    assert weights("stopped") == weights("whole")


# -------------------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights(folder: str) -> bytes:
    return Path(folder, "student", "model.safetensors").read_bytes()


def edit(folder: str, setting: str, value: object) -> None:
    """Change one setting in a run's recipe."""
    path = Path(folder, "recipe.yaml")
    recipe = yaml.safe_load(path.read_text())
    *groups, name = setting.split(".")
    group = recipe
    for one in groups:
        group = group[one]
    group[name] = value
    path.write_text(yaml.safe_dump(recipe))


def signal_at_step(step: int, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes in the middle of a step of training, once."""
    from nounroll.training.engine import Engine

    original, calls = Engine.step, []

    def stepped(self: Engine, *arguments: object) -> object:
        calls.append(None)
        if len(calls) == step:
            signal.raise_signal(number)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "step", stepped)
