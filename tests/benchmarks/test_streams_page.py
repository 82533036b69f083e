"""The tables of docs/streams.md are those of docs/streams.json, and a long stream costs what it may."""

import json
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
MOST_GROWTH, LEAST_RATE = 1.05, 0.95  # of resident memory, of the first million's throughput


def test_ten_million_steps_take_constant_memory_and_do_not_slow_down() -> None:
    found = json.loads((DOCS / "streams.json").read_text())["memory"]
    assert found["steps"] >= 10_000_000
    assert found["resident_mb_most"] <= MOST_GROWTH * found["resident_mb_at_1_million"]
    assert found["last_million_per_second"] >= LEAST_RATE * found["first_million_per_second"]
    page = (DOCS / "streams.md").read_text()
    for shown in (
        f"| {found['steps']:,} | {found['resident_mb_at_1_million']:.0f} MiB |",
        f"| {found['first_million_per_second']:,} a second | {found['last_million_per_second']:,} a second",
        f"| nats a step, test part | {found['loss']:.3f} | {found['loss_from_empty']:.3f} |",
    ):
        assert shown in page


def test_the_page_shows_what_carrying_is_worth() -> None:
    runs, page = json.loads((DOCS / "streams.json").read_text())["carry"], (DOCS / "streams.md").read_text()
    arms = list(dict.fromkeys(run["arm"] for run in runs))
    assert sorted((run["arm"], run["seed"]) for run in runs) == sorted((arm, seed) for arm in arms for seed in range(3))
    assert len({run["tokens"] for run in runs}) == 1
    for arm in arms:
        cells = []
        for name in ("bits", "bits_from_empty"):
            values = sorted(run[name] for run in runs if run["arm"] == arm)
            cells.append(f"{values[1]:.3f} [{values[0]:.3f} to {values[2]:.3f}]")
        assert f"| {arm} | {' | '.join(cells)} |" in page
