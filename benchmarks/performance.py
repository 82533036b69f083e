"""Measure speed and memory again, and write docs/performance.md. About twenty minutes.

    python benchmarks/performance.py                  everything, one command after another
    python benchmarks/performance.py writing places   only these; the others' files stay
    python benchmarks/performance.py --page-only      write the page from the files that are there

Every measurement is one ``nounroll bench`` command in a process of its own, on one thread. Its answer is kept in
docs/results/bench-NAME.json, and the page is written from these files.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from evidence import RESULTS, ROOT, commit, machine

PAGE = ROOT / "docs" / "performance.md"
COMMANDS = {
    "training-mlp": "--cells mlp --rounds 5 --contexts 128",
    "training-gru": "--cells gru --rounds 5 --contexts 128",
    "writing": "--cells mlp,gru --compiled mlp --length 16 --batch 2 --rounds 5 --contexts 128,512,1024,2048,4096,8192"
    " --figure docs/writing.png",
    "places": "--cells mlp --compiled mlp --length 16 --batch 2 --rounds 5 --contexts 128 --places 1000,1000000",
    "scaling": "--cells mlp --length 16 --batch 2 --rounds 3 --contexts 128 --scaling 64,256,1024,4096,16384"
    " --figure docs/scaling.png",
}
PICTURES = {
    "writing": "Tokens a second of students and of a Transformer with its cache, against what was read before",
    "scaling": "Time and peak memory of a training step against T",
}
Answers = dict[str, dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(COMMANDS)}; all when left out")
    parser.add_argument("--page-only", action="store_true", help="write the page from the files that are there")
    options = parser.parse_args()
    if unknown := set(options.names) - set(COMMANDS):
        parser.error(f"no measurement is named {', '.join(sorted(unknown))}")
    for name in () if options.page_only else options.names or COMMANDS:
        if not measure(name):
            return 1
    PAGE.write_text(page())
    return 0


def measure(name: str) -> bool:
    """Run one command; keep its answer, with where and when it was measured."""
    command = f"nounroll bench {COMMANDS[name]}"
    print(f"starts  {command}", flush=True)
    words = [sys.executable, "-P", "-m", "nounroll.cli.main", *shlex.split(command)[1:], "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(words, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"failed  {name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return False
    where = {"command": command, "commit": commit(), "date": str(date.today()), "where": machine()}
    _file(name).write_text(json.dumps({**json.loads(done.stdout), **where}, indent=1) + "\n")
    return True


def _file(name: str) -> Path:
    return RESULTS / f"bench-{name}.json"


# -- what was asked of it ---------------------------------------------------------------------------


def _ratio(answers: Answers, file: str, part: str, name: str) -> float:
    return next(row["ratio"] for row in answers[file][part] if row["name"].startswith(name))


def _memory(answers: Answers, method: str) -> dict[int, float]:
    """Peak bytes by T."""
    rows = answers["scaling"]["scaling"]
    row = next(row for row in rows if row["measure"] == "bytes" and row["method"] == method)
    return dict(zip(row["values"], row["found"], strict=True))


def _growth(answers: Answers) -> float:
    """Exponent of SMT's peak memory between its two longest T, where what does not grow weighs least."""
    from nounroll.bench.scaling import exponent

    lengths, found = zip(*sorted(_memory(answers, "smt").items())[-2:], strict=True)
    return exponent(list(lengths), list(found)) or 0.0


Claim = tuple[str, Callable[[Answers], float], Callable[[float], bool], str]
CLAIMS: list[Claim] = [
    *(
        (
            f"SMT makes at least 20 times the labels a second of the windowed step ({cell})",
            lambda a, cell=cell: _ratio(a, f"training-{cell}", "training", f"smt, {cell}"),
            lambda ratio: ratio >= 20,
            "{:.0f}x",
        )
        for cell in ("mlp", "gru")
    ),
    *(
        (
            f"DMT makes at least 15 times the transitions a second of the paper's ({cell})",
            lambda a, cell=cell: _ratio(a, f"training-{cell}", "training", f"dmt, {cell}"),
            lambda ratio: ratio >= 15,
            "{:.0f}x",
        )
        for cell in ("mlp", "gru")
    ),
    (
        "the teacher's trunk of width 256 reaches at least half of the measured peak of a matrix product",
        lambda a: next(
            row["share_of_matmul"] for row in a["training-mlp"]["training"] if row["name"].startswith("trunk")
        ),
        lambda share: share >= 0.5,
        "{:.0%}",
    ),
    (
        "a step of SMT at T = 4,096 takes at most a fifth of the memory of stepped BPTT with the same cell",
        lambda a: _memory(a, "smt")[4096] / _memory(a, "bptt stepped")[4096],
        lambda share: share <= 0.2,
        "{:.2f} of it",
    ),
    (
        "and grows no faster than T (exponent at most 1.1 between the two longest T)",
        _growth,
        lambda power: power <= 1.1,
        "T^{:.2f}",
    ),
    (
        "compiled writing makes at least 3 times the tokens a second of the stepped network (MLP)",
        lambda a: _ratio(a, "writing", "generation", "student mlp compiled"),
        lambda ratio: ratio >= 3,
        "{:.1f}x",
    ),
    (
        "a token after 1,000,000 takes at most 1.1 times as long as one after 1,000",
        lambda a: 1 / _ratio(a, "places", "places", "student mlp, 1000000"),
        lambda ratio: ratio <= 1.1,
        "{:.2f}x",
    ),
]


# -- the page ---------------------------------------------------------------------------------------


def page() -> str:
    """docs/performance.md from the files in docs/results/."""
    answers: Answers = {name: json.loads(_file(name).read_text()) for name in COMMANDS if _file(name).is_file()}
    lines = [
        "# Speed and memory",
        "",
        "Written by `python benchmarks/performance.py` from `docs/results/bench-*.json`. One thread, bytes as symbols,",
        "the default sizes of cell (4 tokens of 64) and teacher (2 layers of 128). Contenders of a table took turns in",
        "one process; figures are medians, ratios are to the row named beside. Other work may have run on the",
        "machine's other core. `nounroll bench` measures your machine.",
        "",
        "Beside what: *smt windowed* is the paper's scheme, one label for each sequence and step; *dmt sequential* the",
        "paper's, which encodes every prefix by itself; *bptt stepped* a loop over the cell; the Transformer has the",
        "teacher's size and keeps keys and values.",
        "",
        *_claims(answers),
        "",
    ]
    for name, text in PICTURES.items():
        lines += [f"![{text}]({name}.png)", ""] if name in answers else []
    for name, answer in answers.items():
        lines += [f"## {name}", "", f"`{answer['command']}` ({answer['date']}, commit {answer['commit']}, "]
        lines[-1] += f"{answer['where']}, {answer['matmul'] / 1e9:.1f} GFLOP/s in a product of matrices)"
        if name.startswith("training"):
            lines += ["", *_training(answer["training"])]
        elif name != "scaling":
            lines += ["", *_generation(answer["generation"] + answer.get("places", []))]
        if name == "writing":
            lines += ["", *_overtaken(answer["overtaken"])]
        if "scaling" in answer:
            lines += ["", *_curves(answer["scaling"])]
        lines += [""]
    return "\n".join(lines)


def _claims(answers: Answers) -> list[str]:
    lines = []
    for sentence, value, holds, form in CLAIMS:
        try:
            found = value(answers)
        except (KeyError, StopIteration):
            lines.append(f"- **not measured**: {sentence}")
        else:
            lines.append(f"- {'**holds**' if holds(found) else '**does not hold**'}: {sentence} ({form.format(found)})")
    return lines


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


if __name__ == "__main__":
    sys.exit(main())
