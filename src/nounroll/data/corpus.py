"""Random windows of one long array; every element predicts the next."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from nounroll.core.batch import Batch, Categorical, Space
from nounroll.data.checks import flag, within_space
from nounroll.data.on_disk import Elements
from nounroll.data.task import SequenceTask
from nounroll.data.tokenizer import Tokenizer

E = TypeVar("E", bound=Elements)


class Windows(SequenceTask):
    """Windows at uniformly random places of the training part; held-out parts are for ``validation()`` and ``test()``.

    ::

        data      d_0  d_1  ...  d_s  d_{s+1}  ...  d_{s+T}  ...  d_{N-1}
        inputs                   d_s      ...  d_{s+T-1}
        targets                       d_{s+1}  ...  d_{s+T}        y_t = x_{t+1}, every step is scored

    The parts are separate arrays, so no window can cross from one part into another. The first half of the held-out
    data is for validation, the second for the test.

    Args:
        train: (N,) or (N, d), in memory or on disk.
        held_out: other data in the same form.
        space: the space of one element.
        missing: (N,) bool for each of the two arrays, True at filled elements, which are not scored; None for none.
        stream: read the data in order (``SequenceTask.stream``).
    """

    lengths = "any"
    autoregressive = True

    def __init__(
        self,
        *,
        train: Elements,
        held_out: Elements,
        space: Space,
        missing: tuple[Bool[np.ndarray, "N"], Bool[np.ndarray, "M"]] | None = None,
        stream: bool = False,
    ) -> None:
        flag("stream", stream)
        self.inputs = self.targets = space
        self.stream = stream
        self._data, self._held_out = train, held_out
        self._missing, self._held_out_missing = missing or (None, None)
        self.max_length = len(train) - 1

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        places = self._steps - length + 1
        if places < 1:
            raise ValueError(
                f"length is {length}; its windows need {length + 1} elements, and this part of the data"
                f" holds {len(self._data)}"
            )
        return self._windows(torch.randint(places, (batch_size, 1), generator=generator)[:, 0].tolist(), length)

    def follow(self, batch_size: int, length: int, step: int) -> Batch:
        """Return rows that begin at equal distances and read in order; after the last step they restart."""
        steps = self._steps
        if steps < batch_size:
            raise ValueError(f"batch_size is {batch_size}; a stream of {steps} steps has no more rows than steps")
        places = [(row * steps // batch_size + step * length) % steps for row in range(batch_size)]
        resets = (torch.tensor(places)[:, None] + torch.arange(length)) % steps == 0
        if max(places) + length <= steps:
            found = self._windows(places, length)
        else:
            found = Batch(*(torch.cat(values) for values in zip(*(self._row(p, length) for p in places), strict=True)))
        return replace(found, resets=resets) if resets.any() else found

    def _row(self, place: int, length: int) -> Sequence[Tensor]:
        """Return inputs, targets and mask of one row from a place on; after the end of the sequence it restarts."""
        ahead = min(length, self._steps - place)
        parts = [self._windows([place], ahead), *([self._windows([0], length - ahead)] if ahead < length else [])]
        return [torch.cat(values, dim=1) for values in Batch.arrays(parts).values()]

    @property
    def _steps(self) -> int:
        """Return the number of inputs with a target."""
        return len(self._data) - 1

    def _windows(self, starts: Sequence[int], length: int) -> Batch:
        windows = np.stack([np.asarray(self._data[start : start + length + 1]) for start in starts])
        dtype = np.float32 if self.inputs.dtype.is_floating_point else np.int64
        batch = Batch.next_step(torch.from_numpy(windows.astype(dtype)))
        if self._missing is None:
            return batch
        missing = np.stack([self._missing[start + 1 : start + length + 1] for start in starts])
        return replace(batch, mask=torch.from_numpy(~missing))

    def stored(self) -> tuple[Any, ...]:
        gaps = (self._missing, self._held_out_missing)
        return (self._data, self._held_out, *(one for one in gaps if one is not None))

    def validation(self) -> "Windows":
        return self._over(slice(len(self._held_out) // 2))

    def test(self) -> "Windows":
        return self._over(slice(len(self._held_out) // 2, None))

    def _over(self, part: slice) -> "Windows":
        """Return the task over a part of the held-out data."""
        sibling = copy.copy(self)
        sibling._data = self._held_out[part]
        sibling._missing = None if self._held_out_missing is None else self._held_out_missing[part]
        sibling.max_length = sibling._steps
        return sibling


class TokenCorpus(Windows):
    """Long 1-D array of integers as a categorical sequence.

    Args:
        tokens: (N,) integers, in memory or on disk.
        symbols: the tokens are 0 .. symbols - 1. They are checked here, block by block.
        held_out: other tokens for validation and test; by default the tail of ``tokens``.
        fraction: the held-out share.
        name: the data's name in errors, for example a file.
        stream: see ``Windows``.
    """

    def __init__(
        self,
        *,
        tokens: Elements,
        symbols: int,
        held_out: Elements | None = None,
        fraction: float = 0.1,
        name: str = "tokens",
        stream: bool = False,
    ) -> None:
        for part in (tokens,) if held_out is None else (tokens, held_out):
            if part.ndim != 1 or part.dtype.kind not in "iu":
                raise ValueError(f"{name} is {part.dtype} of shape {part.shape}; it must be a 1-D array of integers")
            within_space(name, part, symbols)
        train, held_out = split_tail(name, tokens, fraction) if held_out is None else (tokens, held_out)
        if len(train) < 2 or len(held_out) < 4:
            raise ValueError(
                f"{name} holds {len(train)} elements to train on and {len(held_out)} to hold out;"
                " at least 2 and 4 are needed"
            )
        super().__init__(train=train, held_out=held_out, space=Categorical(symbols), stream=stream)


class TextCorpus(TokenCorpus):
    """Text as tokens of a tokenizer, or as UTF-8 bytes; generation starts from ``first``.

    Args:
        tokens, held_out, name: as for TokenCorpus.
        first: the text before the start of a generated text.
        tokenizer: None for bytes.
        stream: see ``Windows``.
    """

    def __init__(
        self,
        *,
        tokens: Elements,
        held_out: Elements | None = None,
        name: str,
        first: bytes,
        tokenizer: Tokenizer | None = None,
        stream: bool = False,
    ) -> None:
        symbols = 256 if tokenizer is None else tokenizer.size
        super().__init__(tokens=tokens, symbols=symbols, held_out=held_out, name=name, stream=stream)
        self.tokenizer, self._first = tokenizer, first

    def speech(self) -> dict[str, Any]:
        return {"first": list(self._first), "tokenizer": self.tokenizer.to_json() if self.tokenizer else None}

    def speak(self, kept: Mapping[str, Any]) -> None:
        self._first = bytes(kept["first"])
        self.tokenizer = Tokenizer.from_json(kept["tokenizer"]) if kept["tokenizer"] else None

    def prompt(self) -> Tensor:
        return self.encode(self._first.decode())

    def encode(self, text: str) -> Tensor:
        try:
            data = text.encode()
        except UnicodeEncodeError as error:  # bytes of a command line that are not UTF-8
            raise ValueError(f"prompt is {text!a}; it is not text in UTF-8 ({error.reason})") from None
        tokens = list(data) if self.tokenizer is None else self.tokenizer.encode(text).tolist()
        return torch.tensor(tokens, dtype=torch.int64)

    def decode(self, values: Tensor) -> str:
        if self.tokenizer is not None:
            return self.tokenizer.decode(values.tolist())
        return bytes(values.tolist()).decode(errors="replace")


def reads_bytes(task: SequenceTask) -> bool:
    """Return whether a task's symbols are the bytes of a text."""
    return isinstance(task, TextCorpus) and task.tokenizer is None


class ByteCorpus(TextCorpus):
    """Text as UTF-8 bytes.

    Args:
        tokens, held_out, name, first: as for TextCorpus.
    """

    def __init__(self, *, tokens: Elements, held_out: Elements | None = None, name: str, first: bytes) -> None:
        super().__init__(tokens=tokens, held_out=held_out, name=name, first=first)


def split_tail(name: str, data: E, fraction: float) -> tuple[E, E]:
    """Split the data into a training part (at least 2 elements) and a held-out tail (at least 4, 2 for each half)."""
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction!r}; the share of {name} that is held out must be between 0 and 1")
    if len(data) < 6:
        raise ValueError(f"{name} holds {len(data)} elements; at least 6 are needed, 2 to train on and 4 to hold out")
    cut = len(data) - min(max(4, round(len(data) * fraction)), len(data) - 2)
    return data[:cut], data[cut:]  # type: ignore[return-value]  # a slice of either is its own kind
