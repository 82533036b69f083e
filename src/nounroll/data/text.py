"""Text: the bytes of any file or folder, and by default the source code of Python's own standard library."""

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

_BLOCK = 1 << 20  # bytes that are cut into tokens at once
_HELD_OUT = 0.05  # share of a folder
_NOT_SOURCE = {
    *("site-packages", "dist-packages", "test", "tests", "idlelib", "encodings", "__pycache__"),
    "pydoc_data",  # 0.75 MB of manual in one file, whose hash is low: it would be most of what is held out
}

Texts = Mapping[str, Section]  # by relative name


class Text(TextCorpus):
    """The bytes of a file, of a folder's text files, or of Python's standard library, each predicting the next.

    ::

        inputs    d  e  f     f  (  x        bytes, 0..255
        targets   e  f     f  (  x  )        y_t = x_{t+1}

    All of it must be text in UTF-8, and stays on disk, whatever its size; a mark at its start is left out. A file that
    is packed, in another encoding or no text is refused. In a folder it is left out, as links out of the folder are,
    and a notice names them.

    Of one file the last 10 % are held out. Of several files about 5 % of the bytes are: whole files, chosen by a hash
    of their names, and a part of the largest where no small ones are enough. The first half of what is held out is for
    validation, the second for the test.

    Args:
        path: a file, or a folder: its text files that are not hidden, in the order of their relative names. When None,
            the .py files of Python's standard library without its tests: about 9 MB that every machine has, though
            each version of Python has its own.
        held_out: another file or folder, all of which is held out in place of a part of ``path``.
        tokenizer: a folder with the tokenizer of a pretrained model, whose tokens take the place of bytes; they are
            kept in memory. None: that of ``teacher.path`` in a recipe whose ``teacher.kind`` is transformers, else
            bytes.
        stream: read the text in order, with the memory carried from batch to batch (``SequenceTask.stream``), in place
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
    """The texts of a file or a folder."""
    if path is None:
        return _folder(setting, Path(sysconfig.get_paths()["stdlib"]), ".py", _NOT_SOURCE)
    if existing(setting, path).is_dir():
        return _folder(setting, Path(path), "", set())
    found = text_section(setting, Path(path))
    if not found.count:
        raise ValueError(f"{setting} is '{path}'; the file is empty, give one that holds text")
    return {Path(path).name: found}


def _folder(setting: str, folder: Path, suffix: str, without: set[str]) -> Texts:
    """Find the texts below a folder, in the order of their names, with a warning of files left out."""
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
    """The tokens of a text, which is cut between lines: no tokenizer has to hold all of it at once."""
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
    if abs(missing) > aim / 2:  # these are too few bytes or too many: take the files that fit in
        held, missing = set[str](), aim
        for name in sorted(texts, key=share.__getitem__):
            if texts[name].count <= missing:
                held.add(name)
                missing -= texts[name].count
    if len(held) == len(texts):
        return texts, {}  # a few bytes in all
    train, kept = ({name: texts[name] for name in texts if (name in held) == part} for part in (False, True))
    largest = max(train, key=lambda name: train[name].count)
    if missing > aim / 2 and train[largest].count > missing:  # all that are left are large
        train[largest], kept[largest] = _cut(train[largest], missing)
    return train, kept


def _cut(text: Section, tail: int) -> tuple[Section, Section]:
    """A text without its tail, and the tail."""
    head = text.count - tail
    return replace(text, count=head), replace(text, offset=text.offset + head, count=tail)
