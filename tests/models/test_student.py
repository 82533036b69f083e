"""The student: what is deployed, how it generates, and that a saved one is the same one."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers import CELL_KINDS, SHAPE, SYMBOLS, draw_values, make_student
from nounroll.cells.base import CellSettings
from nounroll.core.batch import Categorical, Real, Space
from nounroll.core.seeding import generator
from nounroll.core.spaces import Bits, Count, Product
from nounroll.models import student as student_module
from nounroll.models.student import Student
from nounroll.objectives.readout import negative_log_likelihood
from own_parts import OwnCell, OwnRealCell


def fails(message: str) -> Any:
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


# --- shapes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SYMBOLS, Real(3)], ids=str)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_shapes_and_the_time_index(kind: str, space: Space) -> None:
    student, inputs = make_student(kind, space, space), draw_values(space, 2, 5)
    memory = student.initial_memory(2)
    memories = student.rollout(inputs)
    assert memories.shape == (2, 6, *SHAPE)
    assert torch.equal(memories[:, 0], memory)
    for t in range(5):
        memory = student.step(inputs[:, t], memory)
        torch.testing.assert_close(memories[:, t + 1], memory, rtol=0, atol=1e-12)
    assert student.readout(memory).shape == (2, space.readout_size)
    assert student.readout(memories).shape == (2, 6, space.readout_size)


def test_defaults_are_an_mlp_cell() -> None:
    student = Student(SYMBOLS, SYMBOLS)
    assert student.settings == CellSettings()
    assert student.memory_shape == CellSettings().memory_shape


def test_a_readout_of_width_0_is_linear(tmp_path: Path) -> None:
    student = Student(SYMBOLS, SYMBOLS, CellSettings(kind="gru", tokens=1, memory_width=6), readout_width=0)
    memory = student.rollout(draw_values(SYMBOLS, 2, 5))
    linear = torch.nn.Linear(6, SYMBOLS.n)
    linear.load_state_dict({name.removeprefix("out."): value for name, value in student.head.state_dict().items()})
    torch.testing.assert_close(student.readout(memory), linear(memory.flatten(-2)))
    student.save_pretrained(tmp_path)
    assert torch.equal(Student.from_pretrained(tmp_path).readout(memory), student.readout(memory))


def test_a_linear_readout_on_an_own_cell_comes_back(tmp_path: Path) -> None:
    student = Student(SYMBOLS, SYMBOLS, OwnCell(SYMBOLS.n), readout_width=0)
    student.save_pretrained(tmp_path)
    memory = student.initial_memory(2)
    opened = Student.from_pretrained(tmp_path, OwnCell(SYMBOLS.n))
    assert torch.equal(opened.readout(memory), student.readout(memory))


# --- generation ---------------------------------------------------------------------------------------


def test_temperature_zero_takes_the_most_likely_symbol_and_feeds_it_back() -> None:
    student, prompt = make_student("gru"), draw_values(SYMBOLS, 3, 4)
    drawn = student.generate(prompt, 6, temperature=0)
    sequence = prompt
    for _ in range(6):
        outputs = student.readout(student.rollout(sequence)[:, -1])
        sequence = torch.cat([sequence, outputs.argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(drawn, sequence[:, 4:])
    assert torch.equal(student.generate(prompt, 6, temperature=0, generator=generator(1, "other")), drawn)
    assert torch.equal(student.generate(prompt, 6, top_k=1, generator=generator(1, "other")), drawn)


def test_one_row_does_not_depend_on_the_others() -> None:
    student, prompt = make_student(), draw_values(SYMBOLS, 3, 4)
    whole = student.generate(prompt, 6, temperature=0)
    for row in range(3):
        assert torch.equal(student.generate(prompt[row : row + 1], 6, temperature=0), whole[row : row + 1])


def test_the_same_generator_state_gives_the_same_result() -> None:
    student, prompt = make_student(), draw_values(SYMBOLS, 2, 3)
    state = torch.random.get_rng_state()
    one, same, other = (student.generate(prompt, 40, generator=generator(seed, "draw")) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), state)  # no global generator is touched


def test_symbols_come_as_often_as_they_are_likely() -> None:
    student = make_student()
    prompt = torch.zeros(20_000, 1, dtype=torch.int64)
    logits = student.readout(student.rollout(prompt[:1])[:, -1])[0]
    for temperature in (1.0, 0.3):
        drawn = student.generate(prompt, 1, temperature=temperature, generator=generator(0, "draw"))[:, 0]
        shares = torch.bincount(drawn, minlength=SYMBOLS.n) / len(drawn)
        assert torch.allclose(shares.double(), (logits / temperature).softmax(-1), atol=0.015)
    best = set(logits.topk(2).indices.tolist())
    assert set(student.generate(prompt[:500], 1, top_k=2, generator=generator(0, "draw")).flatten().tolist()) == best
    assert torch.equal(
        student.generate(prompt[:9], 3, top_k=99, generator=generator(0, "draw")),
        student.generate(prompt[:9], 3, generator=generator(0, "draw")),
    )


def test_real_targets_are_drawn_from_the_density_that_is_trained() -> None:
    student = make_student("mlp", Real(2), Real(2), dtype=torch.float32)
    with torch.no_grad():
        student.head.out.bias.copy_(torch.tensor([1.0, -2.0, 3.0, -4.0]))  # means, then log scales near ±7 / 2
    prompt = torch.zeros(20_000, 1, 2)
    outputs = student.readout(student.rollout(prompt[:1])[:, -1])
    drawn = student.generate(prompt, 1, generator=generator(0, "draw"))[:, 0]
    entropy = negative_log_likelihood(Real(2), outputs.expand(len(drawn), -1), drawn).mean()
    spread = (drawn - outputs[:, :2]).std(0)
    by_hand = (spread.log() + 0.5 + 0.5 * torch.log(torch.tensor(2 * torch.pi))).sum()
    assert entropy.item() == pytest.approx(by_hand.item(), abs=0.03)
    still = student.generate(prompt[:2], 3, temperature=0)
    assert still.shape == (2, 3, 2)
    torch.testing.assert_close(still[:, 0], outputs[:, :2].expand(2, -1))
    assert torch.equal(student.generate(prompt[:2], 3, temperature=0), still)


@pytest.mark.parametrize(
    ("prompt", "settings", "message"),
    [
        (torch.zeros(1, 0, dtype=torch.int64), {}, "prompt is empty; generation needs at least one input"),
        (torch.full((1, 1), 5), {}, "prompt holds the symbol 5; Categorical(5) allows 0..4"),
        (torch.zeros(1, 1), {}, "prompt has dtype torch.float32; a Categorical array must be torch.int64"),
        (None, {"temperature": -0.5}, "temperature is -0.5; it must be at least 0"),
        (None, {"temperature": float("nan")}, "temperature is nan; it must be at least 0"),
        (None, {"top_k": 0}, "top_k is 0; it must be at least 1"),
        (None, {"steps": 0}, "steps is 0; it must be at least 1"),
    ],
)
def test_generation_says_what_is_wrong(prompt: Tensor | None, settings: dict[str, Any], message: str) -> None:
    prompt = torch.zeros(1, 1, dtype=torch.int64) if prompt is None else prompt
    with fails(message):
        make_student().generate(prompt, **{"steps": 3, **settings})


@pytest.mark.parametrize(
    ("space", "shape", "wanted"),
    [
        (SYMBOLS, (1, 3, 2), "(rows, length)"),
        (Real(2), (1, 3), "(rows, length, 2)"),
        (Real(2), (1, 3, 3), "(rows, length, 2)"),
    ],
)
def test_a_prompt_of_another_shape(space: Space, shape: tuple[int, ...], wanted: str) -> None:
    student = make_student("mlp", space, space)
    with fails(f"prompt has shape {shape}; it must be {wanted}"):
        student.generate(torch.zeros(shape, dtype=torch.int64 if space == SYMBOLS else torch.float64), 2)


@pytest.mark.parametrize("targets", [Categorical(6), Real(1)], ids=str)
def test_targets_that_cannot_be_inputs(targets: Space) -> None:
    with fails(f"targets are {targets}, inputs {SYMBOLS}; to generate, a target must be an input"):
        make_student(targets=targets).generate(torch.zeros(1, 1, dtype=torch.int64), 2)


# --- files --------------------------------------------------------------------------------------------

OTHERS = {"own": (OwnCell, 5, SYMBOLS), "own, real": (OwnRealCell, 2, Real(2)), "mlp, real": ("mlp", 0, Real(2))}

ALONE = """
import sys, torch
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import own_parts
from nounroll.models.student import Student
torch.set_grad_enabled(False)  # torch has other LSTM kernels for training, which differ in the last bit
root = Path(sys.argv[1])
found = {}
for folder in sorted(root.iterdir()):
    own = {"own": lambda: own_parts.OwnCell(5), "own, real": lambda: own_parts.OwnRealCell(2)}.get(folder.name)
    student = Student.from_pretrained(folder, cell=own() if own else None)
    assert not student.training
    inputs = torch.load(folder / "inputs.pt")
    memories = student.rollout(inputs)
    drawn = student.generate(inputs[:, :3], 5, generator=torch.Generator().manual_seed(7))
    found[folder.name] = [memories, student.stepped_rollout(inputs), student.readout(memories), drawn]
heavy = ("nounroll.teacher", "nounroll.methods", "nounroll.training", "lightning", "lightning_fabric")
loaded = [name for name in sys.modules if any(name == h or name.startswith(h + ".") for h in heavy)]
assert not loaded, loaded
torch.save(found, sys.argv[3])
"""


def test_a_student_alone_is_the_student_that_was_trained(tmp_path: Path) -> None:
    """In a process of its own, without teacher, methods or training: the same bits, for every cell."""
    expected = {}
    for name in (*CELL_KINDS, *OTHERS):
        cell, sizes, space = OTHERS.get(name, (name, 0, SYMBOLS))
        part: Any = cell if isinstance(cell, str) else cell(sizes)
        student = make_student(part, space, space, dtype=torch.float32)
        inputs = draw_values(space, 3, 9).to(torch.float32 if isinstance(space, Real) else torch.int64)
        student.save_pretrained(tmp_path / "students" / name)
        torch.save(inputs, tmp_path / "students" / name / "inputs.pt")
        with torch.no_grad():
            memories = student.rollout(inputs)
            drawn = student.generate(inputs[:, :3], 5, generator=torch.Generator().manual_seed(7))
            expected[name] = [memories, student.stepped_rollout(inputs), student.readout(memories), drawn]
    script = [sys.executable, "-c", ALONE, tmp_path / "students", Path(__file__).parents[1], tmp_path / "found.pt"]
    done = subprocess.run([str(part) for part in script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "found.pt")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        for one, other in zip(found[name], values, strict=True):
            assert torch.equal(one, other), name


def test_saving_writes_two_files_that_a_program_can_read(tmp_path: Path) -> None:
    make_student("lstm", SYMBOLS, Real(2)).save_pretrained(tmp_path / "a" / "b")
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "config.json", "manifest.json", "model.safetensors"
    ]  # fmt: skip
    config = json.loads((tmp_path / "a" / "b" / "config.json").read_text())
    assert config["inputs"] == {"kind": "categorical", "n": 5}
    assert config["targets"] == {"kind": "real", "d": 2}
    assert config["cell"]["kind"] == "lstm"


def damage(folder: Path, how: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    document = json.loads(config.read_text())
    if how == "weights cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif how == "weights empty":
        weights.write_bytes(b"")
    elif how == "no JSON":
        config.write_text("{")
    elif how == "a list":
        config.write_text("[1]")
    elif how == "a name missing":
        config.write_text(json.dumps({k: v for k, v in document.items() if k != "inputs"}))
    elif how == "an unknown setting":
        config.write_text(json.dumps({**document, "cell": {**document["cell"], "depth": 2}}))
    else:
        config.write_text(json.dumps({**document, "readout_width": 99}))


@pytest.mark.parametrize(
    "how",
    ["weights cut", "weights empty", "no JSON", "a list", "a name missing", "an unknown setting", "sizes that differ"],
)
def test_a_damaged_student_is_refused_in_one_line(tmp_path: Path, how: str) -> None:
    make_student().save_pretrained(tmp_path)
    damage(tmp_path, how)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))} holds no readable student: ") as caught:
        Student.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_student(tmp_path: Path) -> None:
    with fails(f"{tmp_path} holds no student; it needs config.json and model.safetensors"):
        Student.from_pretrained(tmp_path)


def test_a_student_with_its_own_cell_asks_for_it(tmp_path: Path) -> None:
    make_student(OwnCell(5)).save_pretrained(tmp_path)
    with fails(
        f"{tmp_path} was trained with its own cell OwnCell;"
        f" pass one of the same sizes: from_pretrained(folder, cell=...)"
    ):
        Student.from_pretrained(tmp_path)
    wrong: nn.Module = OwnCell(5, width=8)
    with pytest.raises(ValueError, match="holds no readable student: "):
        Student.from_pretrained(tmp_path, cell=wrong)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"readout_width": 10**9},
            "according to config.json head.hidden.bias is (1000000000,), in model.safetensors it is (16,)",
        ),
        (
            {"inputs": {"kind": "categorical", "n": 10**9}},
            "according to config.json cell.embed.map.weight is (1000000000, 16)",
        ),
        ({"cell": {"kind": "mlp", "layers": 10**9}}, "cell.layers is 1000000000; it must be at most 1000"),
    ],
)
def test_sizes_from_elsewhere_are_compared_before_memory_is_taken(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """No manifest, as in files from elsewhere. These sizes would take gigabytes."""
    make_student().save_pretrained(tmp_path)
    (tmp_path / "manifest.json").unlink()
    document = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(ValueError, match=re.escape(said)):
        Student.from_pretrained(tmp_path)


def devices_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the weights of each student that is built would lie. None is built for real."""
    asked: list[str] = []

    def recorded(self: Student, *_: Any, **__: Any) -> None:
        asked.append(torch.empty(0).device.type)
        if asked[-1] != "meta":
            raise MemoryError
        build(self, *_, **__)

    build = Student.__init__
    monkeypatch.setattr(Student, "__init__", recorded)
    return asked


@pytest.mark.parametrize("trial", [True, False], ids=["as it is", "control: without the comparison"])
def test_a_student_of_a_forged_size_is_built_on_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: bool
) -> None:
    make_student().save_pretrained(tmp_path)
    (tmp_path / "manifest.json").unlink()
    document = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**document, "readout_width": 10**9}))
    load, asked = student_module.load_model, devices_asked(monkeypatch)
    monkeypatch.setattr(student_module, "load_model", lambda *given, **_: load(*given, trial=trial))
    with pytest.raises(ValueError, match="holds no readable student"):
        Student.from_pretrained(tmp_path)
    assert asked == (["meta"] if trial else ["cpu"])


def test_control_the_same_file_unchanged_is_read(tmp_path: Path) -> None:
    make_student().save_pretrained(tmp_path)
    (tmp_path / "manifest.json").unlink()
    assert Student.from_pretrained(tmp_path).readout_width == 16


def test_a_folder_of_links_as_the_hub_keeps_it_is_read(tmp_path: Path) -> None:
    make_student(dtype=torch.float32).save_pretrained(tmp_path / "blobs")
    (tmp_path / "snapshot").mkdir()
    for path in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    assert Student.from_pretrained(tmp_path / "snapshot").inputs == Categorical(5)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_link_to_a_device_is_refused_at_once(tmp_path: Path, name: str) -> None:
    make_student(dtype=torch.float32).save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"it needs config.json and model.safetensors"):
        Student.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["mlp", "gru", "lstm", "transformer", "own"])
@pytest.mark.parametrize("space", [Bits(2), Count(2), Product(a=Categorical(3), b=Bits(1))], ids=str)
def test_whole_numbers_are_read_where_the_space_has_floating_point(kind: str, space: Space) -> None:
    cell = OwnRealCell(space.entered_size) if kind == "own" else CellSettings(kind=kind, tokens=2, memory_width=8)
    student = Student(space, Categorical(2), cell)
    values = torch.randint(2, (3, 4, 2))
    outputs, memory = student.outputs(values)
    expected, last = student.outputs(values.float())
    assert torch.equal(outputs, expected)
    assert torch.equal(memory, last)
    empty = student.initial_memory(3)
    assert torch.equal(student.step(values[:, 0], empty), student.step(values[:, 0].float(), empty))
