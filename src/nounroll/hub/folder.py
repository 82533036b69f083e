"""Folder of a student for transformers and the Hub. ``Student.from_pretrained`` reads it too."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import AutoModelForCausalLM, Cache, GenerationConfig, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.utils import logging

from nounroll.data.corpus import TextCorpus
from nounroll.data.task import SequenceTask
from nounroll.hub.card import card
from nounroll.hub.model import MemoryLayer, config_of
from nounroll.models.student import CONFIG, WEIGHTS, Student, write_model
from nounroll.storage.checkpoint import MANIFEST

_PAD = "<pad>"
_CARD = "README.md"
_BESIDE = (_CARD, "generation_config.json", "tokenizer.json", "tokenizer_config.json")  # not listed in the manifest
FILES = (CONFIG, WEIGHTS, MANIFEST, *_BESIDE)


def save_pretrained(
    student: Student,
    folder: str | Path,
    task: SequenceTask | None = None,
    *,
    recipe: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> list[Path]:
    """Write a student so that ``AutoModelForCausalLM.from_pretrained(folder)`` loads it after ``import nounroll.hub``.

    Args:
        student: a trained student.
        folder: folder of the files; those of an earlier call are replaced.
        task: the training task; a text task adds its tokenizer, of bytes or of a pretrained model, and generation
            starts from its start symbol.
        recipe: ``Run.recipe.to_dict()``, for the model card.
        metrics: ``Run.metrics``, for the model card.

    Returns:
        The files.

    Raises:
        ValueError: transformers cannot represent it: its inputs are vectors, a target is no input, or the cell is
            custom.
        CheckpointError: the folder holds something else, or cannot be written.
    """
    if task is not None and not task.autoregressive:
        raise ValueError(f"task is a {type(task).__name__}; its targets are not the next inputs, so it cannot go on")
    if student.settings is None:
        raise ValueError(f"cell is a {type(student.cell).__name__} of your own; transformers cannot load its code")
    folder, is_text = Path(folder), isinstance(task, TextCorpus)
    config = config_of(student, first=None if task is None else _first(task))
    if (folder / MANIFEST).is_file() and {path.name for path in folder.iterdir()} <= set(FILES):
        for name in _BESIDE:
            (folder / name).unlink(missing_ok=True)
    write_model(student, {**config.to_diff_dict(), **student.to_config()}, folder)
    GenerationConfig.from_model_config(config).save_pretrained(folder)
    if isinstance(task, TextCorpus):
        (byte_tokenizer() if task.tokenizer is None else bare(task.tokenizer.pretrained)).save_pretrained(folder)
    said = card(student, recipe or {}, metrics or {}, text=is_text, first=config.bos_token_id or 0)
    (folder / _CARD).write_text(said, encoding="utf-8")
    return sorted(folder.iterdir())


def _first(task: SequenceTask) -> int | None:
    """Return the symbol that generation starts from, if it is a single one."""
    start = task.prompt()
    return int(start) if start.shape == (1,) else None


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token per byte. Token 256 is padding, which the network neither reads nor writes.

    Token 256 is also declared as the end of a text, because evaluation harnesses need such a token.
    """
    vocabulary = {symbol: byte for byte, symbol in bytes_to_unicode().items()}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_PAD,
        padding_side="left",
        split_special_tokens=True,  # the text "<pad>" is five bytes
        clean_up_tokenization_spaces=False,
    )


def bare(pretrained: Any) -> PreTrainedTokenizerFast:
    """Load a pretrained model's tokenizer without added tokens, because the student's m_∅ replaces the start token."""
    form = json.loads(pretrained.backend_tokenizer.to_str())
    special = {name: getattr(pretrained, name) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps({**form, "post_processor": None})),
        **{"pad_token": _PAD, **{name: token for name, token in special.items() if token}},
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def step_of(folder: Path) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return one step of the model in a folder: inputs (B,), memory (B, K, d) -> memory, logits (B, V)."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(folder)  # a local folder  # nosec B615
    finally:
        if shown:
            logging.enable_progress_bar()

    @torch.no_grad()
    def step(inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        cache = Cache(layers=[MemoryLayer()])
        cache.update_recurrent_state(memory, 0)
        logits = model(inputs[:, None], cache=cache).logits[:, 0]
        after = cache.get_recurrent_state(0)
        assert after is not None
        return after, logits

    return step
