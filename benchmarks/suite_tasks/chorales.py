"""Chorales by Bach, note by note: soprano, alto, tenor, bass of every quarter, then those of the next."""

import hashlib
import itertools
import xml.etree.ElementTree as ElementTree
import zipfile
from fractions import Fraction
from pathlib import Path

import torch

from suite_tasks import sources
from suite_tasks.measures import BITS_PER_NOTE
from suite_tasks.problem import Finite, Problem, Symbols, longest

_VOICES, _QUARTERS = 4, 64  # of a chorale at most; what comes after is left out
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MELODY = 8  # quarters of the soprano by which settings of one melody are told


def chorales() -> Problem:
    """All settings of a melody, in any key, are in the same part."""
    pieces = [piece for path in sources.packaged("music21", "bach/bwv*.mxl") if (piece := _voices(path)) is not None]
    sounding = [pitch for piece in pieces for quarter in piece for pitch in quarter if pitch]
    low = min(sounding) - 1  # symbol 0 is a rest
    rows = [torch.tensor([pitch - low if pitch else 0 for quarter in piece for pitch in quarter]) for piece in pieces]
    inputs, split = [row[:-1] for row in rows], [_part(piece) for piece in pieces]
    return Finite(
        name="chorales",
        title="chorales by Bach, four voices in turn at every quarter, the next note",
        inputs=Symbols(max(sounding) - low + 1),
        targets=Symbols(max(sounding) - low + 1),
        length=longest(inputs, split),
        seconds=100,
        measure=BITS_PER_NOTE,
        next_input=True,
        sequences=inputs,
        steps=[row[1:] for row in rows],
        split=split,
        group="language and music",
    )


def _part(piece: list[tuple[int, ...]]) -> str:
    """The part of a piece, by a hash of how its melody starts."""
    melody = [quarter[0] for quarter in piece[: _MELODY + 1]]
    intervals = [after - before for before, after in itertools.pairwise(melody)]
    place = hashlib.sha256(repr(intervals).encode()).digest()[0]
    return "test" if place < 38 else "validation" if place < 64 else "train"


def _voices(path: Path) -> list[tuple[int, ...]] | None:
    """The pitch of every voice at every quarter, 0 for a rest; None for a piece that has not four voices."""
    with zipfile.ZipFile(path) as archive:
        score = next(name for name in archive.namelist() if name.endswith("xml") and not name.startswith("META-INF"))
        parts = ElementTree.fromstring(archive.read(score)).findall("part")
    if len(parts) != _VOICES:
        return None
    voices = [_voice(part) for part in parts]
    end = min(_QUARTERS, max((max(voice, default=0) for voice in voices), default=0) + 1)
    if end <= _MELODY or any(not voice for voice in voices):
        return None
    return [tuple(voice.get(quarter, 0) for voice in voices) for quarter in range(end)]


def _voice(part: ElementTree.Element) -> dict[int, int]:
    """The pitch that sounds at the start of every quarter."""
    divisions, now = 1, Fraction(0)
    pitches: dict[int, int] = {}
    for element in (element for measure in part.findall("measure") for element in measure):
        if element.tag == "attributes":
            divisions = int(element.findtext("divisions", str(divisions)))
        duration = Fraction(element.findtext("duration", "0")) / divisions
        if element.tag == "backup":
            now -= duration
        elif element.tag == "forward":
            now += duration
        elif element.tag == "note" and element.find("chord") is None:
            pitch = element.find("pitch")
            if pitch is not None and duration:
                first = -(-now // 1)
                for quarter in range(first, -(-(now + duration) // 1)):
                    pitches.setdefault(quarter, _midi(pitch))
            now += duration
    return pitches


def _midi(pitch: ElementTree.Element) -> int:
    semitones = int(float(pitch.findtext("alter", "0")))
    return 12 * (int(pitch.findtext("octave", "4")) + 1) + _STEPS[pitch.findtext("step", "C")] + semitones
