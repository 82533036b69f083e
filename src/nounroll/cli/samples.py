"""What a trained network writes, draws or answers: samples for its report."""

from typing import Any

import torch

from nounroll.cli.generate import GRID, pixels, steps_of
from nounroll.cli.terminal import printable
from nounroll.data.task import SequenceTask, draw
from nounroll.report.page import embedded_grid
from nounroll.seeding import generator
from nounroll.student import Student

_TEMPERATURE = 0.8  # of text; images are drawn at 1
_CHARACTERS = 800
_EXAMPLES, _SHOWN = 3, 40  # sequences, and time steps of each


def samples(student: Student, task: SequenceTask, length: int, seed: int) -> dict[str, Any] | None:
    """The values of the report's section on samples; None for a task whose answers are not symbols."""
    if hasattr(task, "image_shape"):
        return _images(student, task, seed)
    if task.autoregressive:
        return _text(student, task, seed)
    return _answers(student, task, length, seed) if hasattr(task.targets, "n") else None


def _section(title: str, caption: str, **what: Any) -> dict[str, Any]:
    return {"title": title, "caption": caption, "text": "", "images": [], "examples": [], **what}


def _images(student: Student, task: Any, seed: int) -> dict[str, Any]:
    start = task.prompt()
    drawn = student.generate(
        start.expand(GRID**2, -1), steps_of(task, start, None), generator=generator(seed, "generate")
    )
    real = draw(task.validation(), GRID**2, task.max_length, seed, "test").targets
    images = [
        {"label": label, "data": embedded_grid(pixels(values, task), GRID)}
        for label, values in (("drawn by the network", drawn), ("held-out images, for comparison", real))
    ]
    return _section(
        "What it draws", "Pixel by pixel from its empty memory, each drawn pixel read back in.", images=images
    )


def _text(student: Student, task: SequenceTask, seed: int) -> dict[str, Any]:
    prompt = task.prompt()[None]
    steps = min(_CHARACTERS, task.max_length or _CHARACTERS)
    drawn = student.generate(prompt, steps, temperature=_TEMPERATURE, generator=generator(seed, "generate"))
    caption = f"From its empty memory, each element read back in, at temperature {_TEMPERATURE}."
    return _section("What it writes", caption, text=printable(task.decode(drawn[0])).strip("\n"))


@torch.no_grad()
def _answers(student: Student, task: SequenceTask, length: int, seed: int) -> dict[str, Any]:
    batch = draw(task.validation(), _EXAMPLES, length, seed, "test")
    answers = student.readout(student.rollout(batch.inputs)[:, 1:]).argmax(-1)
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
    """A row of symbols in columns; a long one loses its middle."""
    words = [
        {"text": f"{value if show else '·':>2}", "kind": kind if show else ""}
        for value, show, kind in zip(values, shown, kinds, strict=True)
    ]
    if len(words) > _SHOWN:
        half = _SHOWN // 2
        words = [*words[:half], {"text": " …", "kind": ""}, *words[-half:]]
    return {"name": name, "words": words}
