"""Modular arithmetic in context: infer a hidden rule from examples. It probes learning in context."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nounroll.core.batch import Batch, Categorical
from nounroll.data.checks import whole_number
from nounroll.data.task import SequenceTask


class ModularArithmetic(SequenceTask):
    """Each sequence hides a rule y = (a x + b) mod n; predict each y before it is shown.

    ::

        inputs    3  0  1  1  6  2  0  5        n = 7; a = 3 and b = 5, hidden and drawn for every sequence
        targets   0  .  1  .  2  .  5  .        pairs x, y: scored at x, and y is the next input

    Guessing gets 1 / n right, at ln(n) nats. If n is prime, two pairs with different x determine the rule; before that
    even a perfect predictor must guess. ``optimum`` is its exact prediction by Bayes' rule. With a prime n, all rules
    and a long sequence, its total loss is 2 ln(n) nats, with 2 (1 - 1 / n) errors. Any length. This is the probe of
    arXiv 2606.06479 for learning in context.

    Args:
        modulus: n, also the number of symbols; at least 2.
        coefficients: a and b are 0 .. coefficients - 1; None: n, which allows every rule.
    """

    lengths = "any"

    def __init__(self, *, modulus: int = 7, coefficients: int | None = None) -> None:
        whole_number("modular_arithmetic.modulus", modulus, 2)
        if coefficients is not None:
            whole_number("modular_arithmetic.coefficients", coefficients, 1, modulus)
        self.modulus, self.coefficients = modulus, coefficients or modulus
        self.inputs = self.targets = Categorical(modulus)

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        a, b = torch.randint(self.coefficients, (2, batch_size, 1), generator=generator)
        x = torch.randint(self.modulus, (batch_size, (length + 1) // 2), generator=generator)
        y = (a * x + b) % self.modulus
        inputs = torch.stack([x, y], dim=-1).flatten(1)[:, :length]
        targets = torch.zeros_like(inputs)
        targets[:, ::2] = y
        mask = torch.zeros_like(inputs, dtype=torch.bool)
        mask[:, ::2] = True
        return Batch(inputs, targets, mask)

    def optimum(self, inputs: Int[Tensor, "B T"]) -> Float[Tensor, "B P n"]:
        """Return the best possible prediction at the P = (T + 1) // 2 scored steps: the probability of each y.

        All rules that agree with the pairs shown so far are equally likely.
        """
        x, y = inputs[:, ::2, None], inputs[:, 1::2, None]
        a, b = torch.cartesian_prod(*[torch.arange(self.coefficients, device=inputs.device)] * 2).unbind(1)
        said = (a * x + b) % self.modulus  # (B, P, rules)
        agrees = (said[:, : y.shape[1]] == y).cumprod(1)
        possible = torch.cat([torch.ones_like(said[:, :1]), agrees], dim=1)[:, : x.shape[1]].double()
        chance = possible / possible.sum(-1, keepdim=True)
        return chance.new_zeros(*chance.shape[:2], self.modulus).scatter_add_(2, said, chance)
