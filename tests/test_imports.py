"""The one-way order of the house: a file imports only from layers before its own, or from its own."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nounroll

# A layer is one line; its members do not import one another. The top-level __init__ sees everything.
ORDER = (
    ("plain",),
    (
        *("files", "former", "interrupts", "locks", "machine", "modes", "notices", "parts", "processes"),
        *("ranges", "seeding", "trust"),
    ),
    ("spaces",),
    ("batch",),
    ("checkpoint",),
    ("data",),
    ("nn",),
    ("cells",),
    ("teacher",),
    ("objectives",),
    ("stops",),
    ("generation",),
    ("student",),
    ("transformer",),
    ("rollout",),
    ("methods",),
    ("training",),
    ("snapshot",),
    ("analysis",),
    ("report",),
    ("export", "hub", "serve"),
    ("recipe",),
    ("consent",),
    ("resolve", "run_folder"),
    ("taken_teacher",),
    ("warm_start",),
    ("rehearsal",),
    ("assembly",),
    ("footprint",),
    ("auto",),
    ("resumption",),
    ("run",),
    ("adaptation", "comparison", "estimators", "sweep", "verify", "bench", "sizing"),
    ("cli",),
    ("__init__",),
)
LAYER = {module: place for place, layer in enumerate(ORDER) for module in layer}
LEAVES = {"export", "hub", "serve"}  # for the command line alone


def imported(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """(line, top-level module of the package) of every import in a file, lazy ones as well."""
    package = [root.name, *path.relative_to(root).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (
                [*package[: len(package) + 1 - node.level], *filter(None, [node.module])]
                if node.level
                else [node.module]
            )
            names = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == root.name:
                module = rest.partition(".")[0]
                yield node.lineno, module if module in LAYER else "__init__"


def faults(root: Path) -> list[str]:
    """Every import that goes against the order, as "file:line: what"."""
    found = []
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        own = inside.parts[0].removesuffix(".py")
        if own not in LAYER:
            found.append(f"{inside}: {own} has no place in the order")
            continue
        for line, module in imported(path, root):
            if module == own:
                continue
            if LAYER.get(module, len(ORDER)) >= LAYER[own]:
                found.append(f"{inside}:{line}: {own} imports {module}")
            elif module in LEAVES and own not in {"cli", "__init__"}:
                found.append(f"{inside}:{line}: {own} imports the leaf {module}")
    return found


def test_a_file_imports_only_from_layers_before_its_own() -> None:
    assert faults(Path(nounroll.__file__).parent) == []


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("cells/mlp.py", "from nounroll.teacher.trunk import Trunk", "cells/mlp.py:1: cells imports teacher"),
        ("cells/mlp.py", "from nounroll import teacher", "cells/mlp.py:1: cells imports teacher"),
        ("cells/mlp.py", "import torch, nounroll.methods.smt", "cells/mlp.py:1: cells imports methods"),
        ("cells/mlp.py", "from .. import methods", "cells/mlp.py:1: cells imports methods"),
        ("cells/mlp.py", "from ..methods import smt", "cells/mlp.py:1: cells imports methods"),
        ("student.py", "def f():\n    from .training import loop", "student.py:2: student imports training"),
        ("files.py", "import nounroll.seeding", "files.py:1: files imports seeding"),
        ("spaces/real.py", "import nounroll.batch", "spaces/real.py:1: spaces imports batch"),
        ("data/task.py", "from nounroll import run", "data/task.py:1: data imports run"),
        ("data/task.py", "import nounroll", "data/task.py:1: data imports __init__"),
        ("data/task.py", "from nounroll import SequenceTask", "data/task.py:1: data imports __init__"),
        ("recipe.py", "from nounroll.serve import app", "recipe.py:1: recipe imports the leaf serve"),
        ("utils.py", "", "utils.py: utils has no place in the order"),
    ],
)
def test_control_a_planted_import_is_caught(tmp_path: Path, file: str, line: str, fault: str) -> None:
    root = tmp_path / "nounroll"
    for name, text in {
        "__init__.py": "from nounroll.cli import main",
        "batch.py": "import torch",
        "files.py": "import torch",
        "spaces/real.py": "from nounroll.plain import count",
        "cells/base.py": "from nounroll.batch import Batch",
        "cells/gru.py": "from .base import Cell\nfrom . import base\nfrom .. import batch\nimport nounroll.cells.base",
        "methods/smt.py": "from nounroll import batch, teacher",
        "cli/main.py": "from nounroll.serve import app\nimport nounrolled",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    assert faults(root) == []
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(line)
    assert faults(root) == [fault]


HEAVY = ("nounroll.teacher", "nounroll.methods", "nounroll.training", "lightning", "lightning_fabric")


def heavy_modules(*path: str) -> list[str]:
    """What ``import nounroll.student`` loads that a deployed student must do without."""
    script = f"import sys; sys.path[:0] = {path!r}; import nounroll.student; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    return [name for name in loaded if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY)]


@pytest.mark.skipif(importlib.util.find_spec("nounroll.student") is None, reason="there is no student yet")
def test_a_deployed_student_is_light() -> None:
    assert heavy_modules() == []


def test_control_a_heavy_student_is_caught(tmp_path: Path) -> None:
    for name, text in {"__init__.py": "", "student.py": "from nounroll import training", "training.py": ""}.items():
        (tmp_path / "nounroll").mkdir(exist_ok=True)
        (tmp_path / "nounroll" / name).write_text(text)
    assert heavy_modules(str(tmp_path)) == ["nounroll.training"]
