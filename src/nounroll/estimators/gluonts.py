"""Adapter from a Forecaster to a GluonTS predictor, for GluonTS's evaluation and serving tools."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from nounroll.estimators.clock import Clock, pd
from nounroll.estimators.forecaster import Forecaster

try:
    _Predictor: Any = import_module("gluonts.model.predictor").Predictor
    _SampleForecast: Any = import_module("gluonts.model.forecast").SampleForecast
except ImportError:
    raise ValueError("a predictor of GluonTS needs gluonts: pip install 'nounroll[gluonts]'") from None

_FOLDER = "forecaster"


class GluonTSPredictor(_Predictor):
    """Predictor of GluonTS that draws sample paths from a ``Forecaster``.

    ::

        predictor = GluonTSPredictor(nounroll.Forecaster(horizon=24, freq="MS").fit(df))
        forecasts = list(predictor.predict(dataset))                 # of gluonts.model.forecast.SampleForecast

    An entry has ``start`` and ``target``. If the forecaster has covariates, it also has ``past_feat_dynamic_real`` (p,
    T) and ``feat_dynamic_real`` (f, T + horizon), in the order of ``past`` and ``future``. If ``fit`` had the
    ``item_id``, the entry gets the scale of that series.

    Args:
        forecaster: a fitted forecaster.
        num_samples: default number of paths for each entry.
    """

    def __init__(self, forecaster: Forecaster, num_samples: int = 100) -> None:
        super().__init__(prediction_length=forecaster.plan_.horizon)
        self.forecaster, self.num_samples = forecaster, num_samples

    def predict(self, dataset: Iterable[Mapping[str, Any]], num_samples: int | None = None, **_: Any) -> Iterator[Any]:
        """Yield one SampleForecast for each entry.

        Raises:
            ValueError: an entry cannot be read; the message has its item_id.
        """
        paths = self.num_samples if num_samples is None else num_samples
        for entry in dataset:
            history, ahead = self._frames(entry)
            drawn = self.forecaster.sample(history, ahead, paths)
            samples = drawn["y"].to_numpy().reshape(paths, self.prediction_length)
            start = entry["start"] + len(history)
            yield _SampleForecast(samples=samples, start_date=start, item_id=entry.get("item_id"))

    def _frames(self, entry: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the history of an entry, and its values known ahead or None."""
        plan, target = self.forecaster.plan_, np.asarray(entry["target"], dtype=float)
        name, steps = str(entry.get("item_id", "entry")), len(target)
        if target.ndim != 1:
            raise ValueError(f"target of {name!r} has shape {target.shape}; a forecaster takes one number a step")
        times = _times(entry["start"], plan.clock, steps + plan.horizon)
        past = _features(entry, "past_feat_dynamic_real", plan.past, steps, name)
        future = _features(entry, "feat_dynamic_real", plan.future, steps + plan.horizon, name)
        names = dict.fromkeys(("unique_id",), name)
        history = pd.DataFrame({**names, "ds": times[:steps], "y": target, **past})
        for column, values in future.items():
            history[column] = values[:steps]
        if not plan.future:
            return history, None
        known = {column: values[steps:] for column, values in future.items()}
        return history, pd.DataFrame({**names, "ds": times[steps:], **known})

    def serialize(self, path: Path) -> None:
        """Write the predictor into an existing folder; GluonTS's ``Predictor.deserialize`` opens it."""
        super().serialize(path)
        self.forecaster.save(path / _FOLDER, history=False)

    @classmethod
    def deserialize(cls, path: Path, **_: Any) -> "GluonTSPredictor":
        """Open a predictor that ``serialize`` wrote."""
        return cls(Forecaster.load(path / _FOLDER))


def _times(start: Any, clock: Clock, count: int) -> Any:
    """Return the times of an entry: the start of each period, or its end if the clock's times are ends."""
    index = pd.period_range(start, periods=count)
    first = index.to_timestamp(how="start")
    return first if first[0] == clock.times(first[0], 1)[0] else index.to_timestamp(how="end").normalize()


def _features(
    entry: Mapping[str, Any], field: str, columns: tuple[str, ...], steps: int, name: str
) -> dict[str, np.ndarray]:
    if not columns:
        return {}
    if field not in entry:
        raise ValueError(f"{field} of {name!r} is not there; the forecaster needs {', '.join(columns)}")
    values = np.asarray(entry[field], dtype=float)
    if values.shape != (len(columns), steps):
        raise ValueError(f"{field} of {name!r} has shape {values.shape}; it must be {(len(columns), steps)}")
    return dict(zip(columns, values, strict=True))
