import io
from pathlib import Path

import numpy as np
import pytest
import torch

from nounroll.core.batch import Categorical
from nounroll.data.arrays import TokenArray
from nounroll.data.on_disk import OnDisk
from nounroll.data.task import draw, held_out, training_batch


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def test_one_long_sequence(tmp_path: Path) -> None:
    task = TokenArray(path=saved(tmp_path / "a.npy", np.arange(1000, dtype=np.uint16)))
    assert task.inputs == task.targets == Categorical(1000)
    batch = draw(task, 8, 30, 0, "train")
    assert torch.equal(batch.targets, batch.inputs + 1)
    for part, first in ((task.validation(), 900), (task.test(), 950)):
        assert draw(part, 500, 30, 0, "v").inputs.min() == first
        assert part.max_length == 49
    assert (task.max_length, task.size) == (899, None)
    assert isinstance(task._source._data, OnDisk)  # type: ignore[union-attr]


def test_rows(tmp_path: Path) -> None:
    task = TokenArray(path=str(saved(tmp_path / "a.npy", np.arange(200).reshape(20, 10) % 50)), symbols=60)
    assert (task.inputs, task.targets) == (Categorical(61), Categorical(60))
    assert task.max_length == 10
    assert task.prompt().tolist() == [60]
    batch = draw(task, 8, 10, 0, "train")
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    assert (task.size, task.validation().size, task.test().size) == (18, 1, 1)
    parts = [held_out(part, 99, 10, 0, "any") for part in (task, task.validation(), task.test())]
    firsts = [row for part in parts for batch in part for row in batch.targets.tolist()]
    assert sorted(firsts) == sorted((np.arange(200).reshape(20, 10) % 50).tolist())
    assert training_batch(task, 18, 10, 0, 0).targets.tolist() != training_batch(task, 18, 10, 0, 1).targets.tolist()


def test_symbols_have_to_hold_the_tokens(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", np.arange(100))
    with pytest.raises(
        ValueError, match=r"^array\.path '.*a\.npy' holds 50 at position 50; the tokens must be 0\.\.49$"
    ):
        TokenArray(path=path, symbols=50)
    with pytest.raises(ValueError, match=r"^array\.symbols is 0; it must be at least 1$"):
        TokenArray(path=path, symbols=0)
    path = saved(tmp_path / "b.npy", np.arange(100) * 10**12)
    with pytest.raises(ValueError, match=r"holds 99000000000000; if that is a token, set array\.symbols$"):
        TokenArray(path=path)
    with pytest.raises(ValueError, match=r"holds -1 at position 3"):
        TokenArray(path=saved(tmp_path / "c.npy", np.array([0, 1, 2, -1, 5])))


@pytest.mark.parametrize(
    "array", [np.zeros(9), np.zeros((2, 2, 2), dtype=int), np.zeros(0, dtype=int), np.zeros((0, 4), dtype=int)]
)
def test_arrays_that_are_no_tokens(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^array\.path is '.*a\.npy'"):
        TokenArray(path=saved(tmp_path / "a.npy", array))


def files() -> dict[str, bytes]:
    good, objects, archive = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(good, np.arange(100))
    np.save(objects, np.array([{}, None]), allow_pickle=True)
    np.savez(archive, a=np.arange(9))
    header = good.getvalue()
    return {
        "empty": b"",
        "text": b"1,2,3\n" * 40,
        "zip": b"PK\x03\x04 and nothing",
        "cut": header[:200],
        "cut in the header": header[:40],
        "huge": header.replace(b"(100,)", b"(10**9,)")[:128],
        "absurd": header.replace(b"(100,), }  ", b"(9" + b"9" * 30 + b",), }")[:128],
        "objects": objects.getvalue(),
        "archive": archive.getvalue(),
    }


@pytest.mark.parametrize("fault", list(files()))
def test_bad_files_give_one_line(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(files()[fault])
    with pytest.raises(ValueError, match=rf"^array\.path is '{path}'[^\n]*$"):
        TokenArray(path=path)


def test_no_file() -> None:
    with pytest.raises(ValueError, match=r"^array\.path is 'no\.npy'; there is no such file or folder$"):
        TokenArray(path="no.npy")
