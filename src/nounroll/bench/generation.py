"""Speed of generation: a student compared with a Transformer that has a key-value cache."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from nounroll.bench.timing import Contender, seconds
from nounroll.cells.base import CellSettings
from nounroll.core.seeding import generator
from nounroll.data.task import SequenceTask, draw
from nounroll.models.generation import Generation, Sampling
from nounroll.models.student import Student
from nounroll.rollout.transformer import CausalTransformer
from nounroll.teacher import TeacherSettings
from nounroll.teacher.causal import Read

_TOKENS = 50  # tokens generated in a round
_CHUNK = 512  # tokens of a context read at a time
_AT_ONCE = 8  # tokens of one compiled call


def generation(
    task: SequenceTask, cells: list[str], contexts: Iterable[int], compiled: Iterable[str] = ()
) -> dict[str, Contender]:
    """Time every cell and a Transformer with a cache after each context, and one without a cache after the first.

    After the first context, the cells in ``compiled`` are also timed with compiled calls; their baselines are eager
    calls.
    """
    found: dict[str, Contender] = {}
    for context in contexts:
        read = draw(task, 1, context, 0, "bench").inputs
        cached = f"transformer, {context} read"
        first = not found
        if first:
            found[f"transformer without cache, {context} read"] = _uncached(task, read, cached)
        found[cached] = _cached(task, read, cached)
        for cell in cells:
            stepped = f"student {cell}, {context} read"
            found[stepped] = _student(task, cell, read, cached)
            if first and cell in compiled:
                found[f"student {cell} compiled, {context} read"] = _student(task, cell, read, stepped, compiled=True)
    return found


def at_places(task: SequenceTask, cell: str, places: list[int], *, compiled: bool) -> dict[str, Contender]:
    """Time one network after each number of generated tokens; the baseline is its time after the first number."""
    student = Student(task.inputs, task.targets, CellSettings(kind=cell)).eval()  # type: ignore[arg-type]
    start, found = draw(task, 1, 1, 0, "bench").inputs, {}
    for place in places:
        writing = Generation(student, 1, generator=generator(0, "bench"), compiled=compiled).read(start)
        for first in range(0, place, _CHUNK):
            writing.write(min(_CHUNK, place - first))
        found[f"student {cell}, {place} written"] = _writer(
            writing, f"student {cell}, {places[0]} written", place, _AT_ONCE if compiled else 1
        )
    return found


def overtaken(rows: Iterable[Mapping[str, Any]], cells: list[str]) -> dict[str, int | None]:
    """Find, for each cell, the shortest measured context at which it is faster than the Transformer with a cache."""
    found: dict[str, int | None] = {}
    for cell in cells:
        own = sorted((r for r in rows if r["name"].startswith(f"student {cell},")), key=lambda r: r["context"])
        slower = [index for index, one in enumerate(own) if one["ratio"] < 1]
        first = slower[-1] + 1 if slower else 0
        found[cell] = own[first]["context"] if first < len(own) else None
    return found


def _cached(task: SequenceTask, context: torch.Tensor, name: str) -> Contender:
    model, cache = _transformer(task), Read(TeacherSettings().layers)
    with torch.no_grad():
        outputs = [model.extend(part, cache) for part in context.split(_CHUNK, dim=1)][-1]
    last = [Sampling().draw(task.targets, outputs[:, -1], None)]

    @torch.no_grad()
    def one_token() -> None:
        last[0] = Sampling().draw(task.targets, model.extend(last[0][:, None], cache)[:, -1], None)

    return _contender(one_token, name, context)


def _uncached(task: SequenceTask, context: torch.Tensor, baseline: str) -> Contender:
    model = _transformer(task)

    @torch.no_grad()
    def one_token() -> None:
        Sampling().draw(task.targets, model.predict(context)[:, -1], None)

    return _contender(one_token, baseline, context)


def _student(
    task: SequenceTask, cell: str, context: torch.Tensor, baseline: str, *, compiled: bool = False
) -> Contender:
    student = Student(task.inputs, task.targets, CellSettings(kind=cell)).eval()  # type: ignore[arg-type]
    writing = Generation(student, 1, generator=generator(0, "bench"), compiled=compiled).read(context)
    return _writer(writing, baseline, context.shape[1], _AT_ONCE if compiled else 1)


def _writer(writing: Generation, baseline: str, context: int, at_once: int) -> Contender:
    """Time the seconds per token, averaged over the ``at_once`` tokens of a call."""

    def run(index: int) -> list[float]:
        return [seconds(lambda: writing.write(at_once)) / at_once for _ in range(_TOKENS)]

    return Contender(run, 1, "tokens", baseline, context=context)


def _transformer(task: SequenceTask) -> CausalTransformer:
    return CausalTransformer(task.inputs, task.targets, TeacherSettings()).eval()


def _contender(one_token: Any, baseline: str, context: torch.Tensor) -> Contender:
    length = context.shape[1]
    return Contender(lambda index: [seconds(one_token) for _ in range(_TOKENS)], 1, "tokens", baseline, context=length)
