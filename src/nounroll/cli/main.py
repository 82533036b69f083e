"""Command ``nounroll``: find the command, parse its arguments, run it, and report an error in one line."""

import contextlib
import importlib
import importlib.metadata
import inspect
import json
import os
import re
import signal
import sys
import traceback
import warnings
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import docstring_parser
from jsonargparse import ArgumentParser
from rich.console import Console

from nounroll.cli.terminal import note, printable
from nounroll.core.machine import launched, speaks
from nounroll.core.notices import Notice
from nounroll.storage.trust import trusting

COMMANDS = (
    *("quickstart", "train", "adapt", "resume", "evaluate", "generate", "forecast"),
    *("analyze", "report", "compare", "sweep", "tasks", "data", "export", "serve", "verify", "bench"),
)

DONE, FAULT, MISTAKE, INTERRUPTED = 0, 1, 2, 130  # exit statuses

_KINDS = {"int": "a whole number", "float": "a number", "str": "text"}


class Parser(ArgumentParser):
    """Argument parser of one command. It raises a ValueError with a one-line message for a mistake."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        key, value = re.match(r'Parser key "(\w+)"', message), re.search(r"(?:Got|Given) value: (.*)", message)
        wanted = [_KINDS[kind] for kind in re.findall(r"Expected an? <class '(\w+)'>", message) if kind in _KINDS]
        if key and value and wanted:
            raise ValueError(f"--{_dashed(key[1])} is {value[1]!r}; it must be {' or '.join(wanted)}")
        raise ValueError(message)


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after ``nounroll``; by default the arguments of this process.

    Returns:
        The exit status: 0 success, 1 a fault of the program, 2 a mistake of the user, 130 interrupted.
    """
    words = sys.argv[1:] if argv is None else argv
    name = words[0] if words else "--help"
    try:
        with _terminated_like_interrupted():
            status = _dispatch(name, words[1:])
            sys.stdout.flush()
            return status
    except SystemExit as end:  # --help of a command
        return int(end.code or 0)
    except BaseException as error:
        return _fail(f"nounroll {name}" if name in COMMANDS else "nounroll", error)


def _dispatch(name: str, words: list[str]) -> int:
    if name in ("-h", "--help"):
        return _overview()
    if name == "--version":
        return _version()
    if name not in COMMANDS:
        raise ValueError(f"{name!r} is not a command; it must be one of {', '.join(COMMANDS)}")
    return _run(importlib.import_module(f"nounroll.cli.{name}"), name, words)


def _run(module: Any, name: str, words: list[str]) -> int:
    command = getattr(module, name)
    parsed = _parser(command).parse_args(words).as_dict()
    as_json, trust = parsed.pop("json"), parsed.pop("trust", False)
    with trusting(trust), _noted():
        result = command(**{key: tuple(value) if isinstance(value, list) else value for key, value in parsed.items()})
    if launched()[0]:
        pass  # the first of several processes prints the result
    elif as_json:
        print(json.dumps(result))
    else:
        module.show(result, Console(width=None if sys.stdout.isatty() else 160, highlight=False))
    if result.get("faults"):
        return FAULT
    return DONE if result.get("finished", True) else INTERRUPTED


def _parser(command: Callable[..., Any]) -> Parser:
    """Build positional arguments and options from a function's signature, and their help from its docstring."""
    documentation = docstring_parser.parse(inspect.getdoc(command) or "")
    about = {one.arg_name: one.description for one in documentation.params}
    text = "\n\n".join(filter(None, [documentation.short_description, documentation.long_description]))
    name = command.__name__
    parser = Parser(
        prog=f"nounroll {name}", description=text, allow_abbrev=False, formatter_class=RawDescriptionHelpFormatter
    )
    for one in inspect.signature(command).parameters.values():
        named: dict[str, Any] = {"help": _help(about[one.name] or "", one.default)}
        if one.default is one.empty:
            parser.add_argument(one.name, type=one.annotation, metavar=one.name.upper(), **named)
        elif one.annotation is bool:
            parser.add_argument(f"--{_dashed(one.name)}", action="store_true", **named)
        elif one.annotation == tuple[str, ...]:
            form = "NAME=VALUE" if "=" in named["help"] else one.name.upper()
            parser.add_argument(f"--{one.name}", action="append", default=[], metavar=form, **named)
        else:
            named["dest"] = one.name  # from_ is --from, because from is a Python keyword
            named["metavar"] = _dashed(one.name).upper()
            parser.add_argument(f"--{_dashed(one.name)}", type=one.annotation, default=one.default, **named)
    if {"run", "recipe"} & inspect.signature(command).parameters.keys():
        about_trust = "follow links and read data outside the folder of the recipe or run; only for those you trust"
        parser.add_argument("--trust", action="store_true", help=about_trust)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else there")
    return parser


def _help(about: str, default: Any) -> str:
    """Add an option's default to its description, unless it is there."""
    plain = isinstance(default, int | float | str) and not isinstance(default, bool) and default != ""
    return f"{about} By default {default}." if plain and "default" not in about else about


def _dashed(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _overview() -> int:
    print("nounroll: pretrain recurrent networks without unrolling them\n\ncommands:")
    for name in COMMANDS:
        command = getattr(importlib.import_module(f"nounroll.cli.{name}"), name)
        print(f"  {name:12}{docstring_parser.parse(command.__doc__).short_description}")
    print("\nnounroll COMMAND --help says more. Every command takes --json.")
    return DONE


def _version() -> int:
    print(f"nounroll {importlib.metadata.version('nounroll')}")
    return DONE


# -- end of a command -----------------------------------------------------------------------------


def _fail(where: str, error: BaseException) -> int:
    """Report an error in one line on stderr, and return the exit status."""
    if os.environ.get("NOUNROLL_TRACEBACK"):
        traceback.print_exception(error)
    status, message = _verdict(error)
    if status == FAULT or speaks():  # every process makes the same mistake, or is stopped from outside
        print(f"{where}: {printable(' '.join(message.split()))}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # a closed pipe or a full disk: Python must not retry at exit
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _verdict(error: BaseException) -> tuple[int, str]:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if isinstance(error, OSError):
        return FAULT, f"{error.filename or 'output'}: {error.strerror}" if error.errno else str(error)
    if isinstance(error, ValueError):
        return (FAULT if _is_failed_write(error) else MISTAKE), str(error)
    if type(error).__name__ in ("TrainingError", "ExportError"):
        return FAULT, str(error)
    return FAULT, f"{type(error).__name__}: {error} (NOUNROLL_TRACEBACK=1 shows where)"


def _is_failed_write(error: ValueError) -> bool:
    """Return whether a checkpoint could not be written, for example to a full disk; that is no mistake of the user."""
    return type(error).__name__ == "CheckpointError" and isinstance(error.__cause__, OSError)


@contextlib.contextmanager
def _noted() -> Iterator[None]:
    """Print each notice immediately and once, in one line; other warnings as usual."""
    told: set[str] = set()  # each run of a comparison gives the notices about its data
    with warnings.catch_warnings():
        former = warnings.showwarning
        warnings.simplefilter("always", Notice)

        def show(message: Warning | str, category: type[Warning], *where: Any, **named: Any) -> None:
            text = " ".join(str(message).split())
            if issubclass(category, Notice) and text not in told:
                told.add(text)
                note(f"nounroll: {printable(text)}")
            elif not issubclass(category, Notice):
                former(message, category, *where, **named)

        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM end a command in the same way as Ctrl-C."""

    def interrupt(signum: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


if __name__ == "__main__":
    sys.exit(main())
