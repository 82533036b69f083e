"""Import paths of version 0.1: for example, ``nounroll.recipe`` is now ``nounroll.experiments.recipe``."""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

PACKAGES = {
    "core": "batch interrupts machine modes notices plain processes ranges seeding",
    "storage": "checkpoint files locks parts trust",
    "rollout": "transformer",
    "models": "generation snapshot stops student",
    "experiments": "assembly auto comparison consent footprint former recipe resolve resumption run run_folder sizing"
    " sweep taken_teacher verify warm_start",
}
MOVED = {name: f"nounroll.{package}.{name}" for package, names in PACKAGES.items() for name in names.split()}
_STAYS = {"student"}  # a path that is still public


class _Former(MetaPathFinder, Loader):
    """Import hook that returns the module at its new path under both names, with a DeprecationWarning."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return spec_from_loader(fullname, self) if package == "nounroll" and name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        place = MOVED[name.rpartition(".")[2]]
        if name.rpartition(".")[2] not in _STAYS:
            warnings.warn(f"{name} has moved to {place}", DeprecationWarning, stacklevel=2)
        sys.modules[name] = importlib.import_module(place)


def install() -> None:
    """Enable imports from the former paths."""
    if not any(isinstance(finder, _Former) for finder in sys.meta_path):
        sys.meta_path.append(_Former())
