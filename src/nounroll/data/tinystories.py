"""TinyStories: short stories in simple English (Eldan & Li, 2023), as bytes."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nounroll.data.checks import whole_number
from nounroll.data.corpus import ByteCorpus
from nounroll.data.files import existing
from nounroll.data.sources import hub, tables


class TinyStories(ByteCorpus):
    """Stories separated by zero bytes; each byte predicts the next.

    ::

        inputs    \\0  O  n  c  e  ...  .  \\0  T
        targets   O   n  c  e     ...  \\0  T  h        y_t = x_{t+1}

    The data set's validation split is held out. A local file without one holds out its last 10 %.

    Args:
        path: a .parquet, .json or .jsonl file with a column "text", or a folder of such files, where "valid" or "test"
            in a name marks held-out files. None: "roneneldan/TinyStories" from the hub.
        stories: read at most this many of each split; None: all.
        held_out: another such file or folder to hold out whole, instead of any part of ``path``.
    """

    def __init__(
        self,
        *,
        path: str | Path | None = None,
        stories: int | None = 100_000,
        held_out: str | Path | None = None,
    ) -> None:
        if stories is not None:
            whole_number("tinystories.stories", stories, 1)
        if path is None:
            cut = "" if stories is None else f"[:{stories}]"
            parts = {p: hub("tinystories", "roneneldan/TinyStories", p + cut) for p in ("train", "validation")}
        else:
            parts = tables("tinystories", existing("tinystories.path", path), ("text",), split=held_out is None)
        if held_out is not None:
            kept = existing("tinystories.held_out", held_out)
            parts["validation"] = tables("tinystories", kept, ("text",), option="held_out", split=False)["train"]
        name = "tinystories" if path is None else f"tinystories.path '{path}'"
        train, validation = (_joined(name, parts[p], stories) if p in parts else None for p in ("train", "validation"))
        assert train is not None
        super().__init__(tokens=train, held_out=validation, name=name, first=b"\0")

    def decode(self, values: Tensor) -> str:
        return super().decode(values).replace("\0", "\n\n")


def _joined(name: str, table: Any, stories: int | None) -> np.ndarray:
    """Read the column "text" as bytes, with a zero byte before each story."""
    texts = table[:stories]["text"]
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{name} has {text!r} in row {row}; every story must be a text")
    return np.frombuffer(b"".join(b"\0" + text.encode() for text in texts), dtype=np.uint8)
