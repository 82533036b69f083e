"""The documentation site is built strictly and without the network: links, anchors, navigation, public names."""

import importlib
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

import nounroll
from nounroll.cells.base import CELLS
from nounroll.data import TASKS
from nounroll.methods.base import METHODS
from nounroll.teacher.base import TEACHERS

ROOT = Path(__file__).parents[2]
SOURCES = Path(nounroll.__file__).parents[1]  # of the package that is tested
SETTINGS = (ROOT / "mkdocs.yml").read_text().replace("paths: [src]", f"paths: [{SOURCES}]")
PACKAGES = ("nounroll", "nounroll.core.spaces", "nounroll.methods", "nounroll.teacher", "nounroll.export")
CONSTANTS = ("ADAPT", "AUTO", "METHODS", "TRANSFORMER", "FORMATS")  # names of names, explained where they are used


def staging() -> Any:
    spec = spec_from_file_location("site_of_docs", ROOT / "docs" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(folder: Path, settings: str) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder's staged pages, in that folder."""
    (folder / "mkdocs.yml").write_text(settings)
    words = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    staging().stage(folder / "build" / "docs")
    ended = build(folder, SETTINGS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "griffe" not in ended.stdout + ended.stderr  # a docstring that was not understood
    return folder / "build" / "site"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("[x](index.md#a-heading)\n\n::: nounroll.Batch", True),
        ("[x](nothing.md)", False),
        ("[x](index.md#nothing)", False),
        ("::: nounroll.nothing", False),
        ("[x][nounroll.nothing]", False),
    ],
)
def test_control_the_strict_build_refuses_a_broken_reference(tmp_path: Path, text: str, whole: bool) -> None:
    pages = tmp_path / "build" / "docs"
    pages.mkdir(parents=True)
    (pages / "index.md").write_text(f"# Title\n\n## A heading\n\n{text}\n")
    (pages / "site.css").touch()
    ended = build(tmp_path, SETTINGS.partition("nav:")[0])
    assert (ended.returncode == 0) is whole, ended.stdout + ended.stderr


# -- links ------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The identifiers of a page, where its links lead, and what a browser loads with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.identifiers, self.links, self.loaded = set[str](), list[str](), list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        self.identifiers |= {of[name] for name in ("id", "name") if name in of}
        if tag == "a" and "href" in of:
            self.links.append(of["href"])
        if tag in ("img", "script") and "src" in of:
            self.loaded.append(of["src"])
        if tag == "link" and of.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(of["href"])


def read(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def broken(pages: dict[Path, Page]) -> Iterator[str]:
    """Each link of a page to a file or a heading that is not there, and all that is loaded from elsewhere."""
    for path, page in pages.items():
        for address in page.loaded:
            if re.match(r"(https?:)?//", address) or not (path.parent / unquote(address).partition("?")[0]).exists():
                yield f"{path.parent.name} loads {address}"
        for address in page.links:
            if re.match(r"[a-z]+:", address):
                continue
            file, _, heading = unquote(address).partition("#")
            target = (path.parent / file).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (heading and target in pages and heading not in pages[target].identifiers):
                yield f"{path.parent.name} links to {address}"


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = read(site)
    assert len(pages) > 40
    assert list(broken(pages)) == []


@pytest.mark.parametrize(
    "planted",
    [
        '<a href="nothing.html">x</a>',
        '<a href="method/#nothing">x</a>',
        '<script src="https://a.b/c.js"></script>',
        '<img src="no.png">',
    ],
)
def test_control_a_planted_broken_link_is_found(site: Path, planted: str) -> None:
    pages = read(site)
    pages[site / "planted.html"] = Page(planted)  # beside the home page
    assert len(list(broken(pages))) == 1


def test_a_link_to_a_file_of_the_repository_leads_there(site: Path) -> None:
    assert "/blob/main/src/nounroll/experiments/resolve.py" in (site / "method" / "index.html").read_text()


@pytest.mark.parametrize("link", ["[x](nothing.md)", "[x](../../outside.md)", '<img src="no.svg">'])
def test_control_staging_refuses_a_link_to_nothing(tmp_path: Path, link: str) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "page.md"
    page.write_text(f"# Page\n\n`[code](is-not-a-link.md)`\n\n{link}\n")
    with pytest.raises(ValueError, match=r"docs/page\.md:5: the link '.*' leads to nothing"):
        staging().staged(page, tmp_path, {page: Path("page.md")})


# -- navigation ---------------------------------------------------------------------------------------


def in_navigation(entries: Any) -> Iterator[str]:
    for entry in entries:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from [value] if isinstance(value, str) else in_navigation(value)


def test_every_page_is_in_the_navigation_once() -> None:
    pages = [place.as_posix() for place in staging().pages(ROOT).values() if place.suffix == ".md"]
    listed = list(in_navigation(yaml.safe_load(SETTINGS)["nav"]))
    assert sorted(listed) == sorted(pages), "a new page of docs/ needs a line under nav in mkdocs.yml"


# -- public names ---------------------------------------------------------------------------------------


def public_names() -> set[str]:
    """List all that the package and its documented parts export, and every registered part."""
    names = {
        f"{package}.{name}"
        for package in PACKAGES
        for name in importlib.import_module(package).__all__
        if name not in CONSTANTS
    }
    places = [place for registry in (CELLS, TASKS, TEACHERS, METHODS) for place in registry.places.values()]
    return names | {place.replace(":", ".") for place in places}


def documented(site: Path) -> set[str]:
    """The names of the site's inventory of objects."""
    head, _, packed = (site / "objects.inv").read_bytes().partition(b"zlib.\n")
    assert head.startswith(b"# Sphinx inventory version 2")
    return {line.split(" ")[0] for line in zlib.decompress(packed).decode().splitlines()}


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    assert len(public_names()) > 60
    assert public_names() - documented(site) == set()


def test_control_a_name_that_the_reference_lacks_is_found(site: Path) -> None:
    assert "nounroll.experiments.recipe.parse" not in documented(site)


def test_the_search_index_holds_the_pages(site: Path) -> None:
    index = (site / "search.json").read_text()
    assert all(word in index for word in ("nounroll.fit", "Glossary", "tbptt.window"))


# -- in a browser -----------------------------------------------------------------------------------------


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_site_is_read_and_searched_at_two_widths(address: str, width: int) -> None:
    from playwright.sync_api import sync_playwright

    Path("test-output").mkdir(exist_ok=True)
    asked: list[str] = []
    faults: list[str] = []
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": width, "height": 844})
        view.set_default_timeout(60_000)
        view.on("request", lambda request: asked.append(request.url))
        view.on("pageerror", lambda error: faults.append(str(error)))
        for name in ("", "method/", "reference/training/", "glossary/", "suite/"):
            view.goto(address + name, wait_until="load")
            assert view.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, name  # no sideways
            view.screenshot(path=f"test-output/site-{name.replace('/', '-') or 'home-'}{width}.png")
        view.click(".md-search button:visible, label[for=__search]:visible")
        view.get_by_role("combobox").fill("drift")
        view.locator("dialog").get_by_text("The distance between the student").first.wait_for()
        view.screenshot(path=f"test-output/site-search-{width}.png")
        browser.close()
    assert faults == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
