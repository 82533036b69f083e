"""The fingerprint of a task's data: the same for the same data, another for any other."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

import nounroll
from nounroll import data
from nounroll.data.fingerprint import fingerprint


def _made(kind: str, folder: Path, *, grown: bool = False) -> nounroll.SequenceTask:
    """A task of each kind of stored data; ``grown`` appends to it."""
    more = 7 if grown else 0
    if kind == "text":
        (folder / "t.txt").write_text("abcdefgh " * 300 + "z" * more)
        return data.build("text", {"path": str(folder / "t.txt")})
    if kind == "series":
        (folder / "s.csv").write_text("y\n" + "\n".join(f"{i % 9}.5" for i in range(300 + more)))
        return data.build("series", {"path": str(folder / "s.csv")})
    if kind == "sequences":
        return nounroll.Sequences(inputs=[np.arange(5) % 3] * (30 + more), targets=[np.arange(5) % 3] * (30 + more))
    shape = (300 + more,) if kind == "tokens" else (30 + more, 10)
    np.save(folder / "a.npy", np.arange(np.prod(shape)).reshape(shape) % 6)
    return data.build("array", {"path": str(folder / "a.npy")})


@pytest.mark.parametrize("kind", ["text", "series", "sequences", "tokens", "rows"])
def test_data_that_grew_has_another_fingerprint(kind: str, tmp_path: Path) -> None:
    first = fingerprint(_made(kind, tmp_path))
    assert fingerprint(_made(kind, tmp_path)) == first
    assert fingerprint(_made(kind, tmp_path, grown=True)) != first


def test_one_changed_byte_of_a_small_file_is_found(tmp_path: Path) -> None:
    first = fingerprint(_made("text", tmp_path))
    text = (tmp_path / "t.txt").read_text()
    (tmp_path / "t.txt").write_text(text[:1000] + "Z" + text[1001:])
    assert fingerprint(data.build("text", {"path": str(tmp_path / "t.txt")})) != first


def test_another_split_is_other_data() -> None:
    sequences = [np.arange(5) % 3] * 30
    one, other = (nounroll.Sequences(inputs=sequences, targets=sequences, seed=seed) for seed in (0, 1))
    assert fingerprint(one) != fingerprint(other)


def test_a_user_task_is_fingerprinted_by_its_draws() -> None:
    class Drawn(nounroll.SequenceTask):
        inputs = targets = nounroll.Real(1)

        def __init__(self, frequency: float) -> None:
            self.frequency = frequency

        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
            phase = torch.rand(batch_size, 1, generator=generator)
            return nounroll.Batch.next_step(torch.sin(torch.arange(length + 1) * self.frequency + phase)[..., None])

    assert fingerprint(Drawn(0.3)) == fingerprint(Drawn(0.3))
    assert fingerprint(Drawn(0.3)) == fingerprint(Drawn(0.3 + 1e-9))  # the last digits are the machine's
    assert fingerprint(Drawn(0.3)) != fingerprint(Drawn(0.4))


def test_a_task_that_refuses_the_length_still_has_one() -> None:
    class Refusing(nounroll.SequenceTask):
        inputs = targets = nounroll.Categorical(2)

        def sample(self, batch_size: int, length: int, generator: torch.Generator) -> nounroll.Batch:
            raise RuntimeError("no such length")

    assert len(fingerprint(Refusing())) == 64


def test_a_large_file_costs_little(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        for _ in range(64):
            file.write(b"words ! " * (1 << 17))  # a mebibyte
    task = data.build("text", {"path": str(path)})
    start = time.process_time()
    fingerprint(task)
    assert time.process_time() - start < 0.5
