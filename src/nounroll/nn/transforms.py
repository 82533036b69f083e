"""Replacements for torch's kernels that have no rules for torch.func's transforms (``vmap``, ``grad``, ``jvp``).

Outside the transforms each function calls the kernel itself.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def is_transformed() -> bool:
    """Return whether this call is inside a transform of torch.func."""
    return torch._C._are_functorch_transforms_active()  # torch.autograd.Function makes the same check


def attention(
    query: Float[Tensor, "*n Q d"],
    key: Float[Tensor, "*n T d"],
    value: Float[Tensor, "*n T d"],
    visible: Bool[Tensor, "..."] | None,
    causal: bool,
) -> Float[Tensor, "*n Q d"]:
    """Compute ``scaled_dot_product_attention``."""
    if not is_transformed():
        return F.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=causal)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if causal:
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    return scores.softmax(-1) @ value


def lstm_cell(
    x: Float[Tensor, "N e"], hidden: Float[Tensor, "N h"], carry: Float[Tensor, "N h"], weights: list[Tensor]
) -> tuple[Float[Tensor, "N h"], Float[Tensor, "N h"]]:
    """Compute one step of ``nn.LSTM``."""
    if not is_transformed():
        return torch.lstm_cell(x, (hidden, carry), *weights)  # type: ignore[return-value]
    w_x, w_h, b_x, b_h = weights
    write, keep, value, show = (F.linear(x, w_x, b_x) + F.linear(hidden, w_h, b_h)).chunk(4, dim=-1)
    carry = keep.sigmoid() * carry + write.sigmoid() * value.tanh()
    return show.sigmoid() * carry.tanh(), carry


def gru_cell(x: Float[Tensor, "N e"], hidden: Float[Tensor, "N h"], weights: list[Tensor]) -> Float[Tensor, "N h"]:
    """Compute one step of ``nn.GRU``."""
    if not is_transformed():
        return torch.gru_cell(x, hidden, *weights)
    w_x, w_h, b_x, b_h = weights
    reset, keep, new = F.linear(x, w_x, b_x).chunk(3, dim=-1)
    of_reset, of_keep, of_new = F.linear(hidden, w_h, b_h).chunk(3, dim=-1)
    keep, new = (keep + of_keep).sigmoid(), (new + (reset + of_reset).sigmoid() * of_new).tanh()
    return (1 - keep) * new + keep * hidden


def rnn_tanh_cell(x: Float[Tensor, "N e"], hidden: Float[Tensor, "N h"], weights: list[Tensor]) -> Float[Tensor, "N h"]:
    """Compute one step of ``nn.RNN``."""
    if not is_transformed():
        return torch.rnn_tanh_cell(x, hidden, *weights)
    w_x, w_h, b_x, b_h = weights
    return (F.linear(x, w_x, b_x) + F.linear(hidden, w_h, b_h)).tanh()
