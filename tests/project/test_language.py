"""Plain language: first lines of docstrings name their thing, and pages use no private or unidiomatic words.

A first line is a noun phrase or an imperative with its object: "Build label lookups for a batch", not "Those of a
batch".
docs/glossary.md defines the project's own words; CONTRIBUTING.md has the rule.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "nounroll").rglob("*.py"))
GENERATED = {
    "suite.md",
    "results.md",
    "probes.md",
    "text.md",
    "classification.md",
    "downstream.md",
    "performance.md",
    "figures.md",
}
DIARY = {"lab-notes.md"}
PAGES = [
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name not in GENERATED | DIARY),
]

OPENERS = re.compile(
    r"(Those|These|What|Whatever|Whether|Which|Who|Whoever|Where|When|How|All that|Of|As|By|In|On|For|From|That|If)\b"
)
IN_FIRST_LINES = re.compile(r"\b(alike|whoever|one's own|those of)\b", re.IGNORECASE)
IN_PAGES = {
    r"\balike\b": "in the same way",
    r"\bwhoever\b": "name the person or the part",
    r"\bwhatsoever\b": "leave it out",
    r"\bof (one's|my) own\b": "of your own",
    r"\bgoes on by\b": "continues with",
    r"\bheeds?\b(?![`.(])": "see the glossary: heed; elsewhere follow",
    r"\bat the least\b": "at least",
    r"\bforetells?\b|\bforetold\b": "predict",
    r"\ball the same\b": "anyway, or the same",
}


def first_lines(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the first line of each docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text.partition("\n")[0]


def foreign_first_lines(source: str) -> list[str]:
    """List the first lines that begin without a noun or a verb, or hold a private word."""
    return [
        f"{line}: {text}" for line, text in first_lines(source) if OPENERS.match(text) or IN_FIRST_LINES.search(text)
    ]


def foreign_words(text: str) -> list[str]:
    """List the words of a page that the word list has, outside of code."""
    prose = re.sub(
        r"^```.*?^```|`[^`\n]*`", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE
    )
    return [
        f"{prose.count(chr(10), 0, found.start()) + 1}: {found[0]!r}; write: {better}"
        for pattern, better in IN_PAGES.items()
        for found in re.finditer(pattern, prose, re.IGNORECASE)
    ]


def test_first_lines_of_docstrings_name_their_thing() -> None:
    found = [f"{path.relative_to(ROOT)}:{one}" for path in SOURCES for one in foreign_first_lines(path.read_text())]
    assert found == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_use_no_word_of_the_list(page: Path) -> None:
    if page.name != "glossary.md":  # where these words are explained
        assert foreign_words(page.read_text()) == []


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("Those of a batch.", True),
        ("What the readout may see.", True),
        ("Whether all weights are.", True),
        ("Centred for student and teacher alike.", True),
        ("Build the label lookups of a batch.", False),
        ("Inputs of a network.", False),
        ("Hows and whys.", False),
    ],
)
def test_control_a_planted_first_line_is_found(text: str, foreign: bool) -> None:
    sources = [
        f'"""{text}"""\n',
        f'class A:\n    async def f(self):\n        """{text}\n\n        More.\n        """\n',
    ]
    assert [len(foreign_first_lines(source)) for source in sources] == [foreign, foreign]


def test_control_a_planted_word_is_found() -> None:
    page = "# Title\n\n`alike`\n\n```python\nalike = 1\n```\n\nStudents and teachers alike.\n"
    assert foreign_words(page) == ["9: 'alike'; write: in the same way"]
