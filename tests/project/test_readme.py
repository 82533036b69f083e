"""The documentation runs: every ``python``, ``console`` and ``sh`` block of README.md and docs/.

Any ``seconds=NNN`` or ``--seconds NNN`` becomes 0.5. The blocks of a page run in their order in one folder, which
holds copies of recipes/ and examples/. Python blocks that follow one another share a process, but no names; torch is
imported there already. Lines that set a machine up (``pip install``, ``git clone``, ``cd``)
are left out; ``make TARGET`` must name a target of the Makefile. A block after ``<!-- not run: REASON -->`` is skipped.
"""

import contextlib
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from forked import run_scripts

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\s*\n\s*)?"
    r"```(?P<language>python|console|sh)\n(?P<code>.*?)^```\s*$",
    re.MULTILINE | re.DOTALL,
)
LOOKS_RUNNABLE = re.compile(r"^\W*(?:```|~~~)\W*(?:py|console|sh|bash|zsh|doctest)", re.MULTILINE | re.IGNORECASE)
SECONDS = re.compile(r"(\bseconds\s*=\s*|--seconds[ =])\d+(\.\d+)?")
SET_UP = re.compile(r"(\S*python\S* -m )?(pip3? install|venv) |(sudo )?apt(-get)? |git clone |cd |source ")
TIMEOUT = 240


@dataclass(frozen=True)
class Block:
    page: Path
    line: int  # of its first line of code
    language: str
    code: str
    reason: str | None  # why it is not run

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start("code")) + 1, found["language"], found["code"], found["reason"])
        for found in FENCE.finditer(text)
    ]


def commands(block: Block) -> str:
    """The shell commands of a block, as a script. In a console block they follow ``$ ``, and output follows them."""
    lines, inside = [], False
    for line in block.code.splitlines():
        if block.language == "console":
            if not inside and not line.startswith("$ "):
                continue
            line = line if inside else line[2:]
            inside = line.endswith("\\")
        lines.append(line)
    return "\n".join(line for line in lines if not SET_UP.match(line) and not line.startswith("make"))


def make_targets(block: Block) -> list[str]:
    """The targets that a block's ``make`` lines name."""
    words = (
        re.findall(r"^(?:\$ )?(?:.*&& *)?make\b([^#&\n]*)", block.code, re.MULTILINE)
        if block.language != "python"
        else []
    )
    return [word for line in words for word in line.split() if "=" not in word and not word.startswith("-")]


def together(page: Path) -> list[list[Block]]:
    """The blocks of a page that run, those of Python together where they follow one another: torch is imported once."""
    found = [block for block in blocks(page) if block.reason is None]
    place = itertools.count()
    groups = itertools.groupby(found, key=lambda block: block.language if block.language == "python" else next(place))
    return [list(group) for _, group in groups]


def run(group: list[Block], folder: Path) -> str | None:
    """Run blocks in a folder; what they printed if one failed, None if none did."""
    makefile = (ROOT / "Makefile").read_text()
    for target in (target for block in group for target in make_targets(block)):
        if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE):
            return f"make {target}: the Makefile has no such target"
    for name in ("recipes", "examples"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    if group[0].language == "python":
        scripts = [folder / f"block_{block.page.stem}_{block.line}.py" for block in group]
        for script, block in zip(scripts, group, strict=True):  # so tracebacks name the page's line
            script.write_text("\n" * (block.line - 1) + SECONDS.sub(r"\g<1>0.5", block.code))
        return python([script.name for script in scripts], folder)
    (block,) = group
    script = SECONDS.sub(r"\g<1>0.5", commands(block))
    plain = plain_commands(script)
    return (
        shell(script, folder) if plain is None else next(filter(None, (nounroll(one, folder) for one in plain)), None)
    )


def plain_commands(script: str) -> list[list[str]] | None:
    """The words of each command, if all are commands of nounroll alone; they need no shell, nor to import torch."""
    lines = [shlex.split(line, comments=True) for line in script.replace("\\\n", " ").splitlines()]
    found = [words for words in lines if words]
    plain = not re.search(r"[|&;<>$`*~]", script) and all(words[0] == "nounroll" for words in found)
    return [words[1:] for words in found] if plain else None


def nounroll(words: list[str], folder: Path) -> str | None:
    """Run a command of nounroll in a process of its own."""
    (folder / "command.py").write_text(f"import sys\nfrom nounroll.cli.main import main\nsys.exit(main({words}))\n")
    return python(["command.py"], folder)


def environment() -> dict[str, str]:
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": binaries, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


def python(scripts: list[str], folder: Path) -> str | None:
    output = folder / ".output"
    output.unlink(missing_ok=True)
    process = run_scripts(scripts, folder, environment(), output)
    process.join(TIMEOUT)
    code = process.exitcode
    end(process.pid)
    process.join()
    return failed(code, output)


def shell(script: str, folder: Path) -> str | None:
    output = folder / ".output"
    with open(output, "w") as stream:  # a file: a server left running would keep a pipe open
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            code = None
        end(process.pid)
        process.wait()
    return failed(code, output)


def end(group: int | None) -> None:
    """End what a block left running."""
    assert group
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def failed(code: int | None, output: Path) -> str | None:
    """The end of what a block printed, unless it succeeded."""
    if code == 0:
        return None
    return f"exit status {f'none after {TIMEOUT} s' if code is None else code}\n{output.read_text()[-4000:]}"


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page)]


SLOW = {  # a quarter of a minute of processor time and more
    *("analysis.md", "comparing.md", "pretrained.md", "warm-start.md", "method.md", "forecasting.md"),
    *("adapt.md", "estimators.md", "streams.md"),  # the tutorials are shorter
    *("extending.md", "first-network.md"),  # their twins: tests/integration/test_added_parts.py, README.md
}
NEEDED = {"act.md": "gymnasium", "control.md": "gymnasium"}  # packages, without which a page is skipped


def is_slow(page: Path) -> bool:
    """Return whether a page is for the nightly run; the small examples of the reference are many processes."""
    return page.name in SLOW or page.parent.name == "reference"


def marks(page: Path) -> list[pytest.MarkDecorator]:
    """Why a page does not run everywhere, or every time."""
    package = NEEDED.get(page.name, "pytest")
    absent = pytest.mark.skipif(find_spec(package) is None, reason=f"needs {package}")
    return [absent, *([pytest.mark.nightly] if is_slow(page) else [])]


RUN = [
    pytest.param(page, marks=marks(page), id=str(page.relative_to(ROOT)))
    for page in PAGES
    if page.exists() and blocks(page)
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUN)
def test_a_page_runs(page: Path, tmp_path: Path) -> None:
    for group in together(page):
        failure = run(group, tmp_path)
        assert failure is None, f"{', '.join(map(str, group))}\n{failure}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_block_is_overlooked(page: Path) -> None:
    """A block under another name, or indented, would be shown but never run."""
    text = page.read_text() if page.exists() else ""
    assert len(LOOKS_RUNNABLE.findall(text)) == len(blocks(page)), f"{page.name}: write ```python, ```console or ```sh"


def test_few_blocks_are_skipped() -> None:
    skipped = [f"{block}: {block.reason}" for block in BLOCKS if block.reason]
    assert len(skipped) <= 5, skipped


PAGE = """Text.

```python
for seconds in range(2):
    print(f"{seconds=}", dict(seconds=1200))
```

<!-- not run: it takes a day -->
```sh
nounroll train --seconds 86400
```

```console
$ pip install nounroll
$ make test
$ echo one --seconds 1200 \\
    and the rest > out.txt
one line of output
$ grep -x "one --seconds 2 and the rest" out.txt
```

```yaml
not: run
```
"""


def test_blocks_are_found_and_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    found = blocks(page)
    assert [(str(block), block.language, block.reason) for block in found] == [
        ("page.md:4", "python", None),
        ("page.md:10", "sh", "it takes a day"),
        ("page.md:14", "console", None),
    ]
    assert [run(group, tmp_path) for group in together(page)] == [None, None]
    assert make_targets(found[-1]) == ["test"]


def test_the_command_is_installed() -> None:
    """Pages that call it alone run without this script."""
    ended = subprocess.run(["nounroll", "--version"], env=environment(), capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("nounroll ")


def test_plain_commands_need_no_shell() -> None:
    script = "nounroll train a.yaml --set x='1 2' \\\n  --json  # a run\n\nnounroll report runs/a"
    assert plain_commands(script) == [["train", "a.yaml", "--set", "x=1 2", "--json"], ["report", "runs/a"]]
    for other in (
        "nounroll report a > b",
        "nounroll report $RUN",
        "nounroll tasks | head",
        "python a.py",
        "NAME=1 nounroll",
    ):
        assert plain_commands(other) is None


def test_blocks_of_python_share_a_process_and_no_names(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(f"```python\n{code}\n```\n" for code in ("x = 1", "print(x)")) + "```sh\ntrue\n```\n")
    first, last = together(page)
    assert (len(first), len(last)) == (2, 1)
    failure = run(first, tmp_path)
    assert failure is not None
    assert re.search(r'block_page_6\.py", line 6(.|\n)*NameError', failure), failure


@pytest.mark.parametrize(
    ("language", "code", "said"),
    [
        ("python", "import nounroll\nnounroll.no_such_name", 'block_page_4.py", line 5'),
        ("python", "assert 1 == 2", "AssertionError"),
        ("python", "import helpers", "No module named 'helpers'"),
        ("python", "seconds = 60\nassert dict(seconds=60)['seconds'] == 60", "AssertionError"),
        ("console", "$ false\n$ true", "exit status 1"),
        ("console", "$ false | true", "exit status 1"),
        ("sh", "no-such-command", "not found"),
        ("sh", "nounroll tasks\nnounroll no-such-command", "'no-such-command' is not a command"),
        ("sh", "make no-such-target", "no such target"),
        ("sh", "git clone there && cd there && make no-such-target", "no such target"),
        ("console", "$ make PYTHON=python3 -s test no-such-target  # comment", "no such target"),
    ],
)
def test_control_a_block_that_fails_is_reported(tmp_path: Path, language: str, code: str, said: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```{language}\n{code}\n```\n")
    failure = run(blocks(page), tmp_path)
    assert failure is not None
    assert re.search(said, failure), failure


@pytest.mark.parametrize(
    "fence", ["- ```python", "    ```python", "```bash", "```py", "``` python", "~~~sh", "```python3 x"]
)
def test_control_an_overlooked_block_is_seen(tmp_path: Path, fence: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{fence}\nassert False\n```\n\n```yaml\na: 1\n```\n")
    assert blocks(page) == []
    with pytest.raises(AssertionError, match=r"page\.md: write"):
        test_no_block_is_overlooked(page)


def test_control_what_a_block_leaves_running_is_ended(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nsleep 600 &\necho $! > pid\n```\n")
    assert run(blocks(page), tmp_path) is None
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if ended(pid):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} is still running")


def ended(pid: int) -> bool:
    """Gone, or a zombie that waits for init."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return state in ("", "Z", "Zs")
