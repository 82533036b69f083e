"""Compare, from a recipe."""

import json
from pathlib import Path

from commands import Command, one_line


def test_every_method_and_cell_has_a_row(nounroll: Command) -> None:
    words = ["--methods", "smt+dmt,bptt", "--cells", "mlp,gru", "--steps", 2, "--seeds", 2, "--set", "smt.share=1"]
    ended = nounroll("compare", "tiny.yaml", *words, "--json")
    rows = json.loads(ended.out)["rows"]
    expected = [(method, cell) for cell in ("mlp", "gru") for method in ("smt+dmt", "teacher")]
    expected += [("bptt", "mlp"), ("bptt", "gru")]
    assert [(row["method"], row["cell"]) for row in rows] == expected
    assert all(row["metrics"]["steps"] == 1 + (row["method"] != "teacher") and row["seeds"] == 2 for row in rows)
    assert "[8/8] bptt, gru, learning rate 0.001, seed 1\n" in ended.error


def test_the_table_says_which_learning_rate_was_best(nounroll: Command) -> None:
    words = ["--methods", "bptt", "--cells", "elman", "--learning-rates", "0.02,7", "--steps", 30]
    ended = nounroll("compare", "tiny.yaml", *words, "--set", "length=4")
    assert ended.status == 0
    (row,) = (line for line in ended.out.splitlines() if "elman" in line)
    assert "0.02" in row
    assert "learning rate" in ended.out


def test_other_settings_are_tried_and_the_table_says_which_was_best(nounroll: Command) -> None:
    grid = ["--grid", "training.batch_size=2,4", "--grid", "training.weight_decay=0.5"]
    words = ["--methods", "bptt", "--cells", "elman", "--steps", 3, *grid]
    ended = nounroll("compare", "tiny.yaml", *words, "--json")
    (row,) = json.loads(ended.out)["rows"]
    assert list(row["tried"]) == [f"0.001 training.batch_size={size} training.weight_decay=0.5" for size in (2, 4)]
    assert row["settings"]["training.batch_size"] in (2, 4)
    assert row["metrics"]["tokens"] % row["settings"]["training.batch_size"] == 0
    assert (
        "[2/2] bptt, elman, learning rate 0.001 training.batch_size=4 training.weight_decay=0.5, seed 0\n"
        in ended.error
    )


def test_equal_flops_the_transformer_and_a_figure(nounroll: Command) -> None:
    words = ["--methods", "bptt,transformer", "--cells", "mlp,mingru", "--flops", "2e6", "--figure", "curves.png"]
    ended = nounroll("compare", "tiny.yaml", *words, "--json")
    rows = {(row["method"], row["cell"]): row["metrics"] for row in json.loads(ended.out)["rows"]}
    assert rows.keys() == {("bptt", "mlp"), ("bptt", "mingru"), ("transformer", "-")}
    assert all(2e6 <= metrics["flops"] < 3e6 for metrics in rows.values())
    assert ended.error.endswith("wrote curves.png\n")
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")


def test_learning_rates_that_are_none_are_refused(nounroll: Command) -> None:
    ended = nounroll("compare", "tiny.yaml", "--learning-rates", ",")
    assert one_line(ended, 2, "nounroll compare: --learning-rates is ','; it must be numbers with commas between them")


def test_a_figure_that_cannot_be_written_is_told_before_anything_runs(nounroll: Command) -> None:
    ended = nounroll("compare", "tiny.yaml", "--figure", "curves.txt")
    assert one_line(ended, 2, "nounroll compare: --figure is 'curves.txt'; it must end in .png, .svg, .pdf")
