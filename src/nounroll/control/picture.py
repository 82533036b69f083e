"""Picture of an episode: observations, actions, and the memory over time."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nounroll.control.episodes import Episode
from nounroll.models.student import Student
from nounroll.report.style import GUESS, STUDENT, TEACHER, Picture, panels, styled

_MOST = 2.5  # standard deviations at which the colour scale ends
_ROWS = 64  # drawn numbers of the memory, at most
_LINES = 6  # drawn numbers of an observation, at most
_COLOURS = (STUDENT, TEACHER, "#1a7f37", "#6f42c1", "#bf3989", GUESS)


def episode_picture(episode: Episode, student: Student, names: Sequence[str] = ()) -> Picture:
    """Draw the observations and actions of an episode, and the student's memory of it.

    Args:
        episode: an episode of any player.
        student: reads the episode.
        names: names of the numbers of an observation.
    """
    steps = np.arange(len(episode))
    with styled():
        figure, (top, middle, bottom) = panels(rows=3, height=2.0, sharex=True)
        shown = _columns(episode.observations[:-1])[:, :_LINES]
        for column in range(shown.shape[1]):
            label = names[column] if column < len(names) else student.inputs.columns[column]
            _line(top, steps, shown[:, column], is_symbols=student.inputs.symbols is not None)
            top.lines[-1].set(color=_COLOURS[column % len(_COLOURS)], label=label)
        top.set_title("observation")
        if shown.shape[1] > 1:
            top.legend(loc="upper right", ncols=3)
        for values, look, label in _actions(episode):
            middle.plot(steps, values, label=label, **look)
        middle.set_title("action")
        middle.legend(loc="upper right", ncols=2)
        rows = _memory(episode, student)
        limits = {"cmap": "coolwarm", "vmin": -_MOST, "vmax": _MOST, "interpolation": "nearest"}
        image = bottom.imshow(rows.T, aspect="auto", extent=(-0.5, len(steps) - 0.5, rows.shape[1], 0), **limits)
        bottom.set(title="memory", ylabel="numbers, slow to quick", xlabel="time step t", yticks=[])
        bottom.grid(visible=False)
        figure.colorbar(image, ax=bottom, label="standard deviations", orientation="horizontal", aspect=50, pad=0.05)
    total = float(episode.rewards.sum())
    caption = (
        f"An episode of {len(episode)} steps with the return {total:.4g} (seed {episode.seed}). Below, a row is a"
        " number of the memory, the slowest on top. A row of constant colour remembers."
    )
    return Picture("episode", "An episode and its memory", caption, figure)


def _line(axes: "object", steps: np.ndarray, values: np.ndarray, *, is_symbols: bool) -> None:
    axes.plot(steps, values, lw=1.2, **({"drawstyle": "steps-mid"} if is_symbols else {}))  # type: ignore[attr-defined]


def _columns(values: Shaped[Tensor, "T *x"]) -> Float[np.ndarray, "T d"]:
    return values.reshape(len(values), -1).double().numpy()


def _actions(episode: Episode) -> list[tuple[np.ndarray, dict[str, object], str]]:
    """Return (values, style, label) of the expert's actions, if any, and of the actions taken; first numbers only."""
    taken = _columns(episode.actions)[:, 0]
    found: list[tuple[np.ndarray, dict[str, object], str]] = []
    if episode.advice is not None:
        advice = np.where(episode.advised.numpy(), _columns(episode.advice)[:, 0], np.nan)
        found.append((advice, {"color": TEACHER, "lw": 4, "alpha": 0.45, "drawstyle": "steps-mid"}, "the expert's"))
    return [*found, (taken, {"color": STUDENT, "lw": 1.0, "drawstyle": "steps-mid"}, "taken")]


@torch.no_grad()
def _memory(episode: Episode, student: Student) -> Float[np.ndarray, "T n"]:
    """Compute the standardised numbers of the memory, ordered from slow to fast changes."""
    seen = episode.observations[None, :-1].to(student.empty_memory.device)
    memories = student.rollout(seen)[0, 1:].flatten(1).cpu().double()
    memories = memories[:, memories.std(0, correction=0) > 0]
    if not memories.numel():
        return np.zeros((len(episode), 1))
    memories = (memories - memories.mean(0)) / memories.std(0, correction=0)
    order = memories.diff(dim=0).square().mean(0).argsort()
    chosen = order[torch.linspace(0, len(order) - 1, min(_ROWS, len(order))).long()]
    return memories[:, chosen].numpy()
