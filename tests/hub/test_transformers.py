"""What transformers loads and generates is what the student does."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline, set_seed

from helpers import CELL_KINDS, make_student
from nounroll.core.batch import Categorical
from nounroll.data.parity import Parity
from nounroll.data.text import Text
from nounroll.hub import NounrollForCausalLM, save_pretrained
from nounroll.models.student import Student
from own_parts import OwnCell

BYTES = Categorical(256)


def student(kind: str = "mlp") -> Student:
    return make_student(kind, BYTES, BYTES, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hub")
    (path / "book.txt").write_text("It was a dark and stormy night. " * 40)
    save_pretrained(student(), path / "model", Text(path=path / "book.txt"))
    return path / "model"


@pytest.fixture(scope="module")
def model(folder: Path) -> NounrollForCausalLM:
    return AutoModelForCausalLM.from_pretrained(folder)


PROMPT = torch.randint(256, (4, 7), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_greedy_is_the_students(kind: str, tmp_path: Path) -> None:
    one = student(kind)
    save_pretrained(one, tmp_path / "model")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    drawn = loaded.generate(PROMPT, max_new_tokens=30, do_sample=False)
    assert torch.equal(drawn[:, 7:], one.generate(PROMPT, 30, temperature=0))


def test_the_folder_holds_a_student_too(folder: Path) -> None:
    one = Student.from_pretrained(folder)
    assert all(torch.equal(value, one.state_dict()[name]) for name, value in student().state_dict().items())


def test_a_path_that_is_missing_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not looked for on the Hub, where a name without ./ could be."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: pytest.fail("it goes to the network"))
    for path in ("./runs/missing", "runs/missing/export/transformers", "/runs/missing"):
        with pytest.raises(OSError, match=f"Repo id must be .*{path}"):
            AutoModelForCausalLM.from_pretrained(path)
    with pytest.raises(ValueError, match="runs/missing holds no student"):
        Student.from_pretrained("runs/missing")


def test_padded_rows_are_read_as_if_alone(model: NounrollForCausalLM, folder: Path) -> None:
    texts = ["It was", "a dark and", "x", "stormy"]
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    together = model.generate(**batch, max_new_tokens=20, do_sample=False)[:, -20:]
    for text, row in zip(texts, together, strict=True):
        alone = torch.tensor([list(text.encode())])
        assert torch.equal(row, model.student.generate(alone, 20, temperature=0)[0])
    unmasked = model.student.generate(batch["input_ids"].masked_fill(batch["input_ids"] == 256, 0), 20, temperature=0)
    assert not torch.equal(together, unmasked)  # control: padding that is read changes what is written


def test_it_starts_from_nothing_where_the_task_does(folder: Path, model: NounrollForCausalLM) -> None:
    drawn = model.generate(max_new_tokens=20, do_sample=False)
    assert drawn.tolist() == [[10, *model.student.generate(torch.tensor([[10]]), 20, temperature=0)[0].tolist()]]


def test_beams_move_their_memories(model: NounrollForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    beams = {"max_new_tokens": 20, "num_beams": 3, "do_sample": False}
    kept = model.generate(PROMPT, **beams)
    assert torch.equal(kept, model.generate(PROMPT, **beams, use_cache=False))  # which reads all anew at each step
    monkeypatch.setattr("nounroll.hub.model.MemoryLayer.reorder_cache", lambda self, beams: None)
    assert not torch.equal(kept, model.generate(PROMPT, **beams))  # control: memories that stay where they are


def test_the_same_seed_samples_the_same(model: NounrollForCausalLM) -> None:
    drawn = []
    for seed in (0, 0, 1):
        set_seed(seed)
        drawn.append(model.generate(PROMPT, max_new_tokens=20, do_sample=True))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_cache_stays_as_large_as_it_is(model: NounrollForCausalLM) -> None:
    sizes = set()
    for length in (1, 50, 500):
        cache = model(torch.zeros(4, length, dtype=torch.int64)).cache
        (layer,) = cache.layers
        sizes.add(tuple(layer.recurrent_states[0].shape))
        assert layer.conv_states == {0: None}
    assert sizes == {(4, *model.student.memory_shape)}


@pytest.mark.parametrize("text", ["héllo <pad> Ā\n\t  end\0 don't .", "", "日本"])
def test_bytes_are_tokens(folder: Path, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer(text)["input_ids"] == list(text.encode())
    assert tokenizer.decode(list(text.encode())) == text


def test_pipeline(folder: Path, model: NounrollForCausalLM) -> None:
    (made,) = pipeline("text-generation", model=str(folder))("It was", max_new_tokens=30, do_sample=False)
    drawn = model.student.generate(torch.tensor([list(b"It was")]), 30, temperature=0)[0]
    assert made["generated_text"] == "It was" + bytes(drawn.tolist()).decode(errors="replace")


def test_the_loss_is_that_of_the_next_tokens_and_teaches(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    labels = PROMPT.clone()
    labels[0, 3:] = -100
    loss = model(PROMPT, labels=labels).loss
    logits = model.student.readout(model.student.rollout(PROMPT)[:, 1:-1])
    scored = labels[:, 1:] != -100
    assert torch.allclose(loss, torch.nn.functional.cross_entropy(logits[scored], PROMPT[:, 1:][scored]))
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_transformers_can_save_it_again(model: NounrollForCausalLM, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_folder_of_something_else_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match=r"it holds README\.md, which is not a checkpoint's"):
        save_pretrained(student(), tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_second_save_leaves_nothing_of_the_first(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 40)
    save_pretrained(student(), tmp_path / "model", Text(path=tmp_path / "book.txt"))
    files = save_pretrained(student(), tmp_path / "model")
    assert [path.name for path in files if "tokenizer" in path.name] == []


def test_what_it_cannot_hold(tmp_path: Path, model: NounrollForCausalLM) -> None:
    with pytest.raises(ValueError, match="cell is a OwnCell of your own"):
        save_pretrained(make_student(OwnCell(5)), tmp_path)
    with pytest.raises(ValueError, match="its targets are not the next inputs"):
        save_pretrained(make_student("mlp", Categorical(2), Categorical(2)), tmp_path, Parity())
    with pytest.raises(ValueError, match="input_ids holds the symbol 300"):
        model(torch.full((1, 1), 300))
