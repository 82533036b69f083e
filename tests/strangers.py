"""Run folders and recipes as a stranger may make them: links, pipes, sockets, bombs, names; and the watch over them."""

import gzip
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

SECONDS = 2.0  # of the processor, that an answer may take
HANG = 60  # seconds on the clock of a busy machine after which a command hangs
_LONG = 1 << 40  # bytes of a file that is nearly all hole

STEP = "checkpoints/step-00000004"
RUN_FILES = (
    *("recipe.yaml", "metrics.jsonl", "metrics.json", ".lock", "chosen.json", "consent.json", "analysis.json"),
    *("student/config.json", "student/model.safetensors", "student/manifest.json"),
    *(f"{STEP}/manifest.json", f"{STEP}/counters.json", f"{STEP}/student.safetensors"),
)
RUN_FOLDERS = ("checkpoints", STEP, "student", "figures", "export", "trials")


class Stranger(NamedTuple):
    """A folder that must be refused.

    Attributes:
        fault: what is wrong with it.
        lay: make it so; given the folder and a place outside it.
        commands: of a run, those that must refuse it.
        said: what the line has to hold.
    """

    fault: str
    lay: Callable[[Path, Path], object]
    commands: tuple[str, ...]
    said: str


# -- run folders ----------------------------------------------------------------------------------

ALL = ("verify", "resume", "evaluate", "report")


def hostile_runs() -> list[Stranger]:
    """At least 50, of a run that is whole but for the fault."""
    return [*_links(), *_pipes_and_sockets(), *_bombs(), *_names()]


def _links() -> Iterator[Stranger]:
    for name in RUN_FILES:
        yield Stranger(f"{name} is a link out", _moved_out(name), ALL, f"{name} is a link")
    for name in RUN_FOLDERS:
        yield Stranger(f"{name} is a link out", _moved_out(name), ALL, f"{name} is a link")
    for fault, name, target in (
        ("a link to the folder above", "checkpoints/up", ".."),
        ("a link to itself", "report.html", "report.html"),
        ("a link to nothing", ".metrics.json", "gone"),
        ("a link to a device", "metrics.jsonl", "/dev/zero"),
        ("a link inside", "metrics.jsonl", "recipe.yaml"),
        ("a link to the root", "figures/root", "/"),
    ):
        yield Stranger(fault, _linked(name, target), ALL, f"{name} is a link")


def _pipes_and_sockets() -> Iterator[Stranger]:
    for name in RUN_FILES[1:]:
        yield Stranger(f"{name} is a pipe", _piped(name), ALL, f"{name} is a pipe")
    for name in ("metrics.jsonl", "student/config.json"):
        yield Stranger(f"{name} is a socket", _bound(name), ALL, f"{name} is a socket")


def _bombs() -> Iterator[Stranger]:
    deep, wide = b"[" * 100_000, b"cell: {kind: mlp, memory_width: 1000000000}\n"
    checkpoints = ("student/manifest.json", "student/config.json", "student/model.safetensors")
    for name in ("metrics.jsonl", "metrics.json", *checkpoints, f"{STEP}/manifest.json", f"{STEP}/counters.json"):
        yield Stranger(f"{name} of a terabyte", _hollow(name), ("verify",), name)
    yield Stranger("a student's weights of a terabyte", _alone(_LONG), ("evaluate",), "model.safetensors")
    yield Stranger("a recipe of a terabyte", _hollow("recipe.yaml"), ALL, "recipe.yaml")
    for name in ("metrics.json", "student/config.json", f"{STEP}/counters.json"):
        yield Stranger(f"deep brackets in {name}", _put(name, deep), ("verify",), name)
    for fault, content in {
        "deep brackets": deep,
        "aliases that grow": b"a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "a memory of a billion": wide + b"task: {kind: parity}\nlength: 8\nmethod: bptt\n",
        "a Python object": b"!!python/object/apply:os.system ['true']\n",
    }.items():
        commands = ("resume",) if content.startswith(b"cell") else ALL  # the others build the student alone
        yield Stranger(f"{fault} in the recipe", _put("recipe.yaml", content), commands, "")
    for content in (deep, b"{}", b'{"method": 1}'):
        said = "chosen.json cannot be read"
        yield Stranger(f"a choice of {content[:20]!r}", _put("chosen.json", content), ("resume",), said)


def _names() -> Iterator[Stranger]:
    recipe = "task: {kind: parity}\nlength: 8\nmethod: bptt\nname: ../../outside\n"
    yield Stranger("a name that leads out", _put("recipe.yaml", recipe.encode()), ALL, "name is '../../outside'")
    said = f"{STEP}/manifest.json is damaged"
    forged = b'{"files": {"../../../outside/canary": {"size": 1, "sha256": ""}}}'
    yield Stranger("a manifest that leads out", _put(f"{STEP}/manifest.json", forged), ("verify",), said)
    yield Stranger("a name of two lines", _linked("two\nlines", "/"), ALL, "lines is a link")
    yield Stranger("a name that paints", _linked("\x1b[31mred", "/"), ALL, "[31mred is a link")
    yield Stranger("a name that is no text", _linked(os.fsdecode(b"\xff\xfe"), "/"), ALL, "is a link")


def _moved_out(name: str) -> Callable[[Path, Path], object]:
    """A link to a whole copy outside: whoever follows it succeeds."""

    def lay(run: Path, outside: Path) -> None:
        place = run / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            place.rename(outside / place.name)
        elif "." in place.name:
            (outside / place.name).write_text("{}")
        else:
            (outside / place.name).mkdir()
        place.symlink_to(outside / place.name)

    return lay


def _linked(name: str, target: str) -> Callable[[Path, Path], object]:
    return _replaced(name, lambda place: place.symlink_to(target))


def _piped(name: str) -> Callable[[Path, Path], object]:
    return _replaced(name, os.mkfifo)


def _bound(name: str) -> Callable[[Path, Path], object]:
    def bind(place: Path) -> None:
        here = Path.cwd()
        os.chdir(place.parent)  # the name of a socket is short
        try:
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(place.name)
        finally:
            os.chdir(here)

    return _replaced(name, bind)


def _put(name: str, content: bytes) -> Callable[[Path, Path], object]:
    return _replaced(name, lambda place: place.write_bytes(content))


def _hollow(name: str) -> Callable[[Path, Path], object]:
    def lay(run: Path, outside: Path) -> None:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        with (run / name).open("ab") as file:
            file.truncate(_LONG)

    return lay


def _alone(size: int) -> Callable[[Path, Path], object]:
    """A student without a manifest, as from elsewhere, whose weights are nearly all hole."""

    def lay(run: Path, outside: Path) -> None:
        (run / "student" / "manifest.json").unlink()
        _hollow("student/model.safetensors")(run, outside)

    return lay


def _replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path, Path], object]:
    def lay(run: Path, outside: Path) -> None:
        place = run / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        make(place)

    return lay


# -- recipes --------------------------------------------------------------------------------------

KINDS = ("text", "array", "series", "mnist", "fashion_mnist", "strokes", "tinystories")
_SIZES = yaml.safe_load(
    "{length: 8, method: bptt, readout_width: 16, cell: {kind: mlp, tokens: 2, memory_width: 8, width: 16},"
    " teacher: {width: 16, layers: 1}, training: {steps: 1, batch_size: 4, patience: 0}}"
)


def hostile_recipes() -> list[Stranger]:
    """At least 200 folders with a ``recipe.yaml`` for ``train``."""
    return [*_data_outside(), *_data_that_never_ends(), *_teachers_outside(), *_recipe_files()]


def _data_outside() -> Iterator[Stranger]:
    for kind in KINDS:
        for fault, path, lay in (
            ("above", "../outside/canary", _nothing),
            ("above by a detour", "a/../../outside/canary", _made("a")),
            ("by a link", "data", _to_canary("data")),
            ("by a link of a link", "data", _both(_to_canary("b"), _linked("data", "b"))),
            ("by a link to a folder", "data", lambda run, out: (run / "data").symlink_to(out)),
            ("below a link", "data/canary", lambda run, out: (run / "data").symlink_to(out)),
            ("by a link in a folder", "data", _in_folder("a.txt")),
            ("by a link deep in a folder", "data", _in_folder("b/c/d.txt")),
            ("by a link to a folder in a folder", "data", _folder_link),
            ("a folder", "../outside", _nothing),
            ("by a relative link", "data", _linked("data", "../outside/canary")),
            ("above and back", "../run/../outside/canary", _nothing),
            ("absolute", "/etc/passwd", _nothing),
            ("absolute with two strokes", "//etc/passwd", _nothing),
            ("absolute by a detour", "/tmp/../etc/passwd", _nothing),
            ("the root", "/", _nothing),
            ("what the process knows", "/proc/self/environ", _nothing),
            ("standard input", "/dev/stdin", _nothing),
            ("a device without end", "/dev/zero", _nothing),
            ("a link to a device", "data", lambda run, out: (run / "data").symlink_to("/dev/zero")),
            ("a terminal", "/dev/tty", _nothing),
        ):
            wanted = _both(_recipe(kind, {"path": path}), lay)
            yield Stranger(f"{kind}: {fault}", wanted, ("train",), "add --trust to read it")


def _data_that_never_ends() -> Iterator[Stranger]:
    packed = gzip.compress(b"\0" * (1 << 30), 1)
    for kind in KINDS:
        of_files = {"strokes": "data/a.svg", "tinystories": "data/a.json"}.get(kind, "a.csv")
        path = of_files.partition("/")[0]
        for fault, lay in (("a pipe", _piped(of_files)), ("a socket", _bound(of_files))):
            wanted = _both(_recipe(kind, {"path": path}), lay)
            said = ".path is 'data'" if "/" in of_files else "it is a pipe or a device"  # in a folder it is passed over
            yield Stranger(f"{kind}: {fault}", wanted, ("train",), said)
        for fault, other in {"an address": "https://example.com/a", "a zero": "a\0b", "long": "x/" * 4000}.items():
            yield Stranger(f"{kind}: {fault}", _recipe(kind, {"path": other}), ("train",), "")
    for kind in ("series", "mnist", "fashion_mnist"):
        wanted = _both(_recipe(kind, {"path": "a.csv"}), _put("a.csv", packed))
        yield Stranger(f"{kind}: a gzip of a gigabyte", wanted, ("train",), "more than")
        wanted = _both(_recipe(kind, {"path": "a.csv"}), _hollow("a.csv"))
        yield Stranger(f"{kind}: a terabyte", wanted, ("train",), "more than")


def _teachers_outside() -> Iterator[Stranger]:
    for fault, path, lay in (
        ("above", "../outside", _nothing),
        ("absolute", "/", _nothing),
        ("by a link", "run", lambda run, out: (run / "run").symlink_to(out)),
        ("with a link", "run", _in_folder("recipe.yaml", "run")),
        ("at home", os.path.expanduser("~/runs/first"), _nothing),
    ):
        wanted = _both(_recipe("parity", {}, method="smt+dmt", smt={"teacher": path}), lay)
        yield Stranger(f"teacher: {fault}", wanted, ("train",), "smt.teacher is")


def _recipe_files() -> Iterator[Stranger]:
    for fault, lay, said in (
        ("a link", _to_canary("recipe.yaml"), "it is a link"),
        ("a link to a device", _linked("recipe.yaml", "/dev/zero"), "it is a link"),
        ("a link to itself", _linked("recipe.yaml", "recipe.yaml"), "it is a link"),
        ("a pipe", _piped("recipe.yaml"), "it is a pipe"),
        ("a socket", _bound("recipe.yaml"), "it is a socket"),
        ("a folder", _made("recipe.yaml"), "Is a directory"),
        ("a terabyte", _hollow("recipe.yaml"), "characters"),
        ("a zero byte", _put("recipe.yaml", b"task: {kind: parity}\0"), "recipe.yaml"),
        ("a gzip", _put("recipe.yaml", gzip.compress(b"task: {kind: parity}")), "recipe.yaml"),
        ("a name that leads out", _recipe("parity", {}, name="../outside/run"), "name is '../outside/run'"),
        ("an absolute name", _recipe("parity", {}, name="/tmp/run"), "name is '/tmp/run'"),
        ("a kind that is a module", _recipe("os:system", {}), "task.kind is 'os:system'"),
    ):
        yield Stranger(f"recipe: {fault}", lay, ("train",), said)


def _nothing(run: Path, outside: Path) -> None:
    pass


def _made(name: str) -> Callable[[Path, Path], object]:
    return lambda run, _: (run / name).mkdir()


def _to_canary(name: str) -> Callable[[Path, Path], object]:
    return lambda run, outside: (run / name).symlink_to(outside / "canary")


def _in_folder(name: str, folder: str = "data") -> Callable[[Path, Path], object]:
    def lay(run: Path, outside: Path) -> None:
        (run / folder / name).parent.mkdir(parents=True)
        (run / folder / "own.txt").write_text("It was a dark and stormy night. " * 40)
        (run / folder / name).symlink_to(outside / "canary")

    return lay


def _folder_link(run: Path, outside: Path) -> None:
    _in_folder("a.txt")(run, outside)
    (run / "data" / "a.txt").unlink()
    (run / "data" / "more").symlink_to(outside)


def _recipe(kind: str, options: dict[str, Any], **settings: Any) -> Callable[[Path, Path], object]:
    document = {**_SIZES, **settings, "task": {"kind": kind, "options": options}}
    return lambda run, _: (run / "recipe.yaml").write_text(yaml.safe_dump(document))


def _both(*steps: Callable[[Path, Path], object]) -> Callable[[Path, Path], object]:
    return lambda run, outside: [step(run, outside) for step in steps]


# -- the watch ------------------------------------------------------------------------------------

_opened: list[list[str]] = []  # where files that are opened are kept; nothing is watched while it is empty


def _hook(event: str, given: tuple[Any, ...]) -> None:
    if _opened and event == "open" and isinstance(given[0], str | bytes):
        _opened[-1].append(os.path.realpath(os.fsdecode(given[0])))


sys.addaudithook(_hook)  # it cannot be taken away again, hence the list


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Where each file that is opened meanwhile really is."""
    _opened.append(found := [])
    try:
        yield found
    finally:
        _opened.pop()


@contextmanager
def in_time(faults: list[str], what: str) -> Iterator[None]:
    """Note it when the block takes too much time; end it where it hangs."""

    def end(*_: object) -> None:
        raise TimeoutError("it hangs")

    former, began = signal.signal(signal.SIGALRM, end), time.process_time()
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
        if (taken := time.process_time() - began) > SECONDS:
            faults.append(f"{what}: it took {taken:.1f} s of the processor")


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """All that is in a folder, without following a link."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }
