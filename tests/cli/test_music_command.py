"""Music by the command line: a run on scores, what it writes, and its report. Scores need no music21 here."""

import base64
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from commands import Command, one_line
from nounroll.data import music, scores
from nounroll.data.scores import Note

RECIPE = """
name: tune
task: {kind: music, options: {path: scores, voices: 2, window: 12}}
method: bptt
length: 12
cell: {kind: gru, memory_width: 8}
training: {steps: 3, evaluations: 1}
"""


@pytest.fixture
def trained(nounroll: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[Note]]:
    """A run on twelve melodies; the list of the notes that were written as MIDI."""
    del folder
    steps = [np.random.default_rng(i).integers(-2, 3, 11) for i in range(12)]

    def parse(path: Path, **_: Any) -> Any:
        pitches = np.cumsum([60, *steps[int(path.stem)]]).tolist()
        return SimpleNamespace(parts=[_part([p - low for p in pitches]) for low in (0, 12)])

    written: list[list[Note]] = []

    def midi(notes: list[Note]) -> bytes:
        written.append(notes)
        return b"MThd and so on"

    monkeypatch.setattr(scores, "music21", lambda what, module: SimpleNamespace(parse=parse))
    monkeypatch.setattr(music, "midi", midi)
    Path("scores").mkdir()
    for i in range(12):
        Path(f"scores/{i}.mid").write_bytes(b"MThd")
    Path("tune.yaml").write_text(RECIPE)
    assert nounroll("train", "tune.yaml").status == 0
    return written


def _part(pitches: list[int]) -> Any:
    notes = [
        SimpleNamespace(offset=i, duration=SimpleNamespace(quarterLength=1), pitches=(SimpleNamespace(midi=pitch),))
        for i, pitch in enumerate(pitches)
    ]
    return SimpleNamespace(flatten=lambda: SimpleNamespace(notes=notes))


def test_what_is_written_is_a_midi_file_and_pitches(nounroll: Command, trained: list[list[Note]]) -> None:
    result = json.loads(nounroll("generate", "runs/tune", "--length", 6, "--midi", "tune.mid", "--json").out)
    assert result["midi"] == "tune.mid"
    assert Path("tune.mid").read_bytes() == b"MThd and so on"
    frames = result["text"].split()
    assert 5 <= len(frames) <= 6  # a silent frame at the beginning is not heard
    sounding = {(voice, int(p)) for frame in frames for voice, p in enumerate(frame.split(",")) if p != "0"}
    assert {(note.voice, note.pitch) for note in trained[-1]} == sounding
    prompted = nounroll("generate", "runs/tune", "--length", 2, "--prompt", "60,48", "--midi", "b.mid").out
    assert prompted.startswith("60,48 ")
    assert trained[-1][0][:3] == (0, 60, 0.0)


def test_the_report_shows_pieces_and_offers_the_midi_file(nounroll: Command, trained: list[list[Note]]) -> None:
    report = json.loads(nounroll("report", "runs/tune", "--sequences", 4, "--json").out)
    assert report["pictures"][0] == "piano-roll"
    assert "series" not in report["pictures"]
    page = Path(report["report"]).read_text()
    (data,) = re.findall(r'href="data:audio/midi;base64,([^"]+)" download="written.mid"', page)
    assert base64.b64decode(data) == b"MThd and so on"
    assert trained


def test_what_is_no_music_has_no_midi_file(nounroll: Command, trained: list[list[Note]]) -> None:
    assert nounroll("train", "series.yaml").status == 0
    for words, said in {
        ("runs/series", "--midi", "a.mid"): "--midi is 'a.mid'; it must be a .mid file, and the task music",
        ("runs/tune", "--midi", "a.wav"): "--midi is 'a.wav'; it must be a .mid file, and the task music",
        ("runs/tune", "--prompt", "60"): "it must be a pitch of each voice with commas between them",
    }.items():
        assert said in one_line(nounroll("generate", *words), 2, "nounroll generate: ")
    assert not Path("a.mid").exists()
    assert not trained
