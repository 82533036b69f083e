"""The classification benchmark: parts that share nothing, rates that are chosen once, a page of the answers alone."""

import json
from pathlib import Path
from typing import Any

import classification
import classification_page as pages
import numpy as np
import pytest
from classification_sets import SETS, Labelled, held_out


def answer(name: str, contender: str, seed: int, accuracy: float) -> dict[str, Any]:
    about = {"title": f"about {name}", "asked": 0.9, "train": 5, "test": 7, "seconds": 30.0, "cpu_seconds": 31.0}
    chosen = {"method": "bptt", "cell": "pooled", "chosen": "why", "steps": 12}
    return {"set": name, "contender": contender, "seed": seed, "accuracy": accuracy, **about, **chosen}


def answers(*found: tuple[str, str, int, float]) -> pages.Answers:
    sorted_by: pages.Answers = {}
    for name, contender, seed, accuracy in found:
        sorted_by.setdefault((name, contender), []).append(answer(name, contender, seed, accuracy))
    return sorted_by


# --- parts ---------------------------------------------------------------------------------------------------


def test_every_class_is_held_out_in_part() -> None:
    labels = np.repeat([0, 1, 2], [20, 20, 3])
    held = held_out(labels, None, seed=1)
    assert [int(held[labels == one].sum()) for one in range(3)] == [3, 3, 1]
    assert not np.array_equal(held, held_out(labels, None, seed=2))


def test_groups_are_held_out_whole() -> None:
    groups = np.repeat(np.arange(7), 4)
    held = held_out(np.zeros(28, dtype=int), groups, seed=0)
    assert set(groups[held]).isdisjoint(groups[~held])
    assert held.sum() == 4


def test_a_problem_has_each_series_in_one_part_and_its_scale_from_training_alone() -> None:
    draw = np.random.default_rng(0)
    train = [draw.normal(5, 2, (6, 1)) for _ in range(20)]
    data = Labelled("t", train, np.arange(20) % 2, [np.full((6, 1), 1e6)], np.array([0]))
    problem = data.problem(0)
    assert [problem.split.count(part) for part in ("train", "validation", "test")] == [16, 4, 1]
    seen = np.concatenate([problem.sequences[row].numpy() for row in problem.rows("train")])
    assert abs(seen.mean()) < 1e-3
    assert seen.std() == pytest.approx(1, abs=0.02)


def test_people_of_the_test_part_are_in_no_other_and_all_are_tested_once() -> None:
    try:
        parts = [SETS["smartwatch"](seed) for seed in range(3)]
    except Exception as error:  # MissingData of a package that only benchmarks need
        pytest.skip(str(error))
    assert all(one.groups is not None and len(one.groups) == len(one.train) for one in parts)
    whole = len(parts[0].train) + len(parts[0].test)
    assert sum(len(one.test) for one in parts) == whole


# --- rates ---------------------------------------------------------------------------------------------------


def test_a_rate_is_tried_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification, "ANSWERS", tmp_path)
    assert "--rate" not in (classification.words("power", "lstm", 0, 30) or ["--rate"])
    assert classification.words("power", "lstm", 1, 30) is None
    classification.answer_file("power", "lstm", 0).write_text(json.dumps({"rate": 0.003}))
    assert (classification.words("power", "lstm", 1, 30) or [])[-2:] == ["--rate", "0.003"]
    assert "--rate" not in (classification.words("power", "ours", 1, 30) or ["--rate"])


def test_sets_of_the_suite_take_its_rate() -> None:
    suite = json.loads((classification.ROOT / "docs" / "suite" / "gunpoint-lstm-seed0.json").read_text())
    assert (classification.words("gunpoint", "lstm", 0, 30) or [])[-2:] == ["--rate", f"{suite['rate']:g}"]


# --- the page --------------------------------------------------------------------------------------------------


def test_ranks_are_over_sets_that_all_have_and_level_ones_share() -> None:
    found = answers(
        *(("gunpoint", "ours", 0, 0.9), ("gunpoint", "ours", 1, 0.7), ("gunpoint", "lstm", 0, 0.7)),
        *(("motions", "ours", 0, 0.5), ("motions", "lstm", 0, 0.5)),
        ("power", "lstm", 0, 1.0),
    )
    assert pages.ranks(found, ("ours", "lstm")) == {"ours": 1.25, "lstm": 1.75}


def test_the_page_has_the_figures_of_the_files(tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.75, 0.85)):
        file = tmp_path / f"gunpoint-ours-seed{seed}.json"
        file.write_text(json.dumps(answer("gunpoint", "ours", seed, accuracy)))
    pages.write_page(tmp_path, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "| about gunpoint" not in text
    assert "| **gunpoint**: about gunpoint | 5, 7 | 0.900 | 0.800 [0.750] |  |  |  | 2, 0, 0, 0 |" in text
    assert (tmp_path / "accuracy.png").stat().st_size > 0


def test_the_committed_page_is_that_of_the_committed_answers(tmp_path: Path) -> None:
    committed = classification.PAGE.read_text()
    for file in classification.ANSWERS.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    pages.write_page(tmp_path, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == committed
