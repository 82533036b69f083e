"""Speed of training and generation on this machine, each contender beside a baseline in the same process.

The baselines: for SMT the paper's scheme, one windowed label per sequence and step; for DMT the paper's, which encodes
every context by itself; for fused BPTT the same cell's BPTT, one step after another; for generation a Transformer of
the teacher's size, with a cache of keys and values.
"""

from nounroll.bench.measure import measure

__all__ = ["measure"]
