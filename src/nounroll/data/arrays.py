"""Tokens prepared elsewhere, in a .npy file."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nounroll.batch import Batch
from nounroll.data.bare import bare
from nounroll.data.checks import largest_symbol, whole_number
from nounroll.data.corpus import TokenCorpus
from nounroll.data.on_disk import OnDisk, Section
from nounroll.data.rows import TokenRows, held_out_rows
from nounroll.data.sources import existing, unreadable
from nounroll.data.task import SequenceTask

_MOST_INFERRED = 1_000_000


class TokenArray(SequenceTask):
    """The integers of a .npy file, left on disk: one long sequence (1-D) or one sequence a row (2-D).

    ::

        1-D, random windows             2-D, every row from its start
        inputs    d_s      d_{s+1}      inputs    START  r_0  r_1
        targets   d_{s+1}  d_{s+2}      targets   r_0    r_1  r_2

    Of one long sequence the last 10 % are held out, of rows a fixed random tenth, half of it for validation and half
    for the test. START = symbols.

    Args:
        path: the .npy file. Nothing is unpickled.
        symbols: the tokens are 0 .. symbols - 1; one more than the largest token when None.
    """

    autoregressive = True

    def __init__(self, *, path: str | Path, symbols: int | None = None) -> None:
        tokens, name = _load(path), f"array.path '{path}'"
        if symbols is None:
            symbols = largest_symbol(tokens) + 1
            if symbols > _MOST_INFERRED:
                raise ValueError(f"{name} holds {symbols - 1}; if that is a token, set array.symbols")
        whole_number("array.symbols", symbols, 1)
        self._source: TokenCorpus | TokenRows
        if isinstance(tokens, OnDisk):
            self._source = TokenCorpus(tokens=tokens, symbols=symbols, name=name)
        else:
            rows = held_out_rows(name, len(tokens))
            self._source = TokenRows(tokens=tokens, held_out=rows, symbols=symbols, name=name)
        self.inputs, self.targets = self._source.inputs, self._source.targets
        self._take_after(self._source)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return self._source.sample(batch_size, length, generator)

    def take(self, indices: Int[Tensor, "B"], length: int) -> Batch:
        return self._source.take(indices, length)

    def stored(self) -> Iterable[Any]:
        return self._source.stored()

    def validation(self) -> SequenceTask:
        return self._source.validation()

    def test(self) -> SequenceTask:
        return self._source.test()

    def _take_after(self, source: SequenceTask) -> None:
        self.max_length, self.lengths = source.max_length, source.lengths
        self.size = source.size

    def speech(self) -> dict[str, Any]:
        return {"rows": self._source.speech()} if isinstance(self._source, TokenRows) else {}

    def speak(self, kept: Mapping[str, Any]) -> None:
        source: Any = bare(TokenRows if "rows" in kept else TokenCorpus, self.inputs, self.targets)
        source.speak(kept.get("rows", {}))
        self._source = source

    def prompt(self) -> Tensor:
        return self._source.prompt()


def _load(path: str | Path) -> np.ndarray | OnDisk:
    found = existing("array.path", path)
    try:
        tokens = np.load(found, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a broken header can raise nearly anything
        raise unreadable("array.path", path, error) from None
    if not isinstance(tokens, np.ndarray):
        raise ValueError(f"array.path is '{path}'; it is an archive of arrays, give one .npy file")
    if tokens.dtype.kind not in "iu" or tokens.ndim not in (1, 2) or tokens.size == 0:
        raise ValueError(
            f"array.path is '{path}', {tokens.dtype} of shape {tokens.shape};"
            " it must be a 1-D or 2-D array of integers that is not empty"
        )
    if tokens.ndim == 1 and isinstance(tokens, np.memmap):
        return OnDisk("array.path", [Section(found, tokens.offset, len(tokens))], tokens.dtype)
    return tokens
