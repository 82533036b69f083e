"""Music in frames: reading, splitting, and writing MIDI. Without music21 its place is taken by simple scores."""

import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import nounroll
from nounroll.core.notices import Notice
from nounroll.data import build, scores
from nounroll.data.kept import keep, without_data
from nounroll.data.music import Music
from nounroll.data.scores import Note, rolls
from nounroll.data.task import draw

C, D, E, G = 60, 62, 64, 67


def part(*notes: tuple[float, float, list[int]]) -> Any:
    """A part of music21's form: notes of (offset, quarters, pitches)."""
    found = [
        SimpleNamespace(
            offset=offset,
            duration=SimpleNamespace(quarterLength=quarters),
            pitches=tuple(SimpleNamespace(midi=pitch) for pitch in pitches),
        )
        for offset, quarters, pitches in notes
    ]
    return SimpleNamespace(flatten=lambda: SimpleNamespace(notes=found))


def melody(first: int, steps: list[int], key: int = 0) -> Any:
    """Quarters of a melody, and a bass an octave below."""
    pitches = np.cumsum([first + key, *steps]).tolist()
    return SimpleNamespace(
        parts=[part(*((i, 1, [p - low]) for i, p in enumerate(pitches))) for low in (0, 12)],
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve melodies, the first of them in two keys, and a piece of one part."""
    draws = np.random.default_rng(0)
    steps = [draws.integers(-2, 3, 11).tolist() for _ in range(12)]
    known = {f"{i}.mid": melody(C, steps[i]) for i in range(12)}
    known["0 in D.mid"] = melody(C, steps[0], key=2)
    known["solo.mid"] = SimpleNamespace(parts=[part((0, 4, [C]))])
    for name in known:
        (tmp_path / name).write_bytes(b"MThd")
    (tmp_path / "readme.txt").write_text("no score")

    def parse(path: Path, **options: Any) -> Any:
        assert options == {"forceSource": True, "storePickle": False}, "a pickle may be anyone's"
        return known[path.name]

    monkeypatch.setattr(scores, "music21", lambda what, module: SimpleNamespace(parse=parse))
    return tmp_path


def test_what_sounds_at_the_start_of_each_frame() -> None:
    score = [
        part((0, 1, [C]), (1.5, 1, [D]), (3, 0, [E])),  # a grace note has no length
        part((0, 2, [C - 12, G]), (2, 2.0, []), (2, 2, [0])),  # a drum, and a pitch that stands for a rest
    ]
    upper, lower = rolls(score, Fraction(1))
    assert [frame.nonzero()[0].tolist() for frame in upper] == [[C], [], [D]]
    assert [frame.nonzero()[0].tolist() for frame in lower] == [[C - 12, G], [C - 12, G], []]
    assert len(rolls(score, Fraction(1, 2))[0]) == 5


def test_a_frame_is_a_symbol_of_each_voice(folder: Path) -> None:
    with pytest.warns(Notice, match="1 scores without 2 parts that sound are left out: solo.mid"):
        task = Music(path=folder, voices=2, split=[0.6, 0.2, 0.2])
    batch = task.test().take(torch.arange(1), 12)
    assert not batch.inputs[0, 0].any()  # a silent frame
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    pitches = np.array(task.pitches(batch.targets[0]))
    assert (pitches[:, 0] - pitches[:, 1] == 12).all()
    parts = (task, task.validation(), task.test())
    assert {(one.inputs, one.targets) for one in parts} == {(task.inputs, task.targets)}


def test_training_has_each_piece_in_every_key_that_fits(folder: Path) -> None:
    task = Music(path=folder, voices=2, split=[0.6, 0.2, 0.2])
    rows = [task.pitches(task.take(torch.tensor([i]), 12).targets[0]) for i in range(task.size or 0)]
    melodies = {tuple(np.diff([frame[0] for frame in row])) for row in rows}
    assert len(rows) > len(melodies) >= 3
    assert len({str(row) for row in rows}) >= len(rows) - 4  # the melody that is there twice meets itself
    voices = np.array([frame for row in rows for frame in row])
    assert (voices.min(0) >= task.low).all()
    assert (voices.max(0) <= task.high).all()


def test_settings_of_one_melody_are_in_one_part(folder: Path) -> None:
    for seed in range(8):
        task = Music(path=folder, voices=2, split=[0.6, 0.2, 0.2], seed=seed)
        found = []
        for one in (task, task.validation(), task.test()):
            batches = [one.take(torch.tensor([i]), 12) for i in range(one.size or 0)]
            found.append({tuple(np.diff([f[0] for f in task.pitches(b.targets[0])])) for b in batches})
        assert not found[0] & found[1]
        assert not found[0] & found[2]
        assert not found[1] & found[2]
        assert sum(map(len, found)) == 12


def test_a_melody_with_rests_is_one_in_every_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve rhythms of one note, each in two keys; rests stand between the notes, and before some."""
    rests = [[0, *map(int, f"{i:04b}"), 1, 0] for i in range(12)]

    def parse(path: Path, **options: Any) -> Any:
        rhythm, key = map(int, path.stem.split("-"))
        times = [i for i, sounds in enumerate(rests[rhythm]) if sounds]
        return SimpleNamespace(
            parts=[part(*((i, 1, [low + key]) for i in times), (7, 1, [low + key])) for low in (C, C - 12)]
        )

    for old in folder.glob("*.mid"):
        old.unlink()
    for rhythm in range(12):
        for key in (0, 3):
            (folder / f"{rhythm}-{key}.mid").write_bytes(b"MThd")
    monkeypatch.setattr(scores, "music21", lambda what, module: SimpleNamespace(parse=parse))
    for voices in (0, 2):
        task = Music(path=folder, voices=voices, split=[0.6, 0.2, 0.2])
        for one in (task.validation(), task.test()):
            rows = [task.pitches(one.take(torch.tensor([i]), 8).targets[0]) for i in range(one.size or 0)]
            heard = [[any(frame) for frame in row] for row in rows]
            assert heard
            assert all(heard.count(row) == 2 for row in heard)


def test_any_number_of_parts_is_a_set_of_keys(folder: Path) -> None:
    task = Music(path=folder, voices=0, split=[0.6, 0.2, 0.2])
    assert task.inputs == nounroll.Bits(task.high[0] - task.low[0] + 1)
    assert sum(one.size or 0 for one in (task.validation(), task.test())) >= 2
    frame = draw(task.test(), 1, 4, 0, "train").targets[0]
    assert task.encode(task.decode(frame)).tolist()[1:] == frame.tolist()
    with pytest.raises(ValueError, match=r"none of 14 scores has 5 parts that sound; set music\.voices, 0 for"):
        Music(path=folder, voices=5)


def test_a_pitch_that_stays_is_one_note(folder: Path) -> None:
    task = Music(path=folder, voices=2, frame=0.5)
    silence = torch.zeros(1, 2)
    low = torch.tensor(task.low)
    frames = torch.cat([silence, torch.tensor([[1.0, 1], [1, 2], [0, 2]])])
    first, second = low.tolist()
    assert sorted(task.notes(frames)) == [
        Note(0, first, 0.0, 1.0),
        Note(1, second, 0.0, 0.5),
        Note(1, second + 1, 0.5, 1.5),
    ]
    text = task.decode(frames)
    assert text == f"{first},{second} {first},{second + 1} 0,{second + 1}"
    assert torch.equal(task.encode(text), frames)


def test_a_network_speaks_of_pitches_without_its_data(folder: Path) -> None:
    task = Music(path=folder, voices=2)
    bare: Any = without_data(keep(task, "music"), task.inputs, task.targets)
    frames = task.take(torch.arange(1), 8).inputs[0]
    assert bare.decode(frames) == task.decode(frames)
    assert bare.notes(frames) == task.notes(frames)
    assert torch.equal(bare.prompt(), torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"voices": -1}, "music.voices is -1"),
        ({"window": 1}, "music.window is 1"),
        ({"frame": 0.0}, "music.frame is 0.0; it must be 1/64 to 64 quarters"),
        ({"path": "nowhere"}, "music.path is 'nowhere'; there is no such file or folder"),
        ({"voices": 2, "split": [1, 1, 0]}, "the test part gets none"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_one_line(folder: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        build("music", {"path": str(folder), **options})
    assert said in str(error.value)


def test_prompts_of_other_pitches_are_one_line(folder: Path) -> None:
    task = Music(path=folder, voices=2)
    for text in ("60", "60,48,40", "200,48", "c,d"):
        with pytest.raises(ValueError, match="it must be a pitch of each voice with commas between them, 0 for none"):
            task.encode(text)
    with pytest.raises(ValueError, match="prompt is empty"):
        task.encode(" ")


def test_a_frame_of_more_pitches_than_keys_is_refused(folder: Path) -> None:
    """One long frame widens no other: 20,000 short frames and a long one took gigabytes."""
    task = Music(path=folder, voices=0)
    keys, low = task.high[0] - task.low[0] + 1, task.low[0]
    assert task.encode(",".join([str(low)] * keys))[1].sum() == 1
    short = f"{low} " * 4000
    tracemalloc.start()
    assert len(task.encode(short + ",".join([str(low)] * keys))) == 4002
    with pytest.raises(ValueError, match="it must be pitches with commas between them"):
        task.encode(short + ",".join([str(low)] * 16_000))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**24


def test_a_part_is_read_at_the_pitch_that_sounds() -> None:
    written, sounding, unknown = part((0, 1, [D])), part((0, 1, [D])), part((0, 1, [D]))

    def transpose(*, inPlace: bool) -> None:
        assert inPlace
        written.flatten = part((0, 1, [C])).flatten

    written.toSoundingPitch, written.atSoundingPitch = transpose, False
    sounding.atSoundingPitch, unknown.atSoundingPitch = True, "unknown"
    assert [roll.argmax() for roll in rolls([written, sounding, unknown], Fraction(1))] == [C, D, D]


def test_a_note_far_away_is_refused_before_the_frames_are_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(path: Path, **options: Any) -> Any:
        return SimpleNamespace(parts=[part((0, 1, [C]), (2**40, 1, [C]))])

    monkeypatch.setattr(scores, "music21", lambda what, module: SimpleNamespace(parse=parse))
    with pytest.raises(
        ValueError, match=r"^music\.path is '[^\n]*mid'; it cannot be read [^\n]*frames are read at most"
    ):
        Music(path=folder)


def test_a_folder_without_scores_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("la la")
    with pytest.raises(ValueError, match=r"it must be, or hold, scores that end in \.mid"):
        Music(path=tmp_path)


def test_without_music21_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "music21", None)
    (tmp_path / "a.mid").write_bytes(b"MThd")
    for path in (None, tmp_path):
        with pytest.raises(ValueError, match=r"^task music needs the package music21; pip install nounroll\[music\]$"):
            Music(path=path)
    with pytest.raises(ValueError, match=r"^a MIDI file needs the package music21"):
        scores.midi([Note(0, C, 0.0, 1.0)])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """With the package itself, by which MIDI and MusicXML are written and read."""
    pytest.importorskip("music21")
    notes = [Note(0, C, 0.0, 1.0), Note(0, D, 1.0, 3.0), Note(1, C - 12, 0.0, 2.0), Note(1, C - 10, 2.0, 3.0)]
    (tmp_path / "a.mid").write_bytes(scores.midi(notes))
    upper, lower = scores.read_score("music.path", tmp_path / "a.mid", Fraction(1))
    assert upper.argmax(1).tolist() == [C, D, D]
    assert lower.argmax(1).tolist() == [C - 12, C - 12, C - 10]
    (tmp_path / "bad.mid").write_bytes(b"MThd")
    with pytest.raises(ValueError, match=r"music\.path is '.*bad\.mid'; it cannot be read"):
        scores.read_score("music.path", tmp_path / "bad.mid", Fraction(1))
    paths = scores.chorales()
    assert len(paths) > 300
    four = scores.read_score("music.path", paths[1], Fraction(1))
    assert len(four) == 4
    assert all(roll.any() for roll in four)
