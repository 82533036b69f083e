"""A session whose memory outlives its process: python resume_session.py runs/text session "def "

The first call opens it. Each later one reads on and writes on from the memory that the folder ``session`` holds, a few
kilobytes however much went before, as if the process had never ended.
"""

import sys
from pathlib import Path

import torch

from nounroll.models.generation import Generation, Sampling
from nounroll.models.snapshot import load_snapshot, save_snapshot
from nounroll.models.student import Student


def main(run: str, session: str, text: str, length: str = "80") -> None:
    student, folder = Student.from_pretrained(Path(run, "student")), Path(session)
    if folder.exists():
        generation = load_snapshot(student, folder)
    else:
        generation = Generation(student, 1, Sampling(temperature=0.7), torch.Generator().manual_seed(0))
    generation.read(torch.tensor([list(text.encode())]))
    written = generation.write(int(length))[0]
    save_snapshot(generation, folder)
    print(text + bytes(written.tolist()).decode(errors="replace"))


if __name__ == "__main__":
    main(*sys.argv[1:])
