"""What an endless stream costs, and what carrying the memory through it is worth.

    python benchmarks/streams.py memory     10 million steps of one memory-mapped series: resident memory, throughput
    python benchmarks/streams.py carry      text, three seeds, equal tokens: with and without carried memory
    python benchmarks/streams.py --page     the tables of docs/streams.md from docs/streams.json

Answers are kept in docs/streams.json. Seconds are those of the processor.
"""

import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from suite_run import ROOT

ANSWERS, PAGE = ROOT / "docs" / "streams.json", ROOT / "docs" / "streams.md"
STEPS, ROWS, LENGTH = 10_000_000, 32, 128
MILLION = 1_000_000
TOKENS = 1_300_000  # of a run on text: about 30 seconds
ARMS: dict[str, dict[str, Any]] = {  # each takes 1,024 bytes an update, and gradients through 32
    "carried, in order": {"stream": True, "carry": True, "length": 32, "rows": 32},
    "in order, each window from m_∅": {"stream": True, "carry": True, "anew": True, "length": 32, "rows": 32},
    "random windows of 128, side by side": {"stream": False, "carry": True, "length": 128, "rows": 8},
    "random windows of 128, each from m_∅": {"stream": False, "carry": False, "length": 128, "rows": 8},
}


def memory() -> dict[str, Any]:
    """Resident memory and throughput along one epoch of a long series."""
    import torch

    import nounroll
    from nounroll.core.batch import Batch

    torch.set_num_threads(1)
    seen: list[tuple[int, float, float]] = []

    class Watched(nounroll.Stream):
        def follow(self, batch_size: int, length: int, step: int) -> Batch:
            if batch_size == ROWS and step % 20 == 0:  # of training; held-out batches have fewer rows
                seen.append((step * ROWS * LENGTH, time.process_time(), resident()))
            return super().follow(batch_size, length, step)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.npy"
        count, draws = int(STEPS * 1.025), np.random.default_rng(0)
        times = np.arange(count)
        np.save(
            path, (np.sin(times * 0.05) * np.sin(times * 0.0031) + 0.1 * draws.normal(size=count)).astype("float32")
        )
        del times, series
        task = Watched(np.load(path, mmap_mode="r"), held_out=0.02)
        settings = {
            "cell.tokens": 1,
            "cell.memory_width": 16,
            "readout_width": 16,
            "training.batch_size": ROWS,
            "tbptt.window": 32,
        }
        run = nounroll.fit(task, method="tbptt", cell="gru", length=LENGTH, tokens=STEPS, settings=settings)
    tokens, seconds, held = (np.array(values) for values in zip(*seen, strict=True))

    def rate(start: float, stop: float) -> float:
        a, b = np.searchsorted(tokens, [start, stop])
        b = min(b, len(tokens) - 1)
        return (tokens[b] - tokens[a]) / (seconds[b] - seconds[a])

    last = tokens[-1]
    after = held[tokens >= MILLION]
    return {
        "steps": int(run.metrics["tokens"]),
        "cpu_seconds": round(float(seconds[-1] - seconds[0]), 1),
        "first_million_per_second": round(rate(0, MILLION)),
        "last_million_per_second": round(rate(last - MILLION, last)),
        "resident_mb_at_1_million": round(float(after[0]), 1),
        "resident_mb_at_the_end": round(float(after[-1]), 1),
        "resident_mb_most": round(float(after.max()), 1),
        "series_mb": round(count * 4 / 2**20, 1),
        "loss": run.metrics["loss"],
        "loss_from_empty": run.metrics["loss_from_empty"],
    }


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def carry(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bits a byte of Python's standard library after equal tokens, read through and from m_∅ in each sequence.

    Args:
        found: what was measured before.
    """
    import torch

    import nounroll
    from nounroll.core.batch import Batch
    from nounroll.data.text import Text
    from nounroll.rollout.evaluate import evaluate_task, validation_batches

    class Anew(Text):
        def follow(self, batch_size: int, length: int, step: int) -> Batch:
            batch = super().follow(batch_size, length, step)
            begins = torch.zeros_like(batch.mask)
            begins[:, 0] = True
            return replace(batch, resets=begins if batch.resets is None else begins | batch.resets)

    torch.set_num_threads(1)
    found, test = list(found), Text(stream=True)
    for seed in range(3):
        for name, arm in ARMS.items():
            if any((one["arm"], one["seed"]) == (name, seed) for one in found):
                continue
            start = time.process_time()
            run = nounroll.fit(
                (Anew if arm.get("anew") else Text)(stream=arm["stream"]),
                method="tbptt",
                cell="lstm",
                length=arm["length"],
                tokens=TOKENS,
                seed=seed,
                settings={
                    "tbptt.carry": arm["carry"],
                    "tbptt.window": 32,
                    "training.batch_size": arm["rows"],
                    "training.curriculum": 0,
                },
            )
            spent = time.process_time() - start
            metrics = evaluate_task(test, run.student, validation_batches(test, 0, LENGTH, 0, stream="test"))
            found.append(
                {
                    "arm": name,
                    "seed": seed,
                    "bits": metrics["bits"],
                    "bits_from_empty": metrics["bits_from_empty"],
                    "tokens": run.metrics["tokens"],
                    "steps": run.metrics["steps"],
                    "cpu_seconds": round(spent, 1),
                }
            )
            print(json.dumps(found[-1]), flush=True)
    return found


def tables(answers: dict[str, Any]) -> dict[str, str]:
    """The tables of the page by the names of their places."""
    m = answers["memory"]
    start, most, end = (m[f"resident_mb_{name}"] for name in ("at_1_million", "most", "at_the_end"))
    share = m["last_million_per_second"] / m["first_million_per_second"]
    long = [
        "| steps of one series | resident memory at 1 million | most after that | at the end | first million |"
        " last million |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| {m['steps']:,} | {start:.0f} MiB | {most:.0f} MiB (+{most / start - 1:.1%}) |"
        f" {end:.0f} MiB | {m['first_million_per_second']:,} a second |"
        f" {m['last_million_per_second']:,} a second ({share:.2f}) |",
    ]
    worth = ["| trained | read through | from m_∅ each 128 bytes |", "| --- | --- | --- |"]
    for arm in ARMS:
        runs = [one for one in answers["carry"] if one["arm"] == arm]
        cells = []
        for name in ("bits", "bits_from_empty"):
            values = sorted(run[name] for run in runs)
            cells.append(f"{values[len(values) // 2]:.3f} [{values[0]:.3f} to {values[-1]:.3f}]")
        worth.append(f"| {arm} | {' | '.join(cells)} |")
    wave = [
        "| | read through | from m_∅ each 128 steps |",
        "| --- | --- | --- |",
        f"| nats a step, test part | {m['loss']:.3f} | {m['loss_from_empty']:.3f} |",
    ]
    return {"memory": "\n".join(long), "worth": "\n".join(wave), "carry": "\n".join(worth)}


def main(what: str) -> None:
    answers = json.loads(ANSWERS.read_text()) if ANSWERS.exists() else {}
    if what != "--page":
        answers[what] = carry(answers.get("carry", [])) if what == "carry" else memory()
        machine = f"{platform.processor() or platform.machine()}, 1 thread"
        answers["of"] = {**answers.get("of", {}), what: {"date": str(date.today()), "machine": machine}}
        ANSWERS.write_text(json.dumps(answers, indent=1) + "\n")
        print(json.dumps(answers[what], indent=1))
        return
    page = PAGE.read_text()
    for name, table in tables(answers).items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = page.split(start)
        page = before + start + "\n" + table + "\n" + end + rest.split(end)[1]
    PAGE.write_text(page)


if __name__ == "__main__":
    main(*sys.argv[1:])
