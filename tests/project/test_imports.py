"""The one-way order of the house: a package imports only from floors below its own, and no files form a circle."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nounroll

# A floor is one line; its packages do not import one another. The top level sees everything.
ORDER = (
    ("core", "report"),
    ("nn", "storage"),
    ("cells", "data", "objectives"),
    ("models", "teacher"),
    ("export", "hub", "rollout"),
    ("analysis", "methods"),
    ("bench", "serve", "training"),
    ("experiments",),
    ("control", "estimators"),
    ("cli",),
    ("__init__", "__main__"),
)
FLOOR = {package: place for place, floor in enumerate(ORDER) for package in floor}
LEAVES = {"control", "export", "hub", "serve"}  # for the command line alone


def imported(path: Path, root: Path, *, types: bool = True) -> Iterator[tuple[int, str]]:
    """(line, dotted name within the package) of every import in a file, lazy ones and those for types as well."""
    package = [root.name, *path.relative_to(root).parts[:-1]]
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not types and id(node) in for_types:
            continue
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
                yield node.lineno, rest if rest.partition(".")[0] in FLOOR else "__init__"


def faults(root: Path) -> list[str]:
    """Every import that goes against the order, as "file:line: what"."""
    found = []
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        own = inside.parts[0].removesuffix(".py")
        if own not in FLOOR:
            found.append(f"{inside}: {own} has no place in the order")
            continue
        for line, name in imported(path, root):
            package = name.partition(".")[0]
            if package == own:
                continue
            if FLOOR.get(package, len(ORDER)) >= FLOOR[own]:
                found.append(f"{inside}:{line}: {own} imports {package}")
            elif package in LEAVES and own not in {"cli", "__init__"}:
                found.append(f"{inside}:{line}: {own} imports the leaf {package}")
    return found


def circle(root: Path) -> list[str]:
    """Files that import each other in a circle when they run; empty where there is none."""
    files = {".".join(path.relative_to(root).with_suffix("").parts): path for path in sorted(root.rglob("*.py"))}
    needs: dict[str, set[str]] = {}
    for name, path in files.items():
        found = {rest for _, rest in imported(path, root, types=False)}
        whole = found | {rest.rpartition(".")[0] for rest in found}  # an attribute of a file, or a file
        needs[name] = {other for other in whole if other in files} - {name}
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(needs[name]):
            if found := walk(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next(filter(None, (walk(name, []) for name in files)), [])


def test_a_file_imports_only_from_floors_below_its_own() -> None:
    assert faults(Path(nounroll.__file__).parent) == []


def test_no_files_import_each_other() -> None:
    assert circle(Path(nounroll.__file__).parent) == []


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("cells/mlp.py", "from nounroll.teacher.trunk import Trunk", "cells/mlp.py:1: cells imports teacher"),
        ("cells/mlp.py", "from nounroll import teacher", "cells/mlp.py:1: cells imports teacher"),
        ("cells/mlp.py", "import torch, nounroll.methods.smt", "cells/mlp.py:1: cells imports methods"),
        ("cells/mlp.py", "from .. import methods", "cells/mlp.py:1: cells imports methods"),
        ("cells/mlp.py", "from ..methods import smt", "cells/mlp.py:1: cells imports methods"),
        (
            "models/student.py",
            "def f():\n    from ..training import loop",
            "models/student.py:2: models imports training",
        ),
        ("core/spaces/real.py", "import nounroll.data.task", "core/spaces/real.py:1: core imports data"),
        ("data/task.py", "from nounroll import experiments", "data/task.py:1: data imports experiments"),
        ("data/task.py", "import nounroll", "data/task.py:1: data imports __init__"),
        ("data/task.py", "from nounroll import SequenceTask", "data/task.py:1: data imports __init__"),
        (
            "experiments/run.py",
            "from nounroll.serve import app",
            "experiments/run.py:1: experiments imports the leaf serve",
        ),
        ("utils.py", "", "utils.py: utils has no place in the order"),
    ],
)
def test_control_a_planted_import_is_caught(tmp_path: Path, file: str, line: str, fault: str) -> None:
    root = planted(tmp_path)
    assert faults(root) == []
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(line)
    assert faults(root) == [fault]


@pytest.mark.parametrize("line", ["from nounroll.cells.gru import GRU", "from . import gru", "from .gru import GRU"])
def test_control_a_planted_circle_is_caught(tmp_path: Path, line: str) -> None:
    root = planted(tmp_path)
    assert circle(root) == []
    (root / "cells/base.py").write_text(line)
    assert set(circle(root)) == {"cells.base", "cells.gru"}


def planted(folder: Path) -> Path:
    """A small package whose imports are in order."""
    root = folder / "nounroll"
    for name, text in {
        "__init__.py": "from nounroll.cli import main",
        "core/plain.py": "import torch",
        "core/spaces/real.py": "from nounroll.core.plain import count",
        "cells/base.py": "from nounroll.core.spaces.real import Real",
        "cells/gru.py": "from .base import Cell\nfrom . import base\nfrom .. import core\nimport nounroll.cells.base",
        "methods/smt.py": "from nounroll import core, teacher",
        "cli/main.py": "from nounroll.serve import app\nimport nounrolled",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


HEAVY = ("nounroll.teacher", "nounroll.methods", "nounroll.training", "lightning", "lightning_fabric")


def heavy_modules(*path: str) -> list[str]:
    """What ``import nounroll.models.student`` loads that a deployed student must do without."""
    script = f"import sys; sys.path[:0] = {path!r}; import nounroll.models.student; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    return [name for name in loaded if any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY)]


def test_a_deployed_student_is_light() -> None:
    assert heavy_modules() == []


def test_control_a_heavy_student_is_caught(tmp_path: Path) -> None:
    for name, text in {
        "__init__.py": "",
        "models/__init__.py": "",
        "models/student.py": "from nounroll import training",
        "training.py": "",
    }.items():
        (tmp_path / "nounroll" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "nounroll" / name).write_text(text)
    assert heavy_modules(str(tmp_path)) == ["nounroll.training"]


OTHER_TESTS = {"benchmarks", "examples", "fixtures", "golden", "integration", "project", "properties"}


def misplaced(tests: Path, packages: set[str]) -> list[str]:
    """Find tests that are in no folder of their own, and folders that are named after no package."""
    files = [path.name for path in tests.glob("test_*.py")]
    folders = [path.name for path in tests.iterdir() if path.is_dir() and any(path.rglob("test_*.py"))]
    return sorted([*files, *(set(folders) - packages - OTHER_TESTS)])


def test_the_tests_of_a_package_are_in_the_folder_of_its_name() -> None:
    assert misplaced(Path(__file__).parents[1], set(FLOOR)) == []


def test_control_a_misplaced_test_is_found(tmp_path: Path) -> None:
    (tmp_path / "attic").mkdir()
    (tmp_path / "test_a.py").touch()
    (tmp_path / "attic" / "test_b.py").touch()
    assert misplaced(tmp_path, {"cells"}) == ["attic", "test_a.py"]
