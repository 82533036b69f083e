"""Linear recurrences, parallel over time."""

import torch
from jaxtyping import Inexact
from torch import Tensor


def affine_scan(slope: Tensor, offset: Inexact[Tensor, "B T D"]) -> Inexact[Tensor, "B T D"]:
    """Compute δ_t = A_t δ_{t-1} + b_t for all t, from δ_{-1} = 0, in 2 log2 T dependent steps.

    Adjacent maps are combined in pairs; the recurrence of half the length gives every other δ, and one step from each
    of these gives the rest (the scheme of Ladner & Fischer 1980): T products of matrices in all.

    Args:
        slope: A, (B, T, D, D) matrices or (B, T, D) diagonals; may be complex, like ``offset``.
        offset: b.
    """
    length = offset.shape[1]
    if length == 1:
        return offset
    even, odd = slope[:, : length // 2 * 2 : 2], slope[:, 1::2]
    joined = odd @ even if slope.dim() == 4 else odd * even
    every_other = affine_scan(joined, offset[:, 1::2] + _apply(odd, offset[:, : length // 2 * 2 : 2]))
    rest = offset[:, ::2].clone()
    rest[:, 1:] += _apply(slope[:, 2::2], every_other[:, : rest.shape[1] - 1])
    whole = torch.empty_like(offset)
    whole[:, ::2], whole[:, 1::2] = rest, every_other
    return whole


def _apply(slope: Tensor, vectors: Inexact[Tensor, "B T D"]) -> Inexact[Tensor, "B T D"]:
    return (slope @ vectors[..., None])[..., 0] if slope.dim() == 4 else slope * vectors
