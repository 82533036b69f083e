"""Sweep a setting from a recipe."""

import json
from pathlib import Path

import pytest

from commands import Command, one_line


def test_a_table_and_a_folder(nounroll: Command) -> None:
    ended = nounroll("sweep", "tiny.yaml", "--values", "4,8", "--steps", 2, "--out", "swept")
    assert ended.status == 0, ended
    assert "[2/2] cell.memory_width 8\n" in ended.error
    assert [line.split()[1:4:2] for line in ended.out.splitlines() if line[2:3] in "48"] == [["4", "8"], ["8", "16"]]
    document = json.loads(Path("swept/sweep.json").read_text())
    assert [point["memory"] for point in document["points"]] == [8, 16]
    assert Path("swept/sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_setting_that_is_no_number(nounroll: Command) -> None:
    words = ["--setting", "cell.kind", "--values", "gru,elman", "--steps", 2, "--out", "swept"]
    points = json.loads(nounroll("sweep", "tiny.yaml", *words, "--json").out)["points"]
    assert [point["value"] for point in points] == ["gru", "elman"]


def test_a_notice_about_the_data_is_printed_once_for_all_runs(nounroll: Command) -> None:
    rows = [f"{i},{t},{i * t}\n" for i in range(20) for t in range(7 + i % 4)]
    Path("rows.csv").write_text("".join(["id,x,y\n", *rows]))
    roles = "task.options.roles={id: id, input: x, target: y}"
    words = ["--set", "task.kind=table", "--set", "task.options.path=rows.csv", "--set", roles]
    ended = nounroll("sweep", "tiny.yaml", *words, "--values", "4,8", "--steps", 1, "--out", "swept")
    assert ended.error.count("the longest sequence of Table has 9 steps") == 1


def test_values_with_an_exponent_are_numbers(nounroll: Command) -> None:
    words = ["--setting", "training.learning_rate", "--values", "1e-3,2.5e3", "--steps", 1]
    points = json.loads(nounroll("sweep", "tiny.yaml", *words, "--json").out)["points"]
    assert [point["value"] for point in points] == [0.001, 2500.0]


def test_a_folder_that_cannot_be_made_is_told_before_the_runs(nounroll: Command) -> None:
    said = one_line(nounroll("sweep", "tiny.yaml", "--values", "4", "--steps", 1, "--out", "tiny.yaml"), 1)
    assert said == "nounroll sweep: tiny.yaml: File exists\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--values", "4,["], "--values is '4,['; '[' is not a value: give values with commas between them"),
        (["--values", ","], "values is empty"),
        (["--values", "0"], "cell.memory_width is 0"),
        (["--values", "wide"], "cell.memory_width is 'wide'"),
        (["--setting", "cell.colour"], "cell.colour"),
    ],
)
def test_mistakes(nounroll: Command, words: list[str], said: str) -> None:
    assert said in one_line(nounroll("sweep", "tiny.yaml", "--steps", 1, *words), 2)
