"""The Transformer baseline: no future leaks into it, its loss equals a naive twin's, and its files are whole."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import (
    SYMBOLS,
    assert_same_gradients,
    draw_values,
    make_batch,
    other_values,
    same_state,
    state,
    tiny_recipe,
)
from nounroll.core.batch import Batch, Real, Space
from nounroll.core.seeding import generator
from nounroll.experiments.run import fit, train
from nounroll.experiments.run_folder import open_student
from nounroll.methods import TransformerMethod
from nounroll.models.generation import Sampling
from nounroll.nn.rotary import Rotary
from nounroll.objectives.readout import negative_log_likelihood
from nounroll.rollout.evaluate import evaluate
from nounroll.rollout.transformer import CausalTransformer
from nounroll.teacher import TeacherSettings
from nounroll.teacher.causal import Read
from own_parts import Echo, OwnCell

B, T = 3, 7


def make(inputs: Space = SYMBOLS, targets: Space = SYMBOLS, **settings: Any) -> CausalTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CausalTransformer(inputs, targets, TeacherSettings(width=16, layers=2, **settings)).double()


def affected(model: CausalTransformer, inputs: Tensor) -> Tensor:
    """[t, s]: does what it says of y_s change with x_t?"""
    base, rows = model.predict(inputs), []
    for t in range(T):
        other = inputs.clone()
        other[:, t] = other_values(model.inputs, inputs[:, t])
        rows.append(((model.predict(other) - base).abs() > 1e-12).any(-1).all(0))
    return torch.stack(rows)


PAST = torch.arange(T)[:, None] <= torch.arange(T)


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@torch.no_grad()
def test_it_knows_the_past_and_not_the_future(space: Space) -> None:
    assert torch.equal(affected(make(space), draw_values(space, B, T)), PAST)


@torch.no_grad()
def test_control_a_transformer_without_its_mask_is_caught() -> None:
    model = make()
    for block in model.encoder.trunk.blocks:
        block.attention.causal = False  # type: ignore[union-attr]
    assert (affected(model, draw_values(SYMBOLS, B, T)) & ~PAST).any()


@torch.no_grad()
def test_control_a_shift_by_one_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    encoder = model.encoder.forward
    monkeypatch.setattr(model.encoder, "forward", lambda x, places: encoder(x, places).roll(-1, 1))
    assert (affected(model, draw_values(SYMBOLS, B, T)) & ~PAST).any()


def twin(model: CausalTransformer, batch: Batch) -> Tensor:
    """One prefix at a time: nothing after x_t is even there."""
    losses = []
    for b in range(B):
        for t in range(T):
            if batch.mask[b, t]:
                outputs = model.predict(batch.inputs[b : b + 1, : t + 1])[:, -1]
                losses.append(negative_log_likelihood(model.targets, outputs, batch.targets[b, t][None])[0])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
def test_the_loss_equals_its_naive_twin(space: Space) -> None:
    model, batch = make(space, space), make_batch(B, T, space, space, sparse=True)
    ours = TransformerMethod(model)(batch, {}, generator(0, "loss"), 0.5)[0]["loss"]
    expected = twin(model, batch)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-7, check_dtype=False)
    assert_same_gradients(ours, expected, model)


def test_a_run_in_a_folder(tmp_path: Path) -> None:
    """Stopped and resumed, it is the run that never stopped; the files hold what it was."""
    recipe = tiny_recipe("method=transformer", "training.steps=6")
    whole = train(recipe)
    asked = iter(range(99))
    stopped = train(recipe, folder=tmp_path / "run", stop=lambda: next(asked) == 2)
    assert not stopped.finished
    run = train(recipe, folder=tmp_path / "run", resume=True)
    assert same_state(state(run.model), state(whole.model))
    kept = CausalTransformer.from_pretrained(tmp_path / "run" / "transformer")
    assert same_state(state(kept), state(run.model))
    batch = [make_batch(B, T, run.task.inputs, run.task.targets)]
    assert evaluate(kept, batch) == evaluate(run.model, batch)
    assert run.metrics.keys() == {
        "loss", "bits", "accuracy", "steps", "tokens", "flops", "sequential_flops", "seconds"
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"holds a Transformer and no student; its figures are in .*metrics\.json$"):
        open_student(tmp_path / "run")
    with pytest.raises(ValueError, match=r"^method was 'transformer', which trains no student"):
        _ = run.student


@pytest.mark.parametrize("heads", [4, 2])
def test_the_number_of_heads_that_was_a_setting_once(tmp_path: Path, heads: int) -> None:
    """A folder of before opens if a Transformer of this width still has as many."""
    make().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["transformer"]["heads"] = heads
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "manifest.json").unlink()  # a folder without one is read unchecked
    if heads == make().settings.heads:
        opened = CausalTransformer.from_pretrained(tmp_path)
        assert torch.equal(opened.double().predict(x := draw_values(SYMBOLS, B, T)), make().predict(x))
    else:
        with pytest.raises(ValueError, match=r"holds no readable transformer: [^\n]*heads[^\n]*$"):
            CausalTransformer.from_pretrained(tmp_path)


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"holds no readable transformer: [^\n]+$"):
        CausalTransformer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds no readable transformer: "):
        CausalTransformer.from_pretrained(tmp_path / "nothing")


def test_it_takes_no_cell() -> None:
    with pytest.raises(ValueError, match=r"^cell is a OwnCell; the method transformer has no cell$"):
        fit(Echo(), method="transformer", cell=OwnCell(5), length=4, steps=1)


# --- with a cache -------------------------------------------------------------------------------------


def in_parts(model: CausalTransformer, inputs: Tensor, *sizes: int) -> Tensor:
    """What it says of every y_t, read in parts of these sizes."""
    read = Read(model.settings.layers)
    return torch.cat([model.extend(part, read) for part in inputs.split(list(sizes), dim=1)], dim=1)


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("sizes", [(T,), (1,) * T, (3, 1, 2, 1)])
@torch.no_grad()
def test_with_a_cache_it_says_the_same(space: Space, shift: bool, sizes: tuple[int, ...]) -> None:
    model, inputs = make(space, token_shift=shift), draw_values(space, B, T)
    torch.testing.assert_close(in_parts(model, inputs, *sizes), model.predict(inputs), rtol=0, atol=1e-12)


@pytest.mark.parametrize("fault", ["places", "shift", "mask"])
@torch.no_grad()
def test_control_a_wrong_cache_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = make(), draw_values(SYMBOLS, B, T)
    if fault == "places":
        rotate = Rotary.forward
        monkeypatch.setattr(Rotary, "forward", lambda self, x, start=0: rotate(self, x, 0))
    elif fault == "shift":
        monkeypatch.setattr(Read, "last", property(lambda self: None, lambda self, value: None), raising=False)
    else:
        monkeypatch.setattr(Tensor, "tril", lambda self, diagonal=0: self)
    assert (in_parts(model, inputs, 3, 4)[:, -4:] - model.predict(inputs)[:, -4:]).abs().max() > 1e-3


@torch.no_grad()
def test_it_writes_what_it_would_write_without_a_cache() -> None:
    model, prompt = make(), draw_values(SYMBOLS, B, T)
    written = model.generate(prompt, 9, generator=generator(0, "test"))
    draws, whole = generator(0, "test"), prompt
    for _ in range(9):
        drawn = Sampling().draw(model.targets, model.predict(whole)[:, -1], draws)
        whole = torch.cat([whole, drawn[:, None]], dim=1)
    assert torch.equal(written, whole[:, T:])


def test_what_a_cache_cannot_do() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        make().generate(draw_values(SYMBOLS, B, T), 0)
    with pytest.raises(ValueError, match="prompt is empty"):
        make().generate(draw_values(SYMBOLS, B, T)[:, :0], 1)
    with pytest.raises(ValueError, match="a target must be an input"):
        make(targets=Real(2)).generate(draw_values(SYMBOLS, B, T), 1)
