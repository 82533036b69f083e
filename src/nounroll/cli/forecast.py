"""Command ``nounroll forecast``"""

from pathlib import Path
from typing import Any

from rich.console import Console

from nounroll.cli.terminal import check_folder, note

_PATHS = 200  # sample paths per series of a run; a forecaster has its own default
_SHOWN = 40  # rows printed to a terminal


def forecast(
    run: Path,
    *,
    horizon: int | None = None,
    quantiles: str = "0.1,0.5,0.9",
    history: Path | None = None,
    future: Path | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Forecast series: the mean and quantiles of each step ahead, over sample paths.

    RUN is a folder that Forecaster.save wrote, or a run of nounroll train on numbers (tasks series and table). Files
    are CSV, Parquet or JSON, by their ending. A forecaster's files are long tables with the columns unique_id, ds, y
    and covariates; the history of a run on a series is a file like its data, and ds counts the rows after the last. A
    run on a table continues from the last targets of its file as it is now; rows after them, without target, hold the
    columns of the role future.

    Args:
        run: folder of a forecaster or a run.
        horizon: steps ahead; by default the forecaster's horizon, or 24 for a run.
        quantiles: levels of the quantiles, separated by commas.
        history: newer history to forecast from; by default the history that was saved, or the run's own data.
        future: covariates known ahead, for each step of the forecaster's horizon.
        out: file for the forecast, which is printed by default.
    """
    from nounroll.estimators.frames import check_ending, write_frame
    from nounroll.estimators.keeping import is_forecaster

    levels = _levels(quantiles)
    if horizon is not None and horizon < 1:
        raise ValueError(f"--horizon is {horizon}; it must be at least 1")
    if out is not None:
        check_ending("--out", out)
        check_folder("--out", out)
    make = _by_forecaster if is_forecaster(run) else _by_run
    frame = make(run, horizon, levels, history, future)
    if out is not None:
        write_frame(out, frame)
    rows = frame.assign(ds=frame["ds"].map(lambda time: time if isinstance(time, int) else time.isoformat()))
    return {
        "run": str(run),
        "series": int(frame["unique_id"].nunique()),
        "horizon": len(frame) // int(frame["unique_id"].nunique()),
        "quantiles": levels,
        "out": str(out) if out else None,
        "forecast": rows.to_dict("records"),
    }


def show(result: dict[str, Any], console: Console) -> None:
    if result["out"]:
        console.print(f"wrote {len(result['forecast'])} rows to {result['out']}", soft_wrap=True)
        return
    rows = result["forecast"]
    console.print(",".join(rows[0]), markup=False, soft_wrap=True)
    for row in rows[:_SHOWN]:
        cells = (f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row.values())
        console.print(",".join(cells), markup=False, soft_wrap=True)
    if len(rows) > _SHOWN:
        note(f"{len(rows) - _SHOWN} rows more; --out FILE writes all")


def _levels(text: str) -> list[float]:
    try:
        levels = [float(word) for word in text.split(",")]
    except ValueError:
        levels = []
    if (
        not levels
        or len({f"{level:g}" for level in levels}) < len(levels)
        or not all(0 < level < 1 for level in levels)
    ):
        raise ValueError(f"--quantiles is {text!r}; it must be different numbers between 0 and 1, such as 0.1,0.5,0.9")
    return sorted(levels)


def _by_forecaster(
    run: Path, horizon: int | None, levels: list[float], history: Path | None, future: Path | None
) -> Any:
    """Forecast with the folder that ``Forecaster.save`` wrote."""
    from nounroll.estimators.forecaster import Forecaster
    from nounroll.estimators.frames import read_frame
    from nounroll.storage.files import check_plain

    check_plain(run)
    model = Forecaster.load(run)
    most = model.plan_.horizon
    if horizon is not None and horizon > most:
        raise ValueError(
            f"--horizon is {horizon}; this forecaster was trained for {most} steps: fit one with horizon={horizon}"
        )
    if history is None and not model.has_history:
        raise ValueError(f"--history is not given, and {run} was saved without its history; give the series")
    text_ids = any(isinstance(name, str) for name in model.scales_)
    given = None if history is None else read_frame("--history", history, text_ids=text_ids)
    known = None if future is None else read_frame("--future", future, text_ids=text_ids)
    try:
        frame = model.predict(given, known, levels)
    except ValueError as error:
        raise ValueError(_in_words_of_the_command(str(error), history, future)) from error
    return frame[frame.groupby("unique_id").cumcount() < (horizon or most)].reset_index(drop=True)


def _in_words_of_the_command(said: str, history: Path | None, future: Path | None) -> str:
    """Rephrase an error about a frame as an error about the file that the frame was read from."""
    for frame, option, path in (("df", "--history", history), ("X_future", "--future", future)):
        if said.startswith((f"{frame}:", f"{frame} is ")):
            return option + ("" if path is None else f" '{path}'") + said.removeprefix(frame)
    return said


def _by_run(run: Path, horizon: int | None, levels: list[float], history: Path | None, future: Path | None) -> Any:
    """Forecast with a run of ``nounroll train`` on a series."""
    from nounroll.core.seeding import generator
    from nounroll.experiments.run_folder import open_run, open_student

    if open_run(run)[0].task.kind == "table":
        for option, path in (("--history", history), ("--future", future)):
            if path is not None:
                raise ValueError(
                    f"{option} is '{path}'; {run} continues from the end of its table: put the rows there, and leave it"
                    " out"
                )
        return _by_table(*open_student(run), horizon, levels)
    if future is not None:
        raise ValueError(f"--future is '{future}'; {run} has no covariates, leave it out")
    try:
        recipe, opened, student = open_student(run, with_data=history is None)
    except ValueError as error:
        if history is not None or not (run / "student").is_dir():
            raise
        raise ValueError(f"{error}; or give newer rows: --history FILE") from error
    task: Any = opened  # a task with the end of a series has ``latest`` and ``columns``
    if not task.autoregressive or task.targets.discrete or not hasattr(task, "latest"):
        raise ValueError(f"{run} was trained on {recipe.task.kind}; a forecast needs a run on a series of numbers")
    rows = task.latest(recipe.length, history)
    steps = horizon or 24
    drawn = student.generate(
        rows.expand(_PATHS, *rows.shape), steps, generator=generator(recipe.training.seed, "paths")
    ).double()
    names = [str(name) for name in task.columns]
    return _framed([(name, list(range(1, steps + 1)), drawn[..., j].numpy()) for j, name in enumerate(names)], levels)


def _framed(series: list[tuple[str, list[Any], Any]], levels: list[float]) -> Any:
    """Build a long frame of the mean and the quantiles of series: name, times ahead, (paths, horizon) draws."""
    import numpy as np

    from nounroll.estimators.clock import pd

    frames = []
    for name, times, drawn in series:
        frame = pd.DataFrame({"unique_id": name, "ds": times, "mean": drawn.mean(0)})
        for level, values in zip(levels, np.quantile(drawn, levels, axis=0), strict=True):
            frame[f"q{level:g}"] = values
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _by_table(recipe: Any, task: Any, student: Any, horizon: int | None, levels: list[float]) -> Any:
    """Forecast with a run on a table, from the last targets of each of its sequences."""
    from nounroll.core.seeding import generator
    from nounroll.data.tables.continued import continued

    names = list(task.roles["target"]) or list(student.targets.columns)
    several = len(task.layout.names) > 1 or bool(task.roles["id"] or task.roles["series"])
    found = []
    for i, one in enumerate(continued(task, recipe.length, horizon)):
        drawn = _drawn(student, task, one, generator(recipe.training.seed, "paths", i)).numpy()
        for j, name in enumerate(names):
            alone = one.name if len(names) == 1 else f"{one.name}, {name}"
            found.append((alone if several else name, one.times, drawn[..., j]))
    return _framed(found, levels)


def _drawn(student: Any, task: Any, one: Any, source: Any) -> Any:
    """Draw (paths, horizon, k) targets that follow a sequence; each is read at the next step."""
    import torch

    with torch.no_grad():
        _, memory = student(one.inputs[None])
        memory, found = memory.repeat_interleave(_PATHS, dim=0), []
        for row in [*one.ahead, None]:
            found.append(student.targets.sample(student.readout(memory), source))
            if row is not None:
                memory = student.step(task.with_values(row.expand(_PATHS, -1), found[-1]), memory)
    return torch.stack(found, dim=1).double()
