"""Scores through music21: parts as rolls of frames, and notes as a MIDI file."""

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from nounroll.data.files import MOST, regular, unreadable
from nounroll.data.sources import optional

KEYS = 128  # keys of MIDI
FORMATS = (".mid", ".midi", ".mxl", ".musicxml", ".xml", ".krn", ".abc")
_FRAMES = 2**20  # frames of all parts of a score, at most: 128 MiB of rolls
_TEMPO = 90  # quarters per minute in written files


class Note(NamedTuple):
    """Note: a sounding key.

    Attributes:
        voice: index of its voice.
        pitch: MIDI number; 60 is middle C.
        start, stop: times in quarters.
    """

    voice: int
    pitch: int
    start: float
    stop: float


def music21(what: str, module: str) -> Any:
    """Import a module of music21 for ``what``."""
    return optional(f"music21.{module}", what, "music")


def chorales() -> list[Path]:
    """List the settings of Bach's chorales in music21."""
    corpus = music21("task music", "corpus")
    found = sorted(Path(path) for path in corpus.getComposer("bach") if Path(path).name.startswith("bwv"))
    return [path for path in found if path.suffix == ".mxl"]


def read_score(setting: str, path: Path, frame: Fraction) -> list[Bool[np.ndarray, "T 128"]]:
    """Find the sounding keys at the start of each frame, for each part of a score, up to the last note of any part.

    Args:
        setting: the setting's name in errors.
        path: a file whose name ends in one of ``FORMATS``.
        frame: length of a frame in quarters.

    Raises:
        ValueError: music21 is not installed, or cannot read the file.
    """
    converter = music21("task music", "converter")
    if (size := regular(setting, path).stat().st_size) > MOST:
        raise ValueError(f"{setting} is '{path}'; it has {size:,} bytes, and {MOST:,} are read at most")
    try:
        # forceSource, storePickle: never read or write a pickle
        score = converter.parse(path, forceSource=True, storePickle=False)
        return rolls(getattr(score, "parts", [score]), frame)
    except Exception as error:  # music21's readers raise many types
        raise unreadable(setting, path, error) from None


def rolls(parts: Iterable[Any], frame: Fraction) -> list[Bool[np.ndarray, "T 128"]]:
    """Find the sounding keys in each part of music21, padded to the longest part.

    Raises:
        ValueError: the parts have too many frames.
    """
    found = [
        [one for element in _transposed(part).flatten().notes for one in _sounding(element, frame)] for part in parts
    ]
    length = max((stop for part in found for _, _, stop in part), default=0)
    if length * len(found) > _FRAMES:
        raise ValueError(
            f"{len(found)} parts of {length:,} frames of {frame} quarters; {_FRAMES:,} frames are read at most: leave"
            " it out, or set a longer music.frame"
        )
    made = []
    for part in found:
        roll = np.zeros((length, KEYS), dtype=bool)
        for pitch, start, stop in part:
            roll[start:stop, pitch] = True
        made.append(roll)
    return made


def _transposed(part: Any) -> Any:
    """Return a part at sounding pitch; a clarinet, for example, is written at another pitch."""
    if getattr(part, "atSoundingPitch", True) is False:  # "unknown" if the file format does not say
        part.toSoundingPitch(inPlace=True)
    return part


def _sounding(element: Any, frame: Fraction) -> list[tuple[int, int, int]]:
    """Return pitch, first frame and end frame of each key of a note or chord. Drums have no pitch."""
    start = Fraction(element.offset)
    stop = start + Fraction(element.duration.quarterLength)
    first, last = math.ceil(start / frame), math.ceil(stop / frame)
    keys = [int(pitch.midi) for pitch in getattr(element, "pitches", ()) if 0 < pitch.midi < KEYS]
    return [(key, first, last) for key in keys if last > first]


def midi(notes: list[Note]) -> bytes:
    """Convert notes to a MIDI file with a track for each voice.

    Raises:
        ValueError: music21 is not installed.
    """
    stream, note, tempo, translate = (
        music21("a MIDI file", module) for module in ("stream", "note", "tempo", "midi.translate")
    )
    score = stream.Score()
    for voice in sorted({one.voice for one in notes}):
        part = stream.Part(id=f"voice{voice + 1}")
        part.insert(0, tempo.MetronomeMark(number=_TEMPO))
        for one in notes:
            if one.voice == voice:
                part.insert(one.start, note.Note(one.pitch, quarterLength=one.stop - one.start))
        score.insert(0, part)
    return translate.streamToMidiFile(score).writestr()
