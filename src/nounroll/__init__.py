"""nounroll: pretrain recurrent networks without unrolling them.

Names load lazily, so that ``from nounroll.student import Student`` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nounroll.core.former_paths import install

if TYPE_CHECKING:
    from nounroll.core.batch import Batch
    from nounroll.core.spaces import Bits, Categorical, Count, Positive, Product, Real, Space, register_space
    from nounroll.data.sequences import Sequences
    from nounroll.data.stream import Stream
    from nounroll.data.task import SequenceTask
    from nounroll.estimators.anomaly import SequenceAnomaly
    from nounroll.estimators.classifier import SequenceClassifier
    from nounroll.estimators.features import SequenceFeatures
    from nounroll.estimators.forecaster import Forecaster
    from nounroll.estimators.regressor import SequenceRegressor
    from nounroll.experiments.adaptation import adapt
    from nounroll.experiments.compared import Comparison
    from nounroll.experiments.comparison import compare
    from nounroll.experiments.many import adapt_many
    from nounroll.experiments.run import Run, fit
    from nounroll.models.heads import Heads
    from nounroll.models.recurrent import Recurrent
    from nounroll.models.student import Student
    from nounroll.training.learner import StreamLearner

install()

__version__ = "0.2.0"

_HOMES = {
    "Batch": "core.batch",
    "Bits": "core.spaces",
    "Categorical": "core.spaces",
    "Count": "core.spaces",
    "Positive": "core.spaces",
    "Product": "core.spaces",
    "Real": "core.spaces",
    "Space": "core.spaces",
    "register_space": "core.spaces",
    "SequenceTask": "data.task",
    "Sequences": "data.sequences",
    "Stream": "data.stream",
    "StreamLearner": "training.learner",
    "Recurrent": "models.recurrent",
    "Student": "models.student",
    "Run": "experiments.run",
    "adapt": "experiments.adaptation",
    "adapt_many": "experiments.many",
    "Heads": "models.heads",
    "fit": "experiments.run",
    "Comparison": "experiments.compared",
    "compare": "experiments.comparison",
    "SequenceClassifier": "estimators.classifier",
    "SequenceRegressor": "estimators.regressor",
    "SequenceAnomaly": "estimators.anomaly",
    "SequenceFeatures": "estimators.features",
    "Forecaster": "estimators.forecaster",
}

__all__ = [
    "Batch",
    "Bits",
    "Categorical",
    "Comparison",
    "Count",
    "Forecaster",
    "Heads",
    "Positive",
    "Product",
    "Real",
    "Recurrent",
    "Run",
    "SequenceAnomaly",
    "SequenceClassifier",
    "SequenceFeatures",
    "SequenceRegressor",
    "SequenceTask",
    "Sequences",
    "Space",
    "Stream",
    "StreamLearner",
    "Student",
    "adapt",
    "adapt_many",
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
