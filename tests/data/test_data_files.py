"""Containers, encodings and kinds of files: read within a limit, or named and refused."""

import bz2
import gzip
import io
import lzma
import os
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nounroll.data import encoding, files
from nounroll.data.encoding import read_text, text_section
from nounroll.data.files import NotText, read_bytes

TEXT = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.\n" * 20


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        gzip.compress(TEXT.encode()),
        gzip.compress(TEXT.encode("utf-16")),
        gzip.compress(TEXT[:99].encode()) + gzip.compress(TEXT[99:].encode()),
        bz2.compress(TEXT.encode()),
        lzma.compress(TEXT.encode()),
        zipped("text.csv", "__MACOSX/text.csv"),
    ],
    ids=["utf-8", "mark", "utf-16", "utf-16-be", "utf-32", "gzip", "gzip-16", "two-members", "bz2", "xz", "zip"],
)
def test_containers_and_encodings_are_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read_text("some.path", tmp_path / "a") == TEXT


REFUSED = {
    "packed twice": (gzip.compress(gzip.compress(TEXT.encode())), "packed by gzip"),
    "two files": (zipped("a", "b"), "a zip archive of 2 files"),
    "a tar in a gzip": (gzip.compress(bytes(257).replace(b"\0", b"a") + b"ustar\0" + bytes(99)), "a tar archive"),
    "half of UTF-16": (TEXT.encode("utf-16")[:-1], "its mark says UTF-16"),
    "UTF-16 without a mark": ("\n\nabc".encode("utf-16-be"), "a zero byte, .* at position 0, line 1"),
    "Latin-1": (TEXT.encode("latin-1"), r"byte 0xF6, .* at position 2, line 1"),
    "a late byte": (b"a\n" * 600_000 + b"\xe9" + b"b" * 9, r"byte 0xE9, .* at position 1200000, line 600001"),
    "a character cut short": (b"ab\n" + "ö".encode()[:1], "byte 0xC3, .* at position 3, line 2"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_no_text_is_named(tmp_path: Path, case: str) -> None:
    content, found = REFUSED[case]
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(NotText, match=rf"^some\.path is '.*a'; it is not text in UTF-8 \({found}.*\); convert"):
        read_text("some.path", tmp_path / "a")
    with pytest.raises(NotText):
        text_section("some.path", tmp_path / "a")


@pytest.mark.parametrize("piece", [1, 2, 3, 1000])
def test_characters_across_pieces_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + "aö€😀\n".encode() * 50)
    monkeypatch.setattr(encoding, "PIECE", piece)
    found = text_section("some.path", tmp_path / "a")
    assert (found.offset, found.count) == (3, 50 * 11)


def test_control_text_that_is_not_looked_at_is_taken_for_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(TEXT.encode("latin-1"))
    monkeypatch.setattr(encoding, "first_fault", lambda decoder, piece: (0, ""))
    assert text_section("some.path", tmp_path / "a").count == len(TEXT)


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_what_unpacks_to_too_much_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: type) -> None:
    monkeypatch.setattr(files, "MOST", 4 * 2**20)
    (tmp_path / "a").write_bytes(pack(b"a" * 64 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"^some\.path is '.*a'; it holds more than the 4 MiB"):
            read_bytes("some.path", tmp_path / "a")
        assert tracemalloc.get_traced_memory()[1] < 24 * 2**20
        with tmp_path.joinpath("a").open("rb") as file:  # the control: as much as there is
            stream = files.unpacker("some.path", "a", file)
            assert len(stream.read()) == 64 * 2**20
        assert tracemalloc.get_traced_memory()[1] > 64 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes with names")
@pytest.mark.parametrize("name", ["pipe", "device"])
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path, name: str) -> None:
    if name == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    said: list[str] = []

    def read() -> None:
        for reader in (read_bytes, text_section):
            with pytest.raises(ValueError, match=r"^some\.path is '.*'; it (is|cannot)") as error:
                reader("some.path", tmp_path / name)
            said.append(str(error.value))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(2)
    assert len(said) == 2


def test_images_of_a_packed_idx_file_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nounroll.data.mnist import MNIST

    monkeypatch.setattr(files, "MOST", 2**20)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(2**21)))
    with pytest.raises(ValueError, match=r"^mnist\.path is '.*'; it holds more than the 1 MiB"):
        MNIST(path=tmp_path)


def test_kinds_have_names() -> None:
    content = io.BytesIO()
    np.save(content, np.arange(3))
    assert encoding.kind_of(content.getvalue()).startswith("a NumPy array")
    assert encoding.kind_of(b"plain text") == ""
