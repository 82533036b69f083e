"""Turn a pretrained Transformer into recurrent networks of constant memory: python from_a_transformer.py

A small GPT-2 is trained first, on the source code of Python's standard library, to stand for the model that you have.
Then a GRU and a Transformer cell learn from it, and beside it, from scratch, on twice the tokens.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import nounroll
from nounroll.data.task import draw, training_batch
from nounroll.data.text import Text
from nounroll.rollout.evaluate import validation_batches

LENGTH = 128
TOKENS = {"gru": 150_000, "transformer": 60_000}  # of training from scratch, by cell
SMALL = {"training.batch_size": 8, "smt.share": 0.1}  # more steps from the same tokens, most of them the student's own
METHODS: dict[str, tuple[float, str, dict[str, Any]]] = {  # name -> share of the tokens, method, settings
    "from the Transformer": (0.5, "smt+dmt", {"teacher.kind": "transformers", **SMALL}),
    "from scratch, smt+dmt": (1.0, "smt+dmt", SMALL),
    "from scratch, tbptt": (1.0, "tbptt", {"training.batch_size": 4}),
}


def pretrain(folder: Path, path: str | None, *, steps: int, symbols: int = 1024, width: int = 128) -> None:
    """A small GPT-2 and its tokenizer, saved as transformers saves them."""
    text = Text(path=path)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=symbols, initial_alphabet=alphabet, special_tokens=["<start>"])
    tokenizer.train_from_iterator(lines(text), trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<start>").save_pretrained(folder)

    task = Text(path=path, tokenizer=folder)
    torch.manual_seed(0)
    size = {"n_embd": width, "n_layer": 3, "n_head": 4, "n_positions": LENGTH + 1}
    config = GPT2Config(vocab_size=task.inputs.n, bos_token_id=0, eos_token_id=0, **size)
    config.attn_pdrop = config.embd_pdrop = config.resid_pdrop = 0.0
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.1)
    for step in range(steps):
        loss = surprise(model, training_batch(task, 16, LENGTH, 0, step))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)


def lines(text: Text) -> Iterator[str]:
    """A part of the text, to train a tokenizer on."""
    for batch in range(100):
        yield text.decode(draw(text, 1, min(10_000, text.max_length or 1), 0, "tokenizer", batch).inputs[0])


def surprise(model: GPT2LMHeadModel, batch: nounroll.Batch) -> torch.Tensor:
    """Mean of -log p of each token after the start and the tokens before it."""
    start = batch.inputs.new_zeros(batch.batch_size, 1)
    logits = model(torch.cat([start, batch.inputs], dim=1)).logits[:, 1:]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())


def main(
    folder: str = "gpt2",
    path: str | None = None,
    *,
    steps: int = 1200,
    tokens: dict[str, int] = TOKENS,
    settings: dict[str, Any] | None = None,
) -> None:
    place = Path(folder)
    if not place.is_dir():
        pretrain(place, path, steps=steps)
    task = Text(path=path, tokenizer=place)
    model = GPT2LMHeadModel.from_pretrained(place).eval()
    with torch.no_grad():
        losses = [float(surprise(model, batch)) for batch in validation_batches(task, 0, LENGTH, 0, "test")]
    print(f"{sum(losses) / len(losses) / math.log(2):.3f} bits a token: the Transformer itself")

    for cell, budget in tokens.items():
        for name, (share, method, given) in METHODS.items():
            own = {"teacher.path": folder} if "teacher.kind" in given else {}
            spent = round(share * budget)
            chosen = {"training.evaluations": 4, **given, **own, **(settings or {})}
            run = nounroll.fit(task, method=method, cell=cell, length=LENGTH, tokens=spent, settings=chosen)
            print(f"{run.metrics['bits']:.3f} bits a token: {cell} {name}, {spent:,} tokens", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
