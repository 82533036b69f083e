"""The one opener and the one writer: regular files alone, bounded, whole or not at all."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nounroll.storage import files


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


STRANGE: dict[str, Callable[[Path], object]] = {
    "a link": lambda path: path.symlink_to("whole"),
    "a pipe": os.mkfifo,
    "a socket": _bind,
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("whole").write_bytes(b"whole")


@pytest.mark.parametrize("kind", STRANGE)
def test_only_regular_files_are_opened(kind: str) -> None:
    path, began = Path("strange"), time.monotonic()
    STRANGE[kind](path)
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND | os.O_CREAT):
        with pytest.raises(OSError, match=f"it is {kind}; only regular files are read and written"):
            files.opened(path, flags=flags)
    assert time.monotonic() - began < 2
    assert Path("whole").read_bytes() == b"whole"


def test_a_folder_is_no_file() -> None:
    with pytest.raises(IsADirectoryError):
        files.opened(Path())


def test_a_device_is_refused_also_where_links_are_followed() -> None:
    Path("link").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="it is a device"):
        files.read_bytes(Path("link"), follow=True)
    Path("other").symlink_to("whole")
    assert files.read_bytes(Path("other"), follow=True) == b"whole"


def test_a_file_that_turns_into_a_link_after_the_look_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("swapped").symlink_to("whole")
    looked: list[Path] = []
    monkeypatch.setattr(files, "_refuse_strange", lambda path, mode: looked.append(path))
    with pytest.raises(OSError, match="symbolic links"):
        files.opened(Path("swapped"))
    assert looked


def test_what_is_read_is_bounded() -> None:
    assert files.read_bytes(Path("whole"), 5) == b"whole"
    with pytest.raises(OSError, match="it holds more than the 4 bytes that are read"):
        files.read_bytes(Path("whole"), 4)
    with open("hollow", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="it holds more than the 16,777,216 bytes"):
        files.read_bytes(Path("hollow"))


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        files.write_bytes(tmp_path / "no" / "x.html", b"page")
    assert error.value.filename == str(tmp_path / "no" / "x.html")


def test_a_file_is_written_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_bytes(Path("whole"), b"new")
    assert Path("whole").read_bytes() == b"new"

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        files.write_bytes(Path("whole"), b"newer")
    assert Path("whole").read_bytes() == b"new"
    assert [path.name for path in Path().iterdir()] == ["whole"]


def test_what_a_dead_process_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    def die(*_: object) -> None:
        os._exit(9)

    Path("whole").unlink()
    pid = os.fork()
    if not pid:
        os.replace = die
        files.write_bytes(tmp_path / "recipe.yaml", b"half")
    os.waitpid(pid, 0)
    assert [path.name[:13] for path in tmp_path.iterdir()] == [".recipe.yaml-"]
    others = [
        tmp_path / name
        for name in (".lock", "recipe.yaml", ".notes-20240101", "recipe.yaml-0123abcd", ".recipe.yaml-2")
    ]
    for path in others:
        path.touch()
    (tmp_path / ".recipe.yaml-0123abcd").mkdir()
    files.remove_unfinished(tmp_path, ("recipe.yaml",))
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / ".recipe.yaml-0123abcd"])


def test_a_link_at_the_place_of_a_file_is_replaced_and_not_followed() -> None:
    Path("link").symlink_to("whole")
    files.write_bytes(Path("link"), b"new")
    assert not Path("link").is_symlink()
    assert Path("whole").read_bytes() == b"whole"


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a socket"])
def test_what_is_strange_in_a_folder_is_named(kind: str) -> None:
    Path("a/b").mkdir(parents=True)
    assert list(files.strange(Path("a"))) == []
    os.chdir("a/b")
    STRANGE[kind](Path("it"))
    os.chdir("../..")
    (found,) = files.strange(Path("a"))
    assert found == f"a/b/it is {kind}; the folder may hold regular files and folders alone, remove it"
    with pytest.raises(ValueError, match=f"a/b/it is {kind}"):
        files.check_plain(Path("a"))


def test_a_folder_of_too_many_files_is_no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MOST_ENTRIES", 3)
    for name in "abcd":
        Path(name).touch()
    (found,) = files.strange(Path())
    assert "more than 3 files" in found
