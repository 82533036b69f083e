"""Sessions in a folder survive their server: they go on as if it had never ended."""

import json
import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from serving import fed, offline, sampled, server, service, student

from nounroll.serve.store import Store
from nounroll.snapshot import fingerprint, load_snapshot


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
    (tmp_path / "sessions" / ".tmp-half").mkdir()
    assert goes_on(tmp_path / "sessions", session)
    assert not (tmp_path / "sessions" / ".tmp-half").exists()


def test_a_completion_leaves_nothing(tmp_path: Path) -> None:
    with server(folder=tmp_path / "sessions") as client:
        client.post("/v1/completions", json={"model": "tiny", "prompt": "It was"})
    assert [path.name for path in (tmp_path / "sessions").iterdir()] == [".lock"]


def test_a_snapshot_of_the_server_is_one_of_python(tmp_path: Path) -> None:
    from nounroll.seeding import generator

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
    kept = tmp_path / "sessions" / one.rsplit("/", 1)[1] / "snapshot.json"
    document = json.loads(kept.read_text())
    assert document["network"] == fingerprint(student())
    kept.write_text(json.dumps(document | {"length": 7}))
    with pytest.raises(ValueError, match="is damaged"):
        server(folder=tmp_path / "sessions")
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
