"""Uploading, to a small hub on 127.0.0.1, and loading from there."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from transformers import AutoModelForCausalLM, AutoTokenizer

from fake_hub import TOKEN, FakeHub, serving
from helpers import make_student
from nounroll.core.batch import Categorical
from nounroll.data.text import Text
from nounroll.hub import push_to_hub, save_pretrained
from nounroll.models.student import Student

BYTES = Categorical(256)
hub = pytest.fixture(serving, name="hub")


def student() -> Student:
    return make_student("gru", BYTES, BYTES, dtype=torch.float32).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 40)
    save_pretrained(student(), tmp_path / "model", Text(path=tmp_path / "book.txt"))
    return tmp_path / "model"


def test_what_was_pushed_is_what_was_saved(hub: FakeHub, folder: Path) -> None:
    (folder / "diary.txt").write_text("not of the model")
    assert push_to_hub(folder, "ada/story", token=TOKEN) == f"{hub.address}/ada/story"
    pushed = hub.repositories["ada/story"]
    assert pushed == {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "diary.txt"}
    assert len(hub.commits) == 1


def test_it_loads_from_there(hub: FakeHub, folder: Path) -> None:
    push_to_hub(folder, "ada/story", token=TOKEN)
    loaded = AutoModelForCausalLM.from_pretrained("ada/story")
    prompt = AutoTokenizer.from_pretrained("ada/story")("It was", return_tensors="pt")
    drawn = loaded.generate(**prompt, max_new_tokens=20, do_sample=False)[:, 6:]
    assert torch.equal(drawn, student().generate(prompt["input_ids"], 20, temperature=0))
    assert any("/resolve/" in request for request in hub.requests)


def test_a_second_push_leaves_nothing_of_the_first(hub: FakeHub, folder: Path, tmp_path: Path) -> None:
    push_to_hub(folder, "ada/story", token=TOKEN)
    hub.repositories["ada/story"]["NOTES.md"] = b"of the owner"
    save_pretrained(student(), tmp_path / "other")  # which has no tokenizer
    push_to_hub(tmp_path / "other", "ada/story", token=TOKEN)
    names = {path.name for path in (tmp_path / "other").iterdir()}
    assert set(hub.repositories["ada/story"]) == names | {"NOTES.md"}


def test_a_repository_can_be_private(hub: FakeHub, folder: Path) -> None:
    push_to_hub(folder, "ada/secret", private=True, token=TOKEN)
    push_to_hub(folder, "ada/open", private=False, token=TOKEN)
    assert hub.private == {"ada/secret": True, "ada/open": False}


def test_what_is_refused(hub: FakeHub, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ada/story was not pushed: .*this token may not write"):
        push_to_hub(folder, "ada/story", token="hf_reads")
    with pytest.raises(ValueError, match="holds no student"):
        push_to_hub(tmp_path, "ada/story", token=TOKEN)
    with pytest.raises(ValueError, match="ada/story/one"):
        push_to_hub(folder, "ada/story/one", token=TOKEN)
    assert hub.repositories == {}


def test_a_hub_that_cannot_be_reached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(OSError, match=r"ada/story was not pushed: .*refused"):
        push_to_hub(folder, "ada/story", token=TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match=r"ada/story was not pushed: .*offline"):
        push_to_hub(folder, "ada/story", token=TOKEN)
