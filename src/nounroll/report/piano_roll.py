"""Piano rolls of generated and real pieces."""

from collections.abc import Sequence

from matplotlib import colormaps

from nounroll.report.style import Picture, panels, styled

Key = tuple[int, int, float, float]  # voice, pitch, start and end in quarters


def piano_roll_picture(pieces: Sequence[tuple[str, Sequence[Key]]]) -> Picture:
    """Draw a panel for each piece, with a line for each note at its pitch in the colour of its voice.

    Args:
        pieces: a title and the notes of each; a piece may be silent.
    """
    colours = colormaps["tab10"]
    with styled():
        figure, grid = panels(rows=len(pieces), height=1.9, squeeze=False, sharex=True, sharey=True)
        for ax, (title, notes) in zip(grid[:, 0], pieces, strict=True):
            for voice, pitch, start, stop in notes:
                ax.hlines(pitch, start, stop, color=colours(voice % 10), lw=3)
            ax.set(title=title if notes else f"{title}: silence", ylabel="pitch")
        grid[-1, 0].yaxis.get_major_locator().set_params(integer=True)
        grid[-1, 0].set_xlabel("quarters")
    caption = (
        "Pitches are MIDI numbers (60 is middle C); each colour is a voice. Generated pieces begin from the network's"
        " empty memory; the network reads each frame back in."
    )
    return Picture("piano-roll", "Generated and real pieces", caption, figure)
