"""Several fits at once in one process: each is what it would be alone."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from nounroll import fit
from nounroll.cells.base import CELLS
from nounroll.core.modes import drawing_from
from nounroll.data.parity import Parity
from nounroll.experiments.assembly import build
from nounroll.experiments.recipe import parse
from own_parts import RunningMean

SMALL = {"teacher.width": 16, "teacher.layers": 1, "cell.memory_width": 8, "cell.tokens": 2, "readout_width": 16}
THREADS = 3
KINDS = [("smt+dmt", "mlp"), ("bptt", "lstm"), ("smt+tbptt", "transformer"), ("transformer", "mlp")]
Result = tuple[list[torch.Tensor], dict[str, float]]


def trained(kind: tuple[str, str]) -> Result:
    """The weights and figures of a short run."""
    run = fit(Parity(), method=kind[0], cell=kind[1], length=16, steps=8, settings={**SMALL, "training.batch_size": 4})
    return [p.detach() for p in run.model.parameters()], {**run.metrics, "seconds": 0.0}


def at_once(run: Callable[[Any], Any], jobs: list[Any]) -> list[Any]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, jobs))


def alike(one: Result, other: Result) -> bool:
    return one[1] == other[1] and all(torch.equal(p, q) for p, q in zip(one[0], other[0], strict=True))


def test_fits_in_threads_are_bit_identical_to_lone_ones() -> None:
    jobs = KINDS * THREADS
    found = at_once(trained, jobs)
    alone = {kind: trained(kind) for kind in KINDS}
    assert [alike(result, alone[kind]) for kind, result in zip(jobs, found, strict=True)] == [True] * len(jobs)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_a_fit_where_gradients_are_off_is_the_same(off: Callable[[], Any]) -> None:
    with off():
        found = trained(KINDS[0])
        assert not torch.is_grad_enabled()
    assert alike(found, trained(KINDS[0]))


def test_the_check_sees_fits_that_share_a_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: initial weights from torch's global generator, which every thread seeds before any of them draws."""
    kind, barrier = KINDS[1], threading.Barrier(THREADS)
    alone = trained(kind)

    @contextmanager
    def globally(generator: torch.Generator) -> Iterator[None]:
        torch.manual_seed(generator.initial_seed())
        barrier.wait(60)
        yield

    monkeypatch.setattr("nounroll.experiments.assembly.drawing_from", globally)
    assert not all(alike(result, alone) for result in at_once(trained, [kind] * THREADS))


@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize("teacher", ["slots", "causal", "window"])
def test_initial_weights_come_from_the_seed_alone(cell: str, teacher: str) -> None:
    """They are those that a global seed gives, and torch's global generator is left as it was."""
    sizes = [f"{name}={value}" for name, value in SMALL.items()]
    names = [f"cell.kind={cell}", f"teacher.kind={teacher}", "method=smt+dmt"]
    recipe = parse({"task": {"kind": "custom"}, "length": 16}, [*sizes, *names])
    for task in (Parity(), RunningMean()):
        before = torch.get_rng_state()
        with drawing_from(torch.Generator().manual_seed(5)):
            drawn = build(recipe, task, None)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(5)
        for part, twin in zip(drawn, build(recipe, task, None), strict=True):
            assert part is not None
            assert twin is not None
            for (name, value), other in zip(part.state_dict().items(), twin.state_dict().values(), strict=True):
                assert torch.equal(value, other), name
