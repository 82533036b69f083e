"""The Forecaster: series in long data frames, and forecasts by sample paths."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dateutil import tz
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import nounroll
from nounroll import Forecaster
from nounroll.estimators.clock import Clock, phases
from nounroll.estimators.forecaster import _checked_levels
from nounroll.estimators.keeping import packed, unpacked
from nounroll.estimators.panel import Series, read
from nounroll.estimators.powers import chosen_power, lowered, raised
from nounroll.estimators.scores import crps, naive_error, scores
from nounroll.estimators.windows import Plan, drifts, training_windows

QUICK: dict[str, Any] = {"method": "bptt", "cell": "gru", "settings": {"cell.memory_width": 8}}


def panel(lengths: tuple[int, ...] = (60, 75), freq: str = "MS", seed: int = 0) -> Any:
    """A yearly wave of another size and level in each series."""
    draw, frames = np.random.RandomState(seed), []
    for i, length in enumerate(lengths):
        t = np.arange(length)
        y = 10**i * (5 + np.sin(2 * np.pi * t / 12) + 0.1 * draw.randn(length))
        ds = pd.date_range("2001-01-01", periods=length, freq=freq)
        frames.append(pd.DataFrame({"unique_id": f"s{i}", "ds": ds, "y": y}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return Forecaster(6, context=36, steps=100, **QUICK).fit(panel((96, 120)))


def test_a_seasonal_series_is_forecast_better_than_a_year_ago(fitted: Forecaster) -> None:
    found = fitted.backtest(panel((150, 150), seed=1), windows=4)
    assert len(found) == 8
    unseen = found[~found.trained]
    assert len(unseen) == 8 - found.trained.sum() > 0
    assert unseen.mase.mean() < unseen.naive_mase.mean()
    assert unseen.scrps.mean() < unseen.mase.mean()
    assert 0.6 < found.coverage.mean() <= 1


def test_a_forecast_follows_each_series_in_its_own_unit(fitted: Forecaster) -> None:
    df = panel((96, 120))
    found = fitted.predict(df, levels=(0.9, 0.05, 0.5))
    assert list(found.columns) == ["unique_id", "ds", "mean", "q0.05", "q0.5", "q0.9"]
    assert list(found.unique_id) == ["s0"] * 6 + ["s1"] * 6
    assert found.ds[0] == pd.Timestamp("2009-01-01")
    assert found.ds[6] == pd.Timestamp("2011-01-01")
    assert (found["q0.05"] <= found["q0.5"]).all()
    assert (found["q0.5"] <= found["q0.9"]).all()
    assert found["mean"][:6].between(3, 7).all()
    assert found["mean"][6:].between(30, 70).all()
    pd.testing.assert_frame_equal(found, fitted.predict(levels=(0.05, 0.5, 0.9)))


def test_statistics_are_those_of_the_sample_paths(fitted: Forecaster) -> None:
    paths = fitted.sample(paths=50)
    assert len(paths) == 12 * 50
    means = paths.groupby(["unique_id", "ds"]).y.mean().to_numpy()
    np.testing.assert_allclose(fitted.predict(paths=50)["mean"], means)
    one = paths[paths.path == 0].y.to_numpy()
    assert np.abs(one - paths[paths.path == 1].y.to_numpy()).min() > 0


def test_another_unit_gives_the_same_forecast_in_it() -> None:
    df = panel((60,))
    plain = Forecaster(4, steps=5, **QUICK).fit(df).predict()
    larger = Forecaster(4, steps=5, **QUICK).fit(df.assign(y=1000 + 1e6 * df.y)).predict()
    np.testing.assert_allclose(larger["q0.9"], 1000 + 1e6 * plain["q0.9"], rtol=1e-3)


def test_a_series_has_the_same_forecast_alone_and_with_others(fitted: Forecaster) -> None:
    df = panel((96, 120))
    df.loc[df.unique_id == "s1", "y"] *= 3  # of the other series
    alone = fitted.predict(df[df.unique_id == "s0"].reset_index(drop=True))
    pd.testing.assert_frame_equal(alone, fitted.predict(df)[:6])


def test_a_series_that_was_not_trained_on_gets_a_scale_of_its_own(fitted: Forecaster) -> None:
    new = panel((80,)).assign(unique_id="new")
    new["y"] *= 1e5
    assert fitted.predict(new)["mean"].between(3e5, 7e5).all()


def test_settings_of_other_types_are_saved(fitted: Forecaster, tmp_path: Path) -> None:
    """Numbers of NumPy, an offset and a student, which ``fit`` takes too."""
    df = panel((96, 120)).assign(p=1.0)
    df["unique_id"] = pd.Series([np.int64(name[1]) for name in df.unique_id], dtype=object)
    numbers = {"horizon": np.int64(6), "context": np.int64(36)}  # as of a search
    model = Forecaster(6, steps=2, **QUICK)
    model.set_params(freq=pd.offsets.MonthBegin(), past=("p",), **numbers).fit(df)
    model.save(tmp_path / "model")
    opened = Forecaster.load(tmp_path / "model")
    kept = opened.get_params()
    assert [kept[name] for name in ("freq", "horizon", "context", "past")] == ["MS", 6, 36, ["p"]]
    pd.testing.assert_frame_equal(opened.predict(), model.predict())
    fitted.student_.save_pretrained(tmp_path / "student")
    for student in (fitted.student_, tmp_path / "student"):
        tuned = Forecaster(6, context=36, student=student, method="bptt", steps=2).fit(panel((96, 120)))
        tuned.save(tmp_path / "tuned")
        pd.testing.assert_frame_equal(Forecaster.load(tmp_path / "tuned").predict(), tuned.predict())


@pytest.mark.parametrize("zone", [tz.gettz("Europe/Berlin"), tz.tzoffset("EST", -18000), timezone(timedelta(0), "X")])
def test_the_time_zone_of_a_saved_history_is_kept(zone: tzinfo) -> None:
    times = pd.date_range("2024-03-25", periods=10, freq="D", tz=zone)
    heads, tensors = packed([Series("a", times, np.arange(10.0), np.zeros((10, 0)), np.zeros((10, 0)))])
    (found,) = unpacked(heads, tensors, Clock("D"))
    assert [one.isoformat() for one in found.times] == [one.isoformat() for one in times]


def test_a_saved_forecaster_predicts_the_same(fitted: Forecaster, tmp_path: Path) -> None:
    df = panel((96, 120))
    fitted.save(tmp_path / "model")
    opened = Forecaster.load(tmp_path / "model")
    assert opened.get_params()["horizon"] == 6
    pd.testing.assert_frame_equal(opened.predict(df), fitted.predict(df))
    pd.testing.assert_frame_equal(opened.backtest(df, windows=1), fitted.backtest(df, windows=1))
    nounroll.Student.from_pretrained(tmp_path / "model")
    pd.testing.assert_frame_equal(opened.predict(), fitted.predict())
    opened.save(tmp_path / "again", history=False)
    with pytest.raises(ValueError, match="df is not given, and this forecaster was saved without its history"):
        Forecaster.load(tmp_path / "again").predict()
    assert not (tmp_path / "again" / "history.safetensors").exists()
    (tmp_path / "model" / "forecaster.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no readable forecaster"):
        Forecaster.load(tmp_path / "model")
    with pytest.raises(ValueError, match=r"holds no forecaster; it needs forecaster\.json"):
        Forecaster.load(tmp_path)


# -- what the network sees ----------------------------------------------------------------------------

PLAN = Plan(horizon=3, context=6, season=2, freq=1, cycles=(), past=("p",), future=("f",), changes=False)


def whole(length: int = 30, gaps: tuple[int, ...] = ()) -> Any:
    t = np.arange(length)
    df = pd.DataFrame({"unique_id": "a", "ds": t, "y": 100.0 + t, "p": 0.5 * t, "f": -1.0 * t})
    df.loc[list(gaps), "y"] = np.nan
    return read(df, Clock(1), ("p",), ("f",))[0]


def window(series: Any, plan: Plan = PLAN) -> tuple[np.ndarray, np.ndarray]:
    found = plan.window(series, plan.ahead(series), 10.0, len(series))
    assert found is not None
    return found


def test_an_input_holds_the_present_and_what_is_known_ahead() -> None:
    inputs, targets = window(whole())
    assert inputs.shape == (29, 4)
    np.testing.assert_allclose(inputs[5], [(105 - 100.5) / 10, 1, 2.5, -6])  # value, observed, past; future of t + 1
    np.testing.assert_allclose(targets[5], [(106 - 100.5) / 10, 3.0])
    assert np.isnan(targets[0]).all()  # what values are relative to
    assert np.isfinite(targets[1:]).all()


def test_changes_are_predicted_for_series_that_drift() -> None:
    t = np.arange(200.0)
    wave = replace(whole(200), y=np.sin(t))
    assert not drifts([wave], 12)
    assert drifts([replace(wave, y=np.sin(t) + 0.1 * t), wave, replace(wave, y=t)], 12)
    targets = window(whole(), replace(PLAN, changes=True))[1]
    np.testing.assert_allclose(targets[5], [(106 - 105) / 10, 3.0])


def test_a_drift_goes_on() -> None:
    df = pd.DataFrame({"unique_id": "a", "ds": np.arange(80), "y": 1000.0 + 3 * np.arange(80) + np.arange(80) % 2})
    model = Forecaster(4, context=10, steps=60, **QUICK).fit(df)
    assert model.plan_.changes
    np.testing.assert_allclose(model.predict()["mean"], [1240, 1244, 1246, 1250], atol=2)


def test_a_missing_value_is_carried_forward_said_and_not_scored() -> None:
    inputs, targets = window(whole(gaps=(8, 9)))
    assert (inputs[7:10, 0] == inputs[7, 0]).all()
    assert inputs[6:11, 1].tolist() == [1, 1, 0, 0, 1]
    assert np.isnan(targets[7:9]).all()
    assert np.isfinite(targets[[6, 9]]).all()


def test_a_missing_value_is_interpolated_and_does_not_leak_into_scored_steps() -> None:
    plan = replace(PLAN, between=True)
    inputs, targets = window(whole(gaps=(8, 9)), plan)
    np.testing.assert_allclose(inputs[7:11, 0], np.array([107, 108, 109, 110]) / 10 - 10.05)
    assert inputs[6:11, 1].tolist() == [1, 1, 0, 0, 1]
    assert np.isnan(targets[7:10]).all()  # of steps 8, 9, and 10, which the line before it knows
    assert np.isfinite(targets[[6, 10]]).all()
    before, after = whole(gaps=(8, 9)), whole(gaps=(8, 9))
    after.y[10:] += 50
    (one, scored), (other, _) = window(before, plan), window(after, plan)
    changed = np.flatnonzero((one != other).any(1))
    assert changed[0] == 8  # control: the line leads to the later value
    assert not np.isfinite(scored[changed[changed < 10], 0]).any()


def test_a_forecast_goes_on_from_the_last_value_that_is_known() -> None:
    t = np.arange(80)
    df = pd.DataFrame({"unique_id": "a", "ds": t, "y": 1000.0 + 3 * t + t % 2})
    model = Forecaster(4, context=10, steps=60, **QUICK).fit(df)
    late = df.assign(y=df.y.where(t < 77))
    assert model.plan_.between
    np.testing.assert_allclose(model.predict(late)["mean"], [1240, 1244, 1246, 1250], atol=3)
    both = pd.concat([late, df.assign(unique_id="b")], ignore_index=True)
    pd.testing.assert_frame_equal(model.predict(both)[:4], model.predict(late))
    assert not Forecaster(9, season=7, steps=2, **QUICK).fit(df.assign(y=df.y.where(t % 9 == 0))).plan_.between


def test_a_kept_history_reaches_as_far_back_as_the_whole_one() -> None:
    df = panel((60, 75))
    df.loc[[56, 57, 58, 59], "y"] = np.nan  # the first series ends without y
    model = Forecaster(6, context=24, steps=2, **QUICK).fit(df)
    pd.testing.assert_frame_equal(model.predict(), model.predict(df))


def test_a_window_is_relative_to_its_first_season_or_to_its_first_value() -> None:
    assert PLAN.values(whole(gaps=(1,)), 1.0)[1:] == ((100.0, 1.0), 1)
    assert PLAN.values(whole(gaps=(0, 1, 2)), 1.0)[1:] == ((103.0, 1.0), 4)
    sparse = pd.DataFrame({"unique_id": "a", "ds": np.arange(80), "y": np.where(np.arange(80) % 9, np.nan, 1.0)})
    assert len(Forecaster(9, season=7, steps=2, **QUICK).fit(sparse).predict()) == 9


def test_a_window_is_read_in_units_of_its_first_half() -> None:
    plan, wide = replace(PLAN, local=True), whole(8)
    values, (anchor, size), begin = plan.values(wide, 10.0)
    assert (anchor, begin) == (101.0, 3)
    assert size == pytest.approx(np.hypot(np.std([100, 101, 102]), 1.0))
    np.testing.assert_allclose(values, (wide.y - 101) / size)
    larger = plan.values(replace(wide, y=50 * wide.y), 500.0)[0]
    np.testing.assert_allclose(larger, values)  # a window of another size looks the same


def test_a_plan_of_an_earlier_version_reads_as_it_did() -> None:
    kept = {"horizon": 3, "context": 6, "season": 2, "freq": 1, "cycles": [], "past": ["p"], "future": ["f"]}
    assert Plan.from_json({**kept, "changes": False}) == PLAN
    assert not PLAN.local
    assert not PLAN.between


def test_the_power_makes_changes_independent_of_the_level() -> None:
    draw, level = np.random.RandomState(0), np.repeat(np.geomspace(1, 100, 40), 12)
    noise = draw.randn(480)
    for power, y in (
        (1.0, level + 0.2 * noise),
        (0.5, level + 0.2 * np.sqrt(level) * noise),
        (0.0, level * np.exp(noise / 9)),
    ):
        assert chosen_power([replace(whole(480), y=y.clip(0.01))], 12) == power
    assert chosen_power([replace(whole(480), y=level * np.exp(noise / 9) - 30)], 12) == 1  # it has negative values
    for power in (1.0, 0.5, 0.0):
        np.testing.assert_allclose(lowered(raised(whole(), power), power), whole().y)


def test_forecasts_of_counts_are_never_negative() -> None:
    draw, t = np.random.RandomState(0), np.arange(360)
    y = draw.poisson(20 * (1 + np.sin(2 * np.pi * t / 12)) ** 2 + 0.3).astype(float)
    df = pd.DataFrame({"unique_id": "a", "ds": t, "y": y})
    model = Forecaster(6, season=12, context=36, steps=80, **QUICK).fit(df)
    assert model.plan_.power == 0.5
    assert (model.predict(levels=(0.01, 0.5))["q0.01"] >= 0).all()
    with pytest.raises(ValueError, match="column 'y' of series 'a' is -1 at 3; in training it was never negative"):
        model.predict(df.assign(y=np.where(t == 3, -1, y)))


def test_no_input_knows_later_values() -> None:
    before, after = whole(), whole()
    after.y[20:] += 50
    after.past[20:] += 50
    one, other = window(before), window(after)
    assert (one[0][:20] == other[0][:20]).all()
    assert (one[1][:19] == other[1][:19])[1:].all()
    assert (one[0][20:] != other[0][20:]).any()  # control: the change is one


def test_held_out_steps_are_scored_in_no_training_window() -> None:
    series = whole(40)
    inputs, targets, parts = training_windows(PLAN, [series], [1.0], 0.2)
    scored: dict[str, set[float]] = {"train": set(), "validation": set()}
    for y, part in zip(targets, parts, strict=True):
        scored[part] |= set(y[~np.isnan(y[:, 0]), 1].tolist())  # the past covariate tells the time
    assert not scored["train"] & scored["validation"]
    assert sorted(scored["validation"]) == [0.5 * t for t in range(34, 40)]
    assert max(one[:, 2].max() for one, part in zip(inputs, parts, strict=True) if part == "train") < 0.5 * 34


def test_covariates_that_are_known_ahead_are_used() -> None:
    draw = np.random.RandomState(0)
    switch = draw.randint(0, 2, size=330).astype(float)
    df = pd.DataFrame({"unique_id": 1, "ds": np.arange(330), "y": 3 + switch + 0.05 * draw.randn(330), "on": switch})
    model = Forecaster(4, context=8, future=["on"], steps=150, **QUICK).fit(df[:300])
    ahead = df[300:304][["unique_id", "ds", "on"]].reset_index(drop=True)
    found = model.predict(X_future=ahead)
    np.testing.assert_allclose(found["mean"], 3 + ahead.on, atol=0.4)
    other = model.predict(X_future=ahead.assign(on=1 - ahead.on))
    np.testing.assert_allclose(other["mean"], 4 - ahead.on, atol=0.4)
    with pytest.raises(ValueError, match="X_future is not given; it must hold on for each step of the horizon"):
        model.predict()
    with pytest.raises(ValueError, match="column 'ds' has 3 rows of series 1; it must hold the 4 times 300 to 303"):
        model.predict(X_future=ahead[:3])
    with pytest.raises(ValueError, match="names series 2, which has no history"):
        model.predict(X_future=pd.concat([ahead, ahead.assign(unique_id=2)]))


def test_past_covariates_are_predicted_along() -> None:
    df = panel((60,))
    df["p"] = np.cos(np.arange(60.0))
    model = Forecaster(3, past=["p"], steps=3, **QUICK).fit(df)
    assert model.student_.targets == nounroll.Real(2)
    assert len(model.predict()) == 3
    with pytest.raises(ValueError, match="X_future is given, and no column is named"):
        model.predict(X_future=df)


@pytest.mark.parametrize(
    ("freq", "season", "cycles"),
    [("MS", 12, ("year",)), ("D", 7, ("week", "year")), ("h", 24, ("day", "week")), ("YS", 1, ()), (2, 1, ())],
)
def test_the_calendar_follows_from_the_frequency(freq: str | int, season: int, cycles: tuple[str, ...]) -> None:
    assert Clock(freq).season == season
    assert Clock(freq).cycles(1000) == cycles


def test_phases_repeat_with_their_cycle() -> None:
    times = pd.date_range("2024-01-01", periods=15, freq="D")
    found = phases(times, ("week",))
    np.testing.assert_allclose(found[0], found[7], atol=1e-12)
    assert np.abs(found[0] - found[3]).max() > 0.5


# -- scores -------------------------------------------------------------------------------------------


def test_scores_are_those_of_their_definitions() -> None:
    history = np.array([1.0, 2, 3, 5, np.nan, 6])
    assert naive_error(history, 1) == pytest.approx(4 / 3)
    assert np.isnan(naive_error(np.ones(5), 1))
    paths, truth = np.array([[1.0, 4], [3, 4], [5, 4]]), np.array([2.0, 4])
    pairs = np.mean([abs(a - b) for a in (1, 3, 5) for b in (1, 3, 5) if a != b])
    np.testing.assert_allclose(crps(paths, truth), [5 / 3 - pairs / 2, 0])
    found = scores(paths, truth, history, 1)
    assert found["mase"] == pytest.approx(0.5 / (4 / 3))
    assert found["coverage"] == 1
    assert found["naive_mase"] == pytest.approx(3 / (4 / 3))
    assert scores(paths + 3, truth, history, 1)["coverage"] == 0


@pytest.mark.parametrize("form", ["dates", "datetimes", "timestamps with a zone", "periods"])
def test_times_may_be_dates_of_python_or_periods(form: str) -> None:
    df = panel()
    expected = df.ds.dt.tz_localize("UTC") if "zone" in form else df.ds
    forms: dict[str, Any] = {
        "dates": df.ds.dt.date,
        "datetimes": pd.Series(list(df.ds.dt.to_pydatetime()), dtype=object),
        "timestamps with a zone": expected.astype(object),
        "periods": df.ds.dt.to_period("M"),
    }
    series = zip(read(df.assign(ds=forms[form]), None), read(df.assign(ds=expected), None), strict=True)
    assert all(list(one.times) == list(other.times) for one, other in series)


# -- what cannot be -----------------------------------------------------------------------------------


def changed(**columns: Any) -> Callable[[Any], Any]:
    return lambda df: df.assign(**columns)


def put(row: int, column: str, value: Any) -> Callable[[Any], Any]:
    def change(df: Any) -> Any:
        df.loc[row, column] = value
        return df

    return change


ZONES = ["Europe/Berlin", "UTC"]
BAD: list[tuple[Callable[[Any], Any], str]] = [
    (lambda df: df.rename(columns={"y": "sales"}), "df: column 'y' is not there; it has unique_id, ds, sales"),
    (changed(price=1.0), "df: column 'price' has no role; name it in past= or future="),
    (lambda df: df.y.to_numpy(), "df is a ndarray; it must be a pandas data frame with columns unique_id, ds, y"),
    (lambda df: df[:0], "df has no rows"),
    (put(7, "y", np.inf), "df: column 'y', row 7 is infinite; write nan where y is missing"),
    (changed(y="a"), "it must hold numbers: use pd.to_numeric or codes"),
    (changed(y=1j), "df: column 'y' is of type complex128; it must hold numbers: use pd.to_numeric or codes"),
    (changed(y=np.nan), "df: column 'y' of series 's0' is missing in every row"),
    (changed(unique_id=1.5), "df: column 'unique_id', row 0 is 1.5; it must be text or a whole number"),
    (put(3, "ds", pd.NaT), "df: column 'ds', row 3 is missing; every row needs a time"),
    (
        put(3, "ds", pd.Timestamp("2001-03-01")),
        "row 3: 2001-03-01 00:00:00 of series 's0' is also in row 2",
    ),
    (lambda df: df[::-1].reset_index(drop=True), "row 1: 2007-02-01 00:00:00 of series 's1' comes after 2007-03-01"),
    (
        lambda df: df.drop(index=[70]).reset_index(drop=True),
        "row 70: 2001-12-01 00:00:00 of series 's1' comes where 2001-11",
    ),
    (changed(ds=lambda df: df.ds.astype(str)), "it must hold dates or whole numbers: use pd.to_datetime"),
    (
        changed(ds=lambda df: pd.Series([t.tz_localize(ZONES[i % 2]) for i, t in enumerate(df.ds)], dtype=object)),
        "df: column 'ds', row 1 is of time zone UTC, row 0 of Europe/Berlin; use pd.to_datetime(df['ds'], utc=True)",
    ),
    (lambda df: df[55:].reset_index(drop=True), "df: column 'y', series 's0' has 5 rows; with horizon 4 each needs 6"),
    (lambda df: df[:6], "the longest series, 's0', has 6 rows; with horizon 4 one needs at least 10"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_frame_that_cannot_be_read_is_one_line(change: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        Forecaster(4, "MS", steps=2, **QUICK).fit(change(panel()))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon": 0}, "horizon is 0; it must be a whole number, at least 1"),
        ({"context": 0}, "context is 0; it must be a whole number, at least 1"),
        ({"freq": "fortnight"}, "freq is 'fortnight'; it must be an offset of pandas"),
        ({"freq": 1}, "freq is 1 and column ds holds dates; freq must be an offset such as 'MS' or 'D'"),
        (
            {"freq": "D"},
            "row 1: 2001-02-01 00:00:00 of series 's1' comes where 2001-01-02 00:00:00 is next with freq 'D'",
        ),
        ({"past": "p"}, "past is 'p'; it must be a list of columns, such as ['price']"),
        ({"past": ["p"]}, "df: column 'p' is not there"),
        ({"past": ["p"], "future": ["p"]}, "each column may have one role"),
        ({"validation": 0}, "validation is 0; it must be a share between 0 and 1"),
    ],
)
def test_an_invalid_setting_gives_one_line(settings: dict[str, Any], message: str) -> None:
    df = panel()[60:].reset_index(drop=True)
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        Forecaster(**{"horizon": 4, "steps": 2, **QUICK, **settings}).fit(df)
    assert "\n" not in str(raised.value)


def test_a_frequency_that_cannot_be_told_is_asked_for() -> None:
    df = panel((40,)).drop(index=[5]).reset_index(drop=True)
    with pytest.raises(
        ValueError, match="freq is not set, and column ds of series 's0' has no regular step; give freq"
    ):
        Forecaster(4, steps=2, **QUICK).fit(df)


def test_what_cannot_be_forecast_is_one_line(fitted: Forecaster) -> None:
    with pytest.raises(NotFittedError, match="this Forecaster is not fitted yet; call fit with a data frame of series"):
        Forecaster(3).predict(panel())
    with pytest.raises(
        ValueError, match=re.escape("levels are (1.5, 0.5); they must be different numbers between 0 and 1")
    ):
        fitted.predict(levels=(1.5, 0.5))
    unchecked = _checked_levels.__wrapped__  # type: ignore[attr-defined]  # without the checks of types that tests have
    for levels in (0.5, ["half"], ()):
        with pytest.raises(ValueError, match="they must be different numbers between 0 and 1, such as"):
            unchecked(levels)
    with pytest.raises(ValueError, match="paths is 0; it must be a whole number, at least 1"):
        fitted.predict(paths=0)
    with pytest.raises(ValueError, match="series 's0' has 30 rows; 5 windows need 43: test fewer"):
        fitted.backtest(panel((30,)))
    with pytest.raises(ValueError, match="freq is 'MS' and column ds holds whole numbers"):
        fitted.predict(panel().assign(ds=range(135)))
    gone = panel((120,))
    gone.loc[60:, "y"] = np.nan
    with pytest.raises(ValueError, match="series 's0' has no y in the 36 rows up to 2010-12-01 00:00:00 that are read"):
        fitted.predict(gone)
    zoned = panel((96,)).assign(ds=pd.date_range("2001-01-01", periods=96, freq="MS", tz="UTC"))
    with pytest.raises(ValueError, match="column 'ds' is of time zone UTC, and fit had None; use one zone"):
        fitted.backtest(zoned, windows=1)


def test_scikit_learn_clones_it() -> None:
    model = Forecaster(3, "MS", past=["p"], steps=2, random_state=4)
    assert clone(model).get_params() == model.get_params()
    assert model.get_params()["random_state"] == 4


def test_the_same_steps_and_seed_give_the_same_forecast() -> None:
    df = panel((40,))
    one, other, third = (Forecaster(3, steps=3, random_state=seed, **QUICK).fit(df).predict() for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, other)
    assert (one["mean"] != third["mean"]).any()
