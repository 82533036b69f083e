import sys

import numpy as np
import pytest
import torch

from nounroll.core.batch import Categorical
from nounroll.data.digits import Digits
from nounroll.data.images import average_pool, quantise
from nounroll.data.task import draw, held_out

sklearn = pytest.importorskip("sklearn.datasets")


def test_images_in_raster_order() -> None:
    task = Digits()
    assert (task.inputs, task.targets) == (Categorical(18), Categorical(17))
    assert (task.image_shape, task.max_length, task.levels) == ((8, 8), 64, 17)
    known = {bytes(image.astype(np.uint8).ravel()) for image in sklearn.load_digits().images}
    batch = draw(task, 50, 64, 0, "train")
    assert {bytes(row) for row in batch.targets.numpy().astype(np.uint8)} <= known
    assert torch.equal(draw(task, 50, 20, 0, "train").targets, batch.targets[:, :20])


def test_1500_train_and_297_are_held_out() -> None:
    task = Digits()
    parts = [
        [bytes(row) for batch in held_out(part, 10**6, 64, 0, "any") for row in batch.targets.numpy().astype(np.uint8)]
        for part in (task, task.validation(), task.test())
    ]
    assert [len(part) for part in parts] == [1500, 148, 149]
    assert len({row for part in parts for row in part}) == 1797


def test_a_picture_for_a_person() -> None:
    task = Digits()
    picture = task.decode(torch.cat([task.prompt(), torch.tensor([0] * 60 + [16] * 4)]))
    assert picture.split("\n") == [" " * 8] * 7 + ["    @@@@"]
    assert task.decode(torch.tensor([16] * 11)) == "@@@@@@@@\n@@@"  # not finished yet


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r"^task digits needs the package .*; pip install nounroll\[digits\]$"):
        Digits()


def test_quantise() -> None:
    everything = np.arange(256, dtype=np.uint8)
    assert np.array_equal(quantise(everything, 256), everything)
    for levels in (2, 3, 16, 100):
        assert sorted(set(quantise(everything, levels).tolist())) == list(range(levels))
    assert quantise(np.array([127, 128], dtype=np.uint8), 2).tolist() == [0, 1]


def test_average_pool() -> None:
    images = np.array([[[0, 2, 255, 255], [4, 6, 255, 255], [0, 0, 1, 1], [0, 0, 0, 1]]], dtype=np.uint8)
    assert average_pool(images, 2).tolist() == [[[3, 255], [0, 1]]]
    assert average_pool(images, 4) is images
