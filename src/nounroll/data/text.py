"""Text: bytes of any file or folder, by default the source code of Python's standard library."""

import hashlib
import os
import sysconfig
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from nounroll.core.notices import notice
from nounroll.data.corpus import TextCorpus
from nounroll.data.encoding import text_section
from nounroll.data.files import NotText, existing, files_below, first_names
from nounroll.data.on_disk import OnDisk, Section
from nounroll.data.tokenizer import Tokenizer

_BLOCK = 1 << 20  # bytes to tokenise at once
_HELD_OUT = 0.05  # held-out share of a folder
_NOT_SOURCE = {
    *("site-packages", "dist-packages", "test", "tests", "idlelib", "encodings", "__pycache__"),
    "pydoc_data",  # a manual of 0.75 MB in one file with a low hash; it would dominate the held-out part
}

Texts = Mapping[str, Section]  # relative name -> section


class Text(TextCorpus):
    """Bytes of a file, of a folder's text files, or of Python's standard library; each predicts the next.

    ::

        inputs    d  e  f     f  (  x        bytes, 0..255
        targets   e  f     f  (  x  )        y_t = x_{t+1}

    The text must be UTF-8; a byte order mark is left out. It stays on disk, so it may have any size. A file that is
    compressed, in another encoding or not text is refused. In a folder, such files and links out of the folder are
    skipped, and a notice names them.

    A single file holds out its last 10 %. Several files hold out about 5 % of the bytes: whole files, chosen by a hash
    of their names, or a part of the largest if small files are not enough. The first half of the held-out text is for
    validation, the second for the test.

    Args:
        path: a file, or a folder with non-hidden text files, read in order of their relative names. When None: the .py
            files of Python's standard library without its tests, about 9 MB, which differ between versions of Python.
        held_out: another file or folder to hold out whole, instead of a part of ``path``.
        tokenizer: a folder with the tokenizer of a pretrained model, to read tokens instead of bytes; tokens are kept
            in memory. None: the tokenizer of ``teacher.path`` if ``teacher.kind`` is transformers, else bytes.
        stream: read the text in order, with the memory carried from batch to batch (``SequenceTask.stream``), instead
            of windows at random places.
    """

    def __init__(
        self,
        *,
        path: str | Path | None = None,
        held_out: str | Path | None = None,
        tokenizer: str | Path | None = None,
        stream: bool = False,
    ) -> None:
        texts = _texts("text.path", path)
        if held_out is not None:
            train, kept = texts, _texts("text.held_out", held_out)
        else:
            train, kept = (texts, {}) if len(texts) == 1 else _split(texts)
        parts = [_joined("text.path", train), *([_joined("text.held_out", kept)] if kept else [])]
        own = None if tokenizer is None else Tokenizer("text.tokenizer", tokenizer)
        tokens, *rest = parts if own is None else [_tokens(own, part) for part in parts]
        super().__init__(
            tokens=tokens,
            held_out=rest[0] if rest else None,
            name=f"text.path '{path}'",
            first=b"\n",
            tokenizer=own,
            stream=stream,
        )


def _texts(setting: str, path: str | Path | None) -> Texts:
    """Open the texts of a file or a folder."""
    if path is None:
        return _folder(setting, Path(sysconfig.get_paths()["stdlib"]), ".py", _NOT_SOURCE)
    if existing(setting, path).is_dir():
        return _folder(setting, Path(path), "", set())
    found = text_section(setting, Path(path))
    if not found.count:
        raise ValueError(f"{setting} is '{path}'; the file is empty, give one that holds text")
    return {Path(path).name: found}


def _folder(setting: str, folder: Path, suffix: str, without: set[str]) -> Texts:
    """Find the texts below a folder, in order of their names, with a notice of skipped files."""
    files, left_out = files_below(setting, folder, without)
    texts = dict[str, Section]()
    for path in files:
        name = path.relative_to(folder).as_posix()
        if not name.endswith(suffix):
            continue
        try:
            found = text_section(setting, path)
        except NotText as error:
            left_out.append(f"{name} ({error.found})")
            continue
        if found.count:
            texts[name] = found
    if left_out:
        notice(f"{setting} is '{folder}'; left out of it: {first_names(left_out)}")
    if not texts:
        raise ValueError(f"{setting} is '{folder}'; the folder holds no text files, give one that does")
    return dict(sorted(texts.items()))


def _joined(setting: str, texts: Texts) -> OnDisk:
    return OnDisk(setting, list(texts.values()), "uint8")


def _tokens(tokenizer: Tokenizer, text: OnDisk) -> np.ndarray:
    """Tokenise a text in blocks of lines, so that the tokenizer never holds the whole text."""
    found, rest = [], b""
    for start in range(0, len(text), _BLOCK):
        block = rest + np.asarray(text[start : start + _BLOCK]).tobytes()
        end = len(block) if start + _BLOCK >= len(text) else block.rfind(b"\n") + 1
        found.append(tokenizer.encode(block[:end].decode(errors="replace")))
        rest = block[end:]
    return np.concatenate(found)


def _split(texts: Texts) -> tuple[Texts, Texts]:
    """Split into a training part and a held-out part of about 5 % of the bytes, in whole files where possible."""
    share = {name: int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) / 2**64 for name in texts}
    aim = max(4, round(_HELD_OUT * sum(text.count for text in texts.values())))
    held = {name for name in texts if share[name] < _HELD_OUT}
    missing = aim - sum(texts[name].count for name in held)
    if abs(missing) > aim / 2:  # too few or too many bytes: add the files that fit
        held, missing = set[str](), aim
        for name in sorted(texts, key=share.__getitem__):
            if texts[name].count <= missing:
                held.add(name)
                missing -= texts[name].count
    if len(held) == len(texts):
        return texts, {}  # only a few bytes in total
    train, kept = ({name: texts[name] for name in texts if (name in held) == part} for part in (False, True))
    largest = max(train, key=lambda name: train[name].count)
    if missing > aim / 2 and train[largest].count > missing:  # only large files are left
        train[largest], kept[largest] = _cut(train[largest], missing)
    return train, kept


def _cut(text: Section, tail: int) -> tuple[Section, Section]:
    """Split a text into its beginning and its tail."""
    head = text.count - tail
    return replace(text, count=head), replace(text, offset=text.offset + head, count=tail)
