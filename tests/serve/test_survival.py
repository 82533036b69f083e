"""Sessions in a folder survive their server: they go on as if it had never ended."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from serving import fed, offline, sampled, server, service, student

from nounroll.models.snapshot import Snapshot, fingerprint, load_snapshot
from nounroll.serve.store import Store
from nounroll.storage.checkpoint import CheckpointError


def after_a_death(folder: Path, name: str = "copy") -> Path:
    """The folder as a server that dies now leaves it."""
    return shutil.copytree(folder, folder.with_name(name))


def goes_on(folder: Path, session: str) -> bool:
    """Whether a session of a dead server writes what it would have written."""
    with server(folder=folder) as client:
        answer = client.post(f"{session}/sample", json={"max_tokens": 12, "seed": 1})
        return answer.status_code == 200 and answer.json()["elements"] == offline(1, 12)


def test_a_session_goes_on_after_its_server_died(tmp_path: Path) -> None:
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)
        fork = "/v1/sessions/" + client.post(f"{session}/fork").json()["id"]
        copy = after_a_death(tmp_path / "sessions")
        assert goes_on(copy, session)
        assert goes_on(copy, fork)
        first = sampled(client, session, seed=1)
        copy = after_a_death(tmp_path / "sessions", "later")
        second = sampled(client, session, seed=2)
    with server(folder=copy) as again:
        assert again.get(session).json()["read"] == 18
        assert sampled(again, session, seed=2) == second
    assert first == offline(1, 12)


@pytest.mark.parametrize("stop", [None, "after the whole stream"])
def test_a_stream_that_has_ended_is_kept(tmp_path: Path, stop: str | None) -> None:
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)
        how = {"max_tokens": 12, "seed": 1, "stream": True} | ({"stop": stop} if stop else {})
        assert client.post(f"{session}/sample", json=how).text.endswith("data: [DONE]\n\n")
        with server(folder=after_a_death(tmp_path / "sessions")) as again:
            assert again.get(session).json()["memory"] == client.get(session).json()["memory"]
            assert again.get(session).json()["read"] == 18


def test_control_a_session_that_is_not_written_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[str] = []
    save = Store.save

    def first_only(self: Store, id: str, snapshot: object) -> None:
        if id not in saved:
            save(self, id, snapshot)  # type: ignore[arg-type]
        saved.append(id)

    monkeypatch.setattr(Store, "save", first_only)
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)
        assert not goes_on(after_a_death(tmp_path / "sessions"), session)


def test_what_is_closed_does_not_come_back(tmp_path: Path) -> None:
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)
        client.delete(session)
    with server(folder=tmp_path / "sessions") as client:
        assert client.get(session).status_code == 404
        assert service(client).pool.taken == 0


def test_a_replacement_that_died_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    """The instant between the two renames of the writer, and one before them."""
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)
    folder = tmp_path / "sessions" / session.rsplit("/", 1)[1]
    folder.rename(folder.with_name(f".old-{folder.name}"))
    (tmp_path / "sessions" / ".tmp-half-0123abcd").mkdir()
    assert goes_on(tmp_path / "sessions", session)
    assert not (tmp_path / "sessions" / ".tmp-half-0123abcd").exists()


def test_a_completion_leaves_nothing(tmp_path: Path) -> None:
    with server(folder=tmp_path / "sessions") as client:
        client.post("/v1/completions", json={"model": "tiny", "prompt": "It was"})
    assert [path.name for path in (tmp_path / "sessions").iterdir()] == [".lock"]


def test_a_snapshot_of_the_server_is_one_of_python(tmp_path: Path) -> None:
    from nounroll.core.seeding import generator

    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)
    generation = load_snapshot(student(), tmp_path / "sessions" / session.rsplit("/", 1)[1])
    assert generation.length == 6
    generation.generator = generator(1, "generate")
    assert generation.write(12)[0].tolist() == offline(1, 12)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    with server(folder=tmp_path / "sessions") as client:
        one, _ = fed(client), fed(client)
        with pytest.raises(ValueError, match=r"in use by another process; choose another$"):
            server(folder=tmp_path / "sessions")
    with pytest.raises(ValueError, match=r"^slots is 1; .* holds 2 sessions$"):
        server(folder=tmp_path / "sessions", slots=1)
    kept = json.loads((tmp_path / "sessions" / one.rsplit("/", 1)[1] / "snapshot.json").read_text())
    assert kept["network"] == fingerprint(student())
    Snapshot(memory=student().initial_memory(1).detach(), length=0).write(tmp_path / "sessions" / "x", "another")
    with pytest.raises(ValueError, match="is of another network"):
        server(folder=tmp_path / "sessions")
    (tmp_path / "pictures" / "summer").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"holds other files; choose an empty one$"):
        server(folder=tmp_path / "pictures")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        server(folder=tmp_path / "file")


def test_a_full_disk_is_503_and_nothing_has_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            answer = client.post(f"{session}/feed", json={"text": "a"})
            assert answer.status_code == 503
            assert answer.json()["error"]["message"].endswith("No space left on device")
            assert client.post("/v1/sessions").status_code == 503
        assert service(client).pool.taken == 1
        assert client.get(session).json()["read"] == 6
        assert sampled(client, session, seed=1) == offline(1, 12)


def test_a_damaged_session_is_set_aside(tmp_path: Path) -> None:
    """The others go on, and one line says what was done; nothing is deleted."""
    folder = tmp_path / "sessions"
    with server(folder=folder) as client:
        sound, flipped, cut = fed(client), fed(client), fed(client)
    names = [session.rsplit("/", 1)[1] for session in (flipped, cut)]
    memory = folder / names[0] / "snapshot.safetensors"
    memory.write_bytes(memory.read_bytes()[:-1] + b"\1")
    (folder / names[1] / "manifest.json").unlink()
    with server(folder=folder) as client:
        said = service(client).sessions.set_aside
        assert len(said) == 2
        for name in names:
            (line,) = [line for line in said if name in line]
            assert line.endswith(f"-{name}")
            assert "\n" not in line
        assert client.get(flipped).status_code == client.get(cut).status_code == 404
        assert sampled(client, sound, seed=1) == offline(1, 12)
    assert sorted(path.name[-16:] for path in folder.glob(".damaged-*")) == sorted(names)
    with server(folder=folder) as client:
        assert service(client).sessions.set_aside == []
        assert client.get(sound).status_code == 200


def test_control_a_store_that_reads_damage_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(folder=tmp_path / "sessions") as client:
        name = fed(client).rsplit("/", 1)[1]
    (tmp_path / "sessions" / name / "manifest.json").unlink()
    monkeypatch.setattr("nounroll.serve.store.CheckpointError", ZeroDivisionError)
    with pytest.raises(CheckpointError):
        server(folder=tmp_path / "sessions")


def test_a_session_that_cannot_be_removed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed from disk first: what was answered with 204 does not come back, and what was not is still there."""
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)

        def fail(path: object) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr("nounroll.storage.checkpoint.writing.remove_folder", fail)
            answer = client.delete(session)
            assert answer.status_code == 503
            assert answer.json()["error"]["message"].endswith("Input/output error")
        assert sampled(client, session, seed=1) == offline(1, 12)
        assert client.delete(session).status_code == 204
        assert client.get(session).status_code == 404
    with server(folder=tmp_path / "sessions") as client:
        assert client.get(session).status_code == 404


def test_folders_of_sessions_are_their_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir(mode=0o755)
    with server(folder=tmp_path / "sessions") as client:
        fed(client)
    with server(folder=tmp_path / "new" / "sessions"):
        pass
    for folder in (tmp_path / "sessions", tmp_path / "new" / "sessions", *(tmp_path / "sessions").glob("[!.]*")):
        assert folder.stat().st_mode & 0o777 == 0o700, folder


def test_sessions_that_nobody_uses_are_closed(tmp_path: Path) -> None:
    """Also on disk; one that is used stays."""
    with server(folder=tmp_path / "sessions", idle=1.0) as client:
        used, left = fed(client), fed(client)
        end = time.monotonic() + 30
        while client.get("/v1/sessions").json()["data"][-1]["id"] == left.rsplit("/", 1)[1]:
            assert client.get(used).status_code == 200
            assert time.monotonic() < end
            time.sleep(0.05)
        assert client.get(left).status_code == 404
        assert sampled(client, used, seed=1) == offline(1, 12)
        assert service(client).pool.taken == 1
        assert [path.name for path in (tmp_path / "sessions").glob("[!.]*")] == [used.rsplit("/", 1)[1]]


@pytest.mark.parametrize("work", ["feed", "sample"])
def test_what_the_end_of_a_server_cuts_off_has_not_happened(tmp_path: Path, work: str) -> None:
    """A client that is told 503 may send it again."""
    sent = {"feed": {"text": "x" * 8192}, "sample": {"max_tokens": 4096}}
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)
        before = client.get(session).json()["memory"]
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(client.post, f"{session}/{work}", json=sent[work])
            while not service(client).sessions.open[session.rsplit("/", 1)[1]].read > 20:
                time.sleep(0.001)
            assert client.portal is not None
            client.portal.call(service(client).batcher.close)
            assert asked.result(20).status_code == 503
    with server(folder=tmp_path / "sessions") as client:
        assert client.get(session).json()["memory"] == before
        assert client.get(session).json()["read"] == 6


def test_a_stream_that_the_end_of_a_server_cuts_off_says_so(tmp_path: Path) -> None:
    with server(folder=tmp_path / "sessions") as client:
        session = fed(client)
        with client.stream("POST", f"{session}/sample", json={"max_tokens": 4096, "stream": True}) as answer:
            lines = answer.iter_lines()
            next(lines)
            assert client.portal is not None
            client.portal.call(service(client).batcher.close)
            said = [json.loads(line[6:]) for line in lines if line and "[DONE]" not in line]
        assert said[-1]["error"]["code"] == 503
        assert all("error" not in one for one in said[:-1])
