"""Text as UTF-8: byte order marks are recognised, and other files are refused with their kind."""

import codecs
import re
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from nounroll.data.files import PIECE, NotText, opened, read_bytes, unreadable
from nounroll.data.on_disk import Section

_START = 512  # first bytes of a file, to recognise its kind
_MARKS = {  # longer marks first, because one mark begins another
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_KINDS = {
    rb"\x89PNG": "a PNG image",
    rb"\xff\xd8\xff": "a JPEG image",
    rb"GIF8[79]a": "a GIF image",
    rb"%PDF-": "a PDF document",
    rb"PAR1": "a Parquet table",
    rb"ARROW1": "an Arrow table",
    rb"\x93NUMPY": "a NumPy array, which task.kind array reads",
    rb"\x89HDF": "an HDF5 file",
    rb"SQLite format 3": "an SQLite database",
    rb"\x28\xb5\x2f\xfd": "packed by zstd",
    rb"\x04\x22\x4d\x18": "packed by lz4",
    rb"7z\xbc\xaf\x27\x1c": "a 7z archive",
    rb"Rar!\x1a": "a RAR archive",
    rb"\x1f\x8b": "packed by gzip",
    rb"BZh[1-9]1AY&SY": "packed by bzip2",
    rb"\xfd7zXZ\x00": "packed by xz",
    rb"PK\x03\x04": "a zip archive",
    rb"(?s).{257}ustar": "a tar archive",
    rb"\x7fELF": "a program",
    rb"\xd0\xcf\x11\xe0": "an Office document",
    rb"version https://git-lfs": "a pointer of Git LFS; git lfs pull fetches the file itself",
}


def read_text(setting: str, path: str | Path) -> str:
    """Read a whole text file, decompressed and decoded."""
    return str(_decoded(setting, path, read_bytes(setting, path)), "utf-8")


def text_section(setting: str, path: Path) -> Section:
    """Open a UTF-8 text file on disk, without a byte order mark.

    Raises:
        NotText: the file is not text, is compressed, or is in another encoding.
    """
    try:
        with opened(setting, path) as file:
            start = file.read(_START)
            _check_kind(setting, path, start)
            for mark, encoding in _MARKS.items():
                if start.startswith(mark):
                    raise NotText(setting, path, f"in {encoding.upper()}, by its mark")
            skipped = _mark_length(start)
            file.seek(skipped)
            return Section(path, skipped, _checked(setting, path, iter(lambda: file.read(PIECE), b"")))
    except OSError as error:
        raise unreadable(setting, path, error) from None


def _decoded(setting: str, path: str | Path, content: bytes) -> bytes:
    """Convert bytes to UTF-8 without a byte order mark."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            try:
                content = content.decode(encoding).encode()
            except UnicodeError as error:
                raise NotText(setting, path, f"its mark says {encoding.upper()}, and {error}") from None
            break
    content = content[_mark_length(content) :]
    _check_kind(setting, path, content[:_START])
    _checked(setting, path, [content])
    return content


def _mark_length(start: bytes) -> int:
    return len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0


def _check_kind(setting: str, path: object, start: bytes) -> None:
    if kind := kind_of(start):
        raise NotText(setting, path, kind)


def kind_of(start: bytes) -> str:
    """Name the kind of a file by its first bytes, if it is known and not text."""
    return next((kind for magic, kind in _KINDS.items() if re.match(magic, start)), "")


def _checked(setting: str, path: object, pieces: Iterable[bytes]) -> int:
    """Count the bytes; refuse invalid UTF-8 and zero bytes, which occur in UTF-16 without a mark."""
    decoder, count, line = codecs.getincrementaldecoder("utf-8")(), 0, 1
    for piece in chain(pieces, [b""]):
        bad, what = first_fault(decoder, piece)
        if what:
            line += piece.count(b"\n", 0, max(0, bad))
            raise NotText(setting, path, f"{what} at position {count + bad}, line {line}")
        count, line = count + len(piece), line + piece.count(b"\n")
    return count


def first_fault(decoder: codecs.IncrementalDecoder, piece: bytes) -> tuple[int, str]:
    """Find the first fault in a piece of text (b"" at the end) and its place; "" without a fault."""
    held = len(decoder.getstate()[0])  # the start of a character from the previous piece
    try:
        decoder.decode(piece, final=not piece)
    except UnicodeDecodeError as error:
        return error.start - held, f"byte 0x{error.object[error.start]:02X}, as in Latin-1,"
    zero = piece.find(b"\0")
    return zero, "a zero byte, as in UTF-16 or binary files," if zero >= 0 else ""
