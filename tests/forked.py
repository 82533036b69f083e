"""Processes that start at once, because they are forked from a process that has imported torch and nounroll.

The checks of types are not at work there.
"""

import os
import runpy
import sys
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

CONTEXT = get_context("forkserver")  # there is one such process for each process of the tests
CONTEXT.set_forkserver_preload(["serving", "torch._dynamo", "nounroll.experiments.run", "nounroll.cli.main"])
_TESTS = Path(__file__).parent


def ensure_running() -> None:
    """Start the process that is forked from, unless it runs."""
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), OMP_NUM_THREADS="1"):
        forkserver.ensure_running()


def run_scripts(scripts: list[str], folder: Path, environment: dict[str, str], output: Path) -> BaseProcess:
    """Start Python scripts in a new process and session, one after another, without the names of one another.

    Args:
        scripts: paths relative to ``folder``.
        folder: working folder.
        environment: environment variables.
        output: file for what the scripts print.
    """
    ensure_running()
    process = CONTEXT.Process(target=_run_scripts, args=(scripts, str(folder), environment, str(output)))
    process.start()
    return process


def run_code(code: str, folder: Path) -> tuple[int | None, str]:
    """Run Python code, which may import modules of the tests, in a new process: exit status and output."""
    (folder / "program.py").write_text(f"import sys\nsys.path.append({str(_TESTS)!r})\n{code}")
    process = run_scripts(["program.py"], folder, dict(os.environ), folder / "printed")
    process.join()
    return process.exitcode, (folder / "printed").read_text()


def _run_scripts(scripts: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream in (1, 2):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.path[:] = ["", *(path for path in sys.path if not Path(path).is_relative_to(_TESTS))]
    for name, module in list(sys.modules.items()):  # the scripts find nothing of the tests
        if _TESTS in Path(getattr(module, "__file__", None) or ".").parents:
            del sys.modules[name]
    for script in scripts:
        runpy.run_path(script, run_name="__main__")
