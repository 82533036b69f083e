"""Command ``nounroll verify``"""

from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli.terminal import printable


def verify(run: Path) -> dict[str, Any]:
    """Check that nothing in a run's folder is damaged or missing.

    The command checks every byte of every checkpoint and of the trained network against the SHA-256 in its manifest.
    The recipe and the metrics must be readable. Nothing is changed. The exit status is 0 if all is well; otherwise it
    is 1, and the command prints one fault per line.

    Args:
        run: the run's folder.
    """
    from nounroll.experiments.verify import verify as look

    found = look(run)
    return {
        "run": str(run),
        "folders": found.folders,
        "files": found.files,
        "bytes": found.size,
        "faults": found.faults,
    }


def show(result: dict[str, Any], console: Console) -> None:
    for fault in result["faults"]:
        print(printable(" ".join(fault.split())))  # a fault may contain a file name that a stranger chose
    if not result["faults"]:
        checked = f"{result['folders']} checkpoints and models, {result['files']} files, {result['bytes']:,} bytes"
        console.print(f"{result['run']} is whole: {checked}")
