"""Linear maps by oneDNN: the same results and gradients as torch's own, and where they are used."""

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from nounroll.methods.flops import count_flops
from nounroll.nn import linear
from nounroll.nn.linear import Linear

LARGE = (40, 16, 96)  # with 128 outputs, enough products for oneDNN


@pytest.fixture
def by_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any machine takes the path of one where oneDNN is faster."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("torch has no oneDNN here")
    monkeypatch.setattr(linear, "_has_faster_products", lambda: True)


def results(module: nn.Linear, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    out = module(x)
    out.square().sum().backward()
    return [out.detach(), *(p.grad for p in (x, *module.parameters()) if p.grad is not None)]


def made(bias: bool) -> tuple[Linear, nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    module = Linear(LARGE[-1], 128, bias=bias)
    plain = nn.Linear(LARGE[-1], 128, bias=bias)
    plain.load_state_dict(module.state_dict())
    return module, plain, torch.randn(LARGE)


@pytest.mark.usefixtures("by_onednn")
@pytest.mark.parametrize("bias", [True, False])
def test_linear_equals_torchs_with_gradients(bias: bool) -> None:
    module, plain, x = made(bias)
    assert type(module(x).grad_fn).__name__ == "_ProductBackward"
    ours, theirs = results(module, x), results(plain, x)
    exact = results(copy.deepcopy(plain).double(), x.double())
    assert len(ours) == len(theirs) == (4 if bias else 3)
    for a, b, e in zip(ours, theirs, exact, strict=True):
        assert (a - e).abs().max() <= 2 * (b - e).abs().max() + 1e-6 * e.abs().max()


@pytest.mark.usefixtures("by_onednn")
def test_settings_of_torch_stay_as_they_are() -> None:
    module, _, x = made(True)
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    results(module, x)
    assert products.fp32_precision == before
    with pytest.raises(RuntimeError):
        module(x[..., :-1].repeat(2, 1, 1))
    assert products.fp32_precision == before


@pytest.mark.usefixtures("by_onednn")
def test_small_products_doubles_transforms_and_autocast_are_torchs_own() -> None:
    module, _, x = made(True)
    assert type(module(x[:1]).grad_fn).__name__ == "ViewBackward0"
    assert type(copy.deepcopy(module).double()(x.double()).grad_fn).__name__ == "ViewBackward0"
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x).dtype == torch.bfloat16
    each = torch.func.vmap(torch.func.grad(lambda one: module(one).square().sum()))(x)
    torch.testing.assert_close(each, results(module, x)[1], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("by_onednn")
def test_products_are_counted_and_any_layout_is_read() -> None:
    module, plain, x = made(True)
    counts = [count_flops(lambda one=one: results(one, x))[0] for one in (module, plain)]
    assert counts[0] == counts[1] == 6 * 640 * 96 * 128
    turned = x.transpose(0, 1)
    for ours, theirs in zip(results(module, turned), results(plain, turned), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_weights_that_are_frozen_get_no_gradient(by_onednn: None) -> None:
    module, _, x = made(True)
    module.requires_grad_(False)
    assert len(results(module, x)) == 2


COMPILED = """
import torch
from nounroll.nn import linear
linear._has_faster_products = lambda: exit("asked for the machine")
torch.manual_seed(0)
module, x = linear.Linear(96, 128), torch.randn(40, 16, 96)
compiled = torch.compile(module, backend="eager", fullgraph=True)
torch.testing.assert_close(compiled(x), torch.nn.functional.linear(x, module.weight, module.bias))
"""


def test_a_compiled_map_is_one_graph() -> None:
    """The tracer must not see what kind of machine this is. In a process without type checks, which it cannot trace."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
