"""Learn chorales by Bach and write one, as a MIDI file and a picture beside a real one: python chorales.py chorales

It needs music21, which ships the chorales: pip install 'nounroll[music]'
"""

import sys
from pathlib import Path
from typing import Any

import torch

import nounroll
from nounroll.data.music import Music
from nounroll.report.piano_roll import piano_roll_picture


def main(folder: str, path: str | None = None, **options: Any) -> None:
    task = Music(path=path)  # four voices in quarters; a folder of your own MIDI files in place of the chorales
    run = nounroll.fit(task, **options)
    print(f"{run.metrics['loss']:.2f} nats a frame of pieces that no choice has seen; by {run.recipe.cell.kind}")

    start = task.prompt()[None]
    source = torch.Generator().manual_seed(0)
    written = run.student.generate(start, task.length, temperature=0.8, generator=source)[0]
    real = task.test().take(torch.tensor([0]), task.length)

    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / "written.mid").write_bytes(task.midi(written))
    rolls = [("a real piece", task.notes(real.targets[0][real.mask[0]])), ("written", task.notes(written))]
    piano_roll_picture(rolls).figure.savefig(out / "chorales.png", dpi=150)
    run.student.save_pretrained(out / "student")


if __name__ == "__main__":
    main(*sys.argv[1:], seconds=120)
