import sysconfig
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from nounroll.core.notices import Notice
from nounroll.data.task import SequenceTask, draw
from nounroll.data.text import Text


def bytes_read(task: SequenceTask, length: int) -> set[int]:
    batch = draw(task, 1000, length, 0, "any")
    return set(batch.inputs.unique().tolist()) | set(batch.targets.unique().tolist())


def parts_read(task: SequenceTask, length: int) -> list[set[int]]:
    return [bytes_read(part, length) for part in (task, task.validation(), task.test())]


def folder_of(path: Path, files: int) -> Path:
    """Files of 50 equal bytes, each file another byte."""
    for i in range(files):
        target = path / f"part{i % 3}" / f"{i:03d}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bytes([i + 1]) * 50)
    return path


def test_a_file_holds_out_its_tail(tmp_path: Path) -> None:
    path = tmp_path / "bytes.txt"
    path.write_bytes(b"a" * 180 + b"b" * 10 + b"c" * 10)
    assert parts_read(Text(path=path), 9) == [{97}, {98}, {99}]
    path.write_bytes(bytes(range(1, 128)))
    batch = draw(Text(path=path), 4, 10, 0, "train")
    assert torch.equal(batch.targets, batch.inputs + 1)


@pytest.mark.parametrize("files", [60, 120])
def test_a_folder_holds_out_whole_files(tmp_path: Path, files: int) -> None:
    task = Text(path=str(folder_of(tmp_path / "corpus", files)))
    train, validation, test = parts_read(task, 24)
    held_out = validation | test
    assert not train & held_out
    assert len(validation & test) <= 1  # the file in the middle of what is held out is cut in two
    assert 1 <= len(held_out) <= max(1, files // 8)
    assert sizes(task) == (50 * (files - len(held_out)), 25 * len(held_out), 25 * len(held_out))


def sizes(task: SequenceTask) -> tuple[int, ...]:
    """Bytes of each part."""
    return tuple((part.max_length or 0) + 1 for part in (task, task.validation(), task.test()))


@pytest.mark.parametrize(
    "files",
    [
        {"README": 600, "corpus.txt": 116_000},
        {"corpus.txt": 600, "README": 116_000},
        {"a": 50_000, "b": 50_000},
        {"a": 1, "b": 2, "c": 90_000, "d": 10},
        {f"{i}": 1000 + 100 * i for i in range(40)},
        {"big": 90_000, **{f"{i}": 100 for i in range(300)}},
    ],
)
def test_a_folder_is_split_by_bytes(tmp_path: Path, files: dict[str, int]) -> None:
    for name, size in files.items():
        (tmp_path / name).write_bytes(bytes([65 + len(name)]) * size)
    task, total = Text(path=tmp_path), sum(files.values())
    assert sum(sizes(task)) == total
    assert 0.025 * total <= total - sizes(task)[0] <= 0.1 * total
    assert sizes(task) == sizes(Text(path=tmp_path))


def test_the_default_corpus_keeps_its_split() -> None:
    """Figures measured on it stay comparable: it holds out files whose hash is in the lowest 5 %, whole."""
    task = Text()
    assert 0.025 < sum(sizes(task)[1:]) / sum(sizes(task)) < 0.1
    sections = task._held_out._sections  # type: ignore[union-attr]
    assert all(section.count == section.path.stat().st_size for section in sections)


def test_held_out_names_another_file_or_folder(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"a" * 100)
    folder_of(tmp_path / "other", 2)
    task = Text(path=tmp_path / "train.txt", held_out=tmp_path / "other")
    assert parts_read(task, 9) == [{97}, {1}, {2}]
    assert sizes(task) == (100, 50, 50)
    with pytest.raises(ValueError, match=r"^text\.held_out is 'none'; there is no such file or folder$"):
        Text(path=tmp_path / "train.txt", held_out="none")
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match=r"^text\.held_out is '.*empty'; the file is empty"):
        Text(path=tmp_path / "train.txt", held_out=tmp_path / "empty")


def test_the_split_and_the_order_depend_on_names_alone(tmp_path: Path) -> None:
    one = Text(path=folder_of(tmp_path / "one", 40))
    two = Text(path=folder_of(tmp_path / "two", 40))
    assert torch.equal(draw(one, 9, 100, 3, "t").inputs, draw(two, 9, 100, 3, "t").inputs)
    assert bytes_read(one.validation(), 20) == bytes_read(two.validation(), 20)
    sequence = draw(one, 1, one.max_length or 0, 0, "t").inputs[0].unique_consecutive()
    assert sequence.tolist() == sorted(sequence.tolist(), key=lambda b: ((b - 1) % 3, b))  # by folder, then by file


def test_what_is_not_text_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a" * 100)
    (tmp_path / "empty.txt").touch()
    (tmp_path / ".hidden").write_bytes(b"c" * 100)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_bytes(b"d" * 100)
    with warnings.catch_warnings(action="error"):
        Text(path=tmp_path)
    (tmp_path / "binary").write_bytes(b"b\0" * 100)
    (tmp_path / "old.txt").write_bytes("é".encode("latin-1"))
    with pytest.warns(Notice, match=r"left out of it: binary \(a zero byte, .*\), old\.txt \(byte 0xE9") as said:
        task = Text(path=tmp_path)  # one file remains: its tail is held out
    assert len(said) == 1
    assert parts_read(task, 4) == [{ord("a")}] * 3
    assert (task.max_length, task.validation().max_length, task.test().max_length) == (89, 4, 4)


def test_links_in_a_folder_are_read_once_or_named(tmp_path: Path) -> None:
    outside, corpus = tmp_path / "outside", tmp_path / "corpus"
    for folder in (outside, corpus / "part", corpus / ".store"):
        folder.mkdir(parents=True)
    (outside / "secret.txt").write_bytes(b"s" * 100)
    (corpus / "part" / "a.txt").write_bytes(b"a" * 100)
    (corpus / ".store" / "b").write_bytes(b"b" * 100)
    (corpus / "again.txt").symlink_to("part/a.txt")
    (corpus / "loop").symlink_to(".")
    (corpus / "b.txt").symlink_to(".store/b")  # as git-annex keeps its files
    with warnings.catch_warnings(action="error"):
        task = Text(path=corpus)
    assert (sum(sizes(task)), set().union(*parts_read(task, 2))) == (200, {ord("a"), ord("b")})
    (corpus / "out.txt").symlink_to(outside / "secret.txt")
    (corpus / "folder").symlink_to(outside)
    (corpus / "gone").symlink_to("nowhere")
    with pytest.warns(Notice) as said:
        task = Text(path=corpus)
    assert sum(sizes(task)) == 200
    for name in ("out.txt", "folder", "gone"):
        assert f"{name} (a link to " in str(said[0].message)


def test_the_standard_library_is_there_and_fast() -> None:
    started = time.perf_counter()
    task = Text()
    assert time.perf_counter() - started < 10  # about 0.1 s; wide, for a busy machine
    held_out = task.validation().max_length or 0
    assert (task.max_length or 0) > 5_000_000
    assert 0.01 < held_out / (task.max_length or 1) < 0.2
    everything = bytes(np.asarray(task._data))
    assert Path(sysconfig.get_paths()["stdlib"], "textwrap.py").read_bytes() in everything + bytes(
        np.asarray(task._held_out)
    )
    assert "def " in task.decode(draw(task, 1, 50_000, 0, "train").inputs[0])


def test_prompt_encode_decode() -> None:
    task = Text()
    assert task.prompt().tolist() == [10]
    assert task.encode("é\n").tolist() == [0xC3, 0xA9, 10]
    assert task.decode(task.encode("naïve ∅")) == "naïve ∅"
    assert task.decode(torch.tensor([104, 0xFF])) == "h�"
    assert task.encode("").dtype == torch.int64
    with pytest.raises(ValueError, match=r"^prompt is 'a\\udcff'; it is not text in UTF-8 \(surrogates not allowed\)$"):
        task.encode("a\udcff")


def test_errors_name_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^text\.path is 'nowhere\.txt'; there is no such file or folder$"):
        Text(path="nowhere.txt")
    with pytest.raises(ValueError, match=r"^text\.path is .*; the folder holds no text files"):
        Text(path=tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match=r"^text\.path is .*empty'; the file is empty, give one that holds text$"):
        Text(path=tmp_path / "empty")
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"short' holds 3 elements; at least 6 are needed"):
        Text(path=tmp_path / "short")
    with pytest.raises(ValueError, match=r"^text\.path is 'x+'; it cannot be read \(File name too long\)$"):
        Text(path="x" * 5000)

    def refuse(path: Path, *given: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("nounroll.storage.files.opened", refuse)
    with pytest.raises(ValueError, match=r"empty'; it cannot be read \(Permission denied\)$"):
        Text(path=tmp_path)
