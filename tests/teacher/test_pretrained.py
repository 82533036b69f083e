"""A language model that exists as the teacher: what it labels, what is kept of it, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers import SYMBOLS, draw_values, make_student, make_teacher, other_values
from nounroll.core.batch import Categorical, Real
from nounroll.teacher import Teacher, TeacherSettings
from pretrained_models import FAMILIES, gpt2, save_language_model, save_model, save_tokenizer, sees_all

T = 6


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return save_model(tmp_path / "model", FAMILIES[request.param])


def teacher_of(folder: Path, *, inputs: Any = SYMBOLS, targets: Any = None, **settings: Any) -> Teacher:
    student = make_student(inputs=inputs, targets=targets or inputs)
    return make_teacher(student, kind="transformers", path=str(folder), **settings)


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [True, False])
def test_a_memory_depends_on_its_prefix_alone(folder: Path, frozen: bool) -> None:
    teacher, inputs = teacher_of(folder, frozen=frozen), draw_values(SYMBOLS, 8, T)
    labels = teacher.memories(inputs)
    for t in range(T):
        changed = inputs.clone()
        changed[:, t] = other_values(SYMBOLS, inputs[:, t])
        moved = (teacher.memories(changed) - labels).abs().flatten(2).amax((0, 2)) > 1e-12
        assert torch.equal(moved, torch.arange(T + 1) > t)


def test_control_a_model_that_sees_the_future_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path, sees_all)
    with pytest.raises(ValueError, match=r"its model sees later tokens: use a causal model$"):
        teacher_of(tmp_path)


def test_the_empty_memory_is_the_same_in_every_batch(folder: Path) -> None:
    teacher = teacher_of(folder, frozen=True)
    one, other = (teacher.memories(draw_values(SYMBOLS, 5, T, seed=seed)) for seed in (0, 1))
    empty = teacher.empty_memory(SYMBOLS.zeros(1, 1))
    assert torch.equal(one[:, 0], other[:, 0])
    torch.testing.assert_close(one[:, 0], empty.expand_as(one[:, 0]))
    assert not torch.allclose(one[:, 1], other[:, 1])


def test_memories_at_chosen_positions_are_those_of_all(folder: Path) -> None:
    teacher, inputs = teacher_of(folder), draw_values(SYMBOLS, 3, T)
    positions = torch.tensor([[5, 0, 2], [1, 1, 6], [0, 3, 4]])
    expected = teacher.memories(inputs)[torch.arange(3)[:, None], positions]
    torch.testing.assert_close(teacher.memories(inputs, positions), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_expects_what_the_model_expects_after_its_start(family: str, tmp_path: Path) -> None:
    folder = save_language_model(tmp_path, FAMILIES[family])
    model: Any = AutoModelForCausalLM.from_pretrained(folder).double().eval()
    symbols = Categorical(model.config.vocab_size)
    teacher = teacher_of(folder, inputs=symbols)
    inputs = draw_values(symbols, 3, T)
    expected = model(torch.cat([inputs.new_zeros(3, 1), inputs], dim=1)).logits[:, 1:]  # the start is the token 0
    found = teacher.look_back(teacher.read(inputs))
    assert found is not None
    torch.testing.assert_close(found, expected)


def test_a_start_is_learnt_where_the_tokenizer_has_none(tmp_path: Path) -> None:
    save_language_model(tmp_path / "with")
    without = save_model(tmp_path / "without", symbols=save_tokenizer(tmp_path / "without", start=None))
    size = AutoModelForCausalLM.from_pretrained(without).config.vocab_size
    assert "encoder.start" not in teacher_of(tmp_path / "with", inputs=Categorical(280), frozen=True).state_dict()
    teacher = teacher_of(without, inputs=Categorical(size), frozen=True)
    inputs = draw_values(Categorical(size), 2, T)
    teacher.memories(inputs).square().sum().backward()
    (teacher.memories(inputs) ** 3).sum().backward()
    start = teacher.encoder.start
    assert start.grad is not None
    assert start.grad.abs().max() > 0
    assert all(p.grad is None for p in teacher.encoder.model.parameters())


def test_dropout_is_off_while_it_trains(folder: Path) -> None:
    teacher, inputs = teacher_of(folder).train(), draw_values(SYMBOLS, 3, T)
    assert torch.equal(teacher.memories(inputs), teacher.memories(inputs))


def test_control_with_dropout_labels_differ(tmp_path: Path) -> None:
    teacher, inputs = teacher_of(save_model(tmp_path, gpt2)).train(), draw_values(SYMBOLS, 3, T)
    teacher.encoder.model.train()
    assert not torch.equal(teacher.memories(inputs), teacher.memories(inputs))


# --- weights --------------------------------------------------------------------------------------


def test_a_frozen_model_is_no_weight_of_the_teacher(folder: Path) -> None:
    frozen, trained = teacher_of(folder, frozen=True), teacher_of(folder)
    inside = sum(p.numel() for p in frozen.encoder.model.parameters())
    assert sum(p.numel() for p in frozen.held()) == inside
    assert list(trained.held()) == []
    assert sum(p.numel() for p in trained.parameters()) - sum(p.numel() for p in frozen.parameters()) == inside
    assert {name for name in frozen.state_dict() if name.startswith("encoder")} <= {
        "encoder.start",
        "encoder.fingerprint",
    }


def test_it_moves_with_the_teacher(folder: Path) -> None:
    teacher = teacher_of(folder, frozen=True).float()
    assert next(teacher.encoder.model.parameters()).dtype == torch.float32


def test_another_model_in_the_folder_is_not_loaded(tmp_path: Path) -> None:
    kept = teacher_of(save_model(tmp_path), frozen=True).state_dict()
    teacher_of(tmp_path, frozen=True).load_state_dict(kept)
    save_model(tmp_path, seed=1)
    with pytest.raises(RuntimeError, match=r"the model in teacher\.path is not the one that it was trained with"):
        teacher_of(tmp_path, frozen=True).load_state_dict(kept)


# --- refusals -------------------------------------------------------------------------------------


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def garbled(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)


def with_code(folder: Path) -> None:
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('it was run')")


def of_another_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layer": 3}))


BAD: list[tuple[Callable[[Path], object], str]] = [
    (shutil.rmtree, r"there is no such file or folder$"),
    (without_config, r"it holds no model of transformers, which has a config\.json$"),
    (pickled, r"its weights must be safetensors, save the model with those$"),
    (garbled, r"it cannot be read \(.*\)$"),
    (with_code, r"it cannot be read \(.*\)$"),
    (of_another_size, r"\d+ of its weights are missing, such as transformer\.h\.2\."),
    (save_tokenizer, r"its model reads 280 tokens and the task gives Categorical\(n=5\): make the task with"),
]


@pytest.mark.parametrize(("spoil", "said"), BAD, ids=[spoil.__name__ for spoil, _ in BAD])
def test_a_folder_that_will_not_do_is_one_line(spoil: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    teacher_of(folder)
    spoil(folder)
    with pytest.raises(ValueError, match=said) as refusal:
        teacher_of(folder)
    assert str(refusal.value).startswith(f"teacher.path is '{folder}'; ")
    assert "\n" not in str(refusal.value)


def test_inputs_that_are_no_tokens_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"its model reads 5 tokens and the task gives Real\(d=2\)"):
        teacher_of(save_model(tmp_path), inputs=Real(2))


def test_it_predicts_nothing_where_targets_are_other_symbols(tmp_path: Path) -> None:
    teacher = teacher_of(save_model(tmp_path), targets=Categorical(3))
    assert teacher.look_back(teacher.read(draw_values(SYMBOLS, 2, T))) is None


def test_more_than_the_model_can_read_is_refused(tmp_path: Path) -> None:
    teacher = teacher_of(save_model(tmp_path, longest=T + 1))
    assert teacher.memories(draw_values(SYMBOLS, 2, T)).shape[1] == T + 1
    with pytest.raises(ValueError, match=r"^length is 7; the model in teacher\.path reads at most 6 tokens after"):
        teacher.memories(draw_values(SYMBOLS, 2, T + 1))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "transformers"}, r"^teacher\.path is ''; with teacher\.kind transformers it must be the folder"),
        ({"path": "gpt2"}, r"^teacher\.path is 'gpt2'; it is for teacher\.kind transformers alone$"),
        ({"frozen": True}, r"^teacher\.frozen is True; it is for teacher\.kind transformers alone$"),
        ({"distillation": 0.5}, r"^teacher\.distillation is 0\.5; it is for teacher\.kind transformers alone$"),
    ],
)
def test_settings_of_a_pretrained_teacher(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TeacherSettings(**settings)


def test_nothing_is_asked_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_language_model(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("it goes to the network"))
    teacher_of(folder, inputs=Categorical(280))
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="no such file or folder"):
        teacher_of(folder, inputs=Categorical(280))
