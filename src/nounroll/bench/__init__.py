"""Speed of training and generation on this machine; each contender has a baseline in the same process.

The baselines are:

- for SMT the paper's scheme, one windowed label per sequence and step;
- for DMT the paper's scheme, which encodes every context separately;
- for fused BPTT the same cell's BPTT step by step;
- for generation a Transformer of the teacher's size with a key-value cache.
"""

from nounroll.bench.measure import measure

__all__ = ["measure"]
