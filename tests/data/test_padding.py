"""Padding values and nan are accepted where nothing is scored, and refused where they would be read."""

import pytest
import torch

import nounroll
from nounroll.core.batch import Batch, Categorical, Real, Space
from nounroll.data.padding import without_padding
from nounroll.data.task import SequenceTask, draw

NAN = float("nan")


class Given(SequenceTask):
    """Sequences of 6 steps, of which the first 4 are scored."""

    def __init__(self, space: Space, padding: float, where: slice, part: str) -> None:
        self.inputs = self.targets = space
        self._padding, self._where, self._part = padding, where, part

    def sample(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        shape = (batch_size, length, *self.inputs.event_shape)
        if isinstance(self.inputs, Real):
            arrays = {name: torch.randn(shape, generator=generator) for name in ("inputs", "targets")}
        else:
            arrays = {name: torch.randint(1, 3, shape, generator=generator) for name in ("inputs", "targets")}
        arrays[self._part][:, self._where] = self._padding
        mask = (torch.arange(length) < 4).expand(batch_size, length)
        return Batch(**arrays, mask=mask)


SPACES = [(Real(2), NAN), (Real(2), float("inf")), (Categorical(3), -100), (Categorical(3), -1), (Categorical(3), 255)]


@pytest.mark.parametrize(("space", "padding"), SPACES)
@pytest.mark.parametrize("part", ["inputs", "targets"])
def test_padding_where_nothing_is_scored_is_0(space: Space, padding: float, part: str) -> None:
    batch = draw(Given(space, padding, slice(4, None), part), 3, 6, 0, "t")
    assert (getattr(batch, part)[:, 4:] == 0).all()
    assert (getattr(batch, part)[:, :4] != 0).all()


@pytest.mark.parametrize(("space", "padding"), SPACES)
@pytest.mark.parametrize("part", ["inputs", "targets"])
def test_padding_that_a_score_depends_on_is_refused(space: Space, padding: float, part: str) -> None:
    with pytest.raises(ValueError, match=rf"^Given: {part} holds? .*{padding:g}"):
        draw(Given(space, padding, slice(3, None), part), 3, 6, 0, "t")


def test_targets_in_between_need_no_value_and_inputs_do() -> None:
    x = torch.ones(1, 5, 1)
    mask = torch.tensor([[True, False, True, True, False]])
    y = torch.tensor([1, NAN, 3, 4, NAN])[None, :, None]
    cleared = without_padding(Batch(x, y, mask), Real(1), Real(1))
    assert cleared.targets[0, :, 0].tolist() == [1, 0, 3, 4, 0]
    read = without_padding(Batch(y, x, mask), Real(1), Real(1))
    assert read.inputs[0, 1].isnan()  # the memory reads it before steps that are scored
    assert read.inputs[0, 4] == 0


def test_values_of_the_space_are_left_everywhere() -> None:
    x = torch.arange(6)[None]
    batch = Batch(x, x, torch.tensor([[True] + [False] * 5]))
    cleared = without_padding(batch, Categorical(6), Categorical(6))
    assert torch.equal(cleared.inputs, x)
    assert torch.equal(cleared.targets, x)


@pytest.mark.parametrize("padding", [NAN, 0.0])
def test_training_is_the_same_whatever_the_padding(padding: float) -> None:
    run = nounroll.fit(
        Given(Real(2), padding, slice(4, None), "targets"),
        method="bptt",
        cell="gru",
        length=6,
        steps=3,
        settings={"readout_width": 8, "cell.memory_width": 8},
    )
    reference = nounroll.fit(
        Given(Real(2), 7.0, slice(4, None), "targets"),
        method="bptt",
        cell="gru",
        length=6,
        steps=3,
        settings={"readout_width": 8, "cell.memory_width": 8},
    )
    assert run.metrics["loss"] == reference.metrics["loss"]


def test_control_a_nan_that_stays_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nounroll.data.task.without_padding", lambda batch, inputs, targets: batch)
    with pytest.raises(ValueError, match="nan"):
        draw(Given(Real(2), NAN, slice(4, None), "targets"), 3, 6, 0, "t")
