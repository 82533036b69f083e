"""Variations of training sequences: random changes of level and size, as large as the differences between sequences.

A sensor that is mounted a little differently, or is a little stronger, shifts and scales its recordings. A few
sequences do not show this whole range, and a network may use their levels to tell their classes. If all sequences have
the same level and size, because they were standardised one by one, nothing is varied.
"""

from dataclasses import replace

import torch

from nounroll.core.batch import Batch

_LEAST = 1e-12  # smallest deviation


def varied(batch: Batch, amount: float, generator: torch.Generator) -> Batch:
    """Shift and scale each coordinate of each row about its mean, by normal draws.

    Args:
        batch: batch of real inputs. A single row stays unchanged, and so do columns of 0 and 1, which are flags.
        amount: size of the changes, relative to the spread between rows in mean and in standard deviation.
        generator: source of the draws.
    """
    if batch.batch_size < 2:
        return batch
    read = batch.mask.flip(1).cummax(1).values.flip(1)[..., None]  # up to the last scored step; padding follows
    steps = read.sum(1).clamp(min=1)
    mean = batch.inputs.masked_fill(~read, 0).sum(1) / steps
    away = (batch.inputs - mean[:, None]).masked_fill(~read, 0)
    size = (away.square().sum(1) / steps).sqrt()
    spread = (size.std(0) / size.mean(0).clamp(min=_LEAST)).clamp(max=1)
    draws = torch.randn(2, *mean.shape, generator=generator, dtype=mean.dtype)
    stretch = torch.exp(amount * spread * draws[0])
    moved = mean + amount * mean.std(0) * draws[1]
    marks = ((batch.inputs == 0) | (batch.inputs == 1)).flatten(0, 1).all(0)
    return replace(batch, inputs=torch.where(read & ~marks, moved[:, None] + stretch[:, None] * away, batch.inputs))
