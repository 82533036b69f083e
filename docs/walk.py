"""Renew the line numbers of docs/walk.md: ``python docs/walk.py``.

A stop is a link ``[`NAME`](../FILE#LLINE)``. NAME is a function or a class of the file, or a piece of source text that
is in one line of it.
"""

import ast
import re
from pathlib import Path

PAGE = Path(__file__).parent / "walk.md"
STOP = re.compile(r"\[`(?P<name>[^`]+)`\]\((?P<file>[^)#]+)#L(?P<line>\d+)\)")


def definitions(source: str) -> dict[str, int]:
    """Map each function and class, by its qualified name, to the line of its ``def`` or ``class``."""
    found: dict[str, int] = {}

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.setdefault(prefix + child.name, child.lineno)
                walk(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.If | ast.Try):
                walk(child, prefix)

    walk(ast.parse(source), "")
    return found


def line_of(name: str, file: Path) -> int:
    """Find the line of a stop.

    Raises:
        ValueError: the file has no such function, or not exactly one line with such a text.
    """
    source = file.read_text()
    if re.fullmatch(r"[\w.]+", name):
        if name not in (known := definitions(source)):
            raise ValueError(f"{file.name} has no function or class {name}; name one that it has")
        return known[name]
    lines = [number for number, line in enumerate(source.splitlines(), 1) if name in line]
    if len(lines) != 1:
        raise ValueError(f"{file.name} has {len(lines)} lines with {name!r}; name a text that is in one line")
    return lines[0]


def renewed(text: str, folder: Path) -> str:
    """Return the text of a page in a folder, with the lines of all stops as they are now."""

    def stop(found: re.Match[str]) -> str:
        return f"[`{found['name']}`]({found['file']}#L{line_of(found['name'], folder / found['file'])})"

    return STOP.sub(stop, text)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(), PAGE.parent))
