"""``nounroll bench``: every contender is timed, ratios are those of the rates, and mistakes are one line."""

import json

import pytest

from commands import Command, one_line
from nounroll import bench
from nounroll.cells.gru import GRUCell


def test_rates_ratios_and_a_table(nounroll: Command) -> None:
    ended = nounroll("bench", "--cells", "gru", "--length", "8", "--batch", "2", "--rounds", "1", "--json")
    assert ended.status == 0, ended
    result = json.loads(ended.out)
    training = {row["name"]: row for row in result["training"]}
    assert training.keys() == {"smt windowed, gru", "smt, gru", "bptt stepped, gru", "dmt, gru", "bptt fused, gru"}
    generation = {row["name"]: row for row in result["generation"]}
    assert generation.keys() == {"transformer without cache, 8 read", "student, gru"}
    for rows in (training, generation):
        for row in rows.values():
            assert row["per_second"] > 0
            assert row["ratio"] == pytest.approx(row["per_second"] / rows[row["baseline"]]["per_second"])
            assert row["milliseconds"]["median"] <= row["milliseconds"]["p99"]
    for row in training.values():
        assert 0 < row["flops_per_second"] == pytest.approx(row["share_of_matmul"] * result["matmul"])
    assert result["peak_memory"] > 50 * 2**20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cells", "rnn"], "--cells has 'rnn'; it must be of mlp, "),
        (["--length", "0"], "--length is 0; it must be at least 1"),
        (["--rounds", "0"], "--rounds is 0; it must be at least 1"),
    ],
)
def test_mistakes(nounroll: Command, words: list[str], said: str) -> None:
    assert said in one_line(nounroll("bench", *words), 2, "nounroll bench: ")


def test_the_stepped_baseline_takes_steps_and_the_fused_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    contenders = bench._training(["gru"], 8, 2)

    def refuse(*given: object) -> None:
        raise AssertionError("fused")

    monkeypatch.setattr(GRUCell, "unroll", refuse)
    assert contenders["bptt stepped, gru"].run(0)[0] > 0
    with pytest.raises(AssertionError, match="fused"):
        contenders["bptt fused, gru"].run(0)
