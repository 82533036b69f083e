"""A Forecaster as a predictor of GluonTS; where the package is not installed, of a stand-in with its interface."""

import importlib
import re
import sys
import types
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nounroll

REAL = find_spec("gluonts") is not None


class StandInPredictor:
    def __init__(self, prediction_length: int, lead_time: int = 0) -> None:
        self.prediction_length, self.lead_time = prediction_length, lead_time

    def serialize(self, path: Path) -> None:
        (path / "gluonts-config.json").write_text("{}")


class StandInForecast:
    def __init__(self, samples: Any, start_date: Any, item_id: Any = None) -> None:
        self.samples, self.start_date, self.item_id = samples, start_date, item_id

    def quantile(self, level: float) -> Any:
        return np.quantile(self.samples, level, axis=0)


@pytest.fixture(scope="module")
def adapter() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        if not REAL:
            for name, content in {
                "gluonts": {},
                "gluonts.model": {},
                "gluonts.model.predictor": {"Predictor": StandInPredictor},
                "gluonts.model.forecast": {"SampleForecast": StandInForecast},
            }.items():
                module = types.ModuleType(name)
                vars(module).update(content)
                patch.setitem(sys.modules, name, module)
        yield importlib.import_module("nounroll.estimators.gluonts")
    if not REAL:
        del sys.modules["nounroll.estimators.gluonts"]


def frame(rows: int = 60) -> Any:
    t = np.arange(rows)
    ds = pd.date_range("2001-01-01", periods=rows, freq="MS")
    y = 20 + np.sin(2 * np.pi * t / 12) + 0.1 * np.sin(t**2)
    return pd.DataFrame({"unique_id": "a", "ds": ds, "y": y, "p": 0.1 * t, "f": np.cos(t)})


@pytest.fixture(scope="module")
def fitted() -> nounroll.Forecaster:
    quick: dict[str, Any] = {"method": "bptt", "cell": "gru", "settings": {"cell.memory_width": 8}}
    return nounroll.Forecaster(4, context=24, past=["p"], future=["f"], steps=5, **quick).fit(frame())


def entry(**changes: Any) -> dict[str, Any]:
    df = frame(64)
    return {
        "item_id": "a",
        "start": pd.Period("2001-01", freq="M"),
        "target": df.y[:60].to_numpy(),
        "past_feat_dynamic_real": df.p[:60].to_numpy()[None],
        "feat_dynamic_real": df.f.to_numpy()[None],
        **changes,
    }


def test_forecasts_are_those_of_the_forecaster(adapter: Any, fitted: nounroll.Forecaster) -> None:
    df = frame(64)
    predictor = adapter.GluonTSPredictor(fitted)
    (found,) = predictor.predict([entry()], num_samples=30)
    paths = fitted.sample(df[:60], df[60:].drop(columns=["y", "p"]).reset_index(drop=True), paths=30)
    np.testing.assert_allclose(found.samples, paths.y.to_numpy().reshape(30, 4))
    assert (found.item_id, str(found.start_date), predictor.prediction_length) == ("a", "2006-01", 4)
    assert (found.quantile(0.1) <= found.quantile(0.9)).all()
    assert next(predictor.predict([entry()])).samples.shape == (100, 4)


def test_a_predictor_is_written_and_read(adapter: Any, fitted: nounroll.Forecaster, tmp_path: Path) -> None:
    predictor = adapter.GluonTSPredictor(fitted)
    predictor.serialize(tmp_path)
    if REAL:
        opened = importlib.import_module("gluonts.model.predictor").Predictor.deserialize(tmp_path)
    else:
        opened = adapter.GluonTSPredictor.deserialize(tmp_path)
    one, other = (next(each.predict([entry()], num_samples=5)).samples for each in (predictor, opened))
    np.testing.assert_allclose(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": np.ones((2, 60))}, "target of 'a' has shape (2, 60); a forecaster takes one number a step"),
        ({"feat_dynamic_real": np.ones((1, 60))}, "feat_dynamic_real of 'a' has shape (1, 60); it must be (1, 64)"),
        ({"start": pd.Period("2001-01-01", freq="D")}, "of series 'a' comes where 2001-02-01 00:00:00 is next"),
    ],
)
def test_an_entry_that_cannot_be_read_is_one_line(
    adapter: Any, fitted: nounroll.Forecaster, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        list(adapter.GluonTSPredictor(fitted).predict([entry(**changes)]))


@pytest.mark.skipif(not REAL, reason="the package gluonts is not installed")
def test_gluonts_evaluates_it(adapter: Any, fitted: nounroll.Forecaster) -> None:
    from gluonts.dataset.common import ListDataset
    from gluonts.evaluation import Evaluator, make_evaluation_predictions

    whole = entry(target=frame(64).y.to_numpy(), past_feat_dynamic_real=frame(64).p.to_numpy()[None])
    dataset = ListDataset([whole], freq="M")
    forecasts, truth = make_evaluation_predictions(dataset, adapter.GluonTSPredictor(fitted), num_samples=20)
    scores, _ = Evaluator(quantiles=[0.1, 0.9], num_workers=0)(truth, forecasts)
    assert 0 < scores["MASE"] < 10
    assert 0 <= scores["Coverage[0.1]"] <= scores["Coverage[0.9]"] <= 1
