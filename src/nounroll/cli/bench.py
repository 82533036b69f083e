"""``nounroll bench``"""

from typing import Any

from rich.console import Console
from rich.table import Table


def bench(*, cells: str = "mlp,gru", length: int = 128, batch: int = 16, rounds: int = 3) -> dict[str, Any]:
    """Measure how fast this machine trains and generates, each beside a baseline.

    One thread, bytes as symbols, the default sizes of cell and teacher. Contenders take turns in one process, so that a
    drift of the machine meets all of them; figures are medians.

    Args:
        cells: with commas between them; mlp,gru when left out.
        length: T, in time steps.
        batch: B, sequences.
        rounds: of each contender, after one to warm up.
    """
    from nounroll.bench import measure

    return measure([name.strip() for name in cells.split(",")], length, batch, rounds)


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
    for row in result["generation"]:
        times = (f"{row['milliseconds'][name]:.2f}" for name in ("median", "p99"))
        table.add_row(row["name"], f"{row['per_second']:,.0f}", *times, row["baseline"], _ratio(row))
    console.print(table)
    console.print(f"peak memory of the process: {result['peak_memory'] / 2**20:,.0f} MiB")


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['ratio']:.2f}"
