"""Blocks against their formulas, written out."""

import math

import pytest
import torch

from nounroll.core.batch import Categorical, Real
from nounroll.nn import block
from nounroll.nn.attention import SelfAttention
from nounroll.nn.block import Transformer
from nounroll.nn.embedding import InputEmbedding
from nounroll.nn.norm import rms_normalise
from nounroll.nn.rotary import Rotary
from nounroll.nn.shift import TokenShift


def doubles(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rms_normalise() -> None:
    x = doubles(3, 2, 8) * 7
    assert torch.allclose(rms_normalise(x).square().mean(-1), torch.ones(3, 2, dtype=torch.float64), atol=1e-5)
    assert torch.allclose(rms_normalise(x), rms_normalise(3 * x), atol=1e-5)
    assert torch.equal(rms_normalise(torch.zeros(2, 8)), torch.zeros(2, 8))


def test_token_shift() -> None:
    shift, x = TokenShift(4).double(), doubles(2, 5, 4)
    expected = x.clone()
    for t in range(1, 5):
        expected[:, t] += shift.previous(x[:, t - 1])
    assert torch.allclose(shift(x), expected, atol=1e-12)
    assert torch.allclose(shift(x[:, :1]), x[:, :1])


@pytest.mark.parametrize("causal", [True, False])
def test_attention(causal: bool) -> None:
    attention, x = SelfAttention(8, 2, causal=causal, rotary=False).double(), doubles(2, 5, 8)
    query, key, value = attention.query_key_value(x).chunk(3, dim=-1)
    mixed = torch.zeros(2, 5, 8, dtype=torch.float64)
    for b in range(2):
        for head in (slice(0, 4), slice(4, 8)):
            for t in range(5):
                seen = slice(0, t + 1) if causal else slice(0, 5)
                scores = key[b, seen, head] @ query[b, t, head] / math.sqrt(4)
                mixed[b, t, head] = scores.softmax(0) @ value[b, seen, head]
    assert torch.allclose(attention(x), attention.out(mixed), atol=1e-12)


def test_attention_sees_what_is_visible_alone() -> None:
    attention, x = SelfAttention(8, 2, causal=False, rotary=False).double(), doubles(2, 5, 8)
    visible = torch.tensor([False, True, True, True, True])[None, None, None].expand(2, -1, -1, -1)
    assert torch.allclose(attention(x, visible)[:, 1:], attention(x[:, 1:]), atol=1e-12)


def test_rotary_positions_are_relative() -> None:
    rotary, query, key = Rotary(8).double(), doubles(8), doubles(8, seed=1)
    turned_query, turned_key = (rotary(x.expand(1, 1, 12, 8))[0, 0] for x in (query, key))
    for distance in range(6):
        products = torch.stack([turned_query[t + distance] @ turned_key[t] for t in range(6)])
        assert torch.allclose(products, products[:1], atol=1e-6)
    assert torch.allclose(turned_query[0], query)
    assert torch.allclose(turned_query.norm(dim=-1), query.norm(), atol=1e-6)


def test_the_rotary_table_grows_and_does_not_change() -> None:
    short, whole = Rotary(4), Rotary(4)
    x = torch.randn(1, 1, 9, 4)
    short(x[:, :, :2])
    assert torch.equal(short(x), whole(x))
    assert torch.equal(short(x[:, :, :3]), whole(x)[:, :, :3])


@pytest.mark.parametrize(("causal", "hidden"), [(True, False), (False, False), (False, True)])
def test_layers_that_are_computed_again_give_the_same(
    causal: bool, hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs and all gradients, with feed-forward layers in parts of uneven length; and less is kept."""
    monkeypatch.setattr(block, "_PART", 3)
    visible = torch.tensor([False, True, True, True, True, True, True]).expand(2, 1, 1, 7) if hidden else None
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)
        stack = Transformer(8, 2, 2, causal=causal, rotary=True, recompute=recompute).double()
        x, kept = doubles(2, 7, 8).requires_grad_(), [0]

        def keep(tensor: torch.Tensor, kept: list[int] = kept) -> torch.Tensor:
            kept[0] += tensor.numel() if tensor.dim() > 2 else 0  # no weights
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs = stack(x, visible)
        gradients = torch.autograd.grad(outputs[:, 1:].sin().sum(), [x, *stack.parameters()])
        found.append((outputs, gradients, kept[0]))
    torch.testing.assert_close(found[1][0], found[0][0])
    for again, plain in zip(found[1][1], found[0][1], strict=True):
        torch.testing.assert_close(again, plain)
    assert found[1][2] < found[0][2] / 5


def test_control_heads_in_another_order_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    attention, x = SelfAttention(8, 2, causal=True, rotary=True).double(), doubles(2, 5, 8)
    torch.testing.assert_close(attention.by_heads(x), attention(x))
    one = attention._head
    monkeypatch.setattr(attention, "_head", lambda x, visible, head: one(x, visible, 0))
    assert not torch.allclose(attention.by_heads(x), attention(x), atol=1e-3)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("recompute", [False, True])
def test_positions_that_are_asked_for_equal_those_of_the_whole_with_gradients(layers: int, recompute: bool) -> None:
    trunk = Transformer(8, layers, 2, causal=True, rotary=True, recompute=recompute).double()
    x, at = doubles(3, 6, 8).requires_grad_(), torch.tensor([[5, 0], [2, 2], [3, 4]])
    whole = trunk(x).gather(1, at[..., None].expand(-1, -1, 8))
    asked = trunk(x, at=at)
    assert torch.allclose(asked, whole, atol=1e-12)
    weights, named = doubles(*whole.shape, seed=1), [x, *trunk.parameters()]
    for one, other in zip(*(torch.autograd.grad((v * weights).sum(), named) for v in (asked, whole)), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_a_stack_without_positions_is_blind_to_order() -> None:
    stack, x = Transformer(8, 2, 2, causal=False, rotary=False).double(), doubles(2, 5, 8)
    order = torch.tensor([4, 1, 0, 3, 2])
    assert torch.allclose(stack(x[:, order]), stack(x)[:, order], atol=1e-12)
    ordered = Transformer(8, 2, 2, causal=False, rotary=True).double()
    assert not torch.allclose(ordered(x[:, order]), ordered(x)[:, order], atol=1e-3)


def test_embeddings_of_both_spaces() -> None:
    symbols, vectors = InputEmbedding(Categorical(3), 4), InputEmbedding(Real(2), 4)
    assert torch.equal(symbols(torch.tensor([[2, 0]]))[0, 0], symbols.map.weight[2])
    x = torch.randn(2, 3, 2)
    assert torch.allclose(vectors(x), x @ vectors.map.weight.T + vectors.map.bias, atol=1e-6)


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="heads is 3; it must divide the width 8"):
        SelfAttention(8, 3, causal=True, rotary=False)
    with pytest.raises(ValueError, match="head width is 3; rotary positions need an even one"):
        Rotary(3)
