"""Claims on speed and memory, each checked against the measurement."""

from collections.abc import Callable
from typing import Any

from nounroll.bench.scaling import exponent

Answers = dict[str, dict[str, Any]]
Claim = tuple[str, Callable[[Answers], float], Callable[[float], bool], str]


def ratio(answers: Answers, file: str, part: str, name: str, beside: str | None = None) -> float:
    """How many times the rate of ``beside``, or of the row's baseline."""
    rows = answers[file][part]
    one = next(row for row in rows if row["name"].startswith(name))
    if beside is None:
        return one["ratio"]
    return one["per_second"] / next(row["per_second"] for row in rows if row["name"].startswith(beside))


def memory(answers: Answers, file: str, method: str) -> dict[int, float]:
    """Peak bytes by T."""
    rows = answers[file]["scaling"]
    row = next(row for row in rows if row["measure"] == "bytes" and row["method"] == method)
    return dict(zip(row["values"], row["found"], strict=True))


def share_of_memory(answers: Answers, file: str) -> float:
    ours, theirs = (memory(answers, file, method)[4096] for method in ("smt by chunks", "bptt stepped"))
    return ours / theirs


def growth(answers: Answers, method: str) -> float:
    """Exponent of peak memory between the two longest T, where what does not grow weighs least."""
    lengths, found = zip(*sorted(memory(answers, "scaling", method).items())[-2:], strict=True)
    return exponent(list(lengths), list(found)) or 0.0


def share_of_time(answers: Answers) -> float:
    """Seconds until the default stays below the bits that the windowed scheme ends at, over that one's seconds."""
    race = answers["race-text"]
    goal, since = race["windowed"]["metrics"]["bits"], None
    for seconds, bits in race["default"]["evaluations"]:
        since = None if bits > goal else seconds if since is None else since
    return float("inf") if since is None else since / race["windowed"]["metrics"]["seconds"]


def iterations(answers: Answers, name: str, solver: str) -> float:
    """At T = 1,024; infinite where it did not converge to 1e-4."""
    rows = answers["rollouts"]["rows"]
    row = next(r for r in rows if (r["name"], r["solver"], r["length"]) == (name, solver, 1024))
    return row["iterations"] if row["converged"] and row["difference"] <= 1e-4 else float("inf")


CLAIMS: list[Claim] = [
    *(
        (
            f"SMT computes labels at least 20 times as fast as the windowed step ({cell})",
            lambda a, cell=cell: ratio(a, f"training-{cell}", "training", f"smt, {cell}"),
            lambda found: found >= 20,
            "{:.0f}x",
        )
        for cell in ("mlp", "gru")
    ),
    (
        "the teacher's trunk of width 256 reaches at least half of the peak FLOP/s of a matrix product",
        lambda a: next(
            row["share_of_matmul"] for row in a["training-mlp"]["training"] if row["name"].startswith("trunk")
        ),
        lambda share: share >= 0.5,
        "{:.0%}",
    ),
    (
        "on text, SMT reaches the bits of ten minutes of the windowed scheme in at most a tenth of the time",
        share_of_time,
        lambda share: share <= 0.1,
        "{:.3f} of it",
    ),
    *(
        (
            f"DMT is at least 15 times as fast as the paper's DMT at T = {length} ({cell})",
            lambda a, cell=cell, file=file: ratio(a, f"{file}-{cell}", "training", f"dmt, {cell}"),
            lambda found: found >= 15,
            "{:.0f}x",
        )
        for length, file in ((256, "training-256"), (128, "training"))
        for cell in ("mlp", "gru")
    ),
    *(
        (
            f"DMT is at least 15 times as fast as the prefix-context baseline at T = {length} ({cell})",
            lambda a, cell=cell, file=file: ratio(
                a, f"{file}-{cell}", "training", f"dmt, {cell}", f"dmt sequential, {cell}"
            ),
            lambda found: found >= 15,
            "{:.0f}x",
        )
        for length, file in ((256, "training-256"), (128, "training"))
        for cell in ("mlp", "gru")
    ),
    *(
        (
            f"at T = 4,096 a step of SMT by chunks takes at most a fifth of the memory of stepped BPTT ({cell})",
            lambda a, file=file: share_of_memory(a, file),
            lambda share: share <= 0.2,
            "{:.2f} of it",
        )
        for cell, file in (("mlp", "scaling"), ("transformer", "scaling-transformer"))
    ),
    *(
        (
            f"the memory of {name} grows no faster than T (exponent at most 1.1 between the two longest T)",
            lambda a, name=name: growth(a, name),
            lambda power: power <= 1.1,
            "T^{:.2f}",
        )
        for name in ("smt by chunks", "smt")
    ),
    *(
        (
            f"a parallel rollout of a trained {cell} on {task} over T = 1,024 agrees to 1e-4 with the sequential one"
            f" after at most 20 iterations{start}",
            lambda a, name=f"{task}, {cell}", solver=solver: iterations(a, name, solver),
            lambda found: found <= 20,
            "{:.0f}",
        )
        for solver, start in (("newton", ""), ("newton from labels", ", from the teacher's labels"))
        for task, cell in (("text", "gru"), ("text", "mlp"), ("retrieval", "gru"), ("retrieval", "mlp"))
    ),
    (
        "the compiled network writes at least 3 times as fast as the stepped network (MLP)",
        lambda a: ratio(a, "writing", "generation", "student mlp compiled"),
        lambda found: found >= 3,
        "{:.1f}x",
    ),
    (
        "a token after 1,000,000 takes at most 1.1 times as long as one after 1,000",
        lambda a: 1 / ratio(a, "places", "places", "student mlp, 1000000"),
        lambda found: found <= 1.1,
        "{:.2f}x",
    ),
    *(
        (
            f"writing overtakes a Transformer with its cache, after a context of so many tokens ({cell})",
            lambda a, cell=cell: a["writing"]["overtaken"][cell] or float("inf"),
            lambda since: since < float("inf"),
            "{:,.0f}",
        )
        for cell in ("mlp", "gru")
    ),
]


def claims(answers: Answers) -> list[str]:
    """List the claims as lines: holds, does not hold or not measured, with the figure."""
    lines = []
    for sentence, value, holds, form in CLAIMS:
        try:
            found = value(answers)
        except (KeyError, StopIteration):
            lines.append(f"- **not measured**: {sentence}")
        else:
            lines.append(f"- {'**holds**' if holds(found) else '**does not hold**'}: {sentence} ({form.format(found)})")
    return lines
