"""Samples for a report: texts, drawings, forecasts or answers of a trained network, and its surprise at each target."""

import base64
import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.cli.generate import GRID, pixels, steps_of
from nounroll.cli.terminal import printable
from nounroll.core.batch import Batch
from nounroll.core.seeding import generator
from nounroll.data.corpus import reads_bytes
from nounroll.data.task import SequenceTask, draw
from nounroll.models.student import Student
from nounroll.report.classes import MOST, classes_picture, confusion
from nounroll.report.page import embedded_grid
from nounroll.report.piano_roll import piano_roll_picture
from nounroll.report.series import series_picture
from nounroll.report.style import Picture
from nounroll.report.surprise import coloured
from nounroll.rollout.chunks import by_rows, scores
from nounroll.rollout.evaluate import numbers_of, validation_batches

_TEMPERATURE = 0.8  # of texts; images are drawn at 1
_CHARACTERS = 800
_EXAMPLES, _SHOWN = 3, 40  # number of sequences, and time steps of each
_BRIGHT = 4.0  # bits of a pixel that is shown as white
_CONTINUED = 200  # number of continuations of a series
_PIECES = 2  # pieces of music, both real and generated
_DRAWN = 200  # samples per step; the band ends at the outer fortieths


def samples(student: Student, task: SequenceTask, length: int, seed: int) -> list[dict[str, Any]]:
    """Collect the values for the report's sections on samples; empty for a task whose answers are vectors."""
    if hasattr(task, "image_shape"):
        return _images(student, task, seed)
    if hasattr(task, "midi"):
        return [_music(student, task, seed)]
    if reads_bytes(task):
        return [_text(student, task, seed), _surprises(student, task, seed)]
    if task.targets.symbols is None:
        return []
    return [_text(student, task, seed) if task.autoregressive else _answers(student, task, length, seed)]


def foretold(student: Student, task: SequenceTask, length: int, seed: int) -> Picture | None:
    """Return a held-out series with the network's predictions; None for a task of another kind."""
    if not (task.autoregressive and task.targets.symbols is None) or length < 4 or hasattr(task, "midi"):
        return None
    batch = draw(task.validation(), 1, length, seed, "test")
    start = length * 3 // 4
    source, space = generator(seed, "generate"), student.targets
    with torch.no_grad():
        outputs = student.readout(student.rollout(batch.inputs, resets=batch.resets)[0, 1:])
    drawn = torch.stack([space.sample(outputs, source) for _ in range(_DRAWN)])
    low, high = drawn.quantile(torch.tensor([0.025, 0.975]), dim=0)
    again = batch.inputs[:, : start + 1].expand(_CONTINUED, -1, -1)
    written = student.generate(again, length - start, generator=generator(seed, "generate"))
    names = getattr(task, "columns", space.columns)
    mean, scale = space.mean(outputs), (high - low) / 4
    return series_picture(names, batch.targets[0].numpy(), mean.numpy(), scale.numpy(), written.numpy())


def piano_roll(student: Student, task: Any, seed: int) -> Picture | None:
    """Show held-out pieces next to generated ones; None for a task other than music."""
    if not hasattr(task, "midi"):
        return None
    steps, held_out = task.max_length, task.test()
    batch = held_out.take(torch.arange(min(_PIECES, held_out.size)), steps)
    real = [task.notes(targets[mask]) for targets, mask in zip(batch.targets, batch.mask, strict=True)]
    written = _pieces_written(student, task, steps, seed)
    return piano_roll_picture(
        [
            *((f"held-out piece {i + 1}", notes) for i, notes in enumerate(real)),
            *((f"written by the network, {i + 1}", task.notes(one)) for i, one in enumerate(written)),
        ]
    )


def _pieces_written(student: Student, task: Any, steps: int, seed: int) -> Tensor:
    start = task.prompt().expand(_PIECES, -1, -1)
    drawn = student.generate(start, steps, temperature=_TEMPERATURE, generator=generator(seed, "generate"))
    return torch.cat([start, drawn], dim=1)


def _music(student: Student, task: Any, seed: int) -> dict[str, Any]:
    """Generate frames of music with the network, and a MIDI file of them."""
    written = _pieces_written(student, task, task.max_length, seed)[0]
    data = base64.b64encode(task.midi(written)).decode()
    caption = (
        f"From its empty memory, at temperature {_TEMPERATURE}: the pitches of each frame, in the numbers of MIDI;"
        " the first of the pieces in the picture below."
    )
    file = {"name": "written.mid", "data": f"data:audio/midi;base64,{data}"}
    return _section("What it writes", caption, text=task.decode(written), files=[file])


@torch.no_grad()
def classes(student: Student, task: SequenceTask, length: int, seed: int) -> Picture | None:
    """Compute the confusion matrix of held-out sequences with a class at their end; None for another kind of task."""
    symbols = task.targets.symbols
    if symbols is None or task.autoregressive or symbols > MOST:
        return None
    counts = np.zeros((symbols, symbols), dtype=np.int64)
    for batch in validation_batches(task, 0, length, seed, "test"):
        if not bool((batch.mask.sum(1) == 1).all()) or length < 2:
            return None
        for part in by_rows(batch, numbers_of(student)):
            told = student.head(student.features(part.inputs, resets=part.resets)[0][part.mask]).argmax(-1)
            counts += confusion(part.targets[part.mask].numpy(), told.numpy(), len(counts))
    return classes_picture(counts, [str(symbol) for symbol in range(len(counts))])


def _section(title: str, caption: str, **what: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"text": "", "coloured": [], "images": [], "examples": [], "files": []}
    return {"title": title, "caption": caption, **empty, **what}


@torch.no_grad()
def _bits(student: Student, batch: Batch) -> Float[Tensor, "B T"]:
    """Return the surprise of each target in bits, given all inputs up to it."""
    features, _ = student.features(batch.inputs, resets=batch.resets)
    return scores(student.head, student.targets, features, batch.targets)[0] / math.log(2)


def _images(student: Student, task: Any, seed: int) -> list[dict[str, Any]]:
    start = task.prompt()
    drawn = student.generate(
        start.expand(GRID**2, -1), steps_of(task, start, None), generator=generator(seed, "generate")
    )
    real = draw(task.validation(), GRID**2, task.max_length, seed, "test")
    bits = _bits(student, real)
    shown = {
        "drawn by the network": pixels(drawn, task),
        "held-out images, for comparison": pixels(real.targets, task),
        f"how surprising each pixel of these was: black 0, white {_BRIGHT:g} bits; {bits.mean():.2f} in the mean": (
            (bits / _BRIGHT).clamp(0, 1).view(-1, *task.image_shape).numpy()
        ),
    }
    images = [{"label": label, "data": embedded_grid(grid, GRID)} for label, grid in shown.items()]
    caption = (
        "Pixel by pixel, row by row, from its empty memory, each drawn pixel read back in. Beside it, which pixels of"
        " held-out images it did not expect."
    )
    return [_section("What it draws", caption, images=images)]


def _text(student: Student, task: SequenceTask, seed: int) -> dict[str, Any]:
    prompt = task.prompt()[None]
    steps = min(_CHARACTERS, task.max_length or _CHARACTERS)
    drawn = student.generate(prompt, steps, temperature=_TEMPERATURE, generator=generator(seed, "generate"))
    caption = f"From its empty memory, each element read back in, at temperature {_TEMPERATURE}."
    return _section("What it writes", caption, text=printable(task.decode(drawn[0])).strip("\n"))


def _surprises(student: Student, task: SequenceTask, seed: int) -> dict[str, Any]:
    held_out = task.validation()
    batch = draw(held_out, 1, min(_CHARACTERS, held_out.max_length or _CHARACTERS), seed, "test")
    bits = _bits(student, batch)[0]
    spans = coloured(bytes(batch.targets[0].tolist()), bits.tolist())
    caption = (
        "A text that it never saw, read from its empty memory. The darker a character, the less it was expected from"
        f" what came before; {bits.mean():.2f} bits a byte in the mean."
    )
    shown = [{**span, "text": printable(span["text"])} for span in spans]
    return _section("What surprises it", caption, coloured=shown)


@torch.no_grad()
def _answers(student: Student, task: SequenceTask, length: int, seed: int) -> dict[str, Any]:
    batch = draw(task.validation(), _EXAMPLES, length, seed, "test")
    answers = student.readout(student.rollout(batch.inputs, resets=batch.resets)[:, 1:]).argmax(-1)
    examples = []
    for row in range(_EXAMPLES):
        scored = batch.mask[row].tolist()
        wanted, given = batch.targets[row].tolist(), answers[row].tolist()
        marks = ["right" if w == g else "wrong" for w, g in zip(wanted, given, strict=True)]
        inputs = batch.inputs[row].tolist() if batch.inputs.dim() == 2 else ["~"] * length
        lines = [
            _line("read    ", inputs, [True] * length, [""] * length),
            _line("wanted  ", wanted, scored, [""] * length),
            _line("answered", given, scored, marks),
        ]
        examples.append(lines)
    caption = "Held-out sequences: what the network reads at each step, what it should say, and what it says."
    return _section("What it answers", caption, examples=examples)


def _line(name: str, values: list[Any], shown: list[bool], kinds: list[str]) -> dict[str, Any]:
    """Build a row of symbols in columns; a long row is shortened in the middle."""
    words = [
        {"text": f"{value if show else '·':>2}", "kind": kind if show else ""}
        for value, show, kind in zip(values, shown, kinds, strict=True)
    ]
    if len(words) > _SHOWN:
        half = _SHOWN // 2
        words = [*words[:half], {"text": " …", "kind": ""}, *words[-half:]]
    return {"name": name, "words": words}
