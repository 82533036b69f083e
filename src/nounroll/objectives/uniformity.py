"""Uniformity loss: keeps memories spread over the sphere (Wang & Isola 2020, arXiv 2005.10242)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.nn.norm import rms_normalise


def uniformity(memories: Float[Tensor, "N K d"]) -> Float[Tensor, "K"]:
    """Compute log of the mean over pairs of rows of exp(-2 |a - b|^2), for each memory token, on the unit sphere.

    arXiv 2606.06479, Eq. 4. It is 0 if all rows are equal, and lower as they spread. It needs N >= 2.
    """
    points = rms_normalise(memories).transpose(0, 1) / math.sqrt(memories.shape[-1])
    squared = 2 - 2 * points @ points.transpose(1, 2)
    rows = points.shape[1]
    off_diagonal = ~torch.eye(rows, dtype=torch.bool, device=points.device)
    return torch.logsumexp(-2 * squared[:, off_diagonal], dim=-1) - math.log(rows * (rows - 1))
