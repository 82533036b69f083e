"""One's own sequences: ragged arrays, scored where they should be, split into parts that share nothing."""

import re
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import nounroll
from forked import run_code
from helpers import make_student
from nounroll.core.batch import Batch, Categorical, Real
from nounroll.core.notices import Notice
from nounroll.data.parts import PARTS
from nounroll.data.sequences import Score, Sequences
from nounroll.data.task import draw, held_out, training_batch
from nounroll.objectives.readout import negative_log_likelihood

ALL = torch.arange(10)
NAMES = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
FORMS: dict[str, dict[str, Any]] = {
    "targets": {"targets": True},
    "targets, the last scored": {"targets": True, "score": "last"},
    "labels": {"labels": True},
}


def ragged(count: int = 10) -> list[np.ndarray]:
    """Sequence i has i + 2 steps, of symbols 1 to 4: 0 is the padding alone."""
    return [1 + (np.arange(i + 2) * (i + 1)) % 4 for i in range(count)]


def numbered(count: int, **options: Any) -> Sequences:
    """Sequence i is i, i, i: what is read says which it is."""
    return Sequences([np.full(3, i) for i in range(count)], labels=[float(i) for i in range(count)], **options)


def made(form: str, real: bool = False, **options: Any) -> Sequences:
    """Ten ragged sequences of which all but one of each other part train; numbers in place of symbols when real."""
    given = FORMS[form]
    inputs: list[Any] = [np.stack([x, x**2], 1) / 7.0 for x in ragged()] if real else ragged()
    targets: dict[str, Any] = {}
    if "targets" in given:
        targets = {"targets": [x[:, :1] * 2 for x in inputs] if real else ragged(), "score": given.get("score", "all")}
    else:
        targets = {"labels": np.arange(10) / 3 if real else np.arange(10) % 3}
    return Sequences(inputs, **targets, **options)


def everything(task: Sequences, length: int = 11) -> Batch:
    """All sequences of all parts, in the order given."""
    whole = task._over("train")
    whole._numbers = ALL
    return whole.take(ALL, length)


def numbers(task: Sequences) -> list[int]:
    """The sequences of a part, by ``held_out``, in the order of their numbers."""
    batches = held_out(task, 10**6, task.length, 0, "any")
    return sorted(i for batch in batches for i in batch.inputs[:, 0].tolist())


def losses(batch: Batch, task: Sequences) -> Tensor:
    """(B, T) of an untrained student, 0 where nothing is scored."""
    student = make_student("gru", task.inputs, task.targets, dtype=torch.float32)
    found = negative_log_likelihood(task.targets, student.outputs(batch.inputs)[0], batch.targets)
    return torch.where(batch.mask, found, 0.0)


def test_lists_arrays_and_tensors_are_read_alike() -> None:
    array = np.arange(40).reshape(10, 4) % 5
    forms: list[Any] = [
        array,
        array.tolist(),
        list(array),
        torch.tensor(array),
        list(torch.tensor(array, dtype=torch.uint8)),
    ]
    for form in forms:
        task = Sequences(form, targets=form, split=NAMES)
        assert (task.inputs, task.targets, task.length, task.size) == (Categorical(5), Categorical(5), 4, 6)
        assert everything(task, 4).inputs.tolist() == array.tolist()
    forms = [array / 2, torch.tensor(array / 2, requires_grad=True), torch.tensor(array / 2, dtype=torch.bfloat16)]
    for form in [*forms, array[:, :, None] / 2]:
        task = Sequences(form, labels=form[:, 0], split=NAMES)
        assert task.inputs == Real(1)
        assert everything(task, 4).inputs.flatten().tolist() == (array / 2).flatten().tolist()


def test_arrays_of_any_layout_are_read() -> None:
    big_endian, backwards = np.arange(5, dtype=">i2"), np.arange(5)[::-1]
    big_endian.flags.writeable = False
    task = Sequences([big_endian, backwards] * 5, labels=[torch.tensor(i % 2) for i in range(10)])
    assert everything(task, 5).inputs[:2].tolist() == [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]


def test_a_pandas_series_of_sequences_may_have_any_index() -> None:
    pandas = pytest.importorskip("pandas")
    inputs, index = [np.arange(3.0) + i for i in range(10)], range(5, 15)
    one = Sequences(pandas.Series(inputs, index=index), targets=pandas.Series(inputs, index=index))
    with pytest.raises(ValueError, match=r"groups\[1\] is <NA>; it must be a number or a name"):
        Sequences(inputs, targets=inputs, groups=["a", pandas.NA, *range(len(inputs) - 2)])
    other = Sequences(inputs, targets=inputs)
    assert torch.equal(one.take(torch.arange(8), 3).inputs, other.take(torch.arange(8), 3).inputs)


def test_numbers_that_single_precision_does_not_tell_apart_are_told() -> None:
    seconds = [1.7e9 + 60 * np.arange(5.0) + i for i in range(10)]
    with pytest.warns(
        Notice, match=r"inputs: column 1 is near 1.7e\+09 and varies by 2.5e\+02, which single precision"
    ):
        Sequences([np.stack([one - 1.7e9, one], 1) for one in seconds], targets=[one - 1.7e9 for one in seconds])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # control: a constant, and a spread that is large enough
        Sequences([np.stack([0 * one + 1e9, one - 1.69e9], 1) for one in seconds], labels=[0, 1] * 5)


def test_later_changes_of_the_arrays_are_not_seen() -> None:
    inputs = np.ones((10, 4), dtype=np.int64)
    task = Sequences(inputs, targets=inputs)
    inputs[:] = -5
    assert everything(task, 4).inputs.unique().tolist() == [1]


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("form", list(FORMS))
def test_a_ragged_batch_holds_each_sequence_alone(form: str, real: bool) -> None:
    task = made(form, real)
    batch = everything(task)
    scored = losses(batch, task)
    for i, x in enumerate(ragged()):
        steps = len(x)
        alone = Batch(*(array[i : i + 1, :steps] for array in (batch.inputs, batch.targets, batch.mask)))
        expected = np.stack([x, x**2], 1) / 7.0 if real else x
        assert np.allclose(alone.inputs[0].numpy(), expected)
        assert torch.allclose(scored[i, :steps], losses(alone, task)[0], atol=1e-6)
        assert not scored[i, steps:].any()
        assert not batch.inputs[i, steps:].any()


@pytest.mark.parametrize("form", list(FORMS))
def test_what_is_scored(form: str) -> None:
    batch = everything(made(form))
    for i, x in enumerate(ragged()):
        last = len(x) - 1
        scored = batch.mask[i].nonzero()[:, 0].tolist()
        assert scored == (list(range(last + 1)) if form == "targets" else [last])
        assert batch.targets[i, scored].tolist() == ([i % 3] if form == "labels" else x[scored].tolist())


def padding_changed(batch: Batch, padding: Tensor) -> Batch:
    """The batch with other inputs and targets where the padding is."""
    inputs = torch.where(padding, (batch.inputs + 1) % 5, batch.inputs)
    return replace(batch, inputs=inputs, targets=torch.where(padding, (batch.targets + 1) % 3, batch.targets))


def check_padding_is_no_matter(task: Sequences) -> None:
    """Losses and gradients of all that is scored stay the same, whatever the padding holds."""
    batch = everything(task)
    lengths = torch.tensor([len(x) for x in ragged()])
    padding = torch.arange(batch.length) >= lengths[:, None]
    other = padding_changed(batch, padding)
    assert not torch.equal(batch.inputs, other.inputs)
    seen = []
    for one in (batch, other):
        student = make_student("gru", task.inputs, task.targets, dtype=torch.float32)
        found = negative_log_likelihood(task.targets, student.outputs(one.inputs)[0], one.targets)[one.mask]
        found.sum().backward()
        seen.append([found.detach(), *(p.grad for p in student.parameters() if p.grad is not None)])
    assert [a.shape for a in seen[0]] == [a.shape for a in seen[1]]
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(*seen, strict=True))


@pytest.mark.parametrize("form", list(FORMS))
def test_padding_changes_nothing_that_is_scored(form: str) -> None:
    check_padding_is_no_matter(made(form))


class Padded(Sequences):
    """A planted bug: the first step of the padding is scored too."""

    def take(self, indices: Tensor, length: int) -> Batch:
        batch = super().take(indices, length)
        return replace(batch, mask=batch.mask | batch.mask.roll(1, 1))


def test_the_check_of_the_padding_can_fail() -> None:
    with pytest.raises(AssertionError):
        check_padding_is_no_matter(Padded(ragged(), targets=ragged()))


def test_a_shorter_length_reads_the_first_steps() -> None:
    task = made("targets")
    whole, short = everything(task), everything(task, 4)
    assert task.lengths == "any"
    for name in ("inputs", "targets", "mask"):
        assert torch.equal(getattr(short, name), getattr(whole, name)[:, :4])


@pytest.mark.parametrize("form", ["labels", "targets, the last scored"])
def test_a_label_needs_its_whole_sequence(form: str) -> None:
    task = made(form)
    assert (task.lengths, task.length) == ("whole", 11)
    message = r"^length is 10; a label belongs to a whole sequence, and the longest has 11$"
    for part in (task, task.validation(), task.test()):
        with pytest.raises(ValueError, match=message):
            draw(part, 2, 10, 0, "train")
        with pytest.raises(ValueError, match=message):
            list(held_out(part, 2, 10, 0, "any"))
    with pytest.raises(ValueError, match=r"^length is 12; Sequences holds sequences of at most 11$"):
        draw(task, 2, 12, 0, "train")


# -- the split ------------------------------------------------------------------------------------


def check_parts(task: Sequences, count: int) -> list[list[int]]:
    """The parts are disjoint, hold everything, and none is empty."""
    parts = [numbers(part) for part in (task, task.validation(), task.test())]
    assert sorted(i for part in parts for i in part) == list(range(count))
    assert all(parts)
    assert [len(part) for part in parts] == [t.size for t in (task, task.validation(), task.test())]
    return parts


@settings(max_examples=60, deadline=None)
@given(count=st.integers(3, 90), shares=st.tuples(*[st.floats(0.05, 5)] * 3), seed=st.integers(0, 2**32 - 1))
def test_shares_give_parts_that_are_disjoint_and_complete(count: int, shares: tuple[float, ...], seed: int) -> None:
    expected = [count * share / sum(shares) for share in shares]
    assume(min(expected) >= 1.5)
    parts = check_parts(numbered(count, split=shares, seed=seed), count)
    assert all(abs(len(part) - wanted) <= 1 for part, wanted in zip(parts, expected, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(PARTS), min_size=3, max_size=60))
def test_names_give_the_parts_that_they_say(names: list[str]) -> None:
    assume(set(names) == set(PARTS))
    parts = check_parts(numbered(len(names), split=names), len(names))
    assert parts == [[i for i, name in enumerate(names) if name == part] for part in PARTS]


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=10, max_size=60),
    seed=st.integers(0, 1000),
    form=st.sampled_from(
        [list, np.array, torch.tensor, lambda g: [str(i) for i in g], lambda g: list(torch.tensor(g))]
    ),
)
def test_groups_are_never_divided(groups: list[int], seed: int, form: Callable[[list[int]], Any]) -> None:
    assume(len(set(groups)) >= 6)
    task = numbered(len(groups), split=(0.5, 0.25, 0.25), groups=form(groups), seed=seed)
    parts = check_parts(task, len(groups))
    homes = Counter(group for part in parts for group in {groups[i] for i in part})
    assert set(homes.values()) == {1}


def test_groups_may_be_a_frame_of_one_column() -> None:
    pandas = pytest.importorskip("pandas")
    groups = [i // 2 for i in range(20)]
    frame = pandas.DataFrame({"person": groups, "day": groups}, index=range(5, 25))
    assert check_parts(numbered(20, groups=frame[["person"]]), 20) == check_parts(numbered(20, groups=groups), 20)
    with pytest.raises(ValueError, match=r"^groups is a data frame of 2 columns; give one of them"):
        numbered(20, groups=frame)


def test_static_values_may_be_any_numbers() -> None:
    values = torch.arange(20.0)
    for static in (values.requires_grad_(), values.bfloat16(), values.detach().numpy()[::-1][::-1]):
        task = Sequences([[0.5, 1.5]] * 20, labels=[0, 1] * 10, static=static)
        assert [float(one[0, 1]) for one in task._inputs.split()] == values.tolist()
    with pytest.raises(ValueError, match=r"^static is not an array of numbers: "):
        Sequences([[0.5, 1.5]] * 20, labels=[0, 1] * 10, static=[[1], [1, 2]] * 10)


def test_the_split_is_a_function_of_its_seed() -> None:
    def parts(seed: int) -> list[list[int]]:
        return check_parts(numbered(50, seed=seed), 50)

    assert parts(3) == parts(3)
    assert len({str(parts(seed)) for seed in range(5)}) == 5
    assert parts(0)[1:] == [
        [9, 19, 21, 36, 39],
        [0, 3, 44, 46, 47],
    ]  # RandomState promises never to change, so a split is the same for ever
    assert [len(part) for part in parts(0)] == [40, 5, 5]


def test_parts_know_their_siblings() -> None:
    task = numbered(30)
    for part in (task, task.validation(), task.test()):
        assert numbers(part.validation()) == numbers(task.validation())
        assert numbers(part.test()) == numbers(task.test())
        assert (part.inputs, part.targets, part.length) == (task.inputs, task.targets, task.length)


def test_training_sees_its_own_part_alone() -> None:
    task = numbered(30)
    seen = {i for step in range(20) for i in training_batch(task, 7, 3, 0, step).inputs[:, 0].tolist()}
    assert sorted(seen) == numbers(task)
    assert set(draw(task, 500, 3, 0, "any").inputs[:, 0].tolist()) == seen


def test_held_out_parts_are_measured_whole() -> None:
    task = numbered(400, split=(0.5, 0.25, 0.25))
    for part in (task.validation(), task.test()):
        batches = list(held_out(part, 10**6, 3, 0, "any"))
        assert [batch.batch_size for batch in batches] == [64, 36]
        assert len(numbers(part)) == len(set(numbers(part))) == 100


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("score", ["all", "last"])
def test_steps_without_a_target_are_not_scored(real: bool, score: Score) -> None:
    none, dtype = (np.nan, float) if real else (-100, int)
    targets = np.tile(np.array([none, 1, 2, none, 3, none], dtype=dtype), (20, 1))
    task = Sequences(np.zeros((20, 6), dtype=int), targets=targets, score=score)
    assert task.targets == (Real(1) if real else Categorical(4))
    batch = draw(task, 3, 6, 0, "t")
    wanted = [False, True, True, False, True, False] if score == "all" else [False] * 4 + [True, False]
    assert batch.mask.tolist() == [wanted] * 3
    assert batch.targets.reshape(3, 6).tolist() == [[0, 1, 2, 0, 3, 0]] * 3


# -- bad input ------------------------------------------------------------------------------------

X, Y = ragged(), [0, 1] * 5
REAL = [np.ones((3, 2))] * 9
SHARES = "three shares such as (0.8, 0.1, 0.1), or the name of a part for each sequence"
FORM = "it must be (T,) for whole numbers, (T,) or (T, d) for real ones; make measurements floats"
FINITE = "real numbers must be finite as float32"
WHOLE = "; in a step without target all of them are nan"
AGREE = "; they must agree"
EACH = "and each part must have at least one"
SYMBOLS = "whole numbers are symbols 0 to 999,999 (floats are real numbers)"
ONE_OF = "targets, one for each step, or labels, one for each sequence: {}; give one of them"


def at(place: int, value: Any, among: list[Any] = X) -> list[Any]:
    return [*among[:place], value, *among[place + 1 :]]


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (X, {}, ONE_OF.format("neither is set")),
    (X, {"targets": X, "labels": Y}, ONE_OF.format("both are set")),
    ([], {"labels": []}, "inputs is empty; it must hold at least one sequence for each part"),
    (X, {"targets": X[:8]}, "targets has 8 entries; there must be one for each of the 10 inputs"),
    (X, {"labels": Y[:9]}, "labels has 9 entries; there must be one for each of the 10 inputs"),
    (X, {"targets": at(4, [1, 2])}, "targets[4] has 2 steps; there must be one for each of the 6 of inputs[4]"),
    (
        at(2, np.ones(4)),
        {"labels": Y},
        f"inputs[2] holds real vectors of width 1; inputs[0] holds whole numbers{AGREE}",
    ),
    (
        [*REAL, np.ones((3, 3))],
        {"labels": Y},
        f"inputs[9] holds real vectors of width 3; inputs[0] holds real vectors of width 2{AGREE}",
    ),
    (
        X,
        {"targets": at(1, np.ones(3))},
        f"targets[1] holds real vectors of width 1; targets[0] holds whole numbers{AGREE}",
    ),
    ([*REAL, np.array([[1, 2], [3, np.inf]])], {"labels": Y}, f"inputs[9][1, 1] is inf; {FINITE}"),
    (X, {"targets": at(0, [0.5, -np.inf])}, f"targets[0][1] is -inf; {FINITE}{WHOLE}"),
    ([*REAL, np.full((3, 2), 1e300)], {"labels": Y}, f"inputs[9][0, 0] is 1e+300; {FINITE}"),
    (
        REAL,
        {"targets": at(8, np.array([[1, 2], [3, np.nan], [5, 6]]), REAL)},
        f"targets[8][1, 1] is nan; {FINITE}{WHOLE}",
    ),
    (X, {"targets": at(1, [0, -1, 2])}, f"targets[1][1] is -1; {SYMBOLS}"),
    (X, {"labels": [*Y[:9], -100]}, f"labels[9] is -100; {SYMBOLS}"),
    (X, {"labels": [*[0.5] * 9, float("nan")]}, f"labels[9] is nan; {FINITE}"),
    (at(1, [0, -1]), {"labels": Y}, f"inputs[1][1] is -1; {SYMBOLS}"),
    (X, {"labels": [*"abababab", None, "a"]}, "labels[8] is None; other labels are names, and this one must be too"),
    (X, {"labels": [*Y[:9], -1]}, f"labels[9] is -1; {SYMBOLS}"),
    (at(1, [0, 10**12]), {"labels": Y}, f"inputs[1][1] is 1000000000000; {SYMBOLS}"),
    (at(1, np.array([2**64 - 1], dtype=np.uint64)), {"labels": Y}, f"inputs[1][0] is 18446744073709551615; {SYMBOLS}"),
    (at(1, [{}]), {"labels": Y}, "inputs[1] holds values of type object; it must hold whole or real numbers"),
    (at(1, ["a"]), {"labels": Y}, "inputs[1] holds values of type <U1; it must hold whole or real numbers"),
    (at(1, [1j]), {"labels": Y}, "inputs[1] holds values of type complex128; it must hold whole or real numbers"),
    (X, {"labels": ["cat"] * 10}, "labels hold only the class 'cat'; there must be two or more"),
    (X, {"labels": ["cat", 1] * 5}, "labels[1] is 1; other labels are names, and this one must be too"),
    (np.zeros((10, 4, 3, 2)), {"labels": Y}, f"inputs[0] is float64 of shape (4, 3, 2); {FORM}"),
    (np.zeros((10, 4, 3), dtype=int), {"labels": Y}, f"inputs[0] is int64 of shape (4, 3); {FORM}"),
    (np.arange(10), {"labels": Y}, f"inputs[0] is int64 of shape (); {FORM}"),
    (X, {"labels": np.zeros((10, 1), dtype=int)}, f"labels is int64 of shape (10, 1); {FORM.replace('T', 'N')}"),
    (X, {"labels": np.zeros((10, 2, 2))}, f"labels is float64 of shape (10, 2, 2); {FORM.replace('T', 'N')}"),
    (at(6, []), {"labels": Y}, "inputs[6] is empty, of shape (0,); it must hold at least one number"),
    (np.zeros((10, 3, 0)), {"labels": Y}, "inputs[0] is empty, of shape (3, 0); it must hold at least one number"),
    (X, {"labels": Y, "split": (0.8, 0.2)}, f"split is (0.8, 0.2); it must be {SHARES}"),
    (X, {"labels": Y, "split": (0.8, -0.1, 0.3)}, f"split is (0.8, -0.1, 0.3); it must be {SHARES}"),
    (X, {"labels": Y, "split": (0.8, float("nan"), 0.2)}, f"split is (0.8, nan, 0.2); it must be {SHARES}"),
    (X, {"labels": Y, "split": (0, 0, 0)}, f"split is (0, 0, 0); it must be {SHARES}"),
    (X, {"labels": Y, "split": [0.1] * 10}, f"split is 10 values; it must be {SHARES}"),
    (X, {"labels": Y, "split": "train"}, f"split is 'train'; it must be {SHARES}"),
    (X, {"labels": Y, "split": at(8, "val", NAMES)}, "split[8] is 'val'; it must be train, validation or test"),
    (X, {"labels": Y, "split": NAMES[:9]}, "split has 9 names; there must be one for each of the 10 sequences"),
    (
        X,
        {"labels": Y, "split": (1, 0, 0)},
        f"split is (1, 0, 0); of 10 sequences the validation part gets none, {EACH}",
    ),
    (X[:3], {"labels": Y[:3]}, f"split is (0.8, 0.1, 0.1); of 3 sequences the test part gets none, {EACH}"),
    (
        X,
        {"labels": Y, "split": ["train"] * 9 + ["test"]},
        f"split names the parts; of 10 sequences the validation part gets none, {EACH}",
    ),
    (
        X,
        {"labels": Y, "groups": [0] * 10},
        f"split is (0.8, 0.1, 0.1); of 1 group the validation part gets none, {EACH}",
    ),
    (X, {"labels": Y, "groups": Y}, f"split is (0.8, 0.1, 0.1); of 2 groups the validation part gets none, {EACH}"),
    (X, {"labels": Y, "groups": [1, 2]}, "groups has 2 values; there must be one for each of the 10 sequences"),
    (X, {"labels": Y, "groups": [*[1.0] * 9, float("nan")]}, "groups[9] is nan; it must be a number or a name"),
    (X, {"labels": Y, "groups": [[1]] * 10}, "groups[0] is [1]; it must be a number or a name"),
    (
        X,
        {"labels": Y, "groups": Y, "split": NAMES},
        "groups is set, and split names the part of each sequence; only one of them may be given",
    ),
    (X, {"labels": Y, "seed": -1}, "seed is -1; it must be between 0 and 4294967295"),
]


@pytest.mark.parametrize(("inputs", "options", "message"), BAD, ids=[message[:60] for *_, message in BAD])
def test_bad_input_gives_one_line(inputs: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Sequences(inputs, **options)


@pytest.mark.parametrize("bad", [[[1.0], [1.0, 2.0]], [[1.0, 2.0], 3.0]])
def test_an_array_with_uneven_rows_gives_one_line(bad: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"^inputs\[3\] is not an array of numbers: setting an array element[^\n]*$"):
        Sequences(at(3, bad), labels=Y)


WRONG_TYPES = """
from nounroll import Sequences
X, Y = [[1, 2]] * 10, [0, 1] * 5
for inputs, options in (
    (None, {"labels": Y}), ("abc", {"labels": Y}), ((x for x in X), {"labels": Y}), ({1: X}, {"labels": Y}),
    (X, {"targets": 3}), (X, {"labels": 3}), (X, {"targets": X, "score": "first"}), (X, {"labels": Y, "split": 0.8}),
    (X, {"labels": Y, "split": None}), (X, {"labels": Y, "groups": 3}), (X, {"labels": Y, "seed": 0.5}),
):
    try:
        Sequences(inputs, **options)
    except ValueError as error:
        print(error)
"""


def test_arguments_of_another_type_give_one_line(tmp_path: Path) -> None:
    """In a process without the type checker of the tests, as users call it."""
    array = "it must be a list of arrays, or an array of (N, T, ...)"
    status, seen = run_code(WRONG_TYPES, tmp_path)
    assert status == 0
    assert seen.splitlines() == [
        *(f"inputs is a {kind}; {array}" for kind in ("NoneType", "str", "generator", "dict")),
        f"targets is a int; {array}",
        f"labels is int64 of shape (); {FORM.replace('T', 'N')}",
        "score is 'first'; it must be all or last",
        f"split is 0.8; it must be {SHARES}",
        f"split is None; it must be {SHARES}",
        "groups is 3; it must be a value for each sequence",
        "seed is 0.5; it must be a whole number, between 0 and 4294967295",
    ]


# -- from end to end ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["targets", "labels"])
def test_fit_reads_the_longest_sequence_when_no_length_is_given(form: str) -> None:
    task = made(form, split=NAMES)
    run = nounroll.fit(task, method="bptt", cell="gru", steps=20, settings={"training.batch_size": 4})
    assert run.recipe.length == task.length == 11
    assert run.metrics["steps"] == 20
    assert 0 <= run.metrics["accuracy"] <= 1


def check_rows_are_independent(task: Sequences) -> None:
    """Loss, gradients and final memory of a ragged batch are those of each sequence alone."""
    student = make_student("gru", task.inputs, task.targets, dtype=torch.float64)

    def gradients(batch: Batch) -> list[Tensor]:
        student.zero_grad()
        inputs = batch.inputs.double() if batch.inputs.is_floating_point() else batch.inputs
        targets = batch.targets.double() if batch.targets.is_floating_point() else batch.targets
        found = negative_log_likelihood(task.targets, student.outputs(inputs)[0], targets)[batch.mask]
        found.sum().backward()
        return [found.sum().detach(), *(p.grad.clone() for p in student.parameters() if p.grad is not None)]

    whole, lengths = everything(task), [len(x) for x in ragged()]
    inputs = whole.inputs.double() if whole.inputs.is_floating_point() else whole.inputs
    memory = student(inputs, lengths=lengths)[1]
    alone = []
    for i, steps in enumerate(lengths):
        one = task._read(torch.tensor([i]), steps)
        alone.append(gradients(one))
        assert torch.allclose(student(inputs[i : i + 1, :steps])[1], memory[i : i + 1], atol=1e-12)
    for together, parts in zip(gradients(whole), zip(*alone, strict=True), strict=True):
        assert torch.allclose(together, torch.stack(parts).sum(0), atol=1e-9)


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("form", list(FORMS))
def test_a_ragged_batch_learns_what_each_sequence_teaches_alone(form: str, real: bool) -> None:
    check_rows_are_independent(made(form, real))


class Leaking(Padded):
    """A planted bug: where there is padding, a step of it is scored, but not where a sequence is alone."""

    def _read(self, numbers: Tensor, length: int) -> Batch:
        batch = super()._read(numbers, length)
        return replace(batch, mask=batch.mask | batch.mask.roll(1, 1)) if len(numbers) > 1 else batch


def test_the_check_of_rows_can_fail() -> None:
    with pytest.raises(AssertionError):
        check_rows_are_independent(Leaking(ragged(), targets=ragged()))
