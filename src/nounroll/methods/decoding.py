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
    memory = memory_of(picks).flatten(0, 1)
    span = at_times(times, picks)[..., None] + torch.arange(horizon, device=times.device)
    inside, span = (span < length).flatten(0, 1), span.clamp(max=length - 1).flatten(1)
    x, y, mask = (
        at_times(v, span).unflatten(1, (-1, horizon)).flatten(0, 1) for v in (batch.inputs, batch.targets, batch.mask)
    )
    return masked_mean(taught(targets, decoder(memory, x[:, 1:]), y), mask & inside)


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
