"""What the tests of the command line share."""

import sys
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

PYTHON = [sys.executable, "-m", "nounroll.cli.main"]

TINY = """\
length: 8
method: bptt
readout_width: 16
cell: {kind: mlp, tokens: 2, memory_width: 8, width: 16}
teacher: {width: 16, layers: 1}
training: {steps: 4, batch_size: 4, learning_rate: 1.0e-3, curriculum: 4, evaluations: 2, patience: 0}
"""


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    error: str


Command: TypeAlias = Callable[..., Ended]


def one_line(ended: Ended, status: int, start: str = "nounroll") -> str:
    """The single line on stderr of a command that failed."""
    assert ended.status == status, ended
    assert ended.error.endswith("\n"), ended
    assert ended.error.count("\n") == 1, ended
    assert ended.error.startswith(start), ended
    return ended.error
