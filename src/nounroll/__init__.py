"""nounroll: pretrain recurrent networks without unrolling them.

Names load lazily, so that ``from nounroll.student import Student`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nounroll.adaptation import adapt
    from nounroll.batch import Batch
    from nounroll.comparison import Comparison, compare
    from nounroll.data.sequences import Sequences
    from nounroll.data.task import SequenceTask
    from nounroll.estimators.anomaly import SequenceAnomaly
    from nounroll.estimators.classifier import SequenceClassifier
    from nounroll.estimators.forecaster import Forecaster
    from nounroll.estimators.regressor import SequenceRegressor
    from nounroll.run import Run, fit
    from nounroll.spaces import Bits, Categorical, Count, Positive, Product, Real, Space, register_space
    from nounroll.student import Student

__version__ = "0.1.0"

_HOMES = {
    "Batch": "batch",
    "Bits": "spaces",
    "Categorical": "spaces",
    "Count": "spaces",
    "Positive": "spaces",
    "Product": "spaces",
    "Real": "spaces",
    "Space": "spaces",
    "register_space": "spaces",
    "SequenceTask": "data.task",
    "Sequences": "data.sequences",
    "Student": "student",
    "Run": "run",
    "adapt": "adaptation",
    "fit": "run",
    "Comparison": "comparison",
    "compare": "comparison",
    "SequenceClassifier": "estimators.classifier",
    "SequenceRegressor": "estimators.regressor",
    "SequenceAnomaly": "estimators.anomaly",
    "Forecaster": "estimators.forecaster",
}

__all__ = [
    "Batch",
    "Bits",
    "Categorical",
    "Comparison",
    "Count",
    "Forecaster",
    "Positive",
    "Product",
    "Real",
    "Run",
    "SequenceAnomaly",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTask",
    "Sequences",
    "Space",
    "Student",
    "adapt",
    "compare",
    "fit",
    "register_space",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nounroll' has no attribute {name!r}")
    return getattr(import_module(f"nounroll.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
