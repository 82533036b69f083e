"""Sharding of weights over processes (FSDP2), and gathering them again.

FSDP gathers the weights of a module around its ``forward``. Here one module, ``Gathering``, holds the student and the
teacher for the whole run. Everything that needs their weights runs inside its ``forward``: the losses of every method,
evaluations, m_∅. Blocks of Transformers are gathered one by one when they are called, all other weights together.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from nounroll.nn.block import Block

if TYPE_CHECKING:  # the import takes half a second, and runs in one process do not need it
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor


def is_in_parts(values: Tensor) -> "TypeGuard[DTensor]":
    return hasattr(values, "full_tensor")


class Gathering(nn.Module):
    """Holder of modules whose weights are gathered while its ``forward`` runs a function."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, run: Callable[..., Any], *given: Any) -> Any:
        return run(*given)


def written(module: nn.Module) -> set[nn.Parameter]:
    """Return the weights that are written to while others are gathered: sharding would lose such writes."""
    return {p for name, p in module.named_parameters() if name.split(".")[-1] == "empty_memory"}


def shard(module: nn.Module, mesh: "DeviceMesh") -> nn.Module:
    """Shard a module's weights over the processes of ``mesh["data_parallel"]``, except ``written``."""
    from torch.distributed.fsdp import fully_shard

    processes = mesh["data_parallel"]
    for block in [part for part in module.modules() if isinstance(part, Block)]:
        fully_shard(block, mesh=processes, reshard_after_forward=True)
    fully_shard(module, mesh=processes, reshard_after_forward=True, ignored_params=written(module))
    return module


def own(values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Return this process's shard of a tensor; the tensor itself if it is not sharded."""
    return values.to_local() if is_in_parts(values) else values


@torch.no_grad()
def whole(values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Gather a sharded tensor. Every process must call this."""
    if not is_in_parts(values):
        return values
    mine, count = values.to_local(), values.device_mesh.size()
    padded = mine.new_zeros(-(-len(values) // count), *mine.shape[1:])
    padded[: len(mine)] = mine
    gathered = [torch.empty_like(padded) for _ in range(count)]
    torch.distributed.all_gather(gathered, padded, group=values.device_mesh.get_group())
    return torch.cat(gathered)[: len(values)]


def as_in(part: Shaped[Tensor, "..."], like: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Give a result of ``own`` the form of a tensor: sharded if ``like`` is.

    Raises:
        RuntimeError: the result is not this process's shard of ``like``.
    """
    if not is_in_parts(like):
        return part
    mine = like.to_local()
    if part.shape != mine.shape:
        raise RuntimeError(f"size mismatch: a part has the shape {tuple(part.shape)}, here {tuple(mine.shape)}")
    return type(like).from_local(
        part.to(mine.device), like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load this process's shards of the weights, as ``load_state_dict`` does."""
    like = module.state_dict()
    module.load_state_dict({name: as_in(t, like[name]) if name in like else t for name, t in weights.items()})


@torch.no_grad()
def clip(parameters: list[nn.Parameter], largest: float) -> Float[Tensor, ""]:
    """Clip gradients as ``clip_grad_norm_`` does, also if some are sharded; return the norm before clipping."""
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
    """Average the gradients of unsharded weights over processes."""
    for parameter in sorted((p for p in parameters if p.grad is not None), key=lambda p: p.shape):
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad.div_(torch.distributed.get_world_size())  # type: ignore[union-attr]
