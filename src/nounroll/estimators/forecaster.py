"""Forecaster of one or many series: a recurrent network that draws sample paths."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from nounroll.core.plain import plain
from nounroll.estimators.backtest import Cut, cuts, table
from nounroll.estimators.base import SequenceEstimator, check_share
from nounroll.estimators.clock import Clock, pd
from nounroll.estimators.drawing import chosen, fan_of, shares_below
from nounroll.estimators.forecasts import forecasts
from nounroll.estimators.future import futures
from nounroll.estimators.keeping import DOCUMENT, HISTORY, is_forecaster, packed, read_document, unpacked
from nounroll.estimators.panel import Series, read
from nounroll.estimators.powers import chosen_power, raised
from nounroll.estimators.windows import Plan, drifts, in_runs, training_windows
from nounroll.models.student import Student
from nounroll.report.fan import fan_picture
from nounroll.report.reliability import reliability_picture
from nounroll.storage import checkpoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OWN = ("horizon", "freq", "context", "season", "past", "future")
_LEAST_CONTEXT = 32
PATHS = 200  # sample paths per series
_DRAWN = 400  # sample paths of a picture


class Forecaster(SequenceEstimator):
    """Recurrent network that predicts each next step of a series, and forecasts by drawing sample paths.

    ::

        model = nounroll.Forecaster(horizon=24, freq="MS", seconds=60).fit(df)    # columns unique_id, ds, y
        model.predict(df)                                   # unique_id, ds, mean, q0.1, q0.5, q0.9
        model.backtest(df, windows=5)                       # MASE, scaled CRPS, coverage

    Further settings and attributes: see ``nounroll.estimators.base.SequenceEstimator``. ``validation`` is the share at
    the end of each series that is held out to choose the network.

    Args:
        horizon: steps to forecast.
        freq: an offset of pandas ("MS", "D", "h"), or a whole number for times that are whole numbers; inferred from
            the data when left out.
        context: steps of history that a forecast reads. The default is the larger of three seasons and four horizons,
            at least 32, at most the longest series minus the horizon.
        season: steps of a season, for the scale of errors; the shortest cycle of ``freq`` by default.
        past: columns known up to now; the network predicts them along with y.
        future: columns known over the horizon too; ``predict`` takes them.

    Attributes:
        plan_: the rules for reading series.
        scales_: the scale of each series by its unique_id; a new series gets one from its history.
    """

    def __init__(
        self,
        horizon: int,
        freq: str | int | None = None,
        context: int | None = None,
        *,
        season: int | None = None,
        past: Sequence[str] = (),
        future: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.horizon, self.freq, self.context = horizon, freq, context
        self.season, self.past, self.future = season, past, future

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted([*(set(SequenceEstimator._get_param_names()) - {"inputs_space"}), *_OWN])

    def fit(self, df: Any, y: None = None) -> "Forecaster":
        """Train on the series of a long data frame. The argument ``y`` is ignored: y is a column.

        Raises:
            ValueError: the frame or a setting is invalid; see ``nounroll.estimators.panel.read``.
        """
        self._check_settings()
        series = read(df, None, _columns("past", self.past), _columns("future", self.future))
        longest = max(series, key=len)
        clock = Clock.of(self.freq, longest.times, longest.name)
        series = read(df, clock, self.past, self.future)
        for one in series:
            if len(one) < self.horizon + 2:
                raise ValueError(
                    f"df: column 'y', series {one.name!r} has {len(one)} rows; with horizon {self.horizon} each needs"
                    f" {self.horizon + 2} or more: leave it out, or shorten the horizon"
                )
        plan = self._planned(clock, series)
        read_ = plan.read(series)
        scales = [plan.scale(one) for one in read_]
        inputs, targets, parts = training_windows(plan, read_, scales, self.validation)
        self._train(inputs, parts, targets=targets)
        self.plan_ = plan
        self.scales_ = {one.name: scale for one, scale in zip(series, scales, strict=True)}
        self._ends = {one.name: str(one.times[-1]) for one in series}
        self._history: list[Series] | None = [plan.history_of(one) for one in series]
        return self

    def _check_settings(self) -> None:
        if self.inputs_space is not None:
            raise ValueError(f"inputs_space is {self.inputs_space}; a forecaster reads numbers, leave it out")
        for name in ("horizon", "context", "season"):
            value = getattr(self, name)
            if (value is not None or name == "horizon") and (not isinstance(value, int | np.integer) or value < 1):
                raise ValueError(f"{name} is {value!r}; it must be a whole number, at least 1")
        check_share("validation", self.validation)

    def _planned(self, clock: Clock, series: list[Series]) -> Plan:
        longest = max(map(len, series))
        season = int(self.season or clock.season)
        power = chosen_power(series, season)
        raised_ = [replace(one, y=raised(one, power)) for one in series]
        usual = max(_LEAST_CONTEXT, 3 * season, 4 * self.horizon)
        return Plan(
            horizon=int(self.horizon),
            context=int(self.context or max(1, min(usual, longest - self.horizon))),
            season=season,
            freq=clock.freq,
            cycles=clock.cycles(longest),
            past=tuple(self.past),
            future=tuple(self.future),
            changes=drifts(raised_, season),
            power=power,
            between=in_runs(series),
            local=True,
        )

    def predict(
        self, df: Any = None, X_future: Any = None, levels: Sequence[float] = (0.1, 0.5, 0.9), paths: int = PATHS
    ) -> Any:
        """Return mean and quantiles of each series at each step of the horizon, over sample paths.

        Args:
            df: histories in the form of ``fit``, of the same or other series; by default the histories of ``fit``.
            X_future: ``unique_id``, ``ds`` and the columns of ``future``, for each step of the horizon.
            levels: levels of the quantiles, which name the columns: ``q0.1``.
            paths: sample paths per series.

        Returns:
            A data frame with unique_id, ds, mean, and a column for each level.
        """
        levels = _checked_levels(levels)
        frame, drawn = self._forecast(df, X_future, paths)
        frame["mean"] = drawn.mean(1).reshape(-1)
        for level, values in zip(levels, np.quantile(drawn, levels, axis=1), strict=True):
            frame[f"q{level:g}"] = values.reshape(-1)
        return frame

    def sample(self, df: Any = None, X_future: Any = None, paths: int = PATHS) -> Any:
        """Return the sample paths that ``predict`` summarises: a data frame with unique_id, ds, path and y."""
        frame, drawn = self._forecast(df, X_future, paths)
        rows = [frame.assign(path=path, y=drawn[:, path].reshape(-1)) for path in range(paths)]
        return pd.concat(rows, ignore_index=True)

    def backtest(self, df: Any, windows: int = 5, step: int | None = None, paths: int = PATHS) -> Any:
        """Score forecasts from several origins of each series, without training again.

        Origins are ``step`` apart (a horizon by default). The last horizon ends with the series.

        Returns:
            A data frame with a row for each series and origin: unique_id, the cutoff (the last time read), the scores
            of ``nounroll.estimators.scores.scores``, and ``trained``: whether ``fit`` had a part of the truth.
        """
        origins, drawn = self._backtested(df, windows, step, paths)
        return table(self.plan_, origins, drawn, self._ends)

    def _backtested(self, df: Any, windows: int, step: int | None, paths: int) -> tuple[list[Cut], np.ndarray]:
        """Return the origins, and forecasts from each, (N, paths, horizon)."""
        plan = self._plan()
        series = read(df, plan.clock, plan.past, plan.future)
        origins = cuts(plan, series, windows, plan.horizon if step is None else step)
        histories = [one.rows(0, cut) for one, cut in origins]
        truths = [one.rows(cut, cut + plan.horizon) for one, cut in origins]
        return origins, self._drawn(histories, truths, paths)

    # -- pictures ---------------------------------------------------------------------------------

    def picture(
        self,
        df: Any = None,
        X_future: Any = None,
        *,
        truth: Any = None,
        series: Sequence[Any] | None = None,
        levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    ) -> "Figure":
        """Draw a fan chart of at most six series: the end of the history, quantiles of the forecast, and the truth.

        Args:
            df, X_future: see ``predict``.
            truth: the true values, a data frame with unique_id, ds and y; it may hold whole series.
            series: the unique_id of each series to draw; the first six by default.
            levels: levels of the quantiles; two levels at the same distance from 0.5 are the edges of a band.
        """
        levels = _checked_levels(levels)
        histories, after = self._histories(df, X_future)
        drawn = self._drawn(histories, after, _DRAWN)
        fans = [fan_of(self.plan_, histories[i], after[i], drawn[i], levels, truth) for i in chosen(histories, series)]
        return fan_picture(fans).figure

    def reliability_picture(self, df: Any, windows: int = 5, step: int | None = None) -> "Figure":
        """Draw how often the truth lay below each quantile of forecasts from several origins; see ``backtest``."""
        origins, drawn = self._backtested(df, windows, step, _DRAWN)
        levels = [k / 20 for k in range(1, 20)]
        return reliability_picture(levels, *shares_below(self.plan_, origins, drawn, levels)).figure

    def _plan(self) -> Plan:
        self._check_fitted("a data frame of series")
        return self.plan_

    def _forecast(self, df: Any, X_future: Any, paths: int) -> tuple[Any, np.ndarray]:
        """Return the rows of a forecast, and samples (N, paths, horizon) in the unit of the data."""
        series, after = self._histories(df, X_future)
        names = np.repeat(np.array([one.name for one in series], dtype=object), self.plan_.horizon)
        times = after[0].times.append([one.times for one in after[1:]])
        frame = pd.DataFrame({"unique_id": names, "ds": times}).infer_objects()
        return frame, self._drawn(series, after, paths)

    def _histories(self, df: Any, X_future: Any) -> tuple[list[Series], list[Series]]:
        """Return the histories that a forecast continues, and the known values of the steps after each."""
        plan = self._plan()
        if df is None and self._history is None:
            raise ValueError("df is not given, and this forecaster was saved without its history; give series as df")
        series = read(df, plan.clock, plan.past, plan.future) if df is not None else self._history or []
        return series, futures(plan, series, X_future)

    def _drawn(self, series: list[Series], after: list[Series], paths: int) -> np.ndarray:
        """Draw (N, paths, horizon) continuations of the histories."""
        if not isinstance(paths, int | np.integer) or paths < 1:
            raise ValueError(f"paths is {paths!r}; it must be a whole number, at least 1")
        return forecasts(self.student_, self.plan_, self.scales_, series, after, paths, self.random_state)

    @property
    def has_history(self) -> bool:
        """Return whether ``predict`` needs no data: after ``fit``, or if the folder has the end of each series."""
        return getattr(self, "_history", None) is not None

    # -- files ------------------------------------------------------------------------------------

    def save(self, folder: str | Path, history: bool = True) -> None:
        """Save the network and all other data of a forecast. ``Student.from_pretrained`` opens the folder too.

        Args:
            folder: the destination.
            history: also save the last rows of each series, so that ``predict`` needs no data; False saves no rows.

        Raises:
            CheckpointError: the folder holds something else, or cannot be written.
        """
        plan, student = self._plan(), self.student_
        known = self.get_params(deep=False) | {"past": plan.past, "future": plan.future}
        if not isinstance(self.freq, str | int | None):
            known["freq"] = plan.freq
        for name in ("cell", "student"):  # modules are in the network's own files
            if not isinstance(known[name], str | Path | None):
                del known[name]
        series = [[name, scale, self._ends[name]] for name, scale in self.scales_.items()]
        document = {"format": 2, "params": known, "plan": vars(plan), "series": series}
        tensors = {"model": student.state_dict()}
        if history and self._history is not None:
            document[HISTORY], tensors[HISTORY] = packed(self._history)
        checkpoint.write(Path(folder), tensors, {"config": student.to_config(), DOCUMENT: plain(document)})

    @classmethod
    def load(cls, folder: str | Path, cell: nn.Module | None = None) -> "Forecaster":
        """Open a forecaster that ``save`` wrote; ``cell`` as for ``Student.from_pretrained``.

        Raises:
            ValueError: the folder holds no forecaster.
        """
        folder = Path(folder)
        if not is_forecaster(folder):
            raise ValueError(f"{folder} holds no forecaster; it needs {DOCUMENT}.json, which Forecaster.save writes")
        student = Student.from_pretrained(folder, cell)
        try:
            document, kept = read_document(folder), None
            plan = Plan.from_json(document["plan"])
            model = cls(**document["params"])
            model.scales_ = {name: float(scale) for name, scale, _ in document["series"]}
            model._ends = {name: str(end) for name, _, end in document["series"]}
            model.n_features_in_ = student.inputs.event_shape[0]
            if HISTORY in document:
                (file,) = checkpoint.read_files(folder, f"{HISTORY}.safetensors")
                kept = unpacked(document[HISTORY], checkpoint.parse_tensors(file), plan.clock)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(f"{folder} holds no readable forecaster: {checkpoint.one_line(error)}") from error
        model.plan_, model.student_, model._history = plan, student, kept
        return model


def _checked_levels(levels: Sequence[float]) -> list[float]:
    try:
        found = sorted(map(float, levels))
    except (TypeError, ValueError):
        found = []
    names = {f"{level:g}" for level in found}
    if not found or len(names) < len(found) or not all(0 < level < 1 for level in found):
        raise ValueError(f"levels are {levels}; they must be different numbers between 0 and 1, such as (0.1, 0.9)")
    return found


def _columns(name: str, value: Any) -> Sequence[str]:
    if value is None or isinstance(value, str) or not all(isinstance(column, str) for column in value):
        raise ValueError(f"{name} is {value!r}; it must be a list of columns, such as ['price']")
    return value
