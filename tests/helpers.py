"""Small models, batches and settings that many tests share. Everything is given here: no default of a method counts."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nounroll.cells.base import CELLS, CellSettings
from nounroll.core.batch import Batch, Categorical, Real, Space
from nounroll.core.seeding import generator
from nounroll.experiments.recipe import Recipe, parse
from nounroll.methods import BPTT, DMT, SMT, TBPTT, DMTSettings, SMTSettings, TBPTTSettings
from nounroll.models.student import Student
from nounroll.teacher import Teacher, TeacherSettings, build_teacher

CELL_KINDS = tuple(CELLS)
FREE = {"flops": 0.0, "sequential_flops": 0.0}  # what a step costs where a test does not count it
SYMBOLS = Categorical(5)
SHAPE = (2, 8)  # K, d

TEACHERS: dict[str, dict[str, Any]] = {
    "causal": {},
    "causal, no token shift": {"token_shift": False},
    "slots": {"kind": "slots"},
    "slots, no token shift": {"kind": "slots", "token_shift": False},
    "window": {"kind": "window"},
    "short window": {"kind": "window", "context": 3},  # of the encoder, which takes 256 in a run
}


def cell_settings(kind: str = "mlp") -> CellSettings:
    """A small cell. Gates start half open, as tests want memories that differ after few steps."""
    return CellSettings(kind=kind, tokens=SHAPE[0], memory_width=SHAPE[1], width=16, keep=0)  # type: ignore[arg-type]


def make_student(
    cell: str | nn.Module = "mlp",
    inputs: Space = SYMBOLS,
    targets: Space = SYMBOLS,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Student:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        part = cell_settings(cell) if isinstance(cell, str) else cell
        return Student(inputs, targets, part, readout_width=16).to(dtype)


def make_teacher(student: Student, *, seed: int = 1, dtype: torch.dtype = torch.float64, **settings: Any) -> Teacher:
    values = {"width": 16, "layers": 2, "decoder_layers": 1, "horizon": 3, **settings}
    context, recompute = values.pop("context", None), values.pop("recompute", False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        form = TeacherSettings(**values)
        built = build_teacher(form, student.inputs, student.targets, student.cell, recompute=recompute)
    if context is not None:
        built.encoder.context = context
    return built.to(dtype)


def fix_labels(teacher: Teacher, labels: Tensor) -> None:
    """Make the teacher give these labels (B, T + 1, K, d), whatever it has read: for gradients by label, too."""
    teacher.read = lambda _: labels  # type: ignore[method-assign]
    teacher.labels = lambda _, positions=None: (  # type: ignore[method-assign]
        labels if positions is None else labels[torch.arange(len(labels))[:, None], positions]
    )


def make_smt(student: Student, teacher: Teacher, **settings: Any) -> SMT:
    return SMT(student, teacher, SMTSettings(**{**SMT_VALUES, **settings}))


def make_dmt(student: Student, teacher: Teacher, *, knowable: float = 1.0, **settings: Any) -> DMT:
    return DMT(student, teacher, DMTSettings(**{**DMT_VALUES, **settings}), knowable)


def make_tbptt(student: Student, **settings: Any) -> TBPTT:
    return TBPTT(student, TBPTTSettings(**{**TBPTT_VALUES, **settings}))


def make_bptt(student: Student) -> BPTT:
    return BPTT(student)


# The plain losses of the paper, so that a twin is a few lines: tests of the terms of ours turn them on.
SMT_VALUES: dict[str, Any] = {
    "decoding": 1.3,
    "dynamics": 0.2,
    "uniformity": 0.05,
    "step_readout": 0.4,
    "window": 1,
    "transitions": 0,
    "relative": False,
    "noise": 0.0,
    "labels_learn": 1.0,
    "until_passed": False,
}
DMT_VALUES: dict[str, Any] = {"dynamics": 1.1, "decoding": 0.0, "only_ahead": False, "window": 3}
TBPTT_VALUES: dict[str, Any] = {"window": 3, "carry": True}


def draw_values(space: Space, *shape: int, seed: int = 0) -> Tensor:
    """Random values of a space, in double precision where they are real."""
    if isinstance(space, Real):
        return torch.randn(*shape, space.d, generator=generator(seed, "test"), dtype=torch.float64)
    return torch.randint(space.n, shape, generator=generator(seed, "test"))


def make_batch(
    size: int = 4,
    length: int = 7,
    inputs: Space = SYMBOLS,
    targets: Space = SYMBOLS,
    *,
    seed: int = 0,
    sparse: bool = False,
) -> Batch:
    """A random batch; a sparse one scores about half of its targets, and not all rows equally."""
    mask = torch.rand(size, length, generator=generator(seed, "mask")) < 0.5 if sparse else None
    x, y = draw_values(inputs, size, length, seed=seed), draw_values(targets, size, length, seed=seed + 1)
    return Batch(x, y) if mask is None else Batch(x, y, mask)


def other_values(space: Space, values: Tensor) -> Tensor:
    """Values of the space, none of which equals the given one."""
    return (values + 1) % space.n if isinstance(space, Categorical) else values + 1.0


def decoding_twin(
    student: Student,
    decoder: nn.Module,
    batch: Batch,
    known: list[list[tuple[int, Tensor]]],
    draws: torch.Generator,
    horizon: int,
) -> Tensor:
    """The decoding loss, from one memory of each row after another. ``known`` holds (t, m_t) for each row."""
    length, losses = batch.length, []
    ends = [[min(t + horizon, length) for t, _ in row] for row in known]
    useful = [
        [float(batch.mask[b, t : ends[b][i]].any()) for i, (t, _) in enumerate(row)] for b, row in enumerate(known)
    ]
    picks = torch.multinomial(
        torch.tensor([row if any(row) else [1.0] * len(row) for row in useful]), 1, True, generator=draws
    )
    for b, row in enumerate(known):
        for t, memory in (row[i] for i in picks[b].tolist()):
            stop = min(t + horizon, length)
            outputs = decoder(memory[None], batch.inputs[b, t + 1 : stop][None])[0]
            assert len(outputs) == stop - t
            for i in range(stop - t):
                if batch.mask[b, t + i]:
                    y = batch.targets[b, t + i]
                    losses.append(-student.targets.log_prob(outputs[i][None], y[None])[0])
    return torch.stack(losses).mean() if losses else torch.zeros(())


def gradients(loss: Tensor, *modules: nn.Module) -> dict[str, Tensor]:
    """The loss's gradient for every parameter, by name; zeros where it does not depend on it."""
    named = {f"{i}.{name}": p for i, module in enumerate(modules) for name, p in module.named_parameters()}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, retain_graph=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(named.items(), found, strict=True)}


def assert_same_gradients(ours: Tensor, twin: Tensor, *modules: nn.Module, atol: float = 1e-7) -> None:
    """Both losses have the same gradients. The losses pass through float32, hence the tolerance."""
    expected = gradients(twin, *modules)
    for name, value in gradients(ours, *modules).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


def state(*modules: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights."""
    return {f"{i}.{name}": t.clone() for i, module in enumerate(modules) for name, t in module.state_dict().items()}


def same_state(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


TINY: dict[str, Any] = {
    "name": "tiny",
    "length": 8,
    "method": "smt+dmt+tbptt+bptt",
    "readout_width": 16,
    "task": {"kind": "parity"},
    "cell": {"kind": "mlp", "tokens": SHAPE[0], "memory_width": SHAPE[1], "width": 16, "keep": 0.0},
    "teacher": {"kind": "causal", "width": 16, "layers": 1, "decoder_layers": 1, "horizon": 3},
    "smt": {**SMT_VALUES, "share": 1.0},
    "dmt": {**DMT_VALUES, "share": 1.0, "learning_rate": 1.0},
    "tbptt": TBPTT_VALUES,
    "adapt": {"anchor": 0.7, "rehearse": 0.25, "update": "all"},
    "training": {
        "steps": 12,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "curriculum": 4,
        "evaluations": 2,
        "patience": 0,
        "accumulate": 1,
        "device": "cpu",
        "precision": "32-true",
        "seed": 0,
    },
}


@cache
def tiny_recipe(*overrides: str) -> Recipe:
    """A run of a second or less, with ``dotted.name=value`` overrides."""
    return parse(TINY, overrides)


def tree_of(folder: Path) -> list[str]:
    """All files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
