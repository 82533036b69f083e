import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from nounroll.data.task import SequenceTask, draw
from nounroll.data.tinystories import TinyStories


def everything(task: SequenceTask) -> bytes:
    """A window over the whole part: all its bytes."""
    length = task.max_length or 0
    batch = draw(task, 1, length, 0, "any")
    return bytes([int(batch.inputs[0, 0]), *batch.targets[0].tolist()])


def written(path: Path, stories: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": s}) + "\n" for s in stories))
    return path


def test_a_folder_with_its_own_validation(tmp_path: Path, datasets: ModuleType) -> None:
    written(tmp_path / "tiny" / "train-0.jsonl", ["One day.", "Two dogs."])
    written(tmp_path / "tiny" / "train-1.jsonl", ["Three é."])
    written(tmp_path / "tiny" / "validation-0.jsonl", ["Held out."])
    task = TinyStories(path=tmp_path / "tiny")
    assert everything(task) == "\0One day.\0Two dogs.\0Three é.".encode()
    assert everything(task.validation()) + everything(task.test()) == b"\0Held out."
    assert task.prompt().tolist() == [0]
    assert task.decode(torch.tensor(list(b"\0One.\0Two."))) == "\n\nOne.\n\nTwo."
    assert everything(TinyStories(path=str(tmp_path / "tiny"), stories=1)) == b"\0One day."


@pytest.mark.parametrize("suffix", ["parquet", "json"])
def test_a_single_file_holds_out_its_tail(tmp_path: Path, datasets: ModuleType, suffix: str) -> None:
    table = datasets.Dataset.from_dict({"text": [f"Story {i:02d}" for i in range(50)]})
    path = tmp_path / f"test.{suffix}"  # a single file trains, whatever its name
    table.to_parquet(path) if suffix == "parquet" else table.to_json(path)
    task = TinyStories(path=path)
    parts = (task, task.validation(), task.test())
    assert b"".join(map(everything, parts)) == b"".join(b"\0Story %02d" % i for i in range(50))
    assert [part.max_length for part in parts] == [404, 21, 22]


def test_the_hub_is_asked_for_both_splits(datasets: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hub(name: str, split: str) -> object:
        asked.append((name, split))
        return datasets.Dataset.from_dict({"text": [split, "more"]})

    monkeypatch.setattr(datasets, "load_dataset", hub)
    task = TinyStories(stories=2)
    assert asked == [("roneneldan/TinyStories", "train[:2]"), ("roneneldan/TinyStories", "validation[:2]")]
    assert everything(task.validation()) + everything(task.test()) == b"\0validation[:2]\0more"


def test_errors(tmp_path: Path, datasets: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^tinystories\.stories is 0; it must be at least 1$"):
        TinyStories(stories=0)
    with pytest.raises(ValueError, match=r"^tinystories\.path is 'nowhere'; there is no such file or folder$"):
        TinyStories(path="nowhere")
    path = tmp_path / "a.jsonl"
    path.write_text('{"story": "x"}\n')
    with pytest.raises(ValueError, match=r"its train files have no column 'text'$"):
        TinyStories(path=path)
    path.write_text('{"text": "x"}\n{"text": null}\n')
    with pytest.raises(ValueError, match=r"has None in row 1; every story must be a text$"):
        TinyStories(path=path)
    for content in ("not json", ""):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"^tinystories\.path is '.*'; it cannot be read \(.*\)$"):
            TinyStories(path=path)
    written(tmp_path / "held" / "valid.jsonl", ["x"])
    with pytest.raises(ValueError, match="every file there is named as held out"):
        TinyStories(path=tmp_path / "held")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        ValueError, match=r"^task tinystories needs the package datasets; pip install nounroll\[data\]$"
    ):
        TinyStories()
