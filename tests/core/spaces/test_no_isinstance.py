"""No file asks which space it has before it: what differs is a method or an attribute of the space."""

import ast
from pathlib import Path

import nounroll

SPACES = {"Bits", "Categorical", "Count", "Positive", "Product", "Real", "Space"}


def asked(root: Path) -> list[str]:
    """Every isinstance or type comparison on a space outside of ``spaces``, as "file:line"."""
    found = []
    for path in sorted(root.rglob("*.py")):
        if "spaces" in path.relative_to(root).parts:
            continue
        tree = ast.parse(path.read_text())
        numbers = any(isinstance(n, ast.ImportFrom) and n.module == "numbers" for n in ast.walk(tree))
        for node in ast.walk(tree):
            call = isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass")
            compared = isinstance(node, ast.Compare) and any(
                isinstance(part, ast.Call) and getattr(part.func, "id", "") == "type" for part in ast.walk(node)
            )
            if isinstance(node, ast.match_case) or call or compared:
                named = {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(node)}
                if named & (SPACES - ({"Real"} if numbers else set())):
                    found.append(f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}")
    return found


def test_nothing_asks_which_space_it_is() -> None:
    assert asked(Path(nounroll.__file__).parent) == []


def test_control_each_way_to_ask_is_seen(tmp_path: Path) -> None:
    for line in (
        "isinstance(space, Real)",
        "isinstance(space, (int, batch.Categorical))",
        "isinstance(space, Real | Bits)",
        "type(space) is Count",
        "type(space) == spaces.Product",
    ):
        (tmp_path / "one.py").write_text(f"x = 1\ny = {line}\n")
        assert asked(tmp_path) == ["one.py:2"], line
    (tmp_path / "one.py").write_text("from numbers import Real\ny = isinstance(1.0, Real)\n")
    assert asked(tmp_path) == []
