"""The rivals of the everyday suite are ordinary networks that learn, see no future and know nothing of the library."""

import ast
import sys
from pathlib import Path

import pytest
import rivals
import torch
from rival_models import RIVALS, MissingRival, Model
from suite_tasks import TASKS
from suite_tasks.measures import ACCURACY, BITS_PER_BYTE
from suite_tasks.problem import Batch, Problem, Sampled, Symbols
from tuning import Budget, Result, best_of

BENCHMARKS = Path(rivals.__file__).parent


def previous(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
    """Say the symbol before: every causal network with any memory can."""
    inputs = torch.randint(3, (batch_size, length), generator=generator)
    return Batch(inputs, inputs.roll(1, 1), torch.ones_like(inputs, dtype=torch.bool) & (torch.arange(length) > 0))


def trivial(**changes: object) -> Sampled:
    settings = {
        "name": "previous", "title": "", "inputs": Symbols(3), "targets": Symbols(3), "length": 6, "seconds": 2,
        "measure": ACCURACY, "draw": previous, "validation_sequences": 32, "test_sequences": 64,
    }  # fmt: skip
    return Sampled(**{**settings, **changes})  # type: ignore[arg-type]


def steps(amount: int) -> Budget:
    """That many batches of 32 sequences of 6, on any machine."""
    return Budget("tokens", amount * 32 * 6)


def tuned(problem: Problem, rival: str, amount: int) -> Result:
    return best_of(problem, lambda rate: rivals.train(problem, rival, steps(amount), 0, rate), rivals.RATES)


def built(rival: str) -> Model:
    try:
        return rivals.build(trivial(), rival, seed=0)
    except MissingRival as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("rival", RIVALS)
def test_a_rival_learns_a_trivial_problem(rival: str) -> None:
    built(rival)
    problem = trivial()
    result = rivals.train(problem, rival, steps(200 if rival == "transformer" else 60), 0, 1e-2)
    assert problem.score(result.predict) > 0.95


@pytest.mark.parametrize(("next_input", "bias"), [(False, 1.0), (True, None)])
def test_the_forget_gate_starts_open_where_the_target_is_not_the_next_input(
    next_input: bool, bias: float | None
) -> None:
    layer = rivals.build(trivial(next_input=next_input), "lstm", seed=0).body.layer
    sums = (layer.bias_ih_l0 + layer.bias_hh_l0)[layer.hidden_size : 2 * layer.hidden_size]
    assert bool((sums == 1.0).all()) is (bias == 1.0)


@pytest.mark.parametrize("rival", RIVALS)
def test_no_output_of_a_rival_depends_on_later_inputs(rival: str) -> None:
    model = built(rival)
    inputs = torch.zeros(2, 6, dtype=torch.int64)
    later = inputs.clone()
    later[:, 4:] = 2
    with torch.no_grad():
        before, after = model(inputs), model(later)
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-5)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-3)


def test_no_choice_of_a_rival_sees_the_test_part() -> None:
    seen = []

    def draw(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        seen.append(part)
        return previous(part, batch_size, length, generator)

    tuned(trivial(draw=draw), "lstm", 6)
    assert set(seen) == {"train", "validation"}


def test_the_best_of_three_rates_on_the_validation_part_is_kept() -> None:
    result = tuned(trivial(), "gru", 40)
    assert set(result.tried) == {"0.001", "0.003", "0.01"}
    assert result.validation == max(value for value, _, _ in result.tried.values())
    assert result.tried[f"{result.rate:g}"][0] == result.validation


def test_a_run_keeps_to_its_budget_with_its_evaluations() -> None:
    result = rivals.train(trivial(), "lstm", Budget("seconds", 1), 0, 1e-3)
    assert 0.8 < result.seconds < 1.3


def test_a_stream_is_read_on_with_the_state_carried() -> None:
    """Symbols that stay for 48 steps: a window of 32 alone does not tell when the next one comes."""
    stream = (torch.arange(48 * 400) // 48 % 4).to(torch.uint8)

    def windows(part: str, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        starts = torch.randint(len(stream) - length, (batch_size, 1), generator=generator)
        rows = stream[starts + torch.arange(length + 1)].long()
        return Batch(rows[:, :-1], rows[:, 1:], torch.ones(batch_size, length, dtype=torch.bool))

    spaces = {"inputs": Symbols(4), "targets": Symbols(4), "length": 64, "measure": BITS_PER_BYTE}
    problem = trivial(draw=windows, stream=stream, **spaces)
    result = rivals.train(problem, "lstm", Budget("tokens", 400 * 32 * 32), 0, 1e-2)
    assert problem.score(result.predict) < 0.3


def test_state_of_a_row_that_restarts_is_empty_and_has_no_past() -> None:
    state = torch.ones(1, 2, rivals.WIDTH, requires_grad=True)
    kept = rivals._kept((state, state), torch.tensor([True, False]))
    assert [float(part[0].mean()) for part in (kept[0][:, 0], kept[0][:, 1])] == [1, 0]
    assert not kept[1].requires_grad


def imports(path: Path) -> set[str]:
    """The top-level modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_rivals_and_problems_import_nothing_of_the_library() -> None:
    scripts = [BENCHMARKS / name for name in ("rivals.py", "rival_models.py", "tuning.py")]
    for path in [*scripts, *(BENCHMARKS / "suite_tasks").glob("*.py")]:
        assert "nounroll" not in imports(path), path
        assert "suite_ours" not in imports(path), path
    assert "nounroll" in imports(BENCHMARKS / "suite_ours.py")


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mambapy.mamba", None)
    with pytest.raises(MissingRival, match="pip install --no-deps mambapy"):
        rivals.build(trivial(), "mamba", 0)


def test_every_rival_reads_every_kind_of_input() -> None:
    for name in ("adding-100", "parity"):
        problem = TASKS[name]()
        for rival in ("lstm", "gru", "transformer", "mingru"):
            batch = next(problem.training(2, 0))
            outputs = rivals.build(problem, rival, 0)(batch.inputs[:, :5])
            assert outputs.shape == (2, 5, problem.targets.outputs)
