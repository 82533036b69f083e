"""Decoding loss: a memory must let the decoder predict the next targets."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nounroll.core.batch import Batch, Space
from nounroll.core.processes import own_rows, rows_at
from nounroll.objectives.readout import masked_mean, taught
from nounroll.rollout.windows import at_times
from nounroll.teacher.decoder import Decoder

_MOST = 0.75  # share of scored steps above which the decoder's last block computes all of them


def decoding(
    decoder: Decoder,
    targets: Space,
    batch: Batch,
    times: Int[Tensor, "B S"],
    memory_of: Callable[[Int[Tensor, "B n"]], Float[Tensor, "B n K d"]],
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Compute the cross-entropy of the next T_f targets under D (``Decoder.horizon``), from one memory per sequence.

    arXiv 2606.06479, Eq. 2. Memories are drawn at random among those with a scored target within the horizon,
    because the others have nothing to predict.

    Args:
        decoder: D.
        targets: space of y_t.
        batch: the sequences.
        times: t of each memory.
        memory_of: indices among the S of each row -> m_t, a label of the teacher or a memory of the student.
        generator: source of the draws.
    """
    horizon, length = min(decoder.horizon, batch.length), batch.length
    picks = some_places(informative(batch.mask, horizon, times), 1, generator)
    memory, begin = memory_of(picks).flatten(0, 1), at_times(times, picks)
    span = begin + torch.arange(horizon, device=times.device)
    inside, span = span < length, span.clamp(max=length - 1)
    x, y, mask = (at_times(v, span) for v in (batch.inputs, batch.targets, batch.mask))
    scored = mask & inside
    at = _scored_steps(scored)
    if at is None:
        return masked_mean(taught(targets, decoder(memory, x[:, 1:]), y), scored)
    return masked_mean(taught(targets, decoder(memory, x[:, 1:], at), at_times(y, at)), at_times(scored, at))


def _scored_steps(scored: Bool[Tensor, "N F"]) -> Int[Tensor, "N P"] | None:
    """Return the scored steps of each row, filled up with others to the same number; None if most are scored."""
    if scored.is_meta:  # it has no values
        return None
    most = int(scored.sum(1).max().clamp(min=1))
    if most > _MOST * scored.shape[1]:
        return None
    return scored.byte().argsort(dim=1, descending=True, stable=True)[:, :most]


def informative(mask: Bool[Tensor, "B T"], horizon: int, times: Int[Tensor, "B S"]) -> Bool[Tensor, "B S"]:
    """Return whether a target within the horizon is scored. There are no targets from T on."""
    before = torch.nn.functional.pad(mask.cumsum(1), (1, 0))  # scored targets before each time
    last = mask.shape[1]
    return before.gather(1, (times + horizon).clamp(max=last)) > before.gather(1, times.clamp(max=last))


def some_places(wanted: Bool[Tensor, "B S"], count: int, generator: torch.Generator) -> Int[Tensor, "B n"]:
    """Draw indices of each row with replacement: wanted ones, or any index of a row that has none."""
    weights = (wanted | ~wanted.any(1, keepdim=True)).float()

    def draw(rows: int) -> Int[Tensor, "N n"]:
        of_all = rows_at(len(weights), torch.arange(rows, device=weights.device), weights.__getitem__).cpu()
        return torch.multinomial(of_all, count, True, generator=generator)

    return own_rows(len(weights), draw).to(wanted.device)
