"""Families of distributions of real vectors, by name: one a file."""

from nounroll.spaces.likelihoods.base import Likelihood
from nounroll.spaces.likelihoods.gaussian import Gaussian
from nounroll.spaces.likelihoods.mixture import Mixture
from nounroll.spaces.likelihoods.quantiles import Quantiles
from nounroll.spaces.likelihoods.student_t import StudentT

__all__ = ["LIKELIHOODS", "Likelihood"]

LIKELIHOODS: dict[str, Likelihood] = {
    "gaussian": Gaussian(),
    "student_t": StudentT(),
    "mixture": Mixture(),
    "quantiles": Quantiles(),
}
