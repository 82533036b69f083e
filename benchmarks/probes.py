"""The paper's figure: five probes, three lengths each, three cells, by SMT and DMT, truncated BPTT and BPTT.

    python benchmarks/probes.py                                everything: about a day on 2 cores
    python benchmarks/probes.py retrieval stack --cells mlp --seeds 1 --rates default      a part
    python benchmarks/probes.py --page                         docs/probes.md from the answers that are there

A contender is METHOD/CELL, or METHOD/CELL/whole where it is trained at the whole length from its first step, without
the length curriculum. Every run is a process of one thread with a budget of CPU seconds. Its curve is kept, so that
contenders can be compared at equal seconds, equal tokens and equal sequential FLOPs. Answers are kept in docs/probes/,
one file a run, and are not measured again; those of other budgets (``--seconds-scale``) in runs/probes-x..., which is
no place of the repository. The learning rate is the best of four on the validation part with the first seed.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite_jobs import Job, chosen_words, run_all
from suite_run import ROOT
from tuning import Budget

METHODS, CELLS = ("smt+dmt", "tbptt", "bptt"), ("mlp", "transformer", "gru")
RATES, SEEDS = "0.001,0.002,0.004,0.008", 3
DEFAULT = "default"  # in place of rates: the one that the library takes for the method
ANSWERS, PAGE = ROOT / "docs" / "probes", ROOT / "docs" / "probes.md"


@dataclass(frozen=True)
class Setting:
    """A probe at one length.

    Attributes:
        length: T.
        seconds: CPU seconds of a run.
        tokens: memory tokens of 16 numbers each, for every cell alike.
        options: of the task.
    """

    length: int
    seconds: float
    tokens: int
    options: Mapping[str, Any]


def _three(*settings: tuple[int, float, int, Mapping[str, Any]]) -> dict[int, Setting]:
    return {setting[0]: Setting(*setting) for setting in settings}


PROBES: dict[str, dict[int, Setting]] = {
    "retrieval": _three((64, 60, 16, {}), (256, 100, 16, {}), (1024, 200, 16, {})),
    "copy": _three((16, 60, 16, {}), (32, 100, 24, {}), (64, 200, 40, {})),
    "stack": _three((32, 60, 16, {}), (64, 100, 16, {}), (128, 200, 16, {})),
    "keys_values": _three((32, 60, 16, {"pairs": 4}), (64, 200, 16, {"pairs": 8}), (128, 400, 32, {"pairs": 16})),
    "modular_arithmetic": _three((32, 60, 16, {}), (64, 100, 16, {}), (128, 200, 16, {})),
}


@dataclass(frozen=True)
class Probe(Job):
    """One run. ``task`` is PROBE-LENGTH.

    Attributes:
        rates: learning rates to choose from, or ``DEFAULT``.
    """

    rates: str = RATES

    @property
    def words(self) -> list[str]:
        _, *rest = super().words
        return [str(ROOT / "benchmarks" / "probes_run.py"), *rest, *([] if self.waits else ["--rate", self.rates])]


def setting(task: str) -> tuple[str, Setting]:
    """The probe and the setting of a PROBE-LENGTH."""
    probe, _, length = task.rpartition("-")
    return probe, PROBES[probe][int(length)]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("probes", nargs="*", metavar="PROBE", help="all when left out")
    parser.add_argument("--lengths", default="1,2,3", help="which of a probe's three lengths: some of 1,2,3")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--curriculum", choices=("yes", "no", "both"), default="both", help="of lengths")
    parser.add_argument("--rates", default=RATES, help=f"learning rates to choose from, or {DEFAULT}")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds 0, 1, ... of each contender")
    parser.add_argument("--seconds-scale", type=float, default=1.0, help="budgets times this")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--again", action="store_true", help="also those that have an answer")
    parser.add_argument("--page", action="store_true", help="write the page, run nothing")
    options = parser.parse_args()
    options.probes = chosen_words(options.probes, list(PROBES), "probe") or list(PROBES)
    for name, known in (("methods", METHODS), ("cells", CELLS), ("lengths", ("1", "2", "3"))):
        setattr(options, name, chosen_words(getattr(options, name).split(","), list(known), f"--{name}"))
    for name in ("seeds", "jobs", "seconds_scale"):
        if not getattr(options, name) > 0:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(options, name):g}; it must be more than 0")
    if options.rates != DEFAULT:
        options.rates = ",".join(f"{float(rate):g}" for rate in options.rates.split(","))
    scale = options.seconds_scale
    options.folder = ANSWERS if scale == 1 else ROOT / "runs" / f"probes-x{scale:g}"
    return options


def planned(options: argparse.Namespace) -> list[Probe]:
    """The runs that the options ask for, short lengths first."""
    forms = {"yes": ("",), "no": ("/whole",), "both": ("", "/whole")}[options.curriculum]
    return [
        Probe(f"{probe}-{one.length}", f"{method}/{cell}{form}", seed, budget, options.folder, options.rates)
        for place in options.lengths
        for form in forms
        for probe in options.probes
        for one in (list(PROBES[probe].values())[int(place) - 1],)
        for budget in (Budget("seconds", one.seconds * options.seconds_scale),)
        for method in options.methods
        for cell in options.cells
        for seed in range(options.seeds)
    ]


def main() -> int:
    from probes_page import write_page

    try:
        options = parsed()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    good = options.page or run_all(planned(options), options.jobs, again=options.again)
    write_page(options.folder, PAGE if options.folder == ANSWERS else options.folder / "probes.md")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
