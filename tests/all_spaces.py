"""Every space in the box, in forms that tests go through."""

import torch

from nounroll.core.spaces import Bits, Categorical, Count, Positive, Product, Real, Space

MIXED = {"kind": Categorical(3), "gap": Positive(1), "keys": Bits(2), "value": Real(1, (5.0,), (2.0,))}
SPACES: dict[str, Space] = {
    "categorical": Categorical(4),
    "gaussian": Real(2, (10.0, -3.0), (4.0, 0.5)),
    "student_t": Real(2, (10.0, -3.0), (4.0, 0.5), likelihood="student_t"),
    "mixture": Real(2, (10.0, -3.0), (4.0, 0.5), likelihood="mixture"),
    "quantiles": Real(2, (10.0, -3.0), (4.0, 0.5), likelihood="quantiles"),
    "bits": Bits(3),
    "positive": Positive(2, (1.0, -1.0), (0.5, 0.3)),
    "log_normal": Positive(2, (1.0, -1.0), (0.5, 0.3), likelihood="gaussian"),
    "count": Count(2, (6.0, 0.5), (3.0, 0.7)),
    "product": Product(**MIXED),
    "chained": Product(chained=True, **MIXED),
}


def outputs_of(space: Space, rows: int, seed: int = 0, size: float = 0.5) -> torch.Tensor:
    """Outputs of a readout that says something else in every row."""
    return space.parameters(size * torch.randn(rows, space.readout_size, generator=source(seed)))


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
