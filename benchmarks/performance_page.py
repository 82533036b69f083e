"""docs/performance.md, written from what was measured."""

import textwrap
from typing import Any

from performance_claims import Answers, claims

PICTURES = {
    "writing": "Tokens a second of students and of a Transformer with its cache, against what was read before",
    "scaling": "Time and peak memory of a training step against T",
    "rollouts": "Iterations of parallel rollouts against T and against the Lyapunov exponent",
}
INTRODUCTION = """# Speed and memory

`python benchmarks/performance.py` writes this page from files in `docs/results/`. Runs use one thread, bytes as
symbols, and the default sizes of cell (4 tokens of 64) and teacher (of version 0.1: 2 layers of 128; today 64). The
contenders of a table took turns in one process. Figures are medians, and ratios are to the baseline in the column
"beside". Other work ran on the machine, also on the same core, so compare rates within a table only. `nounroll bench`
measures your machine.
"""
CONTENDERS = {
    "smt": "our SMT, with all T transitions",
    "smt windowed": "the paper's scheme, one label for each sequence and step",
    "smt by chunks": "SMT with `smt.chunk=256`, which computes the encoder again: the same losses and gradients,"
    " less memory, more work",
    "dmt": "our DMT, with the teacher's labels and the decoder",
    "dmt of the paper": "steps through time and encodes a whole context for every label, without the gradients through"
    " the frozen teacher that the public reference code computes and discards",
    "dmt sequential": "the prefix-context baseline: dmt of the paper with prefixes as contexts, about half the work",
    "dmt by readout": "windows that learn from the targets alone, by their name in version 0.1; much like the method"
    " tbptt today",
    "bptt stepped": "a loop over the cell",
    "Transformer": "of the teacher's size, with a cache of keys and values",
}
ROLLOUTS = """Exponent: the largest Lyapunov exponent, in nats a step. Depth: steps that wait for each other, T for a
stepped rollout. FLOPs: relative to a stepped rollout. Times are of one core, where less depth gains nothing."""


def page(answers: Answers) -> str:
    """Write the whole page. ``answers`` are the files, by measurement."""
    lines = [INTRODUCTION, *_table(["contender", "what it is"], [list(one) for one in CONTENDERS.items()]), ""]
    lines += ["The claims, and whether they hold:", "", *claims(answers), ""]
    for name, text in PICTURES.items():
        lines += [f"![{text}]({name}.png)", ""] if name in answers else []
    for name, answer in answers.items():
        lines += [f"## {name}", ""]
        if name == "race-text":
            lines += _race(answer)
        elif name == "rollouts":
            lines += _rollouts(answer)
        else:
            lines += _bench(name, answer)
        lines += [""]
    return "\n".join(lines)


def _bench(name: str, answer: dict[str, Any]) -> list[str]:
    lines = [f"{_where(answer)[:-1]}, {answer['matmul'] / 1e9:.1f} GFLOP/s in a product of matrices)", ""]
    if name.startswith("training"):
        return [*lines, *_training(answer["training"])]
    if name.startswith("scaling"):
        return [*lines, *_curves(answer["scaling"])]
    lines += _generation(answer["generation"] + answer.get("places", []))
    return [*lines, "", *_overtaken(answer["overtaken"])] if name == "writing" else lines


def _where(answer: dict[str, Any]) -> str:
    return f"`{answer['command']}` ({answer['date']}, commit {answer['commit']}, {answer['where']})"


def _race(answer: dict[str, Any]) -> list[str]:
    """Two runs, and the bits of each evaluation on the way."""
    lines = ["Seconds are the processor's; bits are those of the student alone on test sequences at the end.", ""]
    rows = []
    for name in ("windowed", "default"):
        if name in answer:
            m = answer[name]["metrics"]
            way = ", ".join(f"{bits:.2f} at {seconds:.0f}" for seconds, bits in answer[name]["evaluations"])
            rows.append([name, f"{m['seconds']:.0f}", f"{m['bits']:.3f}", f"{m['steps']:,.0f}", way])
            lines.append(f"- {_where(answer[name])}")
    return [*lines, "", *_table(["run", "seconds", "bits", "steps", "validation bits on the way"], rows)]


def _rollouts(answer: dict[str, Any]) -> list[str]:
    """A row for each rollout. Those that did not converge in 64 iterations were stepped."""
    head = ["student", "T", "exponent", "solver", "iterations", "depth", "off by", "ms", "ms stepped", "FLOPs"]
    rows = [
        [
            row["name"],
            f"{row['length']:,}",
            f"{row['exponent']:.2f}",
            row["solver"],
            str(row["iterations"]) if row["converged"] else "did not converge",
            f"{row['depth']:,}",
            f"{row['difference']:.0e}",
            f"{row['seconds'] * 1e3:,.0f}",
            f"{row['seconds_stepped'] * 1e3:,.0f}",
            f"{row['flops']:,.0f}x",
        ]
        for row in answer["rows"]
    ]
    return [_where(answer), "", *textwrap.wrap(ROLLOUTS, 120), "", *_table(head, rows)]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _training(rows: list[dict[str, Any]]) -> list[str]:
    return _table(
        ["training", "counts", "per second", "of the peak", "beside", "ratio"],
        [
            [
                row["name"],
                row["counts"],
                f"{row['per_second']:,.0f}",
                f"{row['share_of_matmul']:.0%}",
                row["baseline"],
                f"{row['ratio']:.2f}",
            ]
            for row in rows
        ],
    )


def _generation(rows: list[dict[str, Any]]) -> list[str]:
    return _table(
        ["writing", "tokens per second", "ms a token, median", "99 %", "beside", "ratio"],
        [
            [
                row["name"],
                f"{row['per_second']:,.0f}",
                *(f"{row['milliseconds'][n]:.3f}" for n in ("median", "p99")),
                row["baseline"],
                f"{row['ratio']:.2f}",
            ]
            for row in rows
        ],
    )


def _overtaken(found: dict[str, int | None]) -> list[str]:
    return [
        f"- {cell} writes faster than the Transformer with its cache "
        + ("at no measured context." if since is None else f"from {since:,} tokens read on.")
        for cell, since in found.items()
    ]


def _curves(rows: list[dict[str, Any]]) -> list[str]:
    def shown(row: dict[str, Any], value: float) -> str:
        return f"{value * 1e3:,.0f} ms" if row["measure"] == "seconds" else f"{value / 2**20:,.0f} MiB"

    return _table(
        ["a training step", "against", "values", "found", "exponent"],
        [
            [
                row["method"],
                row["axis"],
                ", ".join(f"{v:,}" for v in row["values"]),
                ", ".join(shown(row, v) for v in row["found"]),
                "" if row["exponent"] is None else f"{row['exponent']:.2f}",
            ]
            for row in rows
        ],
    )
