"""Prepared tokens in a .npy file or as bare numbers."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from nounroll.core.batch import Batch
from nounroll.data.bare import bare
from nounroll.data.checks import flag, largest_symbol, whole_number
from nounroll.data.corpus import TokenCorpus
from nounroll.data.on_disk import OnDisk
from nounroll.data.rows import TokenRows, held_out_rows
from nounroll.data.task import SequenceTask
from nounroll.data.token_file import load_tokens

_MOST_INFERRED = 1_000_000


class TokenArray(SequenceTask):
    """The whole numbers of a file, left on disk: one long sequence (1-D) or one sequence a row (2-D).

    ::

        1-D, random windows             2-D, every row from its start
        inputs    d_s      d_{s+1}      inputs    START  r_0  r_1
        targets   d_{s+1}  d_{s+2}      targets   r_0    r_1  r_2

    One long sequence holds out its last 10 %, rows a fixed random tenth: half for validation and half for the test.
    START = symbols. Rows may end in padding, -1 or -100, which is never scored.

    Args:
        path: a .npy file, read without pickle; or a .bin file of one long sequence: only numbers, as nanoGPT writes
            them, or with the header of llm.c.
        symbols: the tokens are 0 .. symbols - 1; one more than the largest token when None.
        dtype: type of the numbers in a .bin file: uint8, uint16, uint32, int16, int32 or int64. When None: the type of
            its header, or uint16 with a notice.
        held_out: another such file to hold out whole, instead of a part of ``path``.
        stream: read one long sequence in order, with the memory carried from batch to batch (``SequenceTask.stream``),
            instead of windows at random places.
    """

    autoregressive = True

    def __init__(
        self,
        *,
        path: str | Path,
        symbols: int | None = None,
        dtype: str | None = None,
        held_out: str | Path | None = None,
        stream: bool = False,
    ) -> None:
        tokens, name = load_tokens("array.path", path, dtype), f"array.path '{path}'"
        kept = None if held_out is None else load_tokens("array.held_out", held_out, dtype)
        kept_name = f"array.held_out '{held_out}'"
        if kept is not None and tokens.shape[1:] != kept.shape[1:]:
            raise ValueError(f"{kept_name} has the shape {kept.shape}, and {name} {tokens.shape}; they must be equal")
        if symbols is None:
            symbols = _symbols(name, tokens)
            symbols = symbols if kept is None else max(symbols, _symbols(kept_name, kept))
        whole_number("array.symbols", symbols, 1)
        self._source: TokenCorpus | TokenRows
        if isinstance(tokens, OnDisk):
            self._source = TokenCorpus(tokens=tokens, held_out=kept, symbols=symbols, name=name, stream=stream)
        else:
            flag("array.stream", stream)
            if stream:
                raise ValueError(f"array.stream is True, and {name} holds rows; a stream is one sequence, give 1-D")
            rows = held_out_rows(name, len(tokens)) if kept is None else np.arange(len(kept))
            held = kept if isinstance(kept, np.ndarray) else None
            self._source = TokenRows(tokens=tokens, held_out=rows, held_tokens=held, symbols=symbols, name=name)
        self.inputs, self.targets = self._source.inputs, self._source.targets
        self._take_after(self._source)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return self._source.sample(batch_size, length, generator)

    def take(self, indices: Int[Tensor, "B"], length: int) -> Batch:
        return self._source.take(indices, length)

    def follow(self, batch_size: int, length: int, step: int) -> Batch:
        return self._source.follow(batch_size, length, step)

    def stored(self) -> Iterable[Any]:
        return self._source.stored()

    def validation(self) -> SequenceTask:
        return self._source.validation()

    def test(self) -> SequenceTask:
        return self._source.test()

    def _take_after(self, source: SequenceTask) -> None:
        self.max_length, self.lengths = source.max_length, source.lengths
        self.size, self.stream = source.size, source.stream

    def speech(self) -> dict[str, Any]:
        return {"rows": self._source.speech()} if isinstance(self._source, TokenRows) else {}

    def speak(self, kept: Mapping[str, Any]) -> None:
        source: Any = bare(TokenRows if "rows" in kept else TokenCorpus, self.inputs, self.targets)
        source.speak(kept.get("rows", {}))
        self._source = source

    def prompt(self) -> Tensor:
        return self._source.prompt()

    def encode(self, text: str) -> Tensor:
        return self._source.encode(text)

    def decode(self, values: Tensor) -> str:
        return self._source.decode(values)


def _symbols(name: str, tokens: np.ndarray | OnDisk) -> int:
    """Return one more than the largest token, or refuse an implausible number."""
    largest, dtype = largest_symbol(tokens), tokens.dtype
    if largest >= _MOST_INFERRED or (dtype.kind == "u" and dtype.itemsize > 1 and largest == np.iinfo(dtype).max):
        minus = f", -1 as {dtype}" if dtype.kind == "u" and largest == np.iinfo(dtype).max else ""
        raise ValueError(f"{name} holds {largest}{minus}; if that is a token, set array.symbols")
    return largest + 1
