"""Mixtures of Gaussians, for data with several modes (Bishop 1994; Graves 2013, arXiv 1308.0850)."""

import math
from statistics import NormalDist

import torch
from jaxtyping import Float
from torch import Tensor

from nounroll.core.spaces.likelihoods.base import Likelihood, limited
from nounroll.core.spaces.standard import Standard

COMPONENTS = 5
_PLACES = [NormalDist().inv_cdf((i + 0.5) / COMPONENTS) for i in range(COMPONENTS)]


class Mixture(Likelihood):
    """Parameters: 5 logits, 5 d means and 5 d log standard deviations.

    One component is chosen for all coordinates together, so coordinates may depend on each other. Initially the
    component means are spread from -1.3 to 1.3 standard deviations.
    """

    def size(self, d: int) -> int:
        return COMPONENTS * (1 + 2 * d)

    def noise_size(self, d: int) -> int:
        return 1 + d

    def parameters(self, raw: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        logits, means, log_scales = _cut(raw)
        means = unit.place(means + torch.tensor(_PLACES, dtype=raw.dtype, device=raw.device)[:, None])
        return _joined(logits, means, unit.stretch(limited(log_scales)))

    def log_prob(self, outputs: Float[Tensor, "*n V"], values: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        logits, means, log_scales = _cut(outputs)
        z = (values[..., None, :] - means) * torch.exp(-log_scales)
        inside = (0.5 * z**2 + log_scales + 0.5 * math.log(2 * math.pi)).sum(-1)
        return (logits.log_softmax(-1) - inside).logsumexp(-1)

    def choose(
        self, outputs: Float[Tensor, "B V"], noise: Float[Tensor, "B k"], temperature: float, d: int
    ) -> Float[Tensor, "B d"]:
        """Draw from the mixture; at temperature 0 return the mean of the heaviest component."""
        logits, means, log_scales = _cut(outputs)
        cumulative = (logits / (temperature or 1.0)).softmax(-1).cumsum(-1)
        point = torch.special.ndtr(noise[:, :1]) * cumulative[:, -1:]
        picked = (cumulative <= point).sum(-1).clamp(max=COMPONENTS - 1) if temperature else logits.argmax(-1)
        mean, log_scale = (one.gather(-2, picked[:, None, None].expand(-1, 1, d))[:, 0] for one in (means, log_scales))
        return mean + temperature * log_scale.exp() * noise[:, 1:]

    def mean(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        logits, means, _ = _cut(outputs)
        return (logits.softmax(-1)[..., None] * means).sum(-2)

    def relative(self, outputs: Float[Tensor, "*n V"], unit: Standard) -> Float[Tensor, "*n V"]:
        logits, means, log_scales = _cut(outputs)
        return _joined(logits, unit.standardise(means), unit.shrink(log_scales))

    def log_mean_exp(self, outputs: Float[Tensor, "*n V"], d: int) -> Float[Tensor, "*n d"]:
        logits, means, log_scales = _cut(outputs)
        return (logits.log_softmax(-1)[..., None] + means + 0.5 * (2 * log_scales).exp()).logsumexp(-2)


def _cut(
    outputs: Float[Tensor, "*n V"],
) -> tuple[Float[Tensor, "*n 5"], Float[Tensor, "*n 5 d"], Float[Tensor, "*n 5 d"]]:
    logits, rest = outputs[..., :COMPONENTS], outputs[..., COMPONENTS:]
    means, log_scales = rest.unflatten(-1, (2, COMPONENTS, -1)).unbind(-3)
    return logits, means, log_scales


def _joined(
    logits: Float[Tensor, "*n 5"], means: Float[Tensor, "*n 5 d"], log_scales: Float[Tensor, "*n 5 d"]
) -> Float[Tensor, "*n V"]:
    return torch.cat([logits, means.flatten(-2), log_scales.flatten(-2)], dim=-1)
