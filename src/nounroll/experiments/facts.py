"""Facts about a task's data, which decide the settings that a recipe leaves open (see ``resolve``).

``look`` draws a few batches of every part, and determines the kind of the data from them.
"""

from dataclasses import dataclass
from warnings import warn

import torch

from nounroll.core.batch import Batch, Space
from nounroll.core.notices import notice
from nounroll.core.seeding import generator
from nounroll.data.scale import measured, steps_read
from nounroll.data.task import Lengths, SequenceTask, draw, held_out
from nounroll.rollout.evaluate import knowable

LOOKED_AT = 32  # sequences of each part that ``look`` draws
_MOST = 2**22  # time steps drawn at once
_DRAWN = 512  # sequences that are searched for duplicates
_SMALL = 5_000  # number of training sequences below which a network can memorise them
_SAME = 1e-4  # largest difference of numbers that count as the same, in standard deviations


@dataclass(frozen=True)
class Facts:
    """Kind of data that a task gives, at a recipe's length.

    Attributes:
        scored: share of time steps whose target is scored; steps after the last one of a sequence count as padding.
        at_end: each sequence has one scored target, and nothing follows it.
        lengths: see ``SequenceTask.lengths``; measured on the data if the task does not say.
        size: number of training sequences if it is finite: given by the task, or estimated from the duplicates among
            the sequences drawn; None if there is no duplicate.
        next_input: every target is the next input, up to a sequence's end.
        echoed: an input column repeats a target column, or its running sum, one step later. Forecasts then read their
            own draws, so the spread of predictions matters as well as their mean.
        endless: sequences are drawn without end; with ``next_input`` they are windows of a stream.
        knowable: nats per scored element between the best constant guess and the best possible prediction.
        inputs, targets: the task's spaces; real spaces have their scale (``nounroll.data.scale``).
    """

    scored: float
    at_end: bool
    lengths: Lengths
    size: int | None
    next_input: bool
    echoed: bool
    endless: bool
    knowable: float
    inputs: Space
    targets: Space

    @property
    def small(self) -> bool:
        """True if the sequences are few enough to memorise."""
        return self.size is not None and self.size < _SMALL

    @property
    def by_errors(self) -> bool:
        """True if students are chosen by their errors: targets are at the end, or no draw of them is read again."""
        return self.at_end or (self.targets.has_spread and not self.echoed)

    @property
    def of_symbols(self) -> bool:
        """True if both inputs and targets are symbols."""
        return self.inputs.symbols is not None and self.targets.symbols is not None

    @property
    def stream(self) -> bool:
        """True if the data are windows of long sequences and the target is the next element."""
        return self.next_input and self.endless

    @property
    def kinds(self) -> list[str]:
        """Names of the ``PRESETS`` that apply; later ones override earlier ones."""
        found = ["most scored" if self.scored >= 0.5 else "few scored"]
        found += ["a label at the end"] * self.at_end
        found += ["the next input"] * self.next_input
        found += ["a stream"] * self.stream
        found += ["small data"] * self.small
        few_series = self.small and self.at_end and self.inputs.affine
        found += ["few series"] * (few_series and self.targets.symbols is not None)
        found += ["numbers at most steps"] * (self.scored >= 0.5 and self.targets.affine)
        return found


def look(task: SequenceTask, length: int, seed: int) -> Facts:
    """Draw from every part of a task, and determine the kind of its data.

    Raises:
        ValueError: a batch contradicts what the task declares, or a part is empty. If no target at all is scored,
            there is a warning: such a task trains nothing.
    """
    name = type(task).__name__
    if isinstance(task.lengths, int) and length % task.lengths:
        raise ValueError(f"length is {length}; {name}.lengths is {task.lengths}, so it must be a multiple of that")
    for part, source in (("training", task), ("validation", task.validation()), ("test", task.test())):
        if source.size is not None and source.size < 1:
            raise ValueError(f"{name} has no sequences in its {part} part; it must have at least one")
        draw(source, 2, length, seed, "trial")
    rows = max(2, min(LOOKED_AT, _MOST // length))
    batch, again = (draw(task, rows, length, seed, "trial") for _ in range(2))
    if not _same(batch, again):
        notice(
            f"{name}.sample ignores its generator: this run cannot be repeated or resumed exactly; draw from it alone"
        )
    validation = list(held_out(task.validation(), rows, length, seed, "validation"))
    if not any(bool(one.mask.any()) for one in (batch, *validation)):
        warn(f"{name} scores nothing at length {length}; its mask must be True somewhere", stacklevel=2)
    inputs, targets = measured(task, length)
    echoed = _is_echoed(batch)
    return Facts(
        scored=float(batch.mask.sum() / steps_read(batch.mask).sum().clamp(min=1)),
        at_end=_is_at_end(batch),
        lengths=task.lengths if task.lengths is not None else _lengths(task, length, seed),
        size=task.size or _population(task, length, seed),
        next_input=_predicts_next(batch, task.autoregressive),
        echoed=echoed,
        endless=task.size is None,
        knowable=knowable(targets, [batch, *validation]),
        inputs=inputs,
        targets=targets if echoed else targets.by_error(),
    )


def _same(batch: Batch, other: Batch) -> bool:
    """Return whether two batches have the same inputs and scored targets."""
    pairs = ((batch.inputs, other.inputs), (batch.targets[batch.mask], other.targets[other.mask]))
    return all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def _population(task: SequenceTask, length: int, seed: int) -> int | None:
    """Estimate how many different sequences a task draws from, by the birthday problem.

    None in three cases: no sequence came twice; held-out sequences are among them (then few different ones are
    possible at all); or sequences are too long to draw so many.
    """
    if _DRAWN * length > _MOST:
        return None
    rows = _rows(draw(task, _DRAWN, length, seed, "population"))
    held = _rows(draw(task.validation(), LOOKED_AT, length, seed, "population"))
    twice = _DRAWN - len(rows)
    return round(_DRAWN * (_DRAWN - 1) / (2 * twice)) if twice and not rows & held else None


def _rows(batch: Batch) -> set[tuple[bytes, bytes]]:
    """Collect the different sequences of a batch."""
    return {(x.numpy().tobytes(), y.numpy().tobytes()) for x, y in zip(batch.inputs, batch.targets, strict=True)}


def _is_at_end(batch: Batch) -> bool:
    """Return whether each row scores a single target, with nothing but padding after it."""
    return batch.length > 1 and bool((batch.mask.sum(1) == 1).all())


def _predicts_next(batch: Batch, said: bool = False) -> bool:
    """Return whether every target is the next input, and unscored steps are only padding at the end.

    If the task itself ``said`` so, targets in between may be missing.
    """
    if batch.inputs.shape != batch.targets.shape or batch.length < 2:
        return False
    to_the_end = said or (bool(batch.mask[:, 0].all()) and not bool((batch.mask[:, 1:] & ~batch.mask[:, :-1]).any()))
    scored = batch.mask[:, 1:]
    return to_the_end and torch.equal(batch.inputs[:, 1:][scored], batch.targets[:, :-1][scored])


def _is_echoed(batch: Batch) -> bool:
    """Return whether an input column repeats a column of the targets, or its running sum, one step later."""
    x, y, both = batch.inputs, batch.targets, batch.mask[:, :-1] & batch.mask[:, 1:]
    if not (x.is_floating_point() and y.is_floating_point() and both.any()):
        return False
    seen, change, wanted = x[:, 1:][both], x.diff(dim=1)[both], y[:, :-1][both]
    said = zip(wanted.unbind(-1), wanted.std(0, correction=0), strict=True)
    return any(
        bool((told - one[:, None]).abs().amax(0).le(_SAME * spread).any())
        for one, spread in said
        if spread > 0
        for told in (seen, change)
    )


def _lengths(task: SequenceTask, length: int, seed: int) -> Lengths:
    """ "whole" if a shorter sequence is a prefix of a long one with the same label, or is not available; else "any".

    A task that generates data for each length gives another sequence at a shorter length, with its own target.
    """
    short = length // 2
    if short < 1:
        return "whole"
    try:
        whole, part = (task.sample(LOOKED_AT, n, generator(seed, "trial")) for n in (length, short))
        batch_ok = part.inputs.shape[:2] == (LOOKED_AT, short)
    except Exception:  # a user's task may raise any exception for a length that it lacks
        return "whole"
    if not batch_ok or not part.mask.any():
        return "whole"
    cropped = torch.equal(whole.inputs[:, :short], part.inputs)
    if cropped and _is_at_end(whole) and _is_at_end(part):
        labels = [one.targets[one.mask] for one in (whole, part)]
        return "whole" if torch.equal(*labels) else "any"
    return "any"
