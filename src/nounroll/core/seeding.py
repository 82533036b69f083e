"""Randomness as an argument: every draw is a pure function of (seed, stream, step).

There is no global generator to save or restore. A resumed run asks for the same (seed, stream,
step) and gets the same numbers, so exact resume needs only the step counter.
"""

import hashlib

import torch


def generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """Make a CPU generator for one draw.

    Args:
        seed: the run's seed.
        stream: purpose of the numbers ("train", "validation", ...). Streams never share a state.
        step: index of the draw in its stream.
    """
    digest = hashlib.sha256(f"{seed}/{stream}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
