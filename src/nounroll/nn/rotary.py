"""Rotary positions (Su et al. 2021, arXiv 2104.09864): attention depends on distances, not on absolute positions."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Rotary(nn.Module):
    """Rotates pairs of coordinates by an angle that grows with the position. The table doubles if it is too short."""

    def __init__(self, head_width: int, base: float = 10_000.0) -> None:
        super().__init__()
        if head_width % 2:
            raise ValueError(f"head width is {head_width}; rotary positions need an even one")
        rate = base ** (-torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
        self.register_buffer("rate", rate, persistent=False)
        self.register_buffer("cos", torch.empty(0, head_width // 2), persistent=False)
        self.register_buffer("sin", torch.empty(0, head_width // 2), persistent=False)
        self.rate: Tensor
        self.cos: Tensor
        self.sin: Tensor

    def _table(self, length: int) -> tuple[Tensor, Tensor]:
        if self.cos.shape[0] < length or self.cos.device != self.rate.device:
            angle = torch.arange(2 * length, device=self.rate.device, dtype=torch.float32)[:, None] * self.rate
            self.cos, self.sin = angle.cos(), angle.sin()
        return self.cos[:length], self.sin[:length]

    def forward(self, x: Float[Tensor, "B H T e"], start: int = 0) -> Float[Tensor, "B H T e"]:
        """Rotate the positions ``start`` .. start + T - 1."""
        cos, sin = (table[start:] for table in self._table(start + x.shape[-2]))
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)
