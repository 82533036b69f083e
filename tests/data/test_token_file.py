"""Token files of others: bare numbers by their type, llm.c's header, padding at the end of rows."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from nounroll.core.batch import Batch
from nounroll.core.notices import Notice
from nounroll.data import rows, token_file
from nounroll.data.arrays import TokenArray
from nounroll.data.on_disk import OnDisk
from nounroll.data.rows import TokenRows
from nounroll.data.task import SequenceTask, draw, held_out

TOKENS = np.random.default_rng(0).integers(0, 500, 4000)


def written(path: Path, dtype: str, tokens: np.ndarray = TOKENS, header: bytes = b"") -> Path:
    path.write_bytes(header + tokens.astype(dtype).tobytes())
    return path


def whole(task: TokenArray) -> list[int]:
    """All tokens, in order."""
    source = task._source
    return [*np.asarray(source._data).tolist(), *np.asarray(source._held_out).tolist()]  # type: ignore[union-attr]


def llm_c(magic: int, version: int, count: int) -> bytes:
    return np.array([magic, version, count, *[0] * 253], dtype="<i4").tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "int32", "int64"])
def test_bare_numbers_are_read_by_their_type(tmp_path: Path, dtype: str) -> None:
    tokens = TOKENS % 200
    with warnings.catch_warnings(action="error"):
        task = TokenArray(path=written(tmp_path / "train.tokens", dtype, tokens), dtype=dtype)
    assert whole(task) == tokens.tolist()
    assert isinstance(task._source._data, OnDisk)  # type: ignore[union-attr]


def test_a_bin_file_without_a_type_is_read_as_nanogpts_with_a_notice(tmp_path: Path) -> None:
    with pytest.warns(Notice, match=r"^array\.path is '.*train\.bin'; .* uint16, as nanoGPT writes"):
        task = TokenArray(path=written(tmp_path / "train.bin", "uint16"))
    assert whole(task) == TOKENS.tolist()
    assert task.encode("3 4").tolist() == [3, 4]


@pytest.mark.parametrize(("magic", "version", "dtype"), [(20240520, 1, "uint16"), (20240801, 7, "uint32")])
def test_the_header_of_llm_c_says_the_type(tmp_path: Path, magic: int, version: int, dtype: str) -> None:
    path = written(tmp_path / "train.bin", dtype, header=llm_c(magic, version, len(TOKENS)))
    with warnings.catch_warnings(action="error"):
        assert whole(TokenArray(path=path)) == TOKENS.tolist()
    with pytest.raises(ValueError, match=rf"^array\.dtype is int64; the header of array\.path '.*' says {dtype}"):
        TokenArray(path=path, dtype="int64")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TOKENS.astype("uint32").tobytes(), "it seems to be of type uint32, set array.dtype"),
        (TOKENS.astype("int64").tobytes(), "it seems to be of type int64, set array.dtype"),
        (b"It was a dark and stormy night. " * 9, "it seems to be text, which task.kind text reads"),
        (("é" * 70_000).encode()[: 2**16 + 2], "it seems to be text"),
        (b"\x1f\x8b\x08\x00" * 9, "it seems to be packed by gzip"),
        (TOKENS.astype("uint16").tobytes()[:-1], "of 7999 bytes; that is not a multiple of the 2 bytes of uint16"),
        (b"", "of 0 bytes; that is not a multiple of the 2 bytes of uint16"),
        (np.full(99, 65535, "uint16").tobytes(), "holds 65535, -1 as uint16; if that is a token, set array.symbols"),
    ],
)
def test_a_guess_that_cannot_be_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with warnings.catch_warnings(action="ignore"), pytest.raises(ValueError, match=said) as error:
        TokenArray(path=tmp_path / "a.bin")
    assert "a.bin" in str(error.value)


def test_control_an_unchecked_guess_reads_zeros_between_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_file, "_other", lambda start: "")
    with pytest.warns(Notice):
        assert whole(TokenArray(path=written(tmp_path / "a.bin", "uint32")))[1::2] == [0] * len(TOKENS)


def test_the_type_of_an_array_is_its_own(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", TOKENS)
    with pytest.raises(
        ValueError, match=r"^array\.dtype is uint16; array\.path '.*' is a \.npy file, which has its own"
    ):
        TokenArray(path=tmp_path / "a.npy", dtype="uint16")
    with pytest.raises(ValueError, match=r"^array\.dtype is 'float32'; it must be one of uint8, uint16"):
        TokenArray(path=tmp_path / "a.npy", dtype="float32")


# --- padding --------------------------------------------------------------------------------------


def padded(padding: int) -> np.ndarray:
    """20 rows of 10; row i holds i for 3 to 7 steps."""
    ends = 3 + np.arange(20) % 5
    return np.where(np.arange(10) < ends[:, None], np.arange(20)[:, None], padding)


def check_padding(task: SequenceTask) -> None:
    for part in (task, task.validation(), task.test()):
        for batch in held_out(part, 99, 7, 0, "t"):
            row = batch.targets[:, :1]
            assert batch.mask.sum(1).tolist() == (3 + row[:, 0] % 5).tolist()
            assert (batch.mask[:, 1:] <= batch.mask[:, :-1]).all()
            assert (batch.targets == torch.where(batch.mask, row, 0)).all()
            assert (batch.inputs[:, 1:] == batch.targets[:, :-1]).all()


@pytest.mark.parametrize("padding", [-1, -100])
def test_padding_at_the_end_of_rows_is_never_scored(tmp_path: Path, padding: int) -> None:
    np.save(tmp_path / "a.npy", padded(padding))
    task = TokenArray(path=tmp_path / "a.npy")
    assert (task.max_length, task.targets.readout_size) == (7, 20)
    check_padding(task)
    np.save(tmp_path / "a.npy", np.tile(np.arange(5), (20, 1)))
    assert draw(TokenArray(path=tmp_path / "a.npy"), 4, 5, 0, "t").mask.all()


class Scored(TokenRows):
    """A planted bug: padding is a symbol like others."""

    def take(self, indices: torch.Tensor, length: int) -> Batch:
        batch = super().take(indices, length)
        return Batch(batch.inputs, batch.targets)


def test_control_padding_that_is_scored_is_seen() -> None:
    task = Scored(tokens=padded(-1), held_out=rows.held_out_rows("rows", 20), symbols=20)
    with pytest.raises(AssertionError):
        check_padding(task)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ((5, 2), -1, r"holds -1 at position \(5, 2\), which is padding; a row must begin with a token"),
        ((7, 0), -100, r"holds -100 at position \(7, 0\), which is padding"),
        ((7, 9), -2, r"holds -2 at position \(7, 9\); the tokens must be 0\.\.19"),
    ],
)
def test_other_negative_numbers_are_refused(tmp_path: Path, place: tuple[int, int], value: int, said: str) -> None:
    tokens = np.repeat(np.arange(20)[:, None], 10, axis=1)
    tokens[place] = value
    np.save(tmp_path / "a.npy", tokens)
    with pytest.raises(ValueError, match=said):
        TokenArray(path=tmp_path / "a.npy")


def test_a_row_of_padding_alone_is_refused(tmp_path: Path) -> None:
    tokens = np.repeat(np.arange(20)[:, None], 10, axis=1)
    tokens[3] = -1
    np.save(tmp_path / "a.npy", tokens)
    with pytest.raises(ValueError, match=r"holds -1 at position \(3, 0\), which is padding"):
        TokenArray(path=tmp_path / "a.npy")


# --- what is held out, what is typed ----------------------------------------------------------------


def test_held_out_names_another_file(tmp_path: Path) -> None:
    train, kept = written(tmp_path / "train.bin", "uint16"), written(tmp_path / "val.bin", "uint16", TOKENS[:100] + 9)
    task = TokenArray(path=train, held_out=kept, dtype="uint16")
    assert (task.max_length, task.validation().max_length, task.test().max_length) == (3999, 49, 49)
    assert task.targets.readout_size == 1 + max(TOKENS.max(), TOKENS[:100].max() + 9)
    first = draw(task.validation(), 1, 49, 0, "t")
    assert first.inputs[0].tolist() == (TOKENS[:49] + 9).tolist()
    np.save(tmp_path / "rows.npy", np.arange(60).reshape(6, 10))
    np.save(tmp_path / "kept.npy", 60 + np.arange(20).reshape(2, 10))
    split = TokenArray(path=tmp_path / "rows.npy", held_out=tmp_path / "kept.npy")
    assert (split.size, split.validation().size, split.test().size, split.targets.readout_size) == (6, 1, 1, 80)
    assert [draw(part, 9, 10, 0, "t").targets.min() >= 60 for part in (split, split.validation(), split.test())] == [
        False,
        True,
        True,
    ]
    assert draw(split.validation().test(), 1, 1, 0, "t").targets.item() == 70
    np.save(tmp_path / "flat.npy", TOKENS)
    with pytest.raises(
        ValueError, match=r"^array\.held_out '.*' has the shape \(6, 10\), and array\.path '.*' \(4000,\);"
    ):
        TokenArray(path=tmp_path / "flat.npy", held_out=tmp_path / "rows.npy")


def test_what_is_typed_is_read_as_in_training(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.tile(np.arange(6), (20, 1)))
    task = TokenArray(path=tmp_path / "a.npy")
    batch = draw(task, 1, 4, 0, "t")
    assert task.encode("0 1 2").tolist() == batch.inputs[0].tolist() == [6, 0, 1, 2]
    assert torch.equal(task.encode(""), task.prompt())
    with pytest.raises(ValueError, match="prompt holds the symbol 6"):  # START stands at the beginning alone
        task.encode("6 0")
