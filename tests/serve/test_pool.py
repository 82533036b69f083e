"""The pool: nothing of one session reaches another, whatever joins, stalls and leaves."""

import pytest

pytest.importorskip("fastapi")

import torch
from torch import Tensor

from helpers import SYMBOLS, draw_values, make_student
from nounroll.core.seeding import generator
from nounroll.models.student import Student
from nounroll.serve.pool import Full, Pool


def network() -> Student:
    return make_student("mlp", dtype=torch.float32).eval()


def worst_difference(pool: Pool, rounds: int = 300) -> float:
    """Sessions come, stall and leave at random; each output against the solo replay of its session, NaN as infinity."""
    source = generator(0, "sessions")
    heard: dict[int, list[Tensor]] = {}
    worst = 0.0
    for step in range(rounds):
        chance = torch.rand(3, generator=source)
        if chance[0] < 0.3 and pool.taken < len(pool.memories):
            heard[pool.claim()] = []
        if chance[1] < 0.15 and heard:
            gone = list(heard)[step % len(heard)]
            worst = max(worst, replayed(pool, gone, heard.pop(gone)))
            pool.release(gone)
        active = [slot for slot in heard if torch.rand(1, generator=source) < 0.6]
        if active:
            inputs = draw_values(SYMBOLS, len(active), seed=step)
            after, _ = pool.advance(inputs, pool.memories[active])
            pool.memories[active] = after
            for slot, value in zip(active, inputs, strict=True):
                heard[slot].append(value)
    return worst


@torch.no_grad()
def replayed(pool: Pool, slot: int, heard: list[Tensor]) -> float:
    memory = pool.student.initial_memory(1)
    for value in heard:
        memory = pool.student.step(value[None], memory)
    return float((memory[0] - pool.memories[slot]).abs().max().nan_to_num(torch.inf))


def test_sessions_equal_their_solo_replay() -> None:
    pool = Pool(network(), 7)
    assert worst_difference(pool) < 1e-4
    assert pool.leaks() == 0


def test_control_a_slot_that_is_not_cleared_is_caught() -> None:
    class Careless(Pool):
        def _clear(self, slot: int) -> None:
            pass

    pool = Careless(network(), 7)
    worst_difference(pool)
    assert pool.leaks() > 0


@pytest.mark.parametrize("cleared", [True, False])
def test_control_a_session_that_starts_from_what_is_there_is_caught(cleared: bool) -> None:
    class Careless(Pool):
        def claim(self, memory: Tensor | None = None) -> int:
            return self._free.pop()

        def _clear(self, slot: int) -> None:
            if cleared:
                super()._clear(slot)

    pool = Careless(network(), 7)
    pool.memories[:] = pool.student.empty_memory.detach()  # so that first uses are right, and only reused slots wrong
    assert worst_difference(pool) > 0.01


def test_a_full_pool_says_so() -> None:
    pool = Pool(network(), 2)
    pool.claim(), pool.claim()
    with pytest.raises(Full):
        pool.claim()
