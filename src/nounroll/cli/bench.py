"""Command ``nounroll bench``"""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nounroll.cli.terminal import note


def bench(
    *,
    cells: str = "mlp,gru",
    length: int = 128,
    batch: int = 16,
    rounds: int = 3,
    contexts: str = "128,1024,4096",
    compiled: str | None = None,
    places: str | None = None,
    scaling: str | None = None,
    figure: Path | None = None,
) -> dict[str, Any]:
    """Measure how fast this machine trains and generates, each beside a baseline.

    The measurement uses one thread, bytes as symbols, and the default sizes of cell and teacher. The contenders take
    turns in one process, so that changes of the machine's speed affect all of them. The figures are medians.

    Args:
        cells: cells to measure, separated by commas; mlp,gru by default.
        length: T in training, in time steps.
        batch: B in training, in sequences.
        rounds: measurements of each contender, after one to warm up.
        contexts: numbers of tokens to read before the timed ones, separated by commas; 128,1024,4096 by default.
        compiled: cells to measure with compiled steps too, after the first context.
        places: numbers of tokens, separated by commas, such as 1000,1000000: measure the time of a token after the
            first cell has written that many; compiled if --compiled names the cell.
        scaling: values of T, separated by commas, such as 64,256,1024,4096: also measure how a step of the first cell
            grows with T, memory, width and batch, and its peak memory, each in a process of its own.
        figure: PNG, SVG or PDF file for a picture of the figures.
    """
    from nounroll.bench import measure
    from nounroll.cli.compare import numbers, words
    from nounroll.report.curves import check_path
    from nounroll.report.speed import draw_speed

    if figure is not None:
        check_path("--figure", figure)
    lengths = numbers("--scaling", scaling, int) if scaling else None
    result = measure(
        words(cells),
        length,
        batch,
        rounds,
        numbers("--contexts", contexts, int),
        lengths,
        words(compiled or ""),
        numbers("--places", places, int) if places else None,
    )
    if figure is not None:
        draw_speed(figure, result)
        note(f"wrote {figure}")
    return result


def show(result: dict[str, Any], console: Console) -> None:
    console.print(
        f"T = {result['length']}, B = {result['batch']}, one thread, matmul {result['matmul'] / 1e9:.1f} GFLOP/s"
    )
    table = Table("training", "counts", "per second", "of matmul peak", "beside", "ratio")
    for row in result["training"]:
        share = f"{row['share_of_matmul']:.0%}"
        table.add_row(row["name"], row["counts"], f"{row['per_second']:,.0f}", share, row["baseline"], _ratio(row))
    console.print(table)
    table = Table("generation", "tokens per second", "ms, median", "ms, 99 %", "beside", "ratio")
    for row in result["generation"] + result.get("places", []):
        times = (f"{row['milliseconds'][name]:.3f}" for name in ("median", "p99"))
        table.add_row(row["name"], f"{row['per_second']:,.0f}", *times, row["baseline"], _ratio(row))
    console.print(table)
    for cell, context in result["overtaken"].items():
        since = "at no measured context" if context is None else f"from {context} tokens on"
        console.print(f"{cell} writes faster than the Transformer with its cache {since}")
    if "scaling" in result:
        console.print(scaling_table(result["scaling"]))


def scaling_table(rows: list[dict[str, Any]]) -> Table:
    """Build a table of the curves, in seconds and MiB."""
    table = Table("a training step", "against", "values", "found", "exponent")
    for row in rows:
        if row["measure"] == "seconds":
            found = [f"{value:.3g} s" for value in row["found"]]
        else:
            found = [f"{value / 2**20:,.0f} MiB" for value in row["found"]]
        exponent = "-" if row["exponent"] is None else f"{row['exponent']:.2f}"
        table.add_row(row["method"], row["axis"], ", ".join(map(str, row["values"])), ", ".join(found), exponent)
    return table


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['ratio']:.2f}"
