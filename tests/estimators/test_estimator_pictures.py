"""Pictures of the estimators."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nounroll

QUICK: dict[str, Any] = {"method": "bptt", "cell": "gru", "settings": {"cell.memory_width": 8}, "steps": 5}


@pytest.fixture(scope="module")
def df() -> Any:
    t = np.arange(60)
    frames = [pd.DataFrame({"unique_id": f"s{i}", "ds": t, "y": 10.0 + i + np.sin(np.pi * t / 6)}) for i in range(8)]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def forecaster(df: Any) -> nounroll.Forecaster:
    return nounroll.Forecaster(4, season=12, context=24, **QUICK).fit(df)


def test_a_forecast_is_drawn_with_its_quantiles_and_what_followed(forecaster: nounroll.Forecaster, df: Any) -> None:
    before = df[df.ds < 50].reset_index(drop=True)
    figure = forecaster.picture(before, truth=df, series=["s7", "s1"], levels=(0.1, 0.5, 0.9))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["s7", "s1"]
    history, _, median, truth = figure.axes[0].lines
    assert history.get_xdata()[-1] == 49
    np.testing.assert_allclose(truth.get_ydata(), df[(df.unique_id == "s7") & df.ds.between(50, 53)].y)
    told = forecaster.predict(before, paths=400)
    np.testing.assert_allclose(median.get_ydata(), told[told.unique_id == "s7"]["q0.5"])
    assert len(forecaster.picture().axes) == 6  # as many as have room, from the history of fit


def test_reliability_is_that_of_a_backtest(forecaster: nounroll.Forecaster, df: Any) -> None:
    figure = forecaster.reliability_picture(df, windows=2)
    shares = np.asarray(figure.axes[0].lines[1].get_ydata())
    assert (np.diff(shares) >= 0).all()
    far = forecaster.reliability_picture(df.assign(y=np.where(df.ds >= 52, 1e6, df.y)), windows=2)
    assert np.asarray(far.axes[0].lines[1].get_ydata()).max() == 0  # control: all of the truth is above


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"series": ["s9"]}, "series names 's9'; there are 's0', 's1'"),
        ({"series": []}, "series names 0 series; a picture has room for 1 to 6"),
        ({"levels": (0.5, 2)}, "levels are (0.5, 2); they must be different numbers between 0 and 1"),
        ({"truth": pd.DataFrame({"y": [1]})}, "truth has no column 'unique_id'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(forecaster: nounroll.Forecaster, how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        forecaster.picture(**how)


def test_classes_are_drawn_by_name() -> None:
    draw = np.random.RandomState(0)
    X, y = draw.randn(30, 5, 2), np.array(["low", "high", "mid"] * 10)
    model = nounroll.SequenceClassifier(**QUICK).fit(X, y)
    matrix = model.picture(X, y).axes[0]
    assert [label.get_text() for label in matrix.get_yticklabels()] == ["high", "low", "mid"]
    counts = np.array([int(text.get_text()) for text in matrix.texts]).reshape(3, 3)
    assert counts.sum(1).tolist() == [10, 10, 10]
    assert np.trace(counts) == round(30 * model.score(X, y))
    with pytest.raises(ValueError, match=re.escape("y[1] is new, a class that was not in training")):
        model.picture(X[:2], ["low", "new"])
    with pytest.raises(ValueError, match=re.escape("y has shape (2,); it must be (30,)")):
        model.picture(X, ["low", "mid"])


def test_the_surprise_of_sequences_is_drawn() -> None:
    X = [np.sin(np.arange(20.0) + i)[:, None] for i in range(10)]
    model = nounroll.SequenceAnomaly(**QUICK).fit(X)
    figure = model.picture(X[:2], names=["monday", "tuesday"])
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), model.surprise(X[:2])[1])
    with pytest.raises(ValueError, match="X holds 10 sequences; a picture has room for 6"):
        model.picture(X)
    with pytest.raises(ValueError, match="names has 1 names; there must be one for each of the 2 sequences"):
        model.picture(X[:2], names=["monday"])
