"""Tensors in parts: however many processes wrote them and however many read, each gets its rows, bit for bit."""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nounroll.storage import checkpoint, parts
from nounroll.storage.checkpoint import CheckpointError

NAMES = ("matrix", "vector", "few", "one", "none")


def whole() -> dict[str, dict[str, Tensor]]:
    """Tensors of which all but two are cut; of some there are fewer rows than processes."""
    draw = torch.Generator().manual_seed(0)
    sizes = {"matrix": (7, 3), "vector": (10,), "few": (2, 2, 2), "one": (1, 4), "none": (0, 4)}
    cut = {name: torch.randn(size, generator=draw) for name, size in sizes.items()}
    moments = {"matrix": cut["matrix"].square(), "step": torch.tensor(3.0)}
    return {"student": {**cut, "empty_memory": torch.randn(1, 2, generator=draw)}, "optimizer": moments, "no": {}}


SHAPES = {
    "student": {name: tuple(whole()["student"][name].shape) for name in NAMES},
    "optimizer": {"matrix": (7, 3)},
}


def is_cut(group: str, name: str) -> bool:
    return name in SHAPES.get(group, {})


def held(rank: int, count: int) -> dict[str, dict[str, Tensor]]:
    """What a process has: its chunk of what is cut, by torch's own way to cut."""

    def own(value: Tensor) -> Tensor:
        chunks = torch.chunk(value, count) if len(value) else (value,)
        return chunks[rank] if rank < len(chunks) else value[:0]

    return {g: {n: own(t) if is_cut(g, n) else t for n, t in named.items()} for g, named in whole().items()}


def save(folder: Path, count: int) -> Path:
    draft = checkpoint.Draft.begin(folder)
    files = {}
    for rank in reversed(range(count)):
        documents = {} if rank else {"run": {"step": 3}, parts.DOCUMENT: SHAPES}
        files |= draft.add(checkpoint.contents(parts.files_of(held(rank, count), SHAPES, (rank, count)), documents))
    draft.publish(files)
    return folder


def rows_of(rank: int, count: int, group: str, name: str, shape: tuple[int, ...]) -> tuple[int, int] | None:
    return parts.share(shape[0], rank, count) if is_cut(group, name) else None


def assert_same(found: dict[str, dict[str, Tensor]], expected: dict[str, dict[str, Tensor]]) -> None:
    assert {g: set(named) for g, named in found.items()} == {g: set(named) for g, named in expected.items()}
    for group, named in expected.items():
        for name, value in named.items():
            assert torch.equal(found[group][name], value), (group, name)


@pytest.mark.parametrize("wrote", [1, 2, 3, 8])
def test_they_are_whole_again(tmp_path: Path, wrote: int) -> None:
    tensors, documents = checkpoint.read(save(tmp_path / "saved", wrote))
    assert_same(tensors, whole())
    assert documents == {"run": {"step": 3}}


@pytest.mark.parametrize("wrote", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("read", [1, 2, 3, 5])
def test_any_number_of_processes_goes_on(tmp_path: Path, wrote: int, read: int) -> None:
    """None wrote parts: the checkpoint of a process that had all."""
    folder = tmp_path / "saved"
    save(folder, wrote) if wrote else checkpoint.write(folder, whole(), {"run": {"step": 3}})
    for rank in range(read):
        tensors, _ = checkpoint.read(folder, rows=partial(rows_of, rank, read))
        assert_same(tensors, held(rank, read))


def test_a_process_reads_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opened = save(tmp_path / "saved", 4), []
    read_file = checkpoint.reading.read_file
    monkeypatch.setattr(
        checkpoint.reading, "read_file", lambda path, **how: opened.append(path.name) or read_file(path, **how)
    )
    checkpoint.read(folder, rows=partial(rows_of, 1, 4))
    assert [name for name in opened if "-of-" in name and "00002" not in name] == ["student-00001-of-00004.safetensors"]
    opened.clear()
    checkpoint.read(folder, rows=lambda group, name, shape: (4, 6) if name == "matrix" else None)
    assert "optimizer-00003-of-00004.safetensors" in opened
    assert "optimizer-00002-of-00004.safetensors" not in opened


def test_control_rows_of_another_process_are_seen(tmp_path: Path) -> None:
    folder = save(tmp_path / "saved", 2)
    tensors, _ = checkpoint.read(folder, rows=partial(rows_of, 0, 2))
    with pytest.raises(AssertionError):
        assert_same(tensors, held(1, 2))


def damages(folder: Path) -> Iterator[Path]:
    """Each file of a checkpoint in turn, with one bit of it turned over."""
    draw = random.Random(0)
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for place in draw.sample(range(len(data)), 10):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :])
            yield path
        path.write_bytes(data)


def test_damage_to_any_part_is_found(tmp_path: Path) -> None:
    folder = save(tmp_path / "saved", 2)
    for path in damages(folder):
        with pytest.raises(CheckpointError, match=path.name):
            checkpoint.read(folder)
    assert_same(checkpoint.read(folder)[0], whole())


@pytest.mark.parametrize("missing", ["student-00002-of-00002.safetensors", "optimizer.safetensors", "parts.json"])
def test_no_part_may_be_missing(tmp_path: Path, missing: str) -> None:
    folder = save(tmp_path / "saved", 2)
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match=missing):
        checkpoint.read(folder)


def forged(folder: Path, tensors: dict[str, dict[str, Tensor]], document: object) -> Path:
    """A checkpoint whose manifest is in order; its parts are not."""
    draft = checkpoint.Draft.begin(folder)
    draft.publish(draft.add(checkpoint.contents(tensors, {parts.DOCUMENT: document})))
    return folder


@pytest.mark.parametrize(
    ("tensors", "document", "said"),
    [
        ({"a-00002-of-00002": {"w": torch.ones(1, 3)}}, {"a": {"w": [2, 3]}}, "w has 1 of 2 rows"),
        ({"a-00001-of-00002": {"w": torch.ones(2, 3)}}, {"a": {"w": [2, 3]}}, r"shape \(2, 3\), as part 1 of \(2, 3\)"),
        ({"a-00001-of-00002": {"w": torch.ones(1, 3)}}, {"a": {"w": [2, 4]}}, "as part 1 of"),
        ({"a-00001-of-00000": {"w": torch.ones(1, 3)}}, {"a": {"w": [2, 3]}}, "division"),
        ({"a-00000-of-00002": {"w": torch.ones(1, 3)}}, {"a": {"w": [2, 3]}}, "w has 1 of 2 rows"),
        ({"a-00001-of-00002": {"w": torch.ones(1, 3)}}, {"a": {"w": []}}, "index out of range"),
        ({"a-00001-of-00002": {"w": torch.ones(1, 3)}}, {"a": {"w": ["x", 3]}}, "invalid literal"),
        ({"a-00001-of-00002": {"w": torch.ones(1, 3)}}, {"a": 3}, "no attribute"),
        ({"a-00001-of-00002": {"w": torch.ones(1, 3)}}, [], "no attribute"),
        ({"a-00001-of-00002": {"w": torch.ones(1, 3)}}, {}, "'a'"),
        ({"a-00001-of-00002": {}}, {"a": {"w": [2, 3]}}, "w has 0 of 2 rows"),
    ],
)
def test_parts_that_do_not_fit_are_one_line(tmp_path: Path, tensors: dict, document: object, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as fault:
        checkpoint.read(forged(tmp_path / "forged", tensors, document))
    assert "\n" not in str(fault.value)
