"""Families of distributions of real vectors, by name: one file per family."""

from nounroll.core.spaces.likelihoods.base import Likelihood
from nounroll.core.spaces.likelihoods.gaussian import Gaussian
from nounroll.core.spaces.likelihoods.mixture import Mixture
from nounroll.core.spaces.likelihoods.quantiles import Quantiles
from nounroll.core.spaces.likelihoods.student_t import StudentT

__all__ = ["LIKELIHOODS", "Likelihood"]

LIKELIHOODS: dict[str, Likelihood] = {
    "gaussian": Gaussian(),
    "student_t": StudentT(),
    "mixture": Mixture(),
    "quantiles": Quantiles(),
}
