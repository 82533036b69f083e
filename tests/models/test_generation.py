"""Generation in parts: prompts read in chunks, nuclei, compiled calls, and snapshots that are continued exactly."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import CELL_KINDS, SYMBOLS, draw_values, make_student
from nounroll.core.batch import Categorical, Real
from nounroll.core.seeding import generator
from nounroll.models.generation import Generation, Sampling
from nounroll.models.snapshot import load_snapshot, save_snapshot
from nounroll.models.student import Student

B = 3
PROBABILITIES = torch.tensor([0.1, 0.4, 0.05, 0.25, 0.2])


def started(student: Student, seed: int = 0, **settings: Any) -> Generation:
    return Generation(student, B, Sampling(temperature=0.8), generator(seed, "draw"), **settings)


# --- in parts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("kind", CELL_KINDS)
def test_parts_give_what_one_call_gives(kind: str, space: Any) -> None:
    student, prompt = make_student(kind, space, space), draw_values(space, B, 11)
    whole = student.generate(prompt, 9, temperature=0.8, generator=generator(0, "draw"))
    parts = started(student).read(prompt[:, :4], chunk=3).read(prompt[:, 4:], chunk=1)
    drawn = torch.cat([parts.write(4), parts.write(1), parts.write(4)], dim=1)
    torch.testing.assert_close(drawn, whole, rtol=0, atol=1e-9)
    torch.testing.assert_close(
        parts.memory, student.rollout(torch.cat([prompt, drawn[:, :-1]], dim=1))[:, -1].detach(), rtol=0, atol=1e-9
    )


def test_what_is_read_after_something_was_drawn_follows_it() -> None:
    student, prompt = make_student(), draw_values(SYMBOLS, B, 4)
    parts = started(student).read(prompt)
    drawn, more = parts.write(2), draw_values(SYMBOLS, B, 3, seed=5)
    parts.read(more)
    assert parts.pending is None
    expected = student.rollout(torch.cat([prompt, drawn, more], dim=1))[:, -1]
    torch.testing.assert_close(parts.memory, expected.detach())


def test_no_more_memories_than_a_chunk_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    student, rollout, seen = make_student(), Student.rollout, []

    def counted(self: Student, inputs: Tensor, memory: Tensor) -> Tensor:
        seen.append(inputs.shape[1])
        return rollout(self, inputs, memory)

    monkeypatch.setattr(Student, "rollout", counted)
    started(student).read(draw_values(SYMBOLS, B, 10), chunk=4)
    assert seen == [4, 4, 2]


COMPILED = """
import torch
from nounroll.core.batch import Categorical
from nounroll.cells.base import CellSettings
from nounroll.models.generation import Generation, Sampling
from nounroll.models.student import Student
symbols, compile_, calls = Categorical(5), torch.compile, []
def whole_graph(function, **how):
    traced = compile_(function, backend="eager", fullgraph=True)
    return lambda *given: calls.append(len(given)) or traced(*given)
torch.compile = whole_graph
torch.manual_seed(0)
for kind in ("mlp", "transformer"):
    student = Student(symbols, symbols, CellSettings(kind=kind))
    with torch.no_grad():
        student.head.out.weight.mul_(100)
    prompt = torch.randint(5, (3, 4))
    drawn = []
    for compiled in (False, True):
        draws = torch.Generator().manual_seed(1)
        drawn.append(Generation(student, 3, Sampling(), draws, compiled=compiled).read(prompt).write(20))
    assert torch.equal(*drawn)
assert len(calls) == 2 * 2, len(calls)  # 1 from the memory alone, 2 x 8, and 3 one by one
"""


@pytest.mark.nightly
def test_a_compiled_call_is_one_graph_and_draws_the_same() -> None:
    """By the tracer alone, the compiler takes too long here; without type checks, which it cannot trace."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


COMPILER = """
import sys, torch
from nounroll.core.batch import Categorical
from nounroll.cells.base import CellSettings
from nounroll.models.generation import Generation, Sampling
from nounroll.models.student import Student
symbols = Categorical(50)
torch.manual_seed(0)
student = Student(symbols, symbols, CellSettings(kind="mlp", tokens=2, memory_width=16), readout_width=16)
with torch.no_grad():
    student.head.out.weight.mul_(30)
for sampling in (Sampling(temperature=0.9), Sampling(top_k=7, top_p=0.8)):
    draws = [torch.Generator().manual_seed(1) for _ in range(2)]
    eager, compiled = (Generation(student, 2, sampling, draws[c], compiled=bool(c)) for c in range(2))
    for one in (eager, compiled):
        one.read(torch.zeros(2, 3, dtype=torch.int64))
    assert torch.equal(eager.write(100), compiled.write(100))
    assert torch.equal(eager.pending, compiled.pending)
    torch.testing.assert_close(eager.memory, compiled.memory)
with torch.no_grad():
    student.head.out.bias.fill_(float("nan"))
try:
    compiled.write(8)
except (ValueError, RuntimeError, IndexError) as error:
    print("refused")
"""


@pytest.mark.nightly
def test_the_compiler_s_code_draws_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", COMPILER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "refused\n"


# --- one draw -----------------------------------------------------------------------------------------


def test_an_element_is_that_in_whose_part_of_the_cumulative_probabilities_the_noise_lies() -> None:
    logits, most = PROBABILITIES.log(), 1 - 2.0**-24  # the largest that torch.rand gives
    noise = torch.tensor([0.0, 0.09, 0.11, 0.49, 0.51, 0.54, 0.56, 0.79, 0.81, most])
    chosen = Sampling().choose(SYMBOLS, logits.expand(len(noise), -1), noise)
    assert chosen.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    of_two = Sampling(top_k=2).choose(SYMBOLS, logits.expand(2, -1), torch.tensor([0.0, most]))
    assert of_two.tolist() == [1, 3]  # the ends too are of the symbols that are left


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
def test_outputs_that_are_not_finite_are_refused(space: Any) -> None:
    student = make_student("mlp", space, space)
    written = started(student).read(draw_values(space, B, 4))
    with torch.no_grad():
        student.head.out.bias.fill_(torch.nan)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^the network's outputs are not finite; "):
            written.write(1)


@pytest.mark.parametrize("logits", [[0.0, torch.nan, 1.0], [0.0, torch.inf, 1.0], [-torch.inf] * 3])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_symbols_are_refused_at_every_temperature_if_outputs_are_not_finite(
    temperature: float, logits: list[float]
) -> None:
    with pytest.raises(ValueError, match=r"^the network's outputs are not finite; "):
        Sampling(temperature=temperature).draw(Categorical(3), torch.tensor([logits]), generator(0, "draw"))


@pytest.mark.parametrize("temperature", [0.0, 1e-46, 1e-38, 1e-6])
def test_a_temperature_near_0_takes_the_most_likely_symbol(temperature: float) -> None:
    logits = torch.tensor([[-torch.inf, 20.0, 19.0]])  # a symbol may be impossible
    assert Sampling(temperature=temperature).draw(Categorical(3), logits, generator(0, "draw")).tolist() == [1]


# --- the nucleus --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top_p", "nucleus"),
    [(0.01, {1}), (0.39, {1}), (0.41, {1, 3}), (0.66, {1, 3, 4}), (0.9, {1, 3, 4, 0}), (1.0, {*range(5)})],
)
def test_the_nucleus_is_the_fewest_symbols_that_hold_the_probability(top_p: float, nucleus: set[int]) -> None:
    logits = PROBABILITIES.log().expand(4000, -1)
    drawn = Sampling(top_p=top_p).draw(SYMBOLS, logits, generator(0, "draw"))
    assert set(drawn.tolist()) == nucleus
    shares = torch.bincount(drawn, minlength=5) / len(drawn)
    kept = torch.tensor([p if i in nucleus else 0.0 for i, p in enumerate(PROBABILITIES.tolist())])
    torch.testing.assert_close(shares, kept / kept.sum(), rtol=0, atol=0.03)


def test_top_k_comes_before_top_p() -> None:
    logits = PROBABILITIES.log().expand(2000, -1)
    drawn = Sampling(top_k=2, top_p=0.61).draw(Categorical(5), logits, generator(0, "draw"))
    assert set(drawn.tolist()) == {1}  # 0.4 / (0.4 + 0.25) is more than 0.61


@pytest.mark.parametrize("top_p", [0.0, -0.5, 1.5, float("nan")])
def test_no_such_nucleus(top_p: float) -> None:
    with pytest.raises(ValueError, match=f"^top_p is {top_p}; it must be more than 0 and at most 1$"):
        Sampling(top_p=top_p)


# --- snapshots ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [SYMBOLS, Real(2)], ids=str)
@pytest.mark.parametrize("drawn_before", [0, 5])
def test_a_snapshot_is_continued_exactly(tmp_path: Path, space: Any, drawn_before: int) -> None:
    student, prompt = make_student("gru", space, space), draw_values(space, B, 4)
    first = started(student).read(prompt)
    if drawn_before:
        first.write(drawn_before)
    save_snapshot(first, tmp_path / "snapshot")
    expected, second = first.write(30), load_snapshot(student, tmp_path / "snapshot")
    assert second.sampling == first.sampling
    assert torch.equal(second.write(30), expected)


def test_a_network_in_bfloat16_has_snapshots(tmp_path: Path) -> None:
    student = make_student("gru", SYMBOLS, SYMBOLS).bfloat16()
    first = started(student).read(draw_values(SYMBOLS, B, 4))
    first.write(5)
    save_snapshot(first, tmp_path / "snapshot")
    expected = first.write(10)
    assert torch.equal(load_snapshot(student, tmp_path / "snapshot").write(10), expected)
    other = make_student("gru", SYMBOLS, SYMBOLS, seed=1).bfloat16()
    with pytest.raises(ValueError, match="is of another network"):
        load_snapshot(other, tmp_path / "snapshot")


@pytest.mark.parametrize("part", ["memory", "pending", "generator"])
def test_control_a_snapshot_without_a_part_would_be_caught(tmp_path: Path, part: str) -> None:
    """Real elements tell of every change; the symbols of an untrained network do not."""
    student = make_student("gru", Real(2), Real(2))
    first = started(student).read(draw_values(Real(2), B, 4))
    first.write(5)
    save_snapshot(first, tmp_path / "snapshot")
    second, fresh = load_snapshot(student, tmp_path / "snapshot"), started(student)
    setattr(second, part, getattr(fresh, part))
    assert not torch.equal(second.write(30), first.write(30))


def test_a_snapshot_is_data_and_damage_to_it_is_found(tmp_path: Path) -> None:
    save_snapshot(started(make_student()), tmp_path / "snapshot")
    files = sorted(path.name for path in (tmp_path / "snapshot").iterdir())
    assert files == ["manifest.json", "snapshot.json", "snapshot.safetensors"]
    assert json.loads((tmp_path / "snapshot" / "snapshot.json").read_text())["sampling"]["temperature"] == 0.8
    weights = tmp_path / "snapshot" / "snapshot.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="is damaged"):
        load_snapshot(make_student(), tmp_path / "snapshot")


def test_a_snapshot_of_another_network_and_one_that_cannot_be_continued(tmp_path: Path) -> None:
    save_snapshot(started(make_student()), tmp_path / "snapshot")
    said = f"{tmp_path / 'snapshot'} holds memories of shape (2, 8); this network has (4, 64)"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        load_snapshot(Student(SYMBOLS, SYMBOLS), tmp_path / "snapshot")
    with pytest.raises(ValueError, match=r"^generation has no generator of its own; "):
        save_snapshot(Generation(make_student(), B), tmp_path / "other")
