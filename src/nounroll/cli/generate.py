"""Command ``nounroll generate``"""

from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli.terminal import note, printable
from nounroll.storage.files import write_bytes

_LENGTH = 300  # elements, if neither the user nor the task sets it
GRID = 4  # images per side


def generate(
    run: Path,
    *,
    prompt: str | None = None,
    length: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: tuple[str, ...] = (),
    seed: int = 0,
    image: Path | None = None,
    midi: Path | None = None,
) -> dict[str, Any]:
    """Continue a prompt with a trained network.

    The memory is empty before the prompt. The task must predict its next input: text, images, series, music.

    Args:
        run: the run's folder.
        prompt: beginning of the text; the task's own beginning by default.
        length: number of elements to draw (characters, pixels, rows); 300, or a whole image, by default.
        temperature: temperature of the distribution; 0 always takes the most likely element.
        top_k: draw only among the k most likely symbols.
        top_p: draw only among the most likely symbols that together have this probability.
        stop: text at which to stop, not printed itself; may be given several times.
        seed: seed of the draws.
        image: PNG file for a grid of 16 images, for tasks of pixels.
        midi: MIDI file for the notes, for music; needs the package music21.
    """
    import torch

    from nounroll.core.seeding import generator
    from nounroll.experiments.run_folder import open_student
    from nounroll.report.images import write_grid

    recipe, task, student = open_student(run, with_data=False)
    if not task.autoregressive:
        raise ValueError(
            f"{run} was trained on {recipe.task.kind}; its targets are not the next inputs, so it cannot go on"
        )
    if image is not None and (not hasattr(task, "image_shape") or image.suffix != ".png"):
        raise ValueError(f"--image is '{image}'; it must be a .png file, and the task one of pixels")
    if image is not None and stop:
        raise ValueError(f"--stop is {stop[0]!r}; an image contains no text, so leave out --stop or --image")
    if midi is not None and (not hasattr(task, "midi") or midi.suffix not in (".mid", ".midi")):
        raise ValueError(f"--midi is '{midi}'; it must be a .mid file, and the task music")
    if "" in stop:
        raise ValueError("--stop is empty; it must be a text of at least one character")
    start = task.prompt() if prompt is None else task.encode(prompt)
    rows = GRID**2 if image is not None else 1
    prompts = start.expand(rows, *start.shape)
    steps, source = steps_of(task, start, length), generator(seed, "generate")
    sampling: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    if stop and getattr(task, "tokenizer", None) is not None:
        text = _until(student, task, start, steps, stop, source, sampling)
        return {"run": str(run), "prompt": prompt, "text": text, "image": None, "midi": None}
    stops = [task.encode(text).tolist() for text in stop]
    drawn = student.generate(prompts, steps, generator=source, stop=stops, **sampling)
    if stops:
        drawn = drawn[:, : drawn.shape[1] - end_of(drawn[0].tolist(), stops)]
    values = torch.cat([prompts, drawn], dim=1)
    if image is not None:
        write_grid(image, pixels(values, task), columns=GRID)
    if midi is not None:
        music: Any = task
        write_bytes(midi, music.midi(values[0]))
    files = {name: str(file) if file else None for name, file in (("image", image), ("midi", midi))}
    return {"run": str(run), "prompt": prompt, "text": task.decode(values[0]), **files}


def show(result: dict[str, Any], console: Console) -> None:
    console.print(printable(result["text"]), markup=False, soft_wrap=True)
    for name in ("image", "midi"):
        if result[name]:
            note(f"wrote {result[name]}")


def _until(
    student: Any, task: Any, start: Any, steps: int, stop: tuple[str, ...], source: Any, sampling: dict[str, Any]
) -> str:
    """Continue a text of tokens, and return it up to its first stop, which may begin or end within a token."""
    from nounroll.models.generation import Generation, Sampling
    from nounroll.serve.stops import Stops

    writing = Generation(student, 1, Sampling(**sampling), source).read(start[None])
    decode, stops = task.tokenizer.stream(), Stops(list(stop))
    tokens = start.tolist()
    begun, written = "".join(map(decode, tokens)), ""
    for _ in range(steps):
        tokens.append(int(writing.write(1)))
        added = decode(tokens[-1])
        written += added
        stops.add(added)
        if stops.found is not None:
            return begun + written[: stops.found]
    return task.tokenizer.decode(tokens)


def end_of(drawn: list[int], stops: list[list[int]]) -> int:
    """Count the symbols of the stop at the end of the drawn symbols; of the longest, if there are several."""
    return max((len(stop) for stop in stops if drawn[-len(stop) :] == stop), default=0)


def steps_of(task: Any, start: Any, length: int | None) -> int:
    """Return the number of elements to draw."""
    if length is not None and length < 1:
        raise ValueError(f"--length is {length}; it must be at least 1")
    if length is not None:
        return length
    if not hasattr(task, "image_shape"):
        return min(_LENGTH, task.max_length or _LENGTH)
    pixels = int((start != task.start).sum())
    if pixels >= task.max_length:
        raise ValueError(f"--prompt has {pixels} pixels; it must be shorter than a whole image")
    return task.max_length - pixels


def pixels(values: Any, task: Any) -> Any:
    """Convert rows of pixel symbols (N, P), without START, to grey images (N, H, W), 0 to 1; missing ones are black."""
    import torch

    height, width = task.image_shape
    images = torch.zeros(len(values), height * width)
    for image, row in zip(images, values, strict=True):
        drawn = row[row != task.start][: height * width]
        image[: len(drawn)] = drawn / (task.levels - 1)
    return images.view(-1, height, width).numpy()
