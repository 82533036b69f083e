"""The drop-in module: a script for nn.LSTM runs with it unchanged, and every cell has its call."""

import copy
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import nounroll
from helpers import CELL_KINDS, make_student
from nounroll.core.batch import Categorical
from nounroll.models import recurrent
from nounroll.models.recurrent import Recurrent

# A training script as tutorials of torch have it. Only the line of the constructor is ever another.
SCRIPT = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import nounroll

torch.manual_seed(1)
sentences = [
    ("the dog ate the apple".split(), ["DET", "NN", "V", "DET", "NN"]),
    ("everybody read that book".split(), ["NN", "V", "DET", "NN"]),
    ("a bird saw everybody".split(), ["DET", "NN", "V", "NN"]),
]
words = {word: i for i, word in enumerate(sorted({w for sentence, _ in sentences for w in sentence}))}
tags = {"DET": 0, "NN": 1, "V": 2}

class Tagger(nn.Module):
    def __init__(self, embedding_dim, hidden_dim):
        super().__init__()
        self.word_embeddings = nn.Embedding(len(words), embedding_dim)
        self.rnn = CONSTRUCTOR(embedding_dim, hidden_dim)
        self.hidden2tag = nn.Linear(hidden_dim, len(tags))

    def forward(self, sentence):
        embeds = self.word_embeddings(sentence)
        rnn_out, _ = self.rnn(embeds.view(len(sentence), 1, -1))
        return F.log_softmax(self.hidden2tag(rnn_out.view(len(sentence), -1)), dim=1)

model = Tagger(6, 8)
loss_function = nn.NLLLoss()
optimizer = optim.SGD(model.parameters(), lr=0.3)
losses = []
for epoch in range(40):
    for sentence, wanted in sentences:
        model.zero_grad()
        inputs = torch.tensor([words[w] for w in sentence], dtype=torch.long)
        loss = loss_function(model(inputs), torch.tensor([tags[t] for t in wanted]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
"""


def losses_of(constructor: str) -> list[float]:
    scope: dict[str, Any] = {}
    exec(SCRIPT.replace("CONSTRUCTOR", constructor), scope)
    return scope["losses"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("nn.LSTM", "nounroll.Recurrent"),
        ("nn.GRU", "lambda *sizes: nounroll.Recurrent(*sizes, cell='gru')"),
        ("nn.RNN", "lambda *sizes: nounroll.Recurrent(*sizes, cell='elman')"),
    ],
)
def test_a_script_of_a_tutorial_has_the_same_losses(theirs: str, ours: str) -> None:
    ours = ours if ours.startswith("nounroll") else f"({ours})"
    expected = losses_of(theirs)
    assert losses_of(ours) == pytest.approx(expected, rel=1e-4)
    assert expected[-1] < 0.4 * expected[0]


def test_control_another_network_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "_TORCHS", ())  # an embedding, and biases that keep
    with pytest.raises(AssertionError):
        assert losses_of("nounroll.Recurrent") == pytest.approx(losses_of("nn.LSTM"), rel=1e-4)


@pytest.mark.parametrize("cell", ["mlp", "mingru"])
def test_the_script_learns_with_other_cells(cell: str) -> None:
    found = losses_of(f"(lambda *sizes: nounroll.Recurrent(*sizes, cell='{cell}'))")
    assert found[-1] < 0.2 * found[0]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_with_the_same_weights_it_is_nn_lstm(layers: int, batch_first: bool) -> None:
    theirs = nn.LSTM(5, 6, layers, batch_first=batch_first)
    ours = Recurrent(5, 6, layers, batch_first=batch_first)
    for index, layer in enumerate(ours.layers):
        names = [name for name in theirs.state_dict() if name.endswith(f"_l{index}")]
        layer.cell.core.load_state_dict({f"{n[:-1]}0": theirs.state_dict()[n] for n in names})  # type: ignore[union-attr]
    state = torch.randn(layers, 3, 6), torch.randn(layers, 3, 6)
    x = torch.randn(3, 7, 5) if batch_first else torch.randn(7, 3, 5)
    single = x[0] if batch_first else x[:, 0]
    packed = pack_padded_sequence(x, [2, 7, 4], batch_first, enforce_sorted=False)
    cases: list[tuple[Any, Any]] = [
        (x, None),
        (x, state),
        (single, None),
        (single, tuple(part[:, 0] for part in state)),
        (packed, None),
        (packed, state),
    ]
    for given, start in cases:
        (a, (h, c)), (b, (k, d)) = (module(given, start) for module in (theirs, ours))
        assert type(a) is type(b)
        assert (k.shape, d.shape) == (h.shape, c.shape)
        if isinstance(a, PackedSequence):
            assert torch.equal(a.batch_sizes, b.batch_sizes)
            a, b = (pad_packed_sequence(each, batch_first)[0] for each in (a, b))
        for one, other in ((a, b), (h, k), (c, d)):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)
    grads = []
    for module in (theirs, ours):
        out, (_, c) = module(packed, state)
        (out.data.square().sum() + c.square().sum()).backward()
        grads.append([p.grad for p in module.parameters() if p.requires_grad])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


def flat(state: Any) -> Tensor:
    return torch.cat([part.reshape(part.shape[0], -1, part.shape[-1]) for part in _parts(state)], -1)


def _parts(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("cell", CELL_KINDS)
def test_every_cell_has_the_call(cell: str) -> None:
    """States go on, sequences alone, padded and packed are one and the same, and everything has a gradient."""
    module = Recurrent(3, 12, 2, cell=cell, batch_first=True, dtype=torch.float64)
    assert (module.input_size, module.hidden_size, module.num_layers) == (3, 12, 2)
    x, lengths = torch.randn(3, 6, 3, dtype=torch.float64), [4, 6, 1]
    whole, last = module(x)
    assert whole.shape == (3, 6, 12)
    first, state = module(x[:, :2])
    second, again = module(x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(flat(again), flat(last))
    alone, end = module(x[1])
    torch.testing.assert_close(alone, whole[1])
    torch.testing.assert_close(flat(end)[:, 0], flat(last)[:, 1])
    given = tuple(part + 0.1 for part in _parts(last))
    for start in (None, given if isinstance(last, tuple) else given[0]):
        packed, ends = module(pack_padded_sequence(x, lengths, True, enforce_sorted=False), start)
        padded, counts = pad_packed_sequence(packed, True)
        assert counts.tolist() == lengths
        for row, length in enumerate(lengths):
            own = None if start is None else tuple(part[:, row : row + 1] for part in _parts(start))
            out, state = module(x[row : row + 1, :length], own if own is None or isinstance(last, tuple) else own[0])
            torch.testing.assert_close(padded[row, :length], out[0])
            torch.testing.assert_close(flat(ends)[:, row], flat(state)[:, 0])
    assert Recurrent(3, 12, cell=cell)(x.transpose(0, 1).float())[0].shape == (6, 3, 12)
    whole.sum().backward()
    assert all(p.grad is not None for p in module.parameters() if p.requires_grad)


def test_control_a_packed_row_that_reads_padding_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = Recurrent(3, 12, cell="mlp", batch_first=True), torch.randn(2, 5, 3)
    packed = pack_padded_sequence(x, [5, 2], True)
    expected = flat(module(packed)[1])
    monkeypatch.setattr(torch, "unique_consecutive", lambda *_, **__: (torch.tensor([1, 2]), torch.tensor([3, 2])))
    assert not torch.allclose(flat(module(packed)[1]), expected)


def test_it_is_a_module_like_others() -> None:
    module = Recurrent(3, 8, cell="lstm").to(torch.float64)
    other = Recurrent(3, 8, cell="lstm", dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    assert not torch.equal(module(x)[0], other(x)[0])
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    assert torch.equal(module(x)[0], other(x)[0])
    assert torch.equal(copy.deepcopy(module)(x)[0], module(x)[0])
    assert "layers.0.cell.core.weight_ih_l0" in module.state_dict()
    module.flatten_parameters()
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    assert "layers.0.empty_memory" not in names  # zeros, as those of nn.LSTM
    assert "layers.0.empty_memory" in dict(Recurrent(3, 8, cell="mlp").named_parameters())


@pytest.mark.parametrize("cell", ["mlp", "lstm", "pooled", "mingru"])
def test_a_trained_network_is_one_too(cell: str, tmp_path: Path) -> None:
    student = make_student(cell, dtype=torch.float32)
    student.save_pretrained(tmp_path / "student")
    x = torch.randint(5, (3, 6))
    expected, last = student.features(x)
    for source in (student, tmp_path / "student", str(tmp_path / "student")):
        module = Recurrent.from_pretrained(source, batch_first=True)
        outputs, state = module(x)
        torch.testing.assert_close(outputs, expected)
        torch.testing.assert_close(flat(state)[0], last.flatten(1))
        assert module.input_size == 5
        more, _ = module(x[0], tuple(p[:, 0] for p in state) if isinstance(state, tuple) else state[:, 0])
        torch.testing.assert_close(more, student.features(x[:1], last[:1])[0][0])
        outputs.sum().backward()
        assert module.layers[0].empty_memory.grad is not None
    assert student.empty_memory.grad is None  # a copy


@pytest.mark.parametrize("cell", CELL_KINDS)
def test_an_event_of_several_parts_is_read(cell: str) -> None:
    space = nounroll.Product(a=nounroll.Categorical(3), b=nounroll.Real(2))
    module = Recurrent(space, 12, cell=cell, batch_first=True)
    outputs, _ = module(torch.tensor([[[2.0, 0.1, -4.0], [0.0, 3.0, 1.0]]]))
    assert outputs.shape == (1, 2, 12)
    with pytest.raises(ValueError, match=r"input has the shape \(1, 2, 5\)"):
        module(torch.zeros(1, 2, 5))


def test_symbols_are_embedded() -> None:
    module = Recurrent(Categorical(7), 6, cell="gru")
    assert module(torch.randint(7, (4, 2)))[0].shape == (4, 2, 6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Recurrent(0, 4), "input_size is 0; it must be a whole number of at least 1"),
        (lambda: Recurrent(3, 0), "hidden_size is 0; it must be a whole number of at least 1"),
        (lambda: Recurrent(3, 4, 0), "num_layers is 0; it must be"),
        (lambda: Recurrent(3, 4, cell="lsmt"), "cell.kind is 'lsmt'; it must be one of"),
        (lambda: Recurrent(3, 4, cell="pooled"), "hidden_size is 4; a pooled cell returns 3 numbers for each unit"),
        (lambda: Recurrent(3, 4)(torch.zeros(2, 2, 5)), "input has the shape (2, 2, 5); Real(d=3) needs (T, B, 3), or"),
        (
            lambda: Recurrent(3, 4)(torch.zeros(3)),
            "input has the shape (3,); Real(d=3) needs (T, B, 3), or (T, 3) of one",
        ),
        (
            lambda: Recurrent(3, 4)(torch.zeros(2, 2, 3), torch.zeros(1, 2, 4)),
            "the state is (1, 2, 4); it must be (h, c), each (1, 2, 4)",
        ),
        (
            lambda: Recurrent(3, 4, cell="gru")(torch.zeros(2, 2, 3), torch.zeros(2, 4)),
            "the state is (2, 4); it must be one tensor (1, 2, 4)",
        ),
        (lambda: Recurrent.from_pretrained("nowhere"), "nowhere holds no student"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_said_in_one_line(call: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}") as error:
        call()
    assert "\n" not in str(error.value)


def test_it_is_a_name_of_the_package() -> None:
    assert nounroll.Recurrent is Recurrent
