"""Probes of memory, written in plain torch from their definitions. Every sequence is made up anew."""

import torch

from suite_tasks.measures import ACCURACY
from suite_tasks.problem import Batch, Problem, Sampled, Symbols


def _scored(inputs: torch.Tensor, *rest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets of zeros, and a mask of nothing."""
    return torch.zeros_like(inputs), torch.zeros_like(inputs, dtype=torch.bool)


def retrieval(part: str, batch_size: int, length: int, generator: torch.Generator, values: int = 8) -> Batch:
    """Noise with a marker in its first quarter; say at the end which symbol followed the marker."""
    rows = torch.arange(batch_size)
    inputs = torch.randint(values, (batch_size, length), generator=generator)
    marked = torch.randint(length // 4, (batch_size,), generator=generator)
    inputs[rows, marked] = values
    inputs[:, -1] = values + 1
    targets, mask = _scored(inputs)
    targets[:, -1] = inputs[rows, marked + 1]
    mask[:, -1] = True
    return Batch(inputs, targets, mask)


def keys_values(
    part: str, batch_size: int, length: int, generator: torch.Generator, keys: int = 16, values: int = 8, pairs: int = 8
) -> Batch:
    """Pairs of a key and a value, blanks, then every key again in random order: say its value.

    A sequence too short for all pairs has as many as fit.
    """
    pairs = min(max(min(length // 3, pairs), (length - pairs) // 2), pairs)
    shown = torch.rand(batch_size, keys, generator=generator).argsort(1)[:, :pairs]
    value = torch.randint(values, (batch_size, pairs), generator=generator)
    inputs = torch.full((batch_size, length), keys + values)
    inputs[:, : 2 * pairs : 2], inputs[:, 1 : 2 * pairs : 2] = shown, keys + value
    asked = torch.rand(batch_size, pairs, generator=generator).argsort(1)
    inputs[:, length - pairs :] = shown.gather(1, asked)
    targets, mask = _scored(inputs)
    targets[:, length - pairs :] = value.gather(1, asked)
    mask[:, length - pairs :] = True
    return Batch(inputs, targets, mask)


def string_copy(part: str, batch_size: int, length: int, generator: torch.Generator, symbols: int = 8) -> Batch:
    """Symbols, a delimiter, then blanks: say the symbols again."""
    n = (length - 1) // 2
    string = torch.randint(symbols, (batch_size, n), generator=generator)
    inputs = torch.full((batch_size, length), symbols + 1)
    inputs[:, :n], inputs[:, n] = string, symbols
    targets, mask = _scored(inputs)
    targets[:, n + 1 : 2 * n + 1] = string
    mask[:, n + 1 : 2 * n + 1] = True
    return Batch(inputs, targets, mask)


def stack(
    part: str,
    batch_size: int,
    length: int,
    generator: torch.Generator,
    symbols: int = 4,
    depth: int = 10,
    tops: float = 0.25,
) -> Batch:
    """Pushes, pops and looks at the top of a stack: say what is taken off or on top.

    The empty stack is pushed on, and a full one popped.
    """
    symbol = torch.randint(symbols, (batch_size, length), generator=generator)
    asks = torch.rand(batch_size, length, generator=generator) < tops
    wants_push = torch.randint(2, (batch_size, length), generator=generator).bool()
    inputs, (targets, mask) = symbol.clone(), _scored(symbol)
    rows, height = torch.arange(batch_size), torch.zeros(batch_size, dtype=torch.int64)
    held = torch.zeros(batch_size, depth, dtype=torch.int64)
    for t in range(length):
        top = asks[:, t] & (height > 0)
        push = ~top & ((height == 0) | (wants_push[:, t] & (height < depth)))
        pop = ~top & ~push
        mask[:, t] = ~push
        targets[:, t] = torch.where(push, 0, held[rows, (height - 1).clamp(min=0)])
        held[rows[push], height[push]] = symbol[push, t]
        height += push.long() - pop.long()
        inputs[pop, t], inputs[top, t] = symbols, symbols + 1
    return Batch(inputs, targets, mask)


def parity(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
    """Random bits: say at every step whether the number of ones so far is odd."""
    bits = torch.randint(2, (batch_size, length), generator=generator)
    torch.rand(batch_size, length, generator=generator)  # the definition draws here which steps are scored: all
    return Batch(bits, bits.cumsum(1) % 2, torch.ones_like(bits, dtype=torch.bool))


def modular_arithmetic(part: str, batch_size: int, length: int, generator: torch.Generator, modulus: int = 7) -> Batch:
    """Pairs x, y with y = (a x + b) mod n, a and b hidden and of this sequence: say y at x."""
    a, b = torch.randint(modulus, (2, batch_size, 1), generator=generator)
    x = torch.randint(modulus, (batch_size, (length + 1) // 2), generator=generator)
    y = (a * x + b) % modulus
    inputs = torch.stack([x, y], dim=-1).flatten(1)[:, :length]
    targets, mask = _scored(inputs)
    targets[:, ::2], mask[:, ::2] = y, True
    return Batch(inputs, targets, mask)


def retrieval_256() -> Problem:
    return Sampled(
        name="retrieval",
        title="recall one symbol, shown early among noise, after up to 255 steps",
        inputs=Symbols(10),
        targets=Symbols(8),
        length=256,
        seconds=150,
        measure=ACCURACY,
        draw=retrieval,
        group="memory",
    )


def keys_values_64() -> Problem:
    return Sampled(
        name="keys-values",
        title="say the value that was shown with a key, for 8 keys in random order",
        inputs=Symbols(25),
        targets=Symbols(8),
        length=64,
        seconds=200,
        measure=ACCURACY,
        draw=keys_values,
        test_sequences=512,
        group="memory",
    )


def copy_32() -> Problem:
    return Sampled(
        name="copy",
        title="hold 15 random symbols whole, then say them",
        inputs=Symbols(10),
        targets=Symbols(8),
        length=32,
        seconds=120,
        measure=ACCURACY,
        draw=string_copy,
        test_sequences=512,
        group="memory",
    )


def stack_128() -> Problem:
    return Sampled(
        name="stack",
        title="follow pushes and pops of a stack of up to 10 symbols",
        inputs=Symbols(6),
        targets=Symbols(4),
        length=128,
        seconds=150,
        measure=ACCURACY,
        draw=stack,
        validation_sequences=128,
        test_sequences=256,
        group="state",
    )


def parity_64() -> Problem:
    return Sampled(
        name="parity",
        title="say at every step whether the number of ones so far is odd; also at 8 times the length",
        inputs=Symbols(2),
        targets=Symbols(2),
        length=64,
        seconds=60,
        measure=ACCURACY,
        draw=parity,
        validation_sequences=128,
        test_sequences=512,
        longer=(512,),
        group="state",
    )


def modular_64() -> Problem:
    return Sampled(
        name="modular-arithmetic",
        title="infer a hidden rule y = a x + b mod 7 from examples in the sequence (a perfect guesser has 0.946)",
        inputs=Symbols(7),
        targets=Symbols(7),
        length=64,
        seconds=200,
        measure=ACCURACY,
        draw=modular_arithmetic,
        validation_sequences=128,
        test_sequences=512,
        group="state",
    )
