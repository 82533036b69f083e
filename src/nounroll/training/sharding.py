"""Weights in parts over processes (FSDP2), and whole again.

FSDP gathers the weights of a module around its ``forward``. Here one module, ``Gathering``, holds the student and the
teacher for the whole run, and whatever needs their weights runs inside its ``forward``: losses of every method of a
chain, evaluations, m_∅. Blocks of Transformers are gathered one by one as they are called, all other weights together.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.nn.block import Block

if TYPE_CHECKING:  # half a second, which runs in one process need not wait for
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor


def is_in_parts(values: Tensor) -> "TypeGuard[DTensor]":
    return hasattr(values, "full_tensor")


class Gathering(nn.Module):
    """Holds modules whose weights are there, whole, while its ``forward`` runs something."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, run: Callable[..., Any], *given: Any) -> Any:
        return run(*given)


def written(module: nn.Module) -> set[nn.Parameter]:
    """Weights that are written to while others are gathered, which would be lost: each process keeps them whole."""
    return {p for name, p in module.named_parameters() if name.split(".")[-1] == "empty_memory"}


def shard(module: nn.Module, mesh: "DeviceMesh") -> nn.Module:
    """Spread a module's weights over the processes of ``mesh["data_parallel"]``, all but those of ``written``."""
    from torch.distributed.fsdp import fully_shard

    processes = mesh["data_parallel"]
    for block in [part for part in module.modules() if isinstance(part, Block)]:
        fully_shard(block, mesh=processes, reshard_after_forward=True)
    fully_shard(module, mesh=processes, reshard_after_forward=True, ignored_params=written(module))
    return module


def own(values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """The part that this process has; all where it has all."""
    return values.to_local() if is_in_parts(values) else values


def whole(values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """All of it. Every process has to ask."""
    return values.full_tensor() if is_in_parts(values) else values


def as_in(values: Shaped[Tensor, "..."], like: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """``values``, which every process has whole, in the parts of ``like``."""
    if not is_in_parts(like):
        return values
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(values.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """``load_state_dict`` of weights that every process has whole."""
    like = module.state_dict()
    module.load_state_dict({name: as_in(t, like[name]) if name in like else t for name, t in weights.items()})


@torch.no_grad()
def clip(parameters: list[nn.Parameter], largest: float) -> Float[Tensor, ""]:
    """``clip_grad_norm_`` where some gradients are in parts: the norm of all, before."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    in_parts = [g.to_local().square().sum() for g in gradients if is_in_parts(g)]
    squares = torch.stack(in_parts).sum() if in_parts else gradients[0].new_zeros(())
    torch.distributed.all_reduce(squares)
    norm = (squares + sum(g.square().sum() for g in gradients if not is_in_parts(g))).sqrt()
    for gradient in gradients:
        own(gradient).mul_((largest / (norm + 1e-6)).clamp(max=1.0))
    return norm


@torch.no_grad()
def average(parameters: set[nn.Parameter]) -> None:
    """Gradients of weights that every process keeps whole, averaged over processes."""
    for parameter in sorted((p for p in parameters if p.grad is not None), key=lambda p: p.shape):
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad.div_(torch.distributed.get_world_size())  # type: ignore[union-attr]
