"""Flag the surprising lines of a log as it grows: tail -f app.log | python watch_log.py runs/log

A network of text that learnt from an older log foretells each byte. A line is shown when it surprises the network by
twice as many bits a byte as lines usually do. Train it with

    nounroll train recipes/text.yaml --set task.options.path=old.log --cell gru --seconds 300 --out runs/log
"""

import math
import statistics
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

from nounroll.models.student import Student


@torch.no_grad()
def surprises(student: Student, lines: Iterable[str]) -> Iterator[tuple[float, str]]:
    """Each line with its bits per byte. The memory goes on from line to line."""
    memory = student.step(torch.tensor([ord("\n")]), student.initial_memory(1))
    for line in lines:
        read = torch.tensor([list(line.encode())])
        memories = student.rollout(read, memory)  # before the first byte, and after each
        loss = F.cross_entropy(student.readout(memories[0, :-1]), read[0])
        memory = memories[:, -1]
        yield float(loss) / math.log(2), line


def main(run: str, lines: Iterable[str] = sys.stdin) -> None:
    student = Student.from_pretrained(Path(run, "student"))
    usual: deque[float] = deque(maxlen=1000)
    for bits, line in surprises(student, lines):
        if len(usual) >= 20 and bits > 2 * statistics.median(usual):
            print(f"{bits:5.2f} bits a byte  {line.rstrip()}", flush=True)
        usual.append(bits)


if __name__ == "__main__":
    main(*sys.argv[1:])
