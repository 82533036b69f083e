"""What a recipe leaves open is decided for the data, once: given settings stay, and a second time changes nothing."""

import itertools
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from nounroll.cells import complete
from nounroll.cells.base import CellSettings
from nounroll.core.batch import Batch, Categorical, Real, Space
from nounroll.data.copy import StringCopy
from nounroll.data.csv_series import Series
from nounroll.data.keys_values import KeysValues
from nounroll.data.modular_sum import ModularSum
from nounroll.data.parity import Parity
from nounroll.data.retrieval import Retrieval
from nounroll.data.sequences import Score, Sequences
from nounroll.data.task import Lengths, SequenceTask
from nounroll.data.text import Text
from nounroll.experiments.facts import _is_echoed, _predicts_next, look
from nounroll.experiments.recipe import Recipe, parse
from nounroll.experiments.resolve import FEW_SCORED, PRESETS, resolve
from nounroll.methods import AUTO
from nounroll.teacher.base import TEACHERS
from own_parts import Echo, OneLength, RunningMean


def recipe_of(*overrides: str, length: int = 64) -> Recipe:
    return parse({"task": {"kind": "custom"}, "length": length}, overrides)


class Images(SequenceTask):
    """Sixty images whose label is asked for after the last pixel that is read, as a cropped image has it too."""

    inputs, targets, size = Categorical(4), Categorical(3), 60

    def __init__(self, cropped: bool = True) -> None:
        self.cropped = cropped

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return self.take(torch.randint(self.size, (batch_size,), generator=generator), length)

    def take(self, indices: Tensor, length: int) -> Batch:
        pixels = torch.randint(4, (self.size, 64), generator=torch.Generator().manual_seed(0))
        x = pixels[indices, :length] if self.cropped else (pixels[indices, :length] + length // 32) % 4
        mask = torch.zeros(len(indices), length, dtype=torch.bool)
        mask[:, -1] = True
        y = torch.zeros(len(indices), length, dtype=torch.int64)
        y[:, -1] = indices % 3
        return Batch(x, y, mask)


def text(tmp_path: Path) -> Text:
    (tmp_path / "book.txt").write_text("".join(f"{i} bottles hang on wall {i * i}. " for i in range(2000)))
    return Text(path=tmp_path / "book.txt")


class Melodies(SequenceTask):
    """Sixty melodies of 40 to 63 notes, padded; at each note the next is asked for."""

    inputs, targets, size = Categorical(12), Categorical(12), 60

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return self.take(torch.randint(self.size, (batch_size,), generator=generator), length)

    def take(self, indices: Tensor, length: int) -> Batch:
        notes = torch.randint(12, (self.size, 65), generator=torch.Generator().manual_seed(0))[indices]
        mask = torch.arange(length) < (40 + indices % 24)[:, None]
        return Batch(notes[:, :length] * mask, notes[:, 1 : length + 1] * mask, mask)


def labelled() -> Sequences:
    """Thirty series of two real numbers a step, with a class each."""
    series = torch.randn(30, 64, 2, generator=torch.Generator().manual_seed(0))
    return Sequences(series, labels=[i % 3 for i in range(30)])


class Walk(SequenceTask):
    """The next place of a random walk."""

    inputs, targets = Real(1), Real(1)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        places = torch.randn(batch_size, length + 1, 1, generator=generator).cumsum(1)
        return Batch(inputs=places[:, :-1], targets=places[:, 1:])


def measured_series() -> Sequences:
    """Thirty series of two real numbers a step, with a number each, which may hang on their level and size."""
    series = torch.randn(30, 64, 2, generator=torch.Generator().manual_seed(0))
    return Sequences(series, labels=[float(one.max()) for one in series])


TASKS: dict[str, tuple[Callable[[Path], SequenceTask], list[str], Lengths]] = {
    "retrieval": (lambda _: Retrieval(), ["few scored", "a label at the end"], "any"),
    "keys and values": (lambda _: KeysValues(), ["few scored"], "any"),
    "parity": (lambda _: Parity(), ["most scored"], "any"),
    "rarely scored parity": (lambda _: Parity(scored=0.1), ["few scored"], "any"),
    "running mean": (lambda _: RunningMean(), ["most scored", "numbers at most steps"], "any"),
    "walk": (lambda _: Walk(), ["most scored", "the next input", "a stream", "numbers at most steps"], "any"),
    "text": (text, ["most scored", "the next input", "a stream"], "any"),
    "images": (lambda _: Images(), ["few scored", "a label at the end", "small data"], "whole"),
    "labelled series": (
        lambda _: labelled(),
        ["few scored", "a label at the end", "small data", "few series"],
        "whole",
    ),
    "measured series": (lambda _: measured_series(), ["few scored", "a label at the end", "small data"], "whole"),
    "melodies": (lambda _: Melodies(), ["most scored", "the next input", "small data"], "any"),
    "one length": (lambda _: OneLength(64, ValueError), ["most scored"], "whole"),
}


@pytest.mark.parametrize("name", TASKS)
def test_it_sees_what_kind_of_data_it_is(name: str, tmp_path: Path) -> None:
    make, kinds, lengths = TASKS[name]
    facts = look(make(tmp_path), 64, seed=0)
    assert (facts.kinds, facts.lengths) == (kinds, lengths)


@pytest.mark.parametrize("overrides", [(), ("method=smt+dmt", "cell.kind=gru"), ("method=tbptt", "cell.kind=lstm")])
@pytest.mark.parametrize("name", TASKS)
def test_a_second_time_changes_nothing(name: str, overrides: tuple[str, ...], tmp_path: Path) -> None:
    task = TASKS[name][0](tmp_path)
    once = resolve(recipe_of(*overrides), task)
    twice = resolve(once.recipe, task)
    written = resolve(parse(yaml.safe_load(once.to_yaml())), task)
    for again in (twice, written):
        assert again.recipe == once.recipe
        assert (again.stages, again.facts, again.reasons) == (once.stages, once.facts, {})


@pytest.mark.parametrize("name", TASKS)
def test_what_is_decided_has_a_reason_and_nothing_else_changes(name: str, tmp_path: Path) -> None:
    recipe = recipe_of()
    found = resolve(recipe, TASKS[name][0](tmp_path))
    tree, before = found.recipe.to_dict(), recipe.to_dict()
    changed = {
        f"{group}.{setting}"
        for group, values in tree.items()
        if isinstance(values, dict)
        for setting, value in values.items()
        if value != before[group][setting]
    }
    assert changed <= found.reasons.keys()
    assert found.recipe.cell.kind == AUTO
    header = found.to_yaml().split("\nname:")[0].splitlines()
    assert header[0] == f"# The data: {', '.join(found.facts.kinds)}. Decided for it:"
    for setting, reason in found.reasons.items():
        assert f"#   {setting}: {found.recipe.get(setting)}, {reason}" in header


@pytest.mark.parametrize(
    ("name", "method", "cell", "rate", "of_dmt"),
    [
        ("parity", "bptt", "lstm", 6e-3, 1.0),
        ("parity", "tbptt", "lstm", 6e-3, 1.0),
        ("parity", "tbptt", "mlp", 2e-3, 1.0),
        ("parity", "bptt", "elman", 2e-3, 1.0),
        ("parity", "smt+dmt", "transformer", 2e-3, 3.0),
        ("parity", "smt+dmt", "mlp", 2e-3, 1.0),
        ("parity", "smt+tbptt", "lstm", 2e-3, 1.0),
        ("running mean", "bptt", "lstm", 1e-2, 1.0),
        ("running mean", "bptt", "mlp", 2e-3, 1.0),
        ("running mean", "smt+dmt", "lstm", 2e-3, 3.0),
        ("walk", "tbptt", "gru", 6e-3, 1.0),  # an input repeats the target
        ("images", "bptt", "lstm", 3e-3, 1.0),
        ("images", "bptt", "tape", 6e-3, 1.0),
        ("images", "smt+dmt", "lstm", 2e-3, 1.5),
        ("images", "transformer", "lstm", 2e-3, 1.0),
        ("parity", "auto", "lstm", 2e-3, 1.0),
        ("text", "smt+dmt", "lstm", 6e-3, 1.0),
        ("text", "smt+dmt", "mlp", 2e-3, 1.0),
        ("text", "transformer", "mlp", 6e-3, 1.0),  # the baseline has no cell
    ],
)
def test_learning_rates_are_of_data_method_and_cell(
    name: str, method: str, cell: str, rate: float, of_dmt: float, tmp_path: Path
) -> None:
    found = resolve(recipe_of(f"method={method}", f"cell.kind={cell}"), TASKS[name][0](tmp_path)).recipe
    assert (found.training.learning_rate, found.dmt.learning_rate) == (rate, of_dmt)


@pytest.mark.parametrize(
    ("name", "method", "cell", "width"),
    [
        ("parity", "bptt", "lstm", 0),
        ("parity", "tbptt", "gru", 0),
        ("parity", "bptt", "mlp", 256),  # another cell
        ("parity", "smt+dmt", "gru", 256),  # with a teacher
        ("text", "tbptt", "lstm", 256),  # the next input
        ("labelled series", "bptt", "lstm", 256),  # the inputs are numbers
    ],
)
def test_a_gated_cell_learns_rules_of_symbols_under_a_linear_readout(
    name: str, method: str, cell: str, width: int, tmp_path: Path
) -> None:
    given = {"task": {"kind": "parity"}, "length": 64, "method": method, "training": {"steps": 4}}
    found = resolve(parse(given, [f"cell.kind={cell}"]), TASKS[name][0](tmp_path))
    assert found.recipe.readout_width == width
    assert ("readout_width" in found.reasons) == (width == 0)
    kept = resolve(parse(given, [f"cell.kind={cell}", "readout_width=12"]), TASKS[name][0](tmp_path))
    assert kept.recipe.readout_width == 12


@pytest.mark.parametrize("careless", [False, True])
def test_a_sample_that_ignores_its_generator_is_told(careless: bool) -> None:
    class Drawn(Parity):
        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
            return super().sample(
                batch_size, length, torch.Generator().manual_seed(next(seeds)) if careless else generator
            )

    seeds = itertools.count()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        look(Drawn(), 8, seed=0)
    assert ["Drawn.sample ignores its generator" in str(one.message) for one in told] == [True] * careless


def test_windows_of_one_short_series_learn_at_the_rate_of_a_stream() -> None:
    facts = replace(look(RunningMean(), 64, seed=0), size=3_000, next_input=True, echoed=True, endless=True)
    assert facts.small
    assert facts.stream
    found = resolve(recipe_of("method=bptt", "cell.kind=lstm"), RunningMean(), facts)
    assert found.recipe.training.learning_rate == 6e-3


def test_a_learning_rate_that_is_given_stays() -> None:
    given = ("method=smt+dmt", "cell.kind=gru", "training.learning_rate=1e-3", "dmt.learning_rate=0.1")
    found = resolve(recipe_of(*given), Parity()).recipe
    assert (found.training.learning_rate, found.dmt.learning_rate) == (1e-3, 0.1)
    assert resolve(recipe_of(*given[:3]), Parity()).recipe.dmt.learning_rate == 1.0  # DMT keeps to what is given


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        (("method=bptt",), (32, 8, 64)),
        (("method=bptt", "cell.tokens=6"), (6, 64, 768)),  # what is given is meant as a whole
        (("method=smt+dmt",), (4, 64, 512)),  # one teacher serves several cells
    ],
)
def test_a_tape_that_learns_alone_has_many_narrow_tokens(given: tuple[str, ...], sizes: tuple[int, ...]) -> None:
    cell = resolve(
        parse({"task": {"kind": "parity"}, "length": 8, "training": {"steps": 4}}, ["cell.kind=tape", *given]), Parity()
    ).recipe.cell
    assert (cell.tokens, cell.memory_width, cell.width) == sizes


@pytest.mark.parametrize(("name", "keep"), [("retrieval", 4.0), ("images", 4.0), ("text", 0.0), ("melodies", 0.0)])
def test_units_that_keep_are_for_data_that_asks_for_what_is_far(name: str, keep: float, tmp_path: Path) -> None:
    assert resolve(recipe_of(), TASKS[name][0](tmp_path)).recipe.cell.keep == keep


def test_control_what_is_not_scored_amid_a_sequence_is_no_padding(tmp_path: Path) -> None:
    batch = Melodies().sample(4, 20, torch.Generator())
    assert _predicts_next(batch)
    batch.mask[0, 7] = False
    assert not _predicts_next(batch)


def test_a_series_with_missing_values_is_a_stream_like_others(tmp_path: Path) -> None:
    whole = [str(i % 7) for i in range(400)]
    for name, values in {"whole": whole, "gappy": ["" if i % 9 == 5 else v for i, v in enumerate(whole)]}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["y", *values]))
    with warnings.catch_warnings(action="ignore"):
        found = [resolve(recipe_of(length=16), Series(path=tmp_path / f"{name}.csv")) for name in ("whole", "gappy")]
    assert [one.facts.next_input for one in found] == [True, True]
    assert found[0].recipe == found[1].recipe


@pytest.mark.parametrize(("score", "kind"), [("all", "most scored"), ("last", "few scored")])
def test_padding_does_not_count_as_steps_without_a_target(score: Score, kind: str) -> None:
    words = [torch.arange(n) % 7 for n in (40, *[8] * 60)]
    task = Sequences(words, targets=words, score=score)
    assert look(task, task.length, seed=0).kinds[0] == kind


def the_next(x: Tensor) -> Tensor:
    return x.roll(-1, 1)[..., :1]


@pytest.mark.parametrize(
    ("target", "echoed"),
    [
        (the_next, True),
        (lambda x: the_next(x) - x[..., :1], True),  # a change
        (lambda x: x.cumsum(1)[..., :1], False),
        (lambda x: the_next(x) + 0.01 * x[..., 1:2], False),
        (lambda x: torch.zeros_like(x), False),
    ],
)
def test_numbers_that_are_read_again_are_known(target: Callable[[Tensor], Tensor], echoed: bool) -> None:
    x = torch.randn(4, 20, 3, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(20) < 19).expand(4, 20)
    assert _is_echoed(Batch(x, target(x), mask)) == echoed


class BurnIn(Echo):
    """The first 24 steps are not scored."""

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        batch = super().sample(batch_size, length, generator)
        return Batch(batch.inputs, batch.targets, (torch.arange(length) >= 24).expand(batch_size, length))


def test_the_curriculum_has_no_length_at_which_nothing_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of("training.curriculum=8", length=64)
    assert resolve(recipe, BurnIn()).stages == (32, 64)
    monkeypatch.setattr("nounroll.experiments.resolve._is_usable", lambda *_: True)
    assert resolve(recipe, BurnIn()).stages == (8, 16, 32, 64)  # the control


def other(value: Any) -> Any:
    """A value that no preset has."""
    if isinstance(value, str | bool):
        return "window" if isinstance(value, str) else not value
    return 0.75 if isinstance(value, float) else 13


@pytest.mark.parametrize("name", TASKS)
def test_what_was_given_stays(name: str, tmp_path: Path) -> None:
    task = TASKS[name][0](tmp_path)
    decided = {setting: value for kind in TASKS[name][1] for setting, value in PRESETS[kind].items()}
    given = [f"{setting}={other(value)}" for setting, value in decided.items() if setting != "training.curriculum"]
    recipe = recipe_of(*given, "training.curriculum=5", "cell.kind=gru", "cell.width=7")
    found = resolve(recipe, task).recipe
    assert {setting: found.get(setting) for setting in decided} == {setting: recipe.get(setting) for setting in decided}
    assert (found.cell.kind, found.cell.width, found.training.curriculum) == ("gru", 7, 5)


def test_control_what_is_not_given_does_not_stay() -> None:
    recipe = recipe_of("smt.window=5")
    assert recipe.given is not None
    assert resolve(recipe, Parity()).recipe.smt.window == 5
    assert resolve(replace(recipe, given=recipe.given - {"smt.window"}), Parity()).recipe.smt.window == 8


def test_every_preset_names_settings_and_only_one_of_the_two_densities_applies() -> None:
    recipe = recipe_of()
    for kind, values in PRESETS.items():
        recipe.changed(values)
        for setting in values:
            assert recipe.get(setting) is not None, (kind, setting)
    for values in FEW_SCORED.values():
        recipe.changed(values)
    few = PRESETS["few scored"].keys() | FEW_SCORED["causal"].keys()
    assert few == PRESETS["most scored"].keys()
    assert FEW_SCORED.keys() == set(TEACHERS)


@pytest.mark.parametrize(("kind", "noise"), [("slots", 0.2), ("causal", 1.0), ("window", 1.0)])
def test_where_few_are_scored_settings_suit_the_teacher_that_was_given(kind: str, noise: float) -> None:
    found = resolve(recipe_of(f"teacher.kind={kind}"), Retrieval())
    assert (found.recipe.teacher.kind, found.recipe.smt.noise) == (kind, noise)
    assert found.reasons["smt.noise"] == f"few scored, teacher.kind {kind}"


def test_a_memory_that_cannot_be_cut_has_a_causal_teacher() -> None:
    found = resolve(recipe_of("cell.tokens=1", "cell.memory_width=2"), Retrieval())
    assert (found.recipe.teacher.kind, found.recipe.smt.noise) == ("causal", 1.0)
    assert found.reasons["teacher.kind"] == "a memory of so few numbers cannot be cut into slots"


def test_sizes_that_a_cell_chooses_are_written_out() -> None:
    cell = resolve(recipe_of("cell.kind=transformer"), Parity()).recipe.cell
    assert (cell.width, cell.layers) == (64, 2)


@pytest.mark.parametrize(("inputs", "width"), [(Categorical(10), 64), (Categorical(900), 120), (Real(2), 8)], ids=str)
def test_an_embedding_for_gates_is_as_wide_as_its_inputs_need(inputs: Space, width: int) -> None:
    assert complete(CellSettings(kind="lstm"), inputs).width == width


# --- lengths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task", [Retrieval(), KeysValues(), StringCopy(), Parity(), ModularSum(), Images(cropped=False)]
)
def test_a_task_that_makes_up_its_sequences_may_start_short(task: SequenceTask) -> None:
    found = resolve(recipe_of("training.curriculum=16"), task)
    assert found.facts.lengths == "any"
    assert found.stages == (16, 32, 64)


def test_the_start_of_an_image_is_no_image() -> None:
    found = resolve(recipe_of(), Images())
    assert found.stages == (64,)
    assert found.reasons["training.curriculum"] == "a shorter sequence is another task"
    assert resolve(recipe_of("training.curriculum=16"), Images()).stages == (64,)  # whatever was asked for


class Measures(Echo):
    """Bars of 12 steps."""

    lengths = 12


def test_a_length_that_is_no_multiple_is_refused_in_one_line() -> None:
    said = "length is 64; Measures.lengths is 12, so it must be a multiple of that"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        resolve(recipe_of(), Measures())


def test_the_curriculum_keeps_to_multiples() -> None:
    found = resolve(recipe_of("training.curriculum=6", length=96), Measures())
    assert found.facts.lengths == 12
    assert found.stages == (12, 24, 48, 96)
    assert resolve(recipe_of("training.curriculum=3", length=60), Measures()).stages == (60,)  # 30, 15 and 7 are none


def test_what_a_task_says_of_its_lengths_is_believed() -> None:
    class Said(Echo):
        lengths = "whole"

    assert resolve(recipe_of(), Said()).stages == (64,)


def test_a_length_in_which_nothing_is_scored_is_left_out() -> None:
    class Late(Parity):
        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
            batch = super().sample(batch_size, length, generator)
            return Batch(batch.inputs, batch.targets, torch.arange(length).expand(batch_size, -1) >= 20)

    assert resolve(recipe_of("training.curriculum=8"), Late()).stages == (32, 64)


# --- streams ------------------------------------------------------------------------------------------


def test_windows_that_are_carried_on_a_stream_take_small_batches_of_whole_sequences(tmp_path: Path) -> None:
    found = resolve(recipe_of("method=tbptt", "tbptt.window=16"), text(tmp_path))
    assert found.recipe.training.batch_size == 8  # 32 windows side by side
    assert found.stages == (64,)
    for overrides in (("method=tbptt", "tbptt.carry=false"), ("method=bptt",), ()):
        assert "training.batch_size" not in resolve(recipe_of(*overrides), text(tmp_path)).reasons
    given = resolve(recipe_of("method=tbptt", "training.batch_size=3", "training.curriculum=32"), text(tmp_path))
    assert (given.recipe.training.batch_size, given.stages) == (3, (32, 64))


# --- small data ---------------------------------------------------------------------------------------


class Few(Parity):
    """A task over a number of sequences that it does not tell."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        which = torch.randint(self.count, (batch_size,), generator=generator).tolist()
        rows = [super(Few, self).sample(1, length, torch.Generator().manual_seed(n)) for n in which]
        return Batch(torch.cat([row.inputs for row in rows]), torch.cat([row.targets for row in rows]))

    def validation(self) -> SequenceTask:
        return Parity()


@pytest.mark.parametrize(("count", "small"), [(100, True), (1000, True), (100_000, False)])
def test_few_sequences_are_seen_by_those_that_come_twice(count: int, small: bool) -> None:
    facts = look(Few(count), 64, seed=0)
    assert ("small data" in facts.kinds) is small
    if count == 1000:  # where nearly all come twice the estimate is too high
        assert facts.size == pytest.approx(count, rel=0.5)


def test_few_possible_sequences_are_no_small_data() -> None:
    """All 16 sequences of four bits are in the held-out part too."""
    assert look(Parity(), 4, seed=0).size is None


# --- what cannot be ------------------------------------------------------------------------------------


class Silent(Echo):
    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        batch = super().sample(batch_size, length, generator)
        return Batch(batch.inputs, batch.targets, torch.zeros(batch_size, length, dtype=torch.bool))


class Empty(Images):
    size = 0


class NothingToTest(Images):
    def test(self) -> SequenceTask:
        return Empty()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (NothingToTest(), "NothingToTest has no sequences in its test part; it must have at least one"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused_in_one_line(task: SequenceTask, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        resolve(recipe_of(), task)


def test_a_task_that_scores_nothing_is_named() -> None:
    with pytest.warns(UserWarning, match="^Silent scores nothing at length 64; its mask must be True somewhere$"):
        assert resolve(recipe_of(), Silent()).facts.scored == 0
