"""Low-rank updates of weight matrices (LoRA, Hu et al. 2021, arXiv 2106.09685)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

_RANK = 8


class LowRank(nn.Module):
    """W -> W + U V, with U (n, r) and V (r, m). U is 0 at first, so that W does not change.

    Args:
        weight: W, (n, m).
        place: index of W among the weights of its module.
    """

    def __init__(self, weight: Float[Tensor, "n m"], place: int) -> None:
        super().__init__()
        self.place, rank = place, min(_RANK, *weight.shape)
        self.up = nn.Parameter(weight.new_zeros(len(weight), rank))
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]).to(weight) / weight.shape[1] ** 0.5)

    def forward(self, weight: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        with torch.autocast(weight.device.type, enabled=False):  # the merged weight is the one that was trained
            return weight + self.up @ self.down


def add_low_rank(module: nn.Module) -> None:
    """Give every weight matrix of a module a low-rank update; ``merge_low_rank`` adds it to the matrix permanently.

    Raises:
        ValueError: the module has no matrix, or one that it shares or parametrizes itself.
    """
    places = [(part, name) for part in module.modules() for name, _ in part.named_parameters(recurse=False)]
    matrices = [(part, name) for part, name in places if getattr(part, name).dim() == 2]
    shared = len({id(getattr(*place)) for place in matrices}) < len(matrices)
    own = any(parametrize.is_parametrized(part) for part in module.modules())
    if shared or own or not matrices:
        fault = "shares a weight matrix" if shared else "has parametrizations of its own" if own else "has no matrix"
        raise ValueError(f"adapt.update is 'low-rank', and {type(module).__name__} {fault}; choose another update")
    names = {id(part): list(part._parameters) for part, _ in matrices}
    for part, name in matrices:
        update = LowRank(getattr(part, name).detach(), names[id(part)].index(name))
        parametrize.register_parametrization(part, name, update)


def has_low_rank(module: nn.Module) -> bool:
    """Return whether ``add_low_rank`` was applied to a module."""
    return any(isinstance(part, LowRank) for part in module.modules())


def merge_low_rank(module: nn.Module) -> None:
    """Add all low-rank updates to their matrices; the module is then an ordinary one again."""
    for part in list(module.modules()):
        if not parametrize.is_parametrized(part):
            continue
        for name, chain in list(part.parametrizations.items()):  # type: ignore[union-attr]
            if isinstance(update := chain[0], LowRank):
                parametrize.remove_parametrizations(part, name)
                _put_back(part, name, update.place)
        if isinstance(part, nn.RNNBase):
            part._init_flat_weights()  # it has a list of its weights, and keeps those of its last call


def _put_back(part: nn.Module, name: str, place: int) -> None:
    """Move a weight to its former place among the weights of its module, on which the order of an optimiser depends."""
    weights = list(part._parameters.items())
    weights.insert(place, weights.pop([one for one, _ in weights].index(name)))
    part._parameters.clear()
    part._parameters.update(weights)
