"""The tokenizer of a pretrained language model, from a folder of this machine."""

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
    """Text to tokens and back. No token is added at either end of a text.

    Args:
        setting: whose value the folder is, for the errors.
        folder: of a model, or of its tokenizer alone.

    Attributes:
        folder: where it was read from; None where a network has kept it.
        size: tokens are 0 .. size - 1.
        start: the token that begins a text (BOS); None where the tokenizer has none.

    Raises:
        ValueError: the folder holds no tokenizer that the package tokenizers runs.
    """

    def __init__(self, setting: str, folder: str | Path) -> None:
        self.folder: Path | None = existing(setting, folder)
        if not has_tokenizer(self.folder):
            raise ValueError(f"{setting} is '{folder}'; there is no tokenizer in it, it needs {' or '.join(_FILES)}")
        self._take(_loaded(setting, self.folder))

    def _take(self, pretrained: Any) -> None:
        self.pretrained = pretrained
        self.size = len(pretrained)
        start = pretrained.bos_token_id
        self.start = start if start is not None and 0 <= start < self.size else None

    def to_json(self) -> dict[str, Any]:
        """Return all that ``from_json`` needs, so that a run owns its vocabulary."""
        return {"tokenizer": self.pretrained.backend_tokenizer.to_str(), "bos": self.pretrained.bos_token}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Tokenizer":
        """The tokenizer that ``to_json`` wrote.

        Raises:
            ValueError: it is no tokenizer, or the package transformers is missing.
        """
        transformers = optional("transformers", "text.tokenizer", "hf")
        tokenizers = optional("tokenizers", "text.tokenizer", "hf")
        try:
            backend = tokenizers.Tokenizer.from_str(document["tokenizer"])
            pretrained = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=document["bos"])
        except Exception as error:  # whatever a document from elsewhere makes it say
            raise ValueError(f"the tokenizer that the network keeps cannot be read: {reason(error)}") from None
        made = object.__new__(cls)
        made.folder = None
        made._take(pretrained)
        return made

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text, (N,)."""
        tokens = self.pretrained.backend_tokenizer.encode(text, add_special_tokens=False).ids
        return np.array(tokens, dtype=np.int32)

    def decode(self, tokens: list[int]) -> str:
        return self.pretrained.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def stream(self) -> Callable[[int], str]:
        """Decode one token after another: a character of several tokens comes with its last."""
        from tokenizers.decoders import DecodeStream

        stream, backend = DecodeStream(skip_special_tokens=False), self.pretrained.backend_tokenizer
        return lambda token: stream.step(backend, token) or ""

    def vocabulary(self) -> str:
        """A hash of all tokens with their numbers: the same where two tokenizers have the same."""
        tokens = sorted((number, token) for token, number in self.pretrained.get_vocab().items())
        return hashlib.sha256(repr(tokens).encode()).hexdigest()


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _FILES)


def _loaded(setting: str, folder: Path) -> Any:
    files = sorted(folder.glob("*.json"))
    return _load(setting, folder, tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files))


@lru_cache(maxsize=4)
def _load(setting: str, folder: Path, files: tuple[tuple[str, int, int], ...]) -> Any:
    """The tokenizer of transformers. ``files`` are those that it was read from: when they change it is read again."""
    transformers = optional("transformers", setting, "hf")
    try:
        found = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever files of strangers make it say
        raise unreadable(setting, folder, error) from None
    if not getattr(found, "is_fast", False):
        raise ValueError(f"{setting} is '{folder}'; its tokenizer has no fast form, save it with a tokenizer.json")
    return found
