"""Export for transformers and to the Hub, as commands."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import nounroll.hub  # noqa: F401  # makes students known to transformers
from commands import Command, one_line
from fake_hub import TOKEN, FakeHub, serving
from nounroll.models.student import Student

hub = pytest.fixture(serving, name="hub")


def test_export_for_transformers(nounroll: Command) -> None:
    assert nounroll("train", "text.yaml", "--steps", 3).status == 0
    result = json.loads(nounroll("export", "runs/text", "--to", "transformers", "--json").out)
    assert result["difference"] <= 1e-5
    assert result["address"] is None
    assert {Path(path).parent for path in result["files"]} == {Path("runs/text/export/transformers")}
    measured = json.loads(Path("runs/text/metrics.json").read_text())
    card = Path("runs/text/export/transformers/README.md").read_text()
    assert f"| bits per element | {measured['bits']:.4g} |" in card
    loaded = AutoModelForCausalLM.from_pretrained("runs/text/export/transformers")
    drawn = bytes(loaded.generate(max_new_tokens=40, do_sample=False)[0].tolist()).decode(errors="replace")
    written = json.loads(nounroll("generate", "runs/text", "--length", 40, "--temperature", 0, "--json").out)
    assert drawn == written["text"]
    assert "largest difference from the network" in nounroll("export", "runs/text", "--to", "transformers").out


def test_images_start_from_nothing_too(nounroll: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.export.step.CHECKED_STEPS", 5)
    assert nounroll("train", "digits.yaml", "--steps", 1).status == 0
    assert nounroll("export", "runs/digits", "--to", "transformers").status == 0
    folder = Path("runs/digits/export/transformers")
    drawn = AutoModelForCausalLM.from_pretrained(folder).generate(max_new_tokens=64, do_sample=False)
    student = Student.from_pretrained(folder)
    start = torch.tensor([[student.inputs.n - 1]])
    assert torch.equal(drawn, torch.cat([start, student.generate(start, 64, temperature=0)], dim=1))
    assert "tokenizer.json" not in {path.name for path in folder.iterdir()}


def test_export_to_the_hub(nounroll: Command, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nounroll("train", "text.yaml", "--steps", 1).status == 0
    export = ("export", "runs/text", "--to", "transformers", "--push", "ada/story")
    monkeypatch.setattr("nounroll.export.step.CHECKED_STEPS", 5)
    monkeypatch.setenv("HF_TOKEN", "hf_reads")
    assert "ada/story was not pushed" in one_line(nounroll(*export), 2)
    assert hub.repositories == {}
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert json.loads(nounroll(*export, "--json").out)["address"] == f"{hub.address}/ada/story"
    folder = Path("runs/text/export/transformers")
    assert hub.repositories["ada/story"] == {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "ada/story was not pushed" in one_line(nounroll(*export), 1)


def test_what_transformers_cannot_hold(nounroll: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nounroll("train", "tiny.yaml", "--steps", 1).status == 0
    assert nounroll("train", "series.yaml", "--steps", 1).status == 0
    export = ("--to", "transformers")
    assert "its targets are not the next inputs" in one_line(nounroll("export", "runs/tiny", *export), 2)
    assert "transformers needs symbols" in one_line(nounroll("export", "runs/series", *export), 2)
    assert "--push is 'ada/x'" in one_line(nounroll("export", "runs/tiny", "--push", "ada/x"), 2)
    assert not list(Path("runs").glob("*/export/*"))
    monkeypatch.setattr("nounroll.cli.export.find_spec", lambda name: None)
    assert "pip install 'nounroll[hf]'" in one_line(nounroll("export", "runs/tiny", *export), 2)
