"""Compare, from a recipe."""

import json

from commands import Command


def test_every_method_and_cell_has_a_row(nounroll: Command) -> None:
    words = ["--methods", "smt+dmt,bptt", "--cells", "mlp,gru", "--steps", 2, "--seeds", 2]
    ended = nounroll("compare", "tiny.yaml", *words, "--json")
    rows = json.loads(ended.out)["rows"]
    expected = [("smt+dmt", "mlp"), ("smt+dmt", "gru"), ("bptt", "mlp"), ("bptt", "gru")]
    assert [(row["method"], row["cell"]) for row in rows] == expected
    assert all(row["metrics"]["steps"] == 2 and row["seeds"] == 2 for row in rows)
    assert "[8/8] bptt, gru, learning rate 0.001, seed 1\n" in ended.error


def test_the_table_says_which_learning_rate_was_best(nounroll: Command) -> None:
    words = ["--methods", "bptt", "--cells", "elman", "--learning-rates", "0.02,7", "--steps", 30]
    ended = nounroll("compare", "tiny.yaml", *words, "--set", "length=4")
    assert ended.status == 0
    (row,) = (line for line in ended.out.splitlines() if "elman" in line)
    assert "0.02" in row
    assert "learning rate" in ended.out
