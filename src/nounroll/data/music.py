"""Music: scores in frames; each frame predicts the next."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from nounroll.core.batch import Bits, Categorical, Product, Space
from nounroll.core.notices import notice
from nounroll.data.checks import whole_number
from nounroll.data.files import existing, files_below, first_names
from nounroll.data.parts import split_parts
from nounroll.data.scores import FORMATS, KEYS, Note, chorales, midi, read_score
from nounroll.data.sequences import Sequences

_MELODY = 8  # frames after the first note that identify a melody
_SHIFTS = range(-6, 6)  # semitones: all twelve keys
_SHARES = (0.8, 0.1, 0.1)


class Music(Sequences):
    """Scores in frames of equal length: predict the notes at the start of each frame from the frames before.

    ::

        frame     silence      the first     the second
        inputs    0  0  0  0   72 67 64 48   74 67 62 47  ...       in voices: a symbol of each, chained
        targets   72 67 64 48  74 67 62 47   ...                    or Bits: a key of the piano each

    A silent frame precedes each piece, so that the first frame is predicted too. All settings of a melody, in any key,
    are in one part. Training has each piece in every key in which its voices stay within their ranges.

    The task needs the package music21, which reads all formats. Its 400 chorales take about half a minute.

    Args:
        path: a score, or a folder of scores at any depth: MIDI (.mid, .midi), MusicXML (.mxl, .musicxml, .xml), Humdrum
            (.krn) or ABC (.abc). None: Bach's chorales of the package music21.
        voices: number of parts of a piece. Each part has one note at a time: the highest, if it has several. Pieces
            with another number of parts are left out with a notice. 0 takes any number, and a frame is then the set of
            sounding keys.
        frame: length of a frame in quarters.
        window: largest length in frames; longer pieces are cut.
        split: shares of the train, validation and test parts.
        seed: seed of the split.
    """

    autoregressive = True

    def __init__(
        self,
        *,
        path: str | Path | None = None,
        voices: int = 4,
        frame: float = 1.0,
        window: int = 64,
        split: list[float] | None = None,
        seed: int = 0,
    ) -> None:
        whole_number("music.voices", voices, 0, 64)
        whole_number("music.window", window, 2)
        whole_number("music.seed", seed, 0, 2**32 - 1)
        if not 1 / 64 <= frame <= 64:
            raise ValueError(f"music.frame is {frame}; it must be 1/64 to 64 quarters")
        where = "task music" if path is None else f"music.path '{path}'"
        self.voices, self.frame = voices, frame
        pieces = _pieces(where, _files(path), voices, Fraction(frame).limit_denominator(960))
        self.low, self.high = _range(pieces, voices)
        parts = _parts(where, pieces, _SHARES if split is None else tuple(split), seed)
        transposed = [(one, part) for piece, part in zip(pieces, parts, strict=True) for one in self._keys(piece, part)]
        space = self._space()
        silence = np.zeros((1, *space.event_shape), dtype=np.float32)
        rows = [np.concatenate([silence, self._frames(piece)]) for piece, _ in transposed]
        super().__init__(
            [row[:-1] for row in rows],
            targets=[row[1:] for row in rows],
            split=[part for _, part in transposed],
            window=window,
            inputs_space=space,
            targets_space=space,
        )

    def _space(self) -> Space:
        if not self.voices:
            return Bits(self.high[0] - self.low[0] + 1)
        sizes = [high - low + 2 for low, high in zip(self.low, self.high, strict=True)]  # 0 is a rest
        return Product(chained=True, **{f"voice{i + 1}": Categorical(size) for i, size in enumerate(sizes)})

    def _keys(self, piece: Int[np.ndarray, "T k"], part: str) -> list[Int[np.ndarray, "T k"]]:
        """Return the piece, and for training also its transpositions within the ranges."""
        if part != "train":
            return [piece]
        low, high = _extremes(piece)
        fits = [s for s in _SHIFTS if (low + s >= self.low).all() and (high + s <= self.high).all()]
        return [np.where(piece > 0, piece + shift, 0) for shift in fits]

    def _frames(self, piece: Int[np.ndarray, "T k"]) -> np.ndarray:
        """Convert frames of sounding pitches, 0 for none, to elements of the space."""
        low = np.array(self.low)
        if self.voices:
            return np.where(piece > 0, piece - low + 1, 0).astype(np.float32)
        frames = np.zeros((len(piece), self.high[0] - low[0] + 1), dtype=np.float32)
        rows, columns = piece.nonzero()
        frames[rows, piece[rows, columns] - low[0]] = 1
        return frames

    # -- what is written ----------------------------------------------------------------------------

    def pitches(self, values: Tensor) -> list[list[int]]:
        """Return the pitches of each frame (T, columns), 0 for a rest."""
        if self.voices:
            low = torch.tensor(self.low)
            return torch.where(values > 0, values.long() - 1 + low, 0).tolist()
        return [[self.low[0] + i for i in frame.nonzero()[:, 0].tolist()] for frame in values]

    def notes(self, values: Tensor) -> list[Note]:
        """Convert frames (T, columns) to notes, without a first silent frame; a held pitch is one note."""
        frames = [self._by_voice(frame) for frame in self._heard(values)]
        found = []
        for voice in range(self.voices or KEYS):
            start = 0
            for t in range(1, len(frames) + 1):
                if t == len(frames) or frames[t].get(voice) != frames[start].get(voice):
                    if pitch := frames[start].get(voice, 0):
                        found.append(Note(voice if self.voices else 0, pitch, start * self.frame, t * self.frame))
                    start = t
        return found

    def midi(self, values: Tensor) -> bytes:
        """Convert frames (T, columns) to a MIDI file."""
        return midi(self.notes(values))

    def _by_voice(self, frame: list[int]) -> dict[int, int]:
        """Return the pitch of each voice, or of each key without voices."""
        return dict(enumerate(frame)) if self.voices else {pitch: pitch for pitch in frame}

    def _heard(self, values: Tensor) -> list[list[int]]:
        frames = self.pitches(values)
        return frames[1:] if frames and not any(frames[0]) else frames

    def speech(self) -> dict[str, Any]:
        return {"voices": self.voices, "frame": self.frame, "low": list(self.low), "high": list(self.high)}

    def speak(self, kept: Mapping[str, Any]) -> None:
        self.voices, self.frame = int(kept["voices"]), float(kept["frame"])
        self.low, self.high = (tuple(map(int, kept[name])) for name in ("low", "high"))

    def encode(self, text: str) -> Tensor:
        """Parse frames of MIDI pitches, such as "67,62 65,0" with 0 for a rest, and prepend a silent frame."""
        rows = [self._typed(word) for word in text.split()]
        if not rows:
            raise ValueError("prompt is empty; it must hold a frame, such as 67,62,59,43")
        width = max(map(len, rows))
        frames = torch.from_numpy(self._frames(np.array([row + [0] * (width - len(row)) for row in rows])))
        return torch.cat([self.prompt(), frames])

    def _typed(self, word: str) -> list[int]:
        most = self.voices or self.high[0] - self.low[0] + 1
        pitches = [int(part) if part.isdecimal() else -1 for part in word.split(",", most)]
        low, high = (self.low, self.high) if self.voices else (self.low * len(pitches), self.high * len(pitches))
        ranges = ", ".join(f"{a} to {b}" for a, b in zip(self.low, self.high, strict=True))
        inside = len(low) == len(pitches) <= most and all(
            not p or a <= p <= b for p, a, b in zip(pitches, low, high, strict=True)
        )
        if not inside:
            wanted = "a pitch of each voice" if self.voices else "pitches"
            raise ValueError(
                f"prompt has the frame {word[:60]!r}; it must be {wanted} with commas between them, 0 for none, of"
                f" {ranges}"
            )
        return pitches

    def decode(self, values: Tensor) -> str:
        return " ".join(",".join(map(str, frame)) or "0" for frame in self._heard(values))


def _files(path: str | Path | None) -> list[Path]:
    """Find the score, or the scores of a folder. A notice names links out of the folder, which are not followed."""
    if path is None:
        return chorales()
    top = existing("music.path", path)
    files, links = files_below("music.path", top) if top.is_dir() else ([top], [])
    if links:
        notice(f"music.path is '{path}'; left out of it: {first_names(links)}")
    found = [file for file in files if file.suffix.lower() in FORMATS]
    if not found:
        raise ValueError(f"music.path is '{path}'; it must be, or hold, scores that end in {', '.join(FORMATS)}")
    return found


def _pieces(where: str, files: list[Path], voices: int, frame: Fraction) -> list[Int[np.ndarray, "_ _"]]:
    """Read the pitches of each frame of each piece, by voice or for all sounding keys, 0 for none."""
    found, other = [], []
    for file in files:
        rolls = read_score("music.path", file, frame)
        if not any(roll.any() for roll in rolls):
            other.append(file.name)
        elif not voices:
            found.append(_sounding(np.any(rolls, axis=0)))
        elif len(rolls) == voices and all(roll.any() for roll in rolls):
            found.append(np.stack([_highest(roll) for roll in rolls], axis=1))
        else:
            other.append(file.name)
    if other and found:
        lacking = f"without {voices} parts that sound" if voices else "without a note"
        notice(f"{where}: {len(other)} scores {lacking} are left out: {first_names(other)}")
    if not found:
        raise ValueError(
            f"{where}: none of {len(files)} scores has {voices} parts that sound; set music.voices, 0 for any number"
            if voices
            else f"{where}: nothing sounds in {len(files)} scores; give others"
        )
    return found


def _highest(roll: Bool[np.ndarray, "T 128"]) -> Int[np.ndarray, "T"]:
    return np.where(roll.any(1), KEYS - 1 - roll[:, ::-1].argmax(1), 0)


def _sounding(roll: Bool[np.ndarray, "T 128"]) -> Int[np.ndarray, "T k"]:
    """Return the pitches of each frame from high to low, padded with 0."""
    most = int(roll.sum(1).max())
    return np.sort(np.where(roll, np.arange(KEYS), 0), axis=1)[:, ::-1][:, :most]


def _extremes(piece: Int[np.ndarray, "T k"]) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
    """Return the lowest and the highest pitch of each column."""
    return np.where(piece > 0, piece, KEYS).min(0), piece.max(0)


def _range(pieces: list[Int[np.ndarray, "_ _"]], voices: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the lowest and the highest pitch, by voice or overall."""
    lows, highs = zip(*map(_extremes, pieces), strict=True)
    if not voices:
        return (min(int(low.min()) for low in lows),), (max(int(high.max()) for high in highs),)
    return tuple(np.min(lows, axis=0).tolist()), tuple(np.max(highs, axis=0).tolist())


def _parts(where: str, pieces: list[Int[np.ndarray, "_ _"]], split: Any, seed: int) -> list[str]:
    """Assign a part to each piece; pieces whose highest notes begin with the same intervals share a part."""
    melodies = [_melody(piece.max(1)) for piece in pieces]
    numbers = {melody: i for i, melody in enumerate(dict.fromkeys(melodies))}
    try:
        return split_parts(len(pieces), split, [numbers[one] for one in melodies], seed)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _melody(highest: Int[np.ndarray, "T"]) -> tuple[int | None, ...]:
    """Return the intervals from the first note to the next frames, None for a rest; they are the same in every key."""
    first, *others = np.trim_zeros(highest, "f")[: _MELODY + 1].tolist()
    return tuple(pitch - first if pitch else None for pitch in others)
