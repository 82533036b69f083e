"""A model card says what was measured, what the run was, and how it is loaded; and that is true."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from helpers import make_student, tiny_recipe
from nounroll.core.batch import Categorical
from nounroll.data.text import Text
from nounroll.experiments.recipe import parse
from nounroll.hub import save_pretrained
from nounroll.models.student import Student

METRICS = {
    "loss": 1.4567,
    "bits": 2.1016,
    "accuracy": 0.4321,
    "drift": 0.0567,
    "steps": 70,
    "tokens": 12345,
    "seconds": 9.5,
}
BYTES = Categorical(256)


def student() -> Student:
    return make_student("mlp", BYTES, BYTES, dtype=torch.float32).eval()


@pytest.fixture
def text(tmp_path: Path) -> Text:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 40)
    return Text(path=tmp_path / "book.txt")


def card(folder: Path, task: Text | None = None, **values: Any) -> str:
    save_pretrained(student(), folder, task, **values)
    return (folder / "README.md").read_text()


def test_it_has_the_figures_that_were_measured(tmp_path: Path) -> None:
    written = card(tmp_path / "model", recipe=tiny_recipe().to_dict(), metrics=METRICS)
    for shown in ("1.457", "2.102", "43.2%", "0.057", "9.5 seconds", "70 steps", "12,345 tokens"):
        assert shown in written
    worse = card(tmp_path / "model", recipe=tiny_recipe().to_dict(), metrics={**METRICS, "bits": 7.5})
    assert ("2.102" in worse, "7.5" in worse) == (False, True)


def test_the_hub_reads_the_same_figures(tmp_path: Path) -> None:
    card(tmp_path / "model", recipe=tiny_recipe().to_dict(), metrics=METRICS)
    results = ModelCard.load(tmp_path / "model" / "README.md").data.eval_results
    assert {one.metric_type: one.metric_value for one in results} == {"bits": 2.1016, "accuracy": 0.4321}


def test_without_figures_it_says_so(tmp_path: Path) -> None:
    written = card(tmp_path / "model")
    assert "Nothing was measured for this card." in written
    assert not re.search(r"\| figure|held-out|It was trained", written)


def test_its_recipe_is_the_runs(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    written = card(tmp_path / "model", recipe=recipe.to_dict(), metrics=METRICS)
    (found,) = re.findall(r"```yaml\n(.*?)```", written, re.DOTALL)
    assert parse(yaml.safe_load(found)) == recipe


def test_its_numbers_are_the_networks(tmp_path: Path) -> None:
    written, one = card(tmp_path / "model"), student()
    assert f"{sum(p.numel() for p in one.parameters()):,} parameters" in written
    assert "a memory of 16 numbers\n(2 tokens of width 8)" in written


@pytest.mark.parametrize("is_text", [True, False])
def test_its_code_runs(tmp_path: Path, text: Text, is_text: bool, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "model"
    written = card(folder, text if is_text else None)
    (code,) = re.findall(r"```python\n(.*?)```", written, re.DOTALL)
    exec(code.replace("FOLDER", str(folder)), {})
    printed = capsys.readouterr().out
    assert printed.startswith("The " if is_text else "tensor([[")
