"""Mutated checkpoints are read or refused by ``CheckpointError``: nothing in them runs, writes, imports or crashes."""

import json
import os
import pickle
import random
import resource
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from audit import watched
from helpers import make_student
from nounroll.models.student import Student
from nounroll.storage import checkpoint
from nounroll.storage.checkpoint import CheckpointError

MUTANTS = 100_000 if os.environ.get("NOUNROLL_NIGHTLY") else 1_000
GROWTH = 256 << 20  # bytes that reading all of them may add to the process

HOSTILE = [
    *(b"null", b"-1", b"1e999", b"NaN", b"true", b"{}", b"[]", b'""', b"[" * 2000, b'{"a":' * 2000, b"9" * 5000),
    *(b'"../../x"', b'"/etc/passwd"', b'"\\u0000"', b'"\\ud800"', b"\xff\xfe", b'"__class__"', b'"__metadata__"'),
    *(b"18446744073709551615", b"-9223372036854775808", b'"F64"', b'"BOOL"', b'"F8_E4M3"', b"[0,0]", b"[4,0]"),
    *(pickle.dumps({"a": 1}), b"cposix\nsystem\n(S'true'\ntR.", b"__import__('os').system('true')", b"PK\x03\x04"),
]


def mutated(data: bytes, draw: random.Random) -> bytes:
    """One to three faults: bits, cuts, copies, noise, hostile words in the place of others, another header's size."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        # Half of them in the head, where the names and the sizes are.
        place = draw.randrange(len(data) + 1 if draw.random() < 0.5 else min(200, len(data)) + 1)
        length = draw.choice((1, 1, 2, 4, 8, 40))
        head, rest = data[:place], data[place:]
        fault = draw.randrange(8)
        if fault == 0 and rest:
            data = head + bytes([rest[0] ^ 1 << draw.randrange(8)]) + rest[1:]
        elif fault == 1:
            data = head
        elif fault == 2:
            data = head + rest[length:]
        elif fault == 3:
            data = head + draw.randbytes(length) + rest[draw.choice((0, length)) :]
        elif fault == 4:
            data = head + rest[:length] * draw.randrange(2, 5) + rest[length:]
        elif fault == 5:
            data = head + draw.choice(HOSTILE) + rest[draw.choice((0, 1, length)) :]
        elif fault == 6:
            data = _value_replaced(data, draw)
        else:
            size = draw.choice((0, 1, 7, len(data), len(data) - 8, 1 << 20, 1 << 23, 1 << 40, (1 << 64) - 1))
            data = max(0, size).to_bytes(8, "little") + data[8:]
    return data


def _value_replaced(data: bytes, draw: random.Random) -> bytes:
    """A JSON value, between its punctuation, becomes a hostile one: what is left is often still JSON."""
    marks = [i for i, byte in enumerate(data[:4000]) if byte in b':,[]{}"']
    if len(marks) < 2:
        return data + draw.choice(HOSTILE)
    i = draw.randrange(len(marks) - 1)
    return data[: marks[i] + 1] + draw.choice(HOSTILE) + data[marks[i + 1] :]


class Range:
    """Two folders whose files are mutated, one at a time: a checkpoint, and a student as it may come from elsewhere."""

    def __init__(self, root: Path) -> None:
        self.saved, self.student = root / "saved", root / "student"
        weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
        group = {"weight": weights, "half": weights.bfloat16(), "mask": weights > 0, "empty": torch.empty(0, 3)}
        counters = {"step": 3, "rate": 0.5, "none": None, "list": [1, [2.5, True]], "name": "m_∅"}
        halves = {f"cut-0000{n}-of-00002": {"rows": half} for n, half in enumerate(torch.chunk(weights, 2), start=1)}
        checkpoint.write(self.saved, {"model": group, **halves}, {"run": counters, "parts": {"cut": {"rows": [3, 4]}}})
        make_student(dtype=torch.float32).save_pretrained(self.student)
        (self.student / checkpoint.MANIFEST).unlink()
        self.whole = {path: path.read_bytes() for folder in (self.saved, self.student) for path in folder.iterdir()}
        self.files = sorted(self.whole)

    def lay(self, path: Path, data: bytes, in_order: bool) -> None:
        """Give a file these bytes; ``in_order``: and a manifest that says that they are the right ones."""
        path.write_bytes(data)
        manifest = self.saved / checkpoint.MANIFEST
        if in_order and path.parent == self.saved and path != manifest:
            names = [other for other in self.files if other.parent == self.saved and other != manifest]
            prints = {other.name: checkpoint.format.fingerprint(other.read_bytes()) for other in names}
            manifest.write_bytes(checkpoint.format.manifest(prints))

    def read(self, path: Path) -> str:
        """What comes of reading the file's folder: "read", "refused", or what should not be."""
        try:
            checkpoint.read(self.saved) if path.parent == self.saved else Student.from_pretrained(self.student)
            return "read"
        except CheckpointError as error:
            return "refused" if "\n" not in str(error) else f"two lines: {error}"
        except Exception as error:
            # A student is refused by the plain kind of what a checkpoint is refused by.
            plain = path.parent == self.student and type(error) is ValueError and "\n" not in str(error)
            return "refused" if plain else f"{path.name}: {type(error).__name__}: {error}"[:200]

    def put_back(self, path: Path) -> None:
        path.write_bytes(self.whole[path])
        manifest = self.saved / checkpoint.MANIFEST
        manifest.write_bytes(self.whole[manifest])


def outcomes(folder: Path, count: int) -> tuple[Counter[str], list[str]]:
    """How often reading ended how, over so many mutants; and what it did that no reader has a need for."""
    place, draw, seen = Range(folder), random.Random(0), []
    for path in place.files:  # what is imported late is imported now
        for data in (b"\0" * 9, b"{}", place.whole[path]):
            place.lay(path, data, in_order=True)
            place.read(path)
        place.put_back(path)
    found: Counter[str] = Counter()
    for number in range(count):
        path = place.files[number % len(place.files)]
        place.lay(path, mutated(place.whole[path], draw), in_order=draw.random() < 0.75)
        with watched() as events:
            found[place.read(path)] += 1
        seen += events
        place.put_back(path)
    return found, seen


def test_mutants_are_read_or_refused_and_do_nothing(tmp_path: Path) -> None:
    outcomes(tmp_path / "warm", 200)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, seen = outcomes(tmp_path / "range", MUTANTS)
    assert seen == []
    assert set(found) == {"read", "refused"}, found
    assert found["refused"] > MUTANTS // 2
    assert found["read"] > MUTANTS // 50, "the parsers are reached, and some of the damage is to values alone"
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GROWTH


def _evaluate(data: bytes) -> object:
    return eval(data.decode(), {"null": None, "true": True, "false": False})


def _leave_a_note(data: bytes) -> object:
    Path("note").write_bytes(data)
    return json.loads(data)


@pytest.mark.parametrize(
    ("planted", "event"),
    [(_evaluate, "compile"), (pickle.loads, "pickle.find_class"), (_leave_a_note, "open")],
    ids=["eval", "pickle", "a file is written"],
)
def test_control_a_reader_that_does_more_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Callable[[bytes], object], event: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "parse_document", planted)
    place = Range(tmp_path / "range")
    config = place.student / "config.json"
    place.lay(config, b"cbuiltins\nlen\n." if planted is pickle.loads else b"[1]", in_order=False)
    with watched() as seen:
        place.read(config)
    assert any(one.startswith(event) for one in seen)


def test_control_another_kind_of_error_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(folder: Path) -> dict[str, object]:
        return json.loads((folder / checkpoint.MANIFEST).read_bytes())["files"]

    monkeypatch.setattr(checkpoint.reading, "read_manifest", careless)
    found, _ = outcomes(tmp_path / "range", 300)
    assert set(found) > {"read", "refused"}
