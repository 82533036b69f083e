"""Tokenizer of a pretrained language model, from a local folder."""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nounroll.data.files import existing, reason, unreadable
from nounroll.data.sources import optional

_FILES = ("tokenizer.json", "tokenizer_config.json")


class Tokenizer:
    """Tokenizer between text and tokens, without special tokens at the ends of a text.

    Args:
        setting: the setting's name in errors.
        folder: the folder of a model or of a tokenizer.

    Attributes:
        folder: its source folder; None if it was kept by a network.
        size: tokens are 0 .. size - 1.
        start: the token that begins a text (BOS), or None.

    Raises:
        ValueError: the folder holds no tokenizer for the package tokenizers.
    """

    def __init__(self, setting: str, folder: str | Path) -> None:
        self.folder: Path | None = existing(setting, folder)
        if not has_tokenizer(self.folder):
            raise ValueError(f"{setting} is '{folder}'; it holds no tokenizer, which needs {' or '.join(_FILES)}")
        self._take(_loaded(setting, self.folder))

    def _take(self, pretrained: Any) -> None:
        self.pretrained = pretrained
        self.size = len(pretrained)
        start = pretrained.bos_token_id
        self.start = start if start is not None and 0 <= start < self.size else None

    def to_json(self) -> dict[str, Any]:
        """Return the data for ``from_json``, so that a run keeps its vocabulary."""
        return {"tokenizer": self.pretrained.backend_tokenizer.to_str(), "bos": self.pretrained.bos_token}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Tokenizer":
        """Restore a tokenizer from ``to_json``.

        Raises:
            ValueError: it is no tokenizer, or the package transformers is missing.
        """
        transformers = optional("transformers", "text.tokenizer", "hf")
        tokenizers = optional("tokenizers", "text.tokenizer", "hf")
        try:
            backend = tokenizers.Tokenizer.from_str(document["tokenizer"])
            pretrained = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=document["bos"])
        except Exception as error:  # an untrusted document can raise any type
            raise ValueError(f"the tokenizer that the network keeps cannot be read: {reason(error)}") from None
        made = object.__new__(cls)
        made.folder = None
        made._take(pretrained)
        return made

    def encode(self, text: str) -> np.ndarray:
        """Return the tokens of a text, (N,)."""
        tokens = self.pretrained.backend_tokenizer.encode(text, add_special_tokens=False).ids
        return np.array(tokens, dtype=np.int32)

    def decode(self, tokens: list[int]) -> str:
        return self.pretrained.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def stream(self) -> Callable[[int], str]:
        """Return a decoder for single tokens; a character of several tokens is returned with its last token."""
        from tokenizers.decoders import DecodeStream

        stream, backend = DecodeStream(skip_special_tokens=False), self.pretrained.backend_tokenizer
        return lambda token: stream.step(backend, token) or ""

    def vocabulary(self) -> str:
        """Return a hash of all tokens with their numbers; equal vocabularies have equal hashes."""
        tokens = sorted((number, token) for token, number in self.pretrained.get_vocab().items())
        return hashlib.sha256(repr(tokens).encode()).hexdigest()


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _FILES)


def _loaded(setting: str, folder: Path) -> Any:
    files = sorted(folder.glob("*.json"))
    return _load(setting, folder, tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files))


@lru_cache(maxsize=4)
def _load(setting: str, folder: Path, files: tuple[tuple[str, int, int], ...]) -> Any:
    """Load the tokenizer with transformers. ``files`` identify its version, so that changed files are read again."""
    transformers = optional("transformers", setting, "hf")
    try:
        found = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # untrusted files can raise any type
        raise unreadable(setting, folder, error) from None
    if not getattr(found, "is_fast", False):
        raise ValueError(f"{setting} is '{folder}'; its tokenizer has no fast form, save it with a tokenizer.json")
    return found
