"""Resolution of a recipe: each setting that it leaves open gets a value for the data, and a reason.

``look`` measures the kind of the data (``nounroll.experiments.facts``); ``PRESETS`` lists suitable settings for each
kind; ``resolve`` combines both with the recipe. Afterwards every setting has a value, and no other file inspects the
data for this purpose. docs/lab-notes.md has the figures behind the presets.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nounroll.cells import complete
from nounroll.data.task import SequenceTask, draw
from nounroll.experiments.facts import LOOKED_AT, Facts, look
from nounroll.experiments.recipe import Recipe
from nounroll.methods import ADAPT, AUTO, TRANSFORMER, is_taught, parse_chain
from nounroll.teacher.slots import FEWEST
from nounroll.training.schedule import stages

_ROWS = 32  # rows that truncated BPTT processes side by side
_ALONE = 6e-3  # learning rate of a student trained without a teacher
_ALONE_NUMBERS = 1e-2  # of one with a gated cell that is trained by errors of numbers at most steps
_ALONE_SMALL = 3e-3  # upper limit of that rate for small data; not for a tape, which takes few steps in a second
_ALONE_OF = {"mlp": 2e-3, "elman": 2e-3}  # upper limits: without gates or attention, cells saturate at higher rates
_GATED = ("gru", "lstm")  # cells that learn rules of symbols under a linear readout


PRESETS: dict[str, dict[str, Any]] = {
    # The memory must hold what a later target needs: the teacher stores it there, and the cell learns single steps.
    "few scored": {
        "teacher.kind": "slots",
        "smt.decoding": 1.0,
        "smt.step_readout": 0.0,
        "smt.window": 1,
        "smt.labels_learn": 0.3,
        "smt.share": 1.0,
    },
    # A few steps from each label show the cell what matters, and its readout replaces the decoder.
    "most scored": {
        "teacher.kind": "causal",
        "smt.decoding": 0.0,
        "smt.step_readout": 1.0,
        "smt.window": 8,
        "smt.noise": 0.3,
        "smt.labels_learn": 0.05,
        "smt.share": 0.33,
        "dmt.decoding": 0.0,
    },
    # The whole gradient has to flow back from the last step: the windows of truncated BPTT see none of it.
    "a label at the end": {"training.batch_size": 32},
    # The next element depends mostly on the last one: units that retain their state learn slowly there.
    "the next input": {"cell.keep": 0.0},
    # Data is plentiful and budgets are short: use a high rate, also with a teacher.
    "a stream": {"training.learning_rate": 6e-3},
    # Few sequences can be memorised: use weight decay, many evaluations, and early stopping when validation loss rises.
    "small data": {
        "training.batch_size": 32,
        "training.weight_decay": 0.1,
        "training.curriculum": 0,
        "training.evaluations": 40,
        "training.patience": 5,
    },
    # A few recordings do not show how much level and size vary, and a class hardly depends on either.
    "few series": {"training.vary": 0.5},
    # Errors at every step lead to a rule that holds at any length, and the whole length matters.
    "numbers at most steps": {"training.curriculum": 0},
}

PRETRAINED: dict[str, dict[str, Any]] = {  # suitable settings with a language model as the teacher
    "it is kept as it is": {"teacher.frozen": True},
    "it knows what follows": {"teacher.distillation": 0.8},  # if the targets are the next inputs
}

# A tape moves whole tokens: it holds as many elements as it has tokens. Narrow ones and a narrow hidden layer are fast.
TAPE = {"cell.tokens": 32, "cell.memory_width": 8, "cell.width": 64}

FEW_SCORED: dict[str, dict[str, Any]] = {  # suitable settings for each kind of teacher if few targets are scored
    # The cell can follow these labels: it learns them well, and follows them to the end of training.
    "slots": {
        "teacher.width": 128,
        "teacher.horizon": 0,
        "smt.dynamics": 1.0,
        "smt.noise": 0.2,
        "dmt.dynamics": 3.0,
        "dmt.decoding": 0.0,
        "dmt.only_ahead": False,
    },
    # Strong noise teaches the cell to correct its errors; the decoder gives windows what the labels lack.
    "causal": {"smt.noise": 1.0, "dmt.decoding": 1.0},
    "window": {"smt.noise": 1.0, "dmt.decoding": 1.0},
    "transformers": {"smt.noise": 1.0, "dmt.decoding": 1.0},
}


@dataclass(frozen=True)
class Resolved:
    """A recipe in which every setting is decided.

    Attributes:
        recipe: the complete recipe.
        facts: the facts that were measured on the data.
        stages: lengths T of the curriculum; the recipe's length is the last.
        reasons: dotted name of each setting that was decided here -> the reason.
    """

    recipe: Recipe
    facts: Facts
    stages: tuple[int, ...]
    reasons: dict[str, str]

    def to_yaml(self, folder: Path = Path()) -> str:
        """Write the recipe as YAML for a file in ``folder``; the facts about the data and the reasons come first."""
        about = [f"# The data: {', '.join(self.facts.kinds)}. Decided for it:"]
        about += [f"#   {name}: {self.recipe.get(name)}, {reason}" for name, reason in self.reasons.items()]
        return "\n".join([*about, self.recipe.kept_in(folder).to_yaml()])

    def to_dict(self) -> dict[str, Any]:
        """Return facts and reasons as plain values."""
        return {"facts": asdict(self.facts), "stages": list(self.stages), "reasons": self.reasons}


def resolve(recipe: Recipe, task: SequenceTask, facts: Facts | None = None) -> Resolved:
    """Decide the settings that a recipe leaves open. A resolved recipe is returned unchanged.

    Args:
        recipe: the recipe as the user gave it.
        task: source of the data.
        facts: the result of ``look`` on this task, if it is known already.

    Raises:
        ValueError: the data contradicts what the task declares, or the task does not have this length.
    """
    facts = facts or look(task, recipe.length, recipe.training.seed)
    reasons: dict[str, str] = {}
    changes: dict[str, Any] = {}

    def decide(values: Mapping[str, Any], reason: str) -> None:
        for name, value in values.items():
            if recipe.given is not None and name not in recipe.given:
                changes[name], reasons[name] = value, reason

    links = () if recipe.method == AUTO else parse_chain(recipe.method)
    for kind in facts.kinds:
        decide(PRESETS[kind], kind)
    if recipe.cell.tokens * recipe.cell.memory_width < FEWEST:
        decide({"teacher.kind": "causal"}, "a memory of so few numbers cannot be cut into slots")
    if "few scored" in facts.kinds:
        teacher = changes.get("teacher.kind", recipe.teacher.kind)
        decide(FEW_SCORED.get(teacher, FEW_SCORED["causal"]), f"few scored, teacher.kind {teacher}")
    if recipe.teacher.kind == "transformers":
        for reason, values in PRETRAINED.items() if facts.next_input else [*PRETRAINED.items()][:1]:
            decide(values, f"a pretrained teacher: {reason}")
        if recipe.teacher.distillation and not facts.next_input:
            raise ValueError(
                f"teacher.distillation is {recipe.teacher.distillation}; {type(task).__name__}'s targets are not the"
                " inputs that follow, which is what the model expects: set it to 0"
            )
    if links == (ADAPT,):
        decide({"training.curriculum": 0}, "the student knows much already")
    few = facts.small and not facts.stream  # windows of one series are many steps of the same kind
    limit = _ALONE_SMALL if few and recipe.cell.kind != "tape" else _ALONE
    alone = min(limit, _ALONE_OF.get(recipe.cell.kind, _ALONE))
    with_teacher = changes.get("training.learning_rate", recipe.training.learning_rate)
    if links in ((), (TRANSFORMER,)):
        pass  # each candidate is resolved by itself; the baseline has no cell
    elif not is_taught(recipe.method):
        where = " from small data" if few else ""
        by_errors = "numbers at most steps" in facts.kinds and not facts.echoed
        if by_errors and recipe.cell.kind in _GATED and not few:
            alone, where = _ALONE_NUMBERS, " by errors at most steps"
        decide({"training.learning_rate": alone}, f"the student learns alone{where}, with no teacher to keep up with")
        if recipe.cell.kind == "tape" and recipe.given is not None and not TAPE.keys() & recipe.given:
            decide(TAPE, "a tape holds one element a token, and narrow ones are fast")
        if recipe.cell.kind in _GATED and facts.of_symbols and not facts.next_input:
            decide({"readout_width": 0}, "a rule of symbols, which the cell itself should learn")
    elif with_teacher > alone:
        decide({"training.learning_rate": alone}, "the most for a student with this cell")
    elif {"smt", "dmt"} <= set(links) and with_teacher < alone and "training.learning_rate" not in (recipe.given or ()):
        decide({"dmt.learning_rate": round(alone / with_teacher, 3)}, "the student's own rate: the teacher is frozen")
    decide({"cell.kind": AUTO}, "chosen by trials")
    if facts.lengths == "whole":
        decide({"training.curriculum": 0}, "a shorter sequence is another task")
    if "tbptt" in links and recipe.tbptt.carry and (facts.stream or task.stream):
        decide({"training.curriculum": 0}, "windows of tbptt begin anywhere in a sequence")
        windows = -(-recipe.length // min(recipe.tbptt.window, recipe.length))
        decide({"training.batch_size": max(1, _ROWS // windows)}, f"tbptt takes {_ROWS} windows side by side")
    if task.stream:
        decide({"training.curriculum": 0}, "a stream is read at one length")
    settled = recipe.changed(changes)
    if settled.cell.kind != AUTO:
        settled = replace(settled, cell=complete(settled.cell, task.inputs))
    usable = [n for n in stages(settled.training, recipe.length) if _is_usable(task, facts, n, recipe)]
    return Resolved(replace(settled, given=None), facts, tuple(usable), reasons)


def _is_usable(task: SequenceTask, facts: Facts, length: int, recipe: Recipe) -> bool:
    """Return whether the curriculum may use a length: it is available, has scored targets, and is the same task."""
    if length == recipe.length:
        return True
    if task.stream:
        return False
    if facts.lengths == "whole" or (isinstance(facts.lengths, int) and length % facts.lengths):
        return False
    try:
        return bool(draw(task, LOOKED_AT, length, recipe.training.seed, "trial").mask.any())
    except ValueError as error:
        if task.lengths is None:
            return False
        raise ValueError(
            f"{type(task).__name__}.lengths is {task.lengths!r}, but it refuses length {length} of the curriculum:"
            f" {error}; correct lengths, or set training.curriculum"
        ) from error
