"""Text by the tokens of a pretrained model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nounroll.core.batch import Categorical
from nounroll.data import text
from nounroll.data.kept import keep, without_data
from nounroll.data.task import draw
from nounroll.data.text import Text
from nounroll.data.tokenizer import Tokenizer
from nounroll.experiments.recipe import parse
from nounroll.serve.text import Decoder
from pretrained_models import TEXT, save_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_tokenizer(tmp_path / "tokens")
    return tmp_path / "tokens"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book.py").write_text(TEXT * 50)
    return tmp_path / "book.py"


def test_a_text_comes_back(folder: Path) -> None:
    tokenizer = Tokenizer("text.tokenizer", folder)
    assert (tokenizer.size, tokenizer.start) == (280, 0)
    tokens = tokenizer.encode(TEXT)
    assert len(tokens) < 0.8 * len(TEXT.encode())
    assert 0 not in tokens  # nothing is added at its start
    assert tokenizer.decode(tokens.tolist()) == TEXT


def test_a_tokenizer_without_a_start(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, start=None)
    assert Tokenizer("text.tokenizer", tmp_path).start is None


def test_a_character_comes_with_its_last_token(folder: Path, book: Path) -> None:
    task = Text(path=book, tokenizer=folder)
    decoder, tokens = Decoder(task), task.encode("é ∅")
    said = [decoder.add(token) for token in tokens]
    assert "".join(said) + decoder.end() == "é ∅"
    assert said[0] == ""


@pytest.mark.parametrize("block", [17, 1 << 20])
def test_every_token_predicts_the_next(folder: Path, book: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Whatever is cut into tokens at once; a cut is between lines."""
    monkeypatch.setattr(text, "_BLOCK", block)
    task = Text(path=book, tokenizer=folder)
    assert task.inputs == task.targets == Categorical(280)
    batch = draw(task, 4, 20, 0, "train")
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    whole = torch.from_numpy(np.concatenate([task._data, task._held_out]))
    assert task.decode(whole) == TEXT * 50
    assert task.decode(task.prompt()) == "\n"


def test_files_of_a_folder_are_held_out_whole(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    for i in range(20):
        (tmp_path / "books" / f"{i}.txt").write_text(f"{i:03d} " * 40)
    task = Text(path=tmp_path / "books", tokenizer=folder)
    read, held = (set(task.decode(torch.from_numpy(np.asarray(part))).split()) for part in (task._data, task._held_out))
    assert read | held == {f"{i:03d}" for i in range(20)}
    assert held
    assert not read & held


def test_a_recipe_takes_the_tokenizer_of_its_teacher(folder: Path, book: Path, tmp_path: Path) -> None:
    document = {
        "task": {"kind": "text", "options": {"path": str(book)}},
        "length": 8,
        "teacher": {"kind": "transformers", "path": str(folder)},
    }
    assert parse(document).task.options == {"path": str(book), "tokenizer": str(folder)}
    assert parse(parse(document).to_dict()).task.options == parse(document).task.options
    other = {**document, "task": {"kind": "text", "options": {"tokenizer": "other"}}}
    assert parse(other).task.options == {"tokenizer": "other"}
    del document["teacher"]
    assert parse(document).task.options == {"path": str(book)}


def test_errors_name_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, said in (
        (tmp_path / "nowhere", "there is no such file or folder"),
        (tmp_path / "empty", r"it holds no tokenizer, which needs tokenizer\.json or tokenizer_config\.json"),
    ):
        with pytest.raises(ValueError, match=rf"^text\.tokenizer is '{path}'; {said}$"):
            Text(tokenizer=path)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"^text\.tokenizer is '[^']+'; it cannot be read \([^\n]+\)$"):
        Text(tokenizer=folder)


def test_a_network_keeps_its_tokenizer(folder: Path, book: Path) -> None:
    """Without data and without the folder of the pretrained model."""
    task = Text(path=book, tokenizer=folder)
    kept = json.loads(json.dumps(keep(task, "text")))
    for file in folder.iterdir():
        file.unlink()
    alone = without_data(kept, task.inputs, task.targets)
    assert torch.equal(alone.encode("def é"), task.encode("def é"))
    assert alone.decode(task.encode("def é")) == "def é"
    assert torch.equal(alone.prompt(), task.prompt())
    kept["speech"]["tokenizer"]["tokenizer"] = "{}"
    with pytest.raises(ValueError, match="the description of its task in the network's folder cannot be read"):
        without_data(kept, task.inputs, task.targets)
