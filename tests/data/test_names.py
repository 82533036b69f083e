"""Sequences of names: texts, and lists of words or events."""

from typing import Any

import numpy as np
import pytest
import torch

import nounroll
from nounroll.core.batch import Categorical
from nounroll.data.kept import keep, without_data
from nounroll.data.names import has_names, numbered

LOGS = [["open", "read", "close"], ["open", "crash"]] * 10
ENDS = ["good", "bad"] * 10


def inputs_of(task: nounroll.Sequences) -> list[list[str]]:
    return [[task.names[symbol] for symbol in one.tolist()] for one in task._inputs.split()]


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (LOGS, ["close", "crash", "open", "read"]),
        ([tuple(one) for one in LOGS], ["close", "crash", "open", "read"]),
        (["ACGT", "GA"] * 10, ["A", "C", "G", "T"]),
        (np.array([list("ACG"), list("GAT")] * 10), ["A", "C", "G", "T"]),
        ([["10", "9"], ["9", "x"]] * 10, ["9", "10", "x"]),
    ],
    ids=["lists", "tuples", "texts", "array", "numbers-by-value"],
)
def test_each_name_is_a_symbol(inputs: Any, names: list[str]) -> None:
    task = nounroll.Sequences(inputs=inputs, labels=ENDS)
    assert task.names == names
    assert task.inputs == Categorical(len(names))
    assert inputs_of(task) == [list(one) for one in inputs]


def test_a_column_of_texts() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"read": ["ACGT", "GA"] * 10, "end": ENDS})
    task = nounroll.Sequences(inputs=frame["read"], labels=frame["end"])
    assert (task.names, task.classes) == (["A", "C", "G", "T"], ["bad", "good"])


@pytest.mark.parametrize("kind", ["object", "str", "string", "category"])
def test_a_column_of_pandas_is_a_sequence_of_names(kind: str) -> None:
    pandas = pytest.importorskip("pandas")
    columns = [pandas.Series(one, index=range(3, 3 + len(one)), dtype=kind) for one in LOGS]
    task = nounroll.Sequences(inputs=columns, labels=ENDS)
    assert inputs_of(task) == [list(one) for one in LOGS]
    tags = [pandas.Series(["verb", None, "verb"], dtype=kind), ["verb", "noun"]] * 10
    batch = nounroll.Sequences(inputs=columns, targets=tags)._read(torch.tensor([0]), 3)
    assert batch.mask.tolist() == [[True, False, True]]


def test_targets_of_steps_are_names_too_and_none_is_not_scored() -> None:
    tags = [["verb", None, "verb"], ["verb", "noun"]] * 10
    task = nounroll.Sequences(inputs=LOGS, targets=tags, weights={"noun": 1, "verb": 3})
    assert task.classes == ["noun", "verb"]
    assert task.targets == Categorical(2)
    assert isinstance(task.targets, Categorical)
    assert task.targets.weights[1] == pytest.approx(3 * task.targets.weights[0])
    batch = task._read(torch.tensor([0, 1]), 3)
    assert batch.mask.tolist() == [[True, False, True], [True, True, False]]
    assert batch.targets[batch.mask].tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("first", [[None, "verb", None], [None] * 3], ids=["a-step", "a-sequence"])
def test_the_first_steps_may_have_no_name(first: list[str | None]) -> None:
    task = nounroll.Sequences(inputs=LOGS, targets=[first, ["verb", "noun"], *[["noun"] * 3, ["verb"] * 2] * 9])
    assert task.classes == ["noun", "verb"]
    batch = task._read(torch.tensor([0, 1]), 3)
    assert batch.mask.tolist() == [[False, first[1] is not None, False], [True, True, False]]


def test_targets_that_name_inputs_have_their_numbers() -> None:
    words = ["ab", "ba", "ca"] * 10
    task = nounroll.Sequences(inputs=words, targets=[one[1:] + "a" for one in words])
    assert task.classes == task.names == ["a", "b", "c"]
    assert task.targets == task.inputs == Categorical(3)  # though no target is c


def test_prompts_are_read_and_written_by_name() -> None:
    words = nounroll.Sequences(inputs=LOGS, labels=ENDS)
    assert words.decode(words.encode("read open")) == "read open"
    letters = nounroll.Sequences(inputs=["ACGT", "GA"] * 10, labels=ENDS)
    assert letters.encode("GAT").tolist() == letters.encode("G A T").tolist() == [2, 0, 3]
    assert letters.decode(torch.tensor([2, 0, 3])) == "GAT"
    spaced = nounroll.Sequences(inputs=["a b", "b"] * 10, labels=ENDS)
    assert spaced.decode(spaced.encode("b a")) == "b a"
    with pytest.raises(ValueError, match=r"prompt has 'write'; the task has close, crash, open, read"):
        words.encode("write")


def test_names_survive_without_the_data() -> None:
    task = nounroll.Sequences(inputs=LOGS, labels=ENDS)
    again = without_data(keep(task, "custom"), task.inputs, task.targets)
    assert isinstance(again, nounroll.Sequences)
    assert (again.names, again.classes) == (task.names, task.classes)
    assert again.encode("open").tolist() == task.encode("open").tolist()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([["a", None]] * 20, r"inputs\[0\]\[1\] is None; other steps hold names, and this one must too"),
        (["ab", [1, 2]] * 10, r"inputs\[1\]\[0\] is 1; other steps hold names"),
        (["ab", 3] * 10, r"inputs\[1\] is a int; other sequences hold names: give a text or a list of names"),
        (["ab", ""] * 10, r"inputs\[1\] is empty; it must hold at least one name"),
        ([["1.5", "2"]] * 20, r"inputs holds numbers as text, such as '1.5'; convert them"),
    ],
    ids=["none", "numbers-among-texts", "a-number", "empty", "numbers-as-text"],
)
def test_faults_of_names_are_one_line(inputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nounroll.Sequences(inputs=inputs, labels=ENDS)


def test_unknown_names_are_refused_with_their_place() -> None:
    with pytest.raises(ValueError, match=r"X\[1\]\[2\] is 'U', a name that is not known; known are 'A', 'C', 'G'"):
        numbered("X", ["AC", "ACU"], ["A", "C", "G"])


@pytest.mark.parametrize("values", ["text", b"ab", {"a": "b"}, [[1, 2]], [], [[]], np.zeros((2, 3)), 5])
def test_other_values_hold_no_names(values: Any) -> None:
    assert not has_names(values)
