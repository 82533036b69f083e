"""Settings that recipes of earlier versions have and that are fixed or gone now."""

from collections.abc import Mapping
from typing import Any

from nounroll.core.notices import notice
from nounroll.teacher.base import without_heads


def without_fixed(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a recipe without the settings that have the value which is now fixed. Other values stay, and are unknown.

    ``tbptt.noise`` goes with any value, because a recipe of 0.2.0 (digits) set it (see ``tell_gone``).
    """
    found = dict(recipe)
    for name in ("bptt", "tbptt"):  # the shares of smt and dmt are relative to theirs
        group = found.get(name)
        if isinstance(group, Mapping) and group.get("share") == 1.0:
            found[name] = {key: value for key, value in group.items() if key != "share"}
    if isinstance(found.get("tbptt"), Mapping):
        found["tbptt"] = {key: value for key, value in found["tbptt"].items() if key != "noise"}
    if found.get("bptt") == {}:  # it has no other settings
        del found["bptt"]
    if isinstance(found.get("teacher"), Mapping):
        found["teacher"] = without_heads(found["teacher"])
    return found


def tell_gone(recipe: Mapping[str, Any]) -> None:
    """Give a notice before a training by a recipe with a setting that ``without_fixed`` drops."""
    group = recipe.get("tbptt")
    if isinstance(group, Mapping) and group.get("noise"):
        notice(f"tbptt.noise is {group['noise']!r}; it has no effect any more: windows start from memories as they are")
