"""nounroll: pretrain recurrent networks without unrolling them.

Names load lazily, so that ``from nounroll.student import Student`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nounroll.batch import Batch, Categorical, Real
    from nounroll.comparison import Comparison, compare
    from nounroll.data.sequences import Sequences
    from nounroll.data.task import SequenceTask
    from nounroll.estimators.anomaly import SequenceAnomaly
    from nounroll.estimators.classifier import SequenceClassifier
    from nounroll.estimators.forecaster import Forecaster
    from nounroll.estimators.regressor import SequenceRegressor
    from nounroll.run import Run, fit
    from nounroll.student import Student

__version__ = "0.1.0"

_HOMES = {
    "Batch": "batch",
    "Categorical": "batch",
    "Real": "batch",
    "SequenceTask": "data.task",
    "Sequences": "data.sequences",
    "Student": "student",
    "Run": "run",
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
    "Categorical",
    "Comparison",
    "Forecaster",
    "Real",
    "Run",
    "SequenceAnomaly",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTask",
    "Sequences",
    "Student",
    "compare",
    "fit",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nounroll' has no attribute {name!r}")
    return getattr(import_module(f"nounroll.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
