"""State of an optimiser as tensors and JSON, for a checkpoint."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from nounroll.storage.checkpoint import CheckpointError, one_line
from nounroll.training.sharding import as_in, own

_KERNELS = ("fused", "foreach")  # set by this process, for any kernel that wrote the checkpoint


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimiser's state as tensors and a JSON document, keyed by the index of the parameter.

    The tensors are named ``"state.INDEX.NAME"`` and ``"group.INDEX.NAME"``; they are the optimiser's, not copies. The
    document holds everything else: ``state`` has an entry for every parameter that was ever stepped.
    """
    whole = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    document: dict[str, Any] = {"state": {}, "group": {}}
    for kind, entries in (("state", whole["state"]), ("group", dict(enumerate(whole["param_groups"])))):
        for index, values in entries.items():
            named = {name: value for name, value in values.items() if isinstance(value, Tensor)}
            tensors |= {f"{kind}.{index}.{name}": value for name, value in named.items()}
            document[kind][str(index)] = {name: value for name, value in values.items() if name not in named}
    return tensors, document


def parameter_of(optimizer: Optimizer, key: str) -> Tensor | None:
    """Return the parameter that a tensor of ``optimizer_state`` belongs to; None if the tensor belongs to a group."""
    kind, index, _ = key.split(".", 2)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return parameters[int(index)] if kind == "state" else None


def load_optimizer_state(optimizer: Optimizer, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Restore the result of ``optimizer_state`` exactly, also after ``write`` and ``read``.

    For sharded state, ``tensors`` contains this process's own shards.

    Raises:
        CheckpointError: the state is of an optimiser over other parameters or groups.
    """
    try:
        state = {int(index): dict(values) for index, values in document["state"].items()}
        groups = {int(index): dict(values) for index, values in document["group"].items()}
        for key, value in tensors.items():
            kind, index, name = key.split(".", 2)
            like = parameter_of(optimizer, key)
            value = value.clone()
            if like is not None and value.shape == own(like).shape:
                value = as_in(value, like)
            {"state": state, "group": groups}[kind][int(index)][name] = value
        for group, present in zip(groups.values(), optimizer.param_groups, strict=True):
            for name, value in group.items():
                if isinstance(present.get(name), tuple):  # JSON has no tuples
                    group[name] = tuple(value)
            group |= {name: present[name] for name in _KERNELS if name in present}
        optimizer.load_state_dict({"state": state, "param_groups": [groups[index] for index in range(len(groups))]})
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as fault:
        raise CheckpointError(f"the optimiser's state does not fit this optimiser: {one_line(fault)}") from fault
