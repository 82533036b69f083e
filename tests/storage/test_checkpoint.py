"""What is saved comes back bit for bit, whole or not at all, and damage never passes for a checkpoint."""

import contextlib
import errno
import hashlib
import os
import pickle
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nounroll.storage import checkpoint
from nounroll.storage.checkpoint import CheckpointError

NIGHTLY = bool(os.environ.get("NOUNROLL_NIGHTLY"))


def tensors(value: float = 0.5) -> dict[str, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(4, 6, generator=generator)
    return {
        "model": {
            "weight": weights + value,
            "transposed": weights.t(),
            "tied": weights,
            "also tied": weights,
            "half": weights.bfloat16(),
            "scalar": torch.tensor(value),
            "empty": torch.empty(0, 3),
            "mask": weights > 0,
            "counts": torch.arange(5),
        },
        "none": {},
    }


DOCUMENTS = {"run": {"step": 3, "rate": 0.1 + 0.2, "name": "m_∅", "none": None, "list": [1, [2.5, True]]}, "empty": {}}


def assert_same(actual: dict[str, dict[str, Tensor]], expected: dict[str, dict[str, Tensor]]) -> None:
    assert actual.keys() == expected.keys()
    for group, named in expected.items():
        assert actual[group].keys() == named.keys()
        for name, value in named.items():
            assert actual[group][name].dtype == value.dtype
            assert torch.equal(actual[group][name], value), name


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    checkpoint.write(tmp_path / "saved", tensors(), DOCUMENTS)
    return tmp_path / "saved"


# --- round trip -----------------------------------------------------------------------------------


def test_round_trip_is_exact(saved: Path) -> None:
    read_tensors, read_documents = checkpoint.read(saved)
    assert_same(read_tensors, tensors())
    assert read_documents == DOCUMENTS
    assert sorted(os.listdir(saved.parent)) == ["saved"]


def test_a_checkpoint_replaces_one_of_the_same_name(saved: Path) -> None:
    checkpoint.write(saved, {"other": {"x": torch.ones(1)}}, {})
    read_tensors, read_documents = checkpoint.read(saved)
    assert read_tensors.keys() == {"other"}
    assert read_documents == {}
    assert os.listdir(saved.parent) == ["saved"]


def test_a_folder_that_holds_something_else_is_never_replaced(saved: Path, tmp_path: Path) -> None:
    (saved / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"it holds notes\.txt"):
        checkpoint.write(saved, tensors(), {})
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "settings.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"it holds settings\.json"):
        checkpoint.write(tmp_path / "home", tensors(), {})
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="Not a directory"):
        checkpoint.write(tmp_path / "file", tensors(), {})
    assert (saved / "notes.txt").read_text() == (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nonfinite_tensors_are_refused_unless_allowed(tmp_path: Path, value: float) -> None:
    group = {"fine": torch.ones(2), "broken": torch.tensor([1.0, value])}
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be saved: broken holds NaN or infinity"):
        checkpoint.write(tmp_path / "new", {"model": group}, {})
    assert os.listdir(tmp_path) == []
    checkpoint.write(tmp_path / "new", {"model": group}, {}, allow_nonfinite=True)
    assert torch.equal(
        checkpoint.read(tmp_path / "new")[0]["model"]["broken"].nan_to_num(7), group["broken"].nan_to_num(7)
    )


@pytest.mark.parametrize("name", ["", "..", "../out", "a/b", "a.b", "ü"])
def test_names_are_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="names are letters"):
        checkpoint.write(tmp_path / "new", {name: {}}, {})
    with pytest.raises(CheckpointError, match="names are letters"):
        checkpoint.write(tmp_path / "new", {}, {name: {}})
    assert os.listdir(tmp_path) == []


def test_what_the_formats_cannot_hold_is_refused(tmp_path: Path) -> None:
    for document in (float("nan"), {"f": print}, {(1, 2): 3}, {"bytes": b""}):
        with pytest.raises(CheckpointError, match=r"run\.json cannot be saved"):
            checkpoint.write(tmp_path / "new", {}, {"run": document})
    for group in ({"sparse": torch.eye(3).to_sparse()}, {"__metadata__": torch.ones(1)}):
        with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be saved"):
            checkpoint.write(tmp_path / "new", {"model": group}, {})
    with pytest.raises(CheckpointError, match="not 'manifest'"):
        checkpoint.write(tmp_path / "new", {}, {"manifest": {}})
    assert os.listdir(tmp_path) == []


# --- damage ---------------------------------------------------------------------------------------


def flip(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def flips(folder: Path, path: Path, count: int) -> Iterator[None]:
    """Damage one bit at a time, and put it back."""
    whole = path.read_bytes()
    draw = random.Random(path.name)
    for bit in draw.sample(range(8 * len(whole)), min(count, 8 * len(whole))):
        path.write_bytes(flip(whole, bit))
        yield
    path.write_bytes(whole)


def test_every_flipped_bit_is_found_and_its_file_named(saved: Path) -> None:
    for path in saved.iterdir():
        for _ in flips(saved, path, 2000 if NIGHTLY else 500):
            with pytest.raises(CheckpointError) as fault:
                checkpoint.read(saved)
            assert str(path) in str(fault.value)
            assert "\n" not in str(fault.value)
    checkpoint.read(saved)


def test_control_without_verification_flips_pass(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [(path.name, path.read_bytes) for path in saved.iterdir() if path.name != checkpoint.MANIFEST]
    monkeypatch.setattr(checkpoint.reading, "_verified", lambda folder: plain)
    passed = 0
    for _ in flips(saved, saved / "model.safetensors", 100):
        with contextlib.suppress(CheckpointError):
            checkpoint.read(saved)
            passed += 1
    assert passed > 10


@pytest.mark.parametrize("cut", [0, 1, 7, 100])
def test_cut_files_are_found(saved: Path, cut: int) -> None:
    for path in saved.iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[:cut] if cut < len(whole) else whole + b"\n")
        with pytest.raises(CheckpointError, match=path.name):
            checkpoint.read(saved)
        path.write_bytes(whole)


def test_missing_and_extra_files_are_found(saved: Path) -> None:
    (saved / "extra.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"extra\.json is not in the manifest"):
        checkpoint.read(saved)
    (saved / "extra.json").unlink()
    (saved / "run.json").unlink()
    with pytest.raises(CheckpointError, match=r"run\.json cannot be read: No such file"):
        checkpoint.read(saved)
    with pytest.raises(CheckpointError, match="is not a checkpoint: No such file"):
        checkpoint.read(saved.with_name("absent"))


def test_only_plain_files_are_opened(saved: Path, tmp_path: Path) -> None:
    path = saved / "run.json"
    path.rename(tmp_path / "outside.json")
    for make in (
        lambda: path.symlink_to(tmp_path / "outside.json"),  # what it points to has the right bytes
        lambda: path.mkdir(),
        lambda: os.mkfifo(path),  # opening it would wait for ever
    ):
        make()
        with pytest.raises(CheckpointError, match=r"run\.json is not a plain file"):
            checkpoint.read(saved)
        path.rmdir() if path.is_dir() else path.unlink()


def forge(folder: Path, files: dict[str, bytes], listed: dict[str, object] | None = None) -> Path:
    """A checkpoint by someone who knows the format: the manifest is in order, the content is not."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    fingerprints = {n: {"size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in files.items()}
    (folder / checkpoint.MANIFEST).write_bytes(checkpoint.format.manifest(fingerprints | (listed or {})))
    return folder


@pytest.mark.parametrize(
    "name", ["../outside.json", "/outside.json", "a/b.json", "weights.pt", "manifest.json", "..json"]
)
def test_a_manifest_cannot_name_other_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.json").write_text("{}")
    fingerprint = {"size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}
    with pytest.raises(CheckpointError, match="it names the file"):
        checkpoint.read(forge(tmp_path / "forged", {}, {name: fingerprint}))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.safetensors", b"\x80\x04cposix\nsystem\n."),  # a pickle under another name
        ("model.safetensors", (1 << 62).to_bytes(8, "little") + b"{}"),  # a header larger than any file
        (
            "model.safetensors",
            (64).to_bytes(8, "little") + b'{"x":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}',
        ),
        ("run.json", b"[" * 200_000),  # deeper than the stack
        ("run.json", b"NaN"),
        ("run.json", b"\xff\xfe"),
        ("run.json", b"1" * 5_000),
    ],
)
def test_hostile_content_is_one_line_not_a_crash(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(CheckpointError, match=f"{name} cannot be read: ") as fault:
        checkpoint.read(forge(tmp_path / "forged", {name: data}))
    assert "\n" not in str(fault.value)


class Payload:
    """What runs when a pickle of it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.safetensors", "run.json"])
def test_a_pickle_under_another_name_does_not_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"{name} cannot be read: "):
        checkpoint.read(forge(tmp_path / "forged", {name: pickle.dumps(Payload(tmp_path / "ran"))}))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("name", "parser"), [("model.safetensors", "parse_tensors"), ("run.json", "parse_document")])
def test_control_a_reader_that_falls_back_on_pickle_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, parser: str
) -> None:
    parse = getattr(checkpoint.reading, parser)

    def careless(data: bytes) -> Any:
        try:
            return parse(data)
        except Exception:
            return pickle.loads(data)

    monkeypatch.setattr(checkpoint.reading, parser, careless)
    (tmp_path / "ran").mkdir()  # so that what runs is an error too: the one that is matched
    with pytest.raises(AssertionError):
        test_a_pickle_under_another_name_does_not_run(tmp_path, name)


def test_control_a_manifest_that_may_name_any_file_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint.reading, "FILE_NAME", re.compile(r".*\.json"))
    with pytest.raises(AssertionError, match="cannot be read: too many values"):  # the file beside it was opened
        test_a_manifest_cannot_name_other_files(tmp_path, "../outside.json")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"files": []}', '{"files": {"a.json": 1}}', "[" * 100_000, '{"files": NaN}', " " * (2 << 20)],
)
def test_a_manifest_of_any_shape_is_refused(saved: Path, text: str) -> None:
    (saved / checkpoint.MANIFEST).write_text(text)
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        checkpoint.read(saved)


@pytest.mark.parametrize("fingerprint", [3, {}, {"size": True, "sha256": "0"}, {"size": 2, "sha256": "0", "x": 1}])
def test_a_manifest_must_hold_fingerprints(tmp_path: Path, fingerprint: object) -> None:
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        checkpoint.read(forge(tmp_path / "forged", {}, {"run.json": fingerprint}))


# --- dying ----------------------------------------------------------------------------------------


class Death(BaseException):
    """The process is gone: no handler of ours runs after it, as none would."""


class Mortal:
    """Counts the calls that change the disk and dies before or after the n-th. The dead change nothing."""

    CALLS = ((os, "mkdir"), (os, "fsync"), (os, "rename"), (os, "replace"), (os, "unlink"), (os, "rmdir"))

    def __init__(self, patch: pytest.MonkeyPatch, n: int, after: bool) -> None:
        self.calls, self.n, self.after = 0, n, after
        for module, name in self.CALLS:
            patch.setattr(module, name, self.watch(getattr(module, name)))

    def watch(self, call):
        def mortal(*args, **kwargs):
            self.calls += 1
            if self.calls > self.n or (self.calls == self.n and not self.after):
                raise Death
            result = call(*args, **kwargs)
            if self.calls == self.n:
                raise Death
            return result

        return mortal


def write_in_place(folder: Path, value: float) -> None:
    """The planted bug: a writer that overwrites the files where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    files = checkpoint.contents(tensors(value), {"run": {"value": value}})
    files[checkpoint.MANIFEST] = checkpoint.format.manifest(
        {n: checkpoint.format.fingerprint(d) for n, d in files.items()}
    )
    for name, data in files.items():
        with open(folder / name, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def write_atomically(folder: Path, value: float) -> None:
    checkpoint.write(folder, tensors(value), {"run": {"value": value}})


def deaths(root: Path, writer, start: int, step: int) -> Iterator[float | None]:
    """Save ``start`` and then ``step``, dying at every instant of the second. Yields what is left to load."""
    for after in (False, True):
        for n in range(1, 100):
            shutil.rmtree(root, ignore_errors=True)
            writer(checkpoint.step_folder(root, start), 1.0)
            with pytest.MonkeyPatch.context() as patch:
                mortal = Mortal(patch, n, after)
                try:
                    writer(checkpoint.step_folder(root, step), 2.0)
                    finished = True
                except Death:
                    finished = False
            if mortal.calls < n:
                assert finished
                break
            path = checkpoint.newest(root)
            assert path is not None
            try:
                read_tensors, documents = checkpoint.read(path)
                assert_same(read_tensors, tensors(documents["run"]["value"]))
                yield documents["run"]["value"]
            except CheckpointError:
                yield None
        else:
            raise AssertionError("it never finished")


@pytest.mark.parametrize("step", [1, 2], ids=["replacing", "beside"])
def test_dying_at_any_call_leaves_the_old_or_the_new(tmp_path: Path, step: int) -> None:
    left = list(deaths(tmp_path / "run", write_atomically, 1, step))
    assert len(left) >= 20
    assert set(left) == {1.0, 2.0}


@pytest.mark.parametrize("step", [1, 2], ids=["replacing", "beside"])
def test_after_any_death_the_next_save_works_and_prune_tidies_up(tmp_path: Path, step: int) -> None:
    root = tmp_path / "run"
    for _ in deaths(root, write_atomically, 1, step):
        write_atomically(checkpoint.step_folder(root, step), 3.0)
        path = checkpoint.newest(root)
        assert path == checkpoint.step_folder(root, step)
        assert checkpoint.read(path)[1] == {"run": {"value": 3.0}}
        checkpoint.prune(root, keep=1)
        assert os.listdir(root) == [path.name]


def test_control_a_writer_in_place_does_not_survive_death(tmp_path: Path) -> None:
    assert None in set(deaths(tmp_path / "run", write_in_place, 1, 1))


def unsynced_renames(writer, folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """What a power cut could take although the rename that shows it has happened."""
    synced: set[int] = set()
    faults: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def watched_rename(source: Path, target: Path) -> None:
        if Path(target) == folder:
            inside = [*Path(source).iterdir(), Path(source)]
            faults.extend(path.name for path in inside if path.stat().st_ino not in synced)
            synced.discard(folder.parent.stat().st_ino)
        rename(source, target)

    patch.setattr(os, "fsync", watched_fsync)
    patch.setattr(os, "rename", watched_rename)
    writer(folder, 1.0)
    return faults if folder.parent.stat().st_ino in synced else [*faults, "parent"]


def test_everything_is_on_the_disk_before_the_rename_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unsynced_renames(write_atomically, tmp_path / "saved", monkeypatch) == []


@pytest.mark.parametrize("forgotten", ["write_file", "sync_folder"])
def test_control_a_forgotten_fsync_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    careless = {"write_file": Path.write_bytes, "sync_folder": lambda folder: None}
    monkeypatch.setattr(checkpoint.writing, forgotten, careless[forgotten])
    assert unsynced_renames(write_atomically, tmp_path / "saved", monkeypatch)


# --- a disk that says no --------------------------------------------------------------------------


class FailingDisk:
    """Fails the n-th call that changes the disk."""

    def __init__(self, patch: pytest.MonkeyPatch, n: int, fault: OSError) -> None:
        self.calls, self.n, self.fault, self.failed = 0, n, fault, ""
        for module, name in (
            (os, "mkdir"),
            (os, "fsync"),
            (os, "rename"),
            (os, "open"),
            (checkpoint.writing, "write_file"),
        ):
            patch.setattr(module, name, self.watch(name, getattr(module, name)))

    def watch(self, name, call):
        def failing(*args, **kwargs):
            self.calls += 1
            if self.calls == self.n:
                self.failed = name
                raise self.fault
            return call(*args, **kwargs)

        return failing


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("step", [1, 2], ids=["replacing", "beside"])
def test_a_failing_disk_is_one_line_and_costs_nothing(tmp_path: Path, step: int, code: int) -> None:
    """For every n. Unlike the dead, the process goes on after the fault, and tidies up."""
    old, new = checkpoint.step_folder(tmp_path / "run", 1), checkpoint.step_folder(tmp_path / "run", step)
    refused, passed_over = 0, []
    for n in range(1, 100):
        shutil.rmtree(old.parent, ignore_errors=True)
        write_atomically(old, 1.0)
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, n, OSError(code, os.strerror(code)))
            try:
                write_atomically(new, 2.0)
                message = None
            except CheckpointError as fault:
                message = str(fault)
        if message is None:  # never a false "saved"
            assert checkpoint.read(new)[1] == {"run": {"value": 2.0}}
            passed_over.append(disk.failed)
        else:
            refused += 1
            assert message == f"{new} was not saved: {os.strerror(code)}"
            assert os.listdir(old.parent) == [old.name]
            assert checkpoint.read(old)[1] == {"run": {"value": 1.0}}
        if disk.calls < n:
            break
    assert disk.calls < n
    assert refused >= 8
    if step == 2:  # the parent is there already, there is no old one to take away, and the last n fails nothing
        assert passed_over == ["mkdir", "rename", ""]


@pytest.mark.parametrize("forgiving", ["_put_in_place", "sync_folder"])
def test_control_a_writer_that_passes_over_a_fault_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgiving: str
) -> None:
    step = getattr(checkpoint.writing, forgiving)

    def passed_over(*given: Path) -> None:
        with contextlib.suppress(OSError):
            step(*given)

    monkeypatch.setattr(checkpoint.writing, forgiving, passed_over)
    with pytest.raises((AssertionError, CheckpointError)):
        test_a_failing_disk_is_one_line_and_costs_nothing(tmp_path, 2, errno.EIO)


def test_a_failed_removal_of_the_old_is_no_failure_to_save(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoint.writing, "remove_folder", refuse)
    checkpoint.write(saved, {}, {"run": 2})
    assert checkpoint.read(saved)[1] == {"run": 2}


# --- a folder of checkpoints ----------------------------------------------------------------------


def test_newest_is_by_step_and_complete(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "absent") is None
    assert checkpoint.newest(tmp_path) is None
    for step in (9, 123_456_789, 10):
        checkpoint.write(checkpoint.step_folder(tmp_path, step), {}, {"run": step})
    (tmp_path / "step-999999999").mkdir()  # no manifest
    checkpoint.write(tmp_path / ".tmp-step-999999999-0", {}, {})
    checkpoint.write(tmp_path / "best", {}, {})
    assert checkpoint.newest(tmp_path) == tmp_path / "step-123456789"


def test_prune_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 3, 20):
        checkpoint.write(checkpoint.step_folder(tmp_path, step), {}, {})
    (tmp_path / ".tmp-step-00000021-abcd").mkdir()
    (tmp_path / "notes").mkdir()
    checkpoint.prune(tmp_path, keep=2)
    assert sorted(os.listdir(tmp_path)) == ["notes", "step-00000003", "step-00000020"]
    checkpoint.prune(tmp_path / "absent", keep=2)
    with pytest.raises(ValueError, match="keep is 0"):
        checkpoint.prune(tmp_path, keep=0)
