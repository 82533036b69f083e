"""Every problem of the everyday suite gives what it says, and keeps its parts apart."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from suite_tasks import TASKS, MissingData, Problem, forecasts, probes, synthetic, text
from suite_tasks.measures import ACCURACY, SQUARED_ERROR, average_precision
from suite_tasks.problem import Batch, Finite, Sampled, Sampler, Symbols, random_split, standardised

from nounroll.data.copy import StringCopy
from nounroll.data.keys_values import KeysValues
from nounroll.data.modular_arithmetic import ModularArithmetic
from nounroll.data.parity import Parity
from nounroll.data.retrieval import Retrieval
from nounroll.data.stack import Stack
from nounroll.data.task import SequenceTask


@cache
def built(name: str) -> Problem | str:
    try:
        return TASKS[name]()
    except MissingData as error:
        return str(error)


@pytest.fixture(params=list(TASKS))
def problem(request: pytest.FixtureRequest) -> Problem:
    found = built(request.param)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def check(problem: Problem, batch: Batch) -> None:
    for space, values in ((problem.inputs, batch.inputs), (problem.targets, batch.targets)):
        if isinstance(space, Symbols):
            assert values.dtype == torch.int64
            assert values.shape == batch.mask.shape
            assert 0 <= int(values.min()) <= int(values.max()) < space.n
        else:
            assert values.dtype == torch.float32
            assert values.shape == (*batch.mask.shape, space.d)
            assert torch.isfinite(values).all()
    assert batch.mask.dtype == torch.bool
    assert batch.mask.any(1).all()


def test_batches_have_the_shapes_and_values_that_the_spaces_promise(problem: Problem) -> None:
    training = problem.training(8, seed=0)
    known = [next(training), next(training), *problem.validation()]
    for batch in [*known, *problem.test()]:
        check(problem, batch)
    assert max(batch.mask.shape[1] for batch in known) <= problem.length


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(problem: Problem) -> None:
    first, again, other = (next(problem.training(8, seed)) for seed in (3, 3, 4))
    assert torch.equal(first.inputs, again.inputs)
    assert first.inputs.shape != other.inputs.shape or not torch.equal(first.inputs, other.inputs)
    for batch, same in zip(problem.test(), problem.test(), strict=True):
        assert torch.equal(batch.inputs, same.inputs)


def test_an_oracle_has_the_best_score(problem: Problem) -> None:
    if problem.name == "cartpole":
        pytest.skip("its score is the return of acting")
    answers = {batch.inputs.numpy().tobytes(): batch.targets for batch in problem.test()}

    def oracle(inputs: torch.Tensor) -> torch.Tensor:
        targets = answers[inputs.numpy().tobytes()]
        return 50.0 * F.one_hot(targets, problem.targets.n) if isinstance(problem.targets, Symbols) else targets

    best = 1.0 if problem.measure.better == "higher" else 0.0
    assert problem.score(oracle) == pytest.approx(best, abs=1e-6)


def test_no_sequence_of_one_part_is_in_another(problem: Problem) -> None:
    if not isinstance(problem, Finite):
        pytest.skip("its sequences are drawn")
    names = set(problem.split)
    parts = {part: {problem.sequences[row].numpy().tobytes() for row in problem.rows(part)} for part in names}
    assert {"train", "validation"} <= set(parts)
    for part, sequences in parts.items():
        for other in set(parts) - {part}:
            assert not sequences & parts[other]


def test_control_a_sequence_in_two_parts_is_caught() -> None:
    twice = small(["train", "validation", "test"])
    twice.sequences[2] = twice.sequences[0]
    with pytest.raises(AssertionError):
        test_no_sequence_of_one_part_is_in_another(twice)


def small(split: list[str]) -> Finite:
    lengths = range(2, 2 + len(split))
    return Finite(
        name="small", title="", inputs=Symbols(9), targets=Symbols(9), length=max(lengths), seconds=1, measure=ACCURACY,
        sequences=[torch.arange(length) for length in lengths], labels=torch.tensor([*lengths]), split=split,
    )  # fmt: skip


def test_ragged_sequences_are_padded_at_the_end_and_labelled_at_their_last_step() -> None:
    batch = small(["train"] * 3).batch([2, 0])
    assert batch.inputs.tolist() == [[0, 1, 2, 3], [0, 1, 0, 0]]
    assert batch.mask.tolist() == [[False, False, False, True], [False, True, False, False]]
    assert batch.targets[batch.mask].tolist() == [4, 2]


def test_an_epoch_reads_every_training_sequence_once() -> None:
    training = small(["train", "test", "train", "train", "validation"]).training(2, seed=0)
    for _ in range(3):
        read = torch.cat([batch.targets[batch.mask] for batch in (next(training), next(training))])
        assert sorted(read.tolist()) == [2, 4, 5]


def test_random_split_moves_training_sequences_only() -> None:
    split = random_split(["train"] * 8 + ["test"] * 2, 0.25, seed=0)
    assert [split.count(part) for part in ("train", "validation", "test")] == [6, 2, 2]
    assert split[8:] == ["test", "test"]


def test_standardising_looks_at_the_training_part_alone() -> None:
    first, second = torch.tensor([[0.0], [2.0]]), torch.tensor([[1e6]])
    there = standardised([first, second], ["train", "test"])
    assert there[0].mean() == 0
    assert torch.equal(there[0], standardised([first, -second], ["train", "test"])[0])


@pytest.mark.parametrize("length", [32, 33, 64, 128])
@pytest.mark.parametrize(
    ("ours", "library"),
    [
        (probes.retrieval, Retrieval()),
        (probes.keys_values, KeysValues()),
        (probes.string_copy, StringCopy()),
        (probes.stack, Stack()),
        (probes.parity, Parity()),
        (probes.modular_arithmetic, ModularArithmetic()),
    ],
)
def test_a_probe_is_that_of_the_library(ours: Sampler, library: SequenceTask, length: int) -> None:
    batch = ours("train", 6, length, torch.Generator().manual_seed(length))
    theirs = library.sample(6, length, torch.Generator().manual_seed(length))
    assert torch.equal(batch.inputs, theirs.inputs)
    assert torch.equal(batch.mask, theirs.mask)
    assert torch.equal(batch.targets[batch.mask], theirs.targets[theirs.mask])


def test_the_adding_problem_asks_for_the_sum_of_two_marked_numbers() -> None:
    batch = synthetic.adding("train", 64, 11, torch.Generator().manual_seed(0))
    values, marks = batch.inputs[..., 0] / 12**0.5 + 0.5, batch.inputs[..., 1] > 0
    assert (marks.sum(1) == 2).all()
    assert (marks[:, :5].sum(1) == 1).all()
    assert torch.allclose((values * marks).sum(1), batch.targets[batch.mask].squeeze(1) / 6**0.5 + 1, atol=1e-5)


def test_events_are_third_failures_in_a_row_and_rare() -> None:
    batch = synthetic.events("train", 64, 128, torch.Generator().manual_seed(0))
    for symbols, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        failures = dict.fromkeys(range(8), 0)
        for symbol, target in zip(symbols, targets, strict=True):
            user, kind = divmod(symbol, 3)
            failures[user] = {0: failures[user] + 1, 1: 0, 2: failures[user]}[kind]
            assert target == (kind == 0 and failures[user] == 3)
            failures[user] %= 3
    assert 0.01 < float(batch.targets.float().mean()) < 0.03


def test_forecasts_of_the_training_part_never_see_what_comes_after() -> None:
    """All values of the last three tenths are enormous: none of them reaches a training batch or a scale."""
    values = torch.sin(torch.arange(400.0, dtype=torch.float64))
    values[280:] = 1e9
    problem = forecasts._forecast("planted", "", values, context=20, differences=False)
    assert isinstance(problem, Sampled)
    batch = problem.sample(512, 20, torch.Generator().manual_seed(0))
    assert float(batch.inputs.abs().max()) < 10
    assert float(batch.targets.abs().max()) < 10
    assert any(float(batch.inputs.abs().max()) > 1e6 for batch in problem.validation())


def test_forecasts_of_a_naive_guess_have_their_known_error() -> None:
    """A straight line rises by 12 a year: saying that nothing changes errs by 12.5 on average over 24 months."""
    problem = forecasts._forecast("line", "", torch.arange(400.0, dtype=torch.float64), context=20, differences=False)
    assert problem.score(lambda inputs: torch.zeros(*inputs.shape[:2], 24)) == pytest.approx(12.5 / 12, rel=1e-3)


def test_text_files_are_in_one_part_each() -> None:
    files = text.source_files()
    paths = [path for part in files.values() for path in part]
    assert len(paths) == len(set(paths))
    assert len(files["train"]) > 10 * len(files["test"]) > 0
    assert files["validation"]


def test_average_precision_has_its_known_values() -> None:
    def of(order: list[int]) -> float:
        certain = torch.arange(len(order), 0, -1.0)
        return average_precision(torch.stack([-certain, certain], dim=-1), torch.tensor(order))

    assert of([1, 1, 0, 0]) == 1
    assert of([1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)
    assert of([0, 0, 0, 1]) == pytest.approx(1 / 4)


def test_a_value_is_level_within_the_margin_of_its_measure() -> None:
    assert [ACCURACY.compare(value, 0.9) for value in (0.92, 0.905, 0.895, 0.88)] == [
        "ahead",
        "level",
        "level",
        "behind",
    ]
    assert [SQUARED_ERROR.compare(value, 1.0) for value in (0.9, 0.99, 1.03, 1.04)] == [
        "ahead",
        "level",
        "level",
        "behind",
    ]
    assert SQUARED_ERROR.compare(5e-5, 1e-6, floor=1e-4) == "level"
    assert SQUARED_ERROR.compare(float("nan"), 1.0) == "behind"
