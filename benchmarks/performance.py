"""Measure speed and memory again, and write docs/performance.md. About an hour on one core.

    python benchmarks/performance.py                  everything, one command after another
    python benchmarks/performance.py writing places   only these; the others' files stay
    python benchmarks/performance.py --page-only      write the page from the files that are there

Every measurement is one command in a process of its own, on one thread: of ``nounroll bench``, whose answer is kept in
docs/results/bench-NAME.json, or ``race.py`` and ``rollouts.py`` beside this file, which keep their own. The page is
written from these files by ``performance_page.py``.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

from evidence import RESULTS, ROOT, commit, machine
from performance_page import page

PAGE = ROOT / "docs" / "performance.md"
COMMANDS = {
    "training-mlp": "--cells mlp --rounds 2 --contexts 128",
    "training-gru": "--cells gru --rounds 2 --contexts 128",
    "training-256-mlp": "--cells mlp --length 256 --batch 8 --rounds 2 --contexts 128",
    "training-256-gru": "--cells gru --length 256 --batch 8 --rounds 2 --contexts 128",
    "writing": "--cells mlp,gru --compiled mlp --length 16 --batch 2 --rounds 5 --contexts 128,512,1024,2048,4096,8192"
    " --figure docs/writing.png",
    "places": "--cells mlp --compiled mlp --length 16 --batch 2 --rounds 5 --contexts 128 --places 1000,1000000",
    "scaling": "--cells mlp --length 16 --batch 2 --rounds 1 --contexts 128 --scaling 64,256,1024,4096,16384"
    " --figure docs/scaling.png",
    "scaling-transformer": "--cells transformer --length 16 --batch 2 --rounds 1 --contexts 128"
    " --scaling 256,1024,4096",
}
SCRIPTS = {"race": "benchmarks/race.py", "rollouts": "benchmarks/rollouts.py"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join([*COMMANDS, *SCRIPTS])}; all when left out")
    parser.add_argument("--page-only", action="store_true", help="write the page from the files that are there")
    options = parser.parse_args()
    if unknown := set(options.names) - {*COMMANDS, *SCRIPTS}:
        parser.error(f"no measurement is named {', '.join(sorted(unknown))}")
    for name in () if options.page_only else options.names or [*COMMANDS, *SCRIPTS]:
        if not (measure(name) if name in COMMANDS else run_script(name)):
            return 1
    answers = {name: json.loads(file(name).read_text()) for name in COMMANDS if file(name).is_file()}
    for name in ("race-text", "rollouts"):
        if (RESULTS / f"{name}.json").is_file():
            answers[name] = json.loads((RESULTS / f"{name}.json").read_text())
    PAGE.write_text(page(answers))
    return 0


def measure(name: str) -> bool:
    """Run one command; keep its answer, with where and when it was measured."""
    command = f"nounroll bench {COMMANDS[name]}"
    print(f"starts  {command}", flush=True)
    words = [sys.executable, "-P", "-m", "nounroll.cli.main", *shlex.split(command)[1:], "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(words, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"failed  {name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return False
    where = {"command": command, "commit": commit(), "date": str(date.today()), "where": machine()}
    file(name).write_text(json.dumps({**json.loads(done.stdout), **where}, indent=1) + "\n")
    return True


def run_script(name: str) -> bool:
    """Run a measurement that keeps its own answer."""
    print(f"starts  python {SCRIPTS[name]}", flush=True)
    return not subprocess.run([sys.executable, str(ROOT / SCRIPTS[name])], cwd=ROOT, check=False).returncode


def file(name: str) -> Path:
    return RESULTS / f"bench-{name}.json"


if __name__ == "__main__":
    sys.exit(main())
