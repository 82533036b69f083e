"""Stage the pages of the documentation site, with links that hold there: ``python docs/site.py build/docs``.

Pages are written to be read in the repository. A link to another page stays a link between pages; one to a file that
is no page (source, recipes, figures) becomes a link to the repository. A link to nothing is an error.
"""

import re
import shutil
import sys
import tomllib
from os.path import relpath
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {  # pages that do not lie in docs/, and their places on the site
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples.md",
}
SHOWN = {".md", ".svg", ".png", ".css"}
LINK = re.compile(r"(?:\]\(|<img src=\")(?P<path>[^)\s\"#]+)")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def pages(root: Path) -> dict[Path, Path]:
    """Map each file that the site shows to its place there."""
    found = {root / source: Path(place) for source, place in OUTSIDE.items()}
    docs = root / "docs"
    return found | {path: path.relative_to(docs) for path in sorted(docs.rglob("*")) if path.suffix in SHOWN}


def repository(root: Path) -> str:
    """Read the address of the repository from pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def staged(page: Path, root: Path, places: dict[Path, Path]) -> str:
    """Return the text of a page with the links of its place on the site.

    Raises:
        ValueError: a link leads to nothing; the message names the page, the line and the link.
    """

    text, done, parts = page.read_text(), 0, []
    hidden = [found.span() for found in CODE.finditer(text)]
    for found in LINK.finditer(text):
        if any(start <= found.start() < stop for start, stop in hidden):
            continue
        try:
            address = moved(found["path"], page, root, places)
        except ValueError as error:
            line = text.count("\n", 0, found.start()) + 1
            raise ValueError(f"{page.relative_to(root)}:{line}: {error}") from None
        parts += [text[done : found.start("path")], address]
        done = found.end("path")
    return "".join([*parts, text[done:]])


def moved(path: str, page: Path, root: Path, places: dict[Path, Path]) -> str:
    """Return the address on the site of what a link of a page leads to.

    Raises:
        ValueError: it leads to nothing.
    """
    if re.match(r"[a-z]+:", path):
        return path
    target = (page.parent / path).resolve()
    if target in places:
        return relpath(places[target], places[page].parent)
    if not target.exists() or not target.is_relative_to(root):
        raise ValueError(f"the link {path!r} leads to nothing; name a file of the repository")
    kind = "tree" if target.is_dir() else "blob"
    return f"{repository(root)}/{kind}/main/{quote(target.relative_to(root).as_posix())}"


def stage(folder: Path, root: Path = ROOT) -> None:
    """Write all pages and pictures into an empty folder."""
    places = pages(root)
    shutil.rmtree(folder, ignore_errors=True)
    for source, place in places.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            (folder / place).write_text(staged(source, root, places))
        else:
            shutil.copyfile(source, folder / place)


if __name__ == "__main__":
    try:
        stage(Path(sys.argv[1]))
    except ValueError as error:
        sys.exit(str(error))
