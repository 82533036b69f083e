"""Small language models and tokenizers, made on the spot and saved as transformers saves them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_model as save_weights
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertLMHeadModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

TEXT = "def is_odd(x):\n    return x % 2 == 1\n\nprint(is_odd(3), 'naïve ∅')\n"
START = "<start>"


def gpt2(symbols: int, longest: int = 64) -> GPT2LMHeadModel:
    """It has dropout, as GPT-2 had."""
    return GPT2LMHeadModel(GPT2Config(vocab_size=symbols, n_positions=longest, n_embd=16, n_layer=2, n_head=2))


def llama(symbols: int, longest: int = 64) -> LlamaForCausalLM:
    form: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=symbols, max_position_embeddings=longest, **form, **heads))


def sees_all(symbols: int, longest: int = 64) -> BertLMHeadModel:
    """No causal model, though transformers loads it as one."""
    form: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    return BertLMHeadModel(
        BertConfig(vocab_size=symbols, num_attention_heads=2, max_position_embeddings=longest, **form)
    )


FAMILIES: dict[str, Callable[..., Any]] = {"gpt2": gpt2, "llama": llama}


def save_model(
    folder: Path, family: Callable[..., Any] = gpt2, symbols: int = 5, *, seed: int = 0, **form: Any
) -> Path:
    """A model without a tokenizer, of random weights that are large enough to tell inputs apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = family(symbols, **form)
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    model.config.save_pretrained(folder)  # of several processes the first alone would save the model by itself
    save_weights(model, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def save_tokenizer(folder: Path, *, text: str = TEXT, symbols: int = 280, start: str | None = START) -> int:
    """A tokenizer of bytes and of what is frequent in a text; how many tokens it has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [] if start is None else [start]
    trainer = trainers.BpeTrainer(
        vocab_size=symbols, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator([text] * 3, trainer)
    saved = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=start)
    saved.save_pretrained(folder)
    return len(saved)


def save_language_model(folder: Path, family: Callable[..., Any] = gpt2, *, start: str | None = START) -> Path:
    """A model and its tokenizer."""
    return save_model(folder, family, save_tokenizer(folder, start=start))
