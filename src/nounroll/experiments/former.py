"""Conversion of recipes of version 0.1 to today's names, so that its runs can be opened, measured and exported.

An interrupted run of 0.1 cannot be resumed: its checkpoint belongs to a removed training loop, and the error says so.
"""

from collections.abc import Mapping
from typing import Any

_MOVED = {
    "smt.horizon": "teacher.horizon",
    "dmt.horizon": "teacher.horizon",
    "training.first_length": "training.curriculum",
}
_GONE = (
    *("smt.readout", "smt.inputs_learn", "smt.learning_rate", "smt.decoded", "smt.power"),
    *("dmt.readout", "dmt.decoded", "dmt.noise", "dmt.lost", "dmt.mixing", "dmt.rollout", "dmt.tolerance"),
    *("teacher.reader", "teacher.context", "teacher.recompute"),
    *("training.betas", "training.clip", "training.warmup", "training.curriculum_share"),
    *("training.evaluation_sequences", "training.log_every", "training.keep", "training.keep_best", "training.compile"),
)


def is_former(document: Mapping[str, Any]) -> bool:
    """Return whether version 0.1 wrote this complete recipe."""
    dmt = document.get("dmt")
    return isinstance(dmt, Mapping) and "tolerance" in dmt and "tbptt" not in document


def renewed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a recipe of version 0.1 to today's names. Settings that no longer exist are dropped.

    DMT without any use of its teacher was truncated BPTT, and becomes ``tbptt``.
    """
    tree: dict[str, Any] = {}
    for name, group in document.items():  # null meant the cell's choice, or all steps; today's default serves both
        parts = isinstance(group, Mapping) and name != "task"
        tree[name] = {key: value for key, value in group.items() if value is not None} if parts else group
    training, dmt = tree["training"], tree["dmt"]
    if training.pop("curriculum", True) is False:
        training["first_length"] = 0
    if not dmt.get("dynamics") and not dmt.get("decoding"):
        tree["tbptt"] = {"window": dmt["window"]}
        tree["tbptt"]["carry"] = dmt.get("rollout", "carried") == "carried"
        tree["method"] = str(tree["method"]).replace("dmt", "tbptt")
        for name in ("dynamics", "decoding"):
            dmt.pop(name, None)
    for old, new in _MOVED.items():
        group, _, setting = old.partition(".")
        if setting in tree[group]:
            tree.setdefault(new.partition(".")[0], {})[new.partition(".")[2]] = tree[group].pop(setting)
    for old in _GONE:
        group, _, setting = old.partition(".")
        tree[group].pop(setting, None)
    tree.pop("bptt", None)
    return tree
