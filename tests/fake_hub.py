"""A small Hugging Face Hub on 127.0.0.1, for tests: repositories of models in memory, and a bound on all it does."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

MOST_REQUESTS = 100
MOST_SECONDS = 20.0  # that a connection may be silent
TOKEN = "hf_writes"
COMMIT = "0" * 40


class FakeHub(ThreadingHTTPServer):
    """What it was asked, and the files that it holds.

    Attributes:
        repositories: OWNER/NAME -> path -> content.
        commits: the messages of all commits.
        requests: method and path of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}  # by SHA-256
        self.commits: list[str] = []
        self.requests: list[str] = []


def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A fixture's body: a hub that serves until the test ends, and that huggingface_hub speaks to."""
    with FakeHub() as hub:
        files = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # a protocol of its own, in compiled code
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join(MOST_SECONDS)


class _Handler(BaseHTTPRequestHandler):
    timeout = MOST_SECONDS
    server: FakeHub

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def _serve(self) -> None:
        hub, body = self.server, self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hub.requests.append(f"{self.command} {self.path}")
        if len(hub.requests) > MOST_REQUESTS:
            return self._answer(400, {"error": "too many requests"})
        reading = self.command in ("GET", "HEAD")
        if (
            not reading
            and not self.path.startswith("/large/")
            and self.headers.get("Authorization") != f"Bearer {TOKEN}"
        ):
            return self._answer(403, {"error": "this token may not write"})
        for pattern, method in _ROUTES:
            if found := re.fullmatch(pattern, f"{'GET' if reading else self.command} {self.path.partition('?')[0]}"):
                return getattr(self, method)(body, **found.groupdict())
        return self._answer(404, {"error": f"{self.path} is not here"})

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _answer(self, status: int, content: Any = None, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # -- what it does -----------------------------------------------------------------------------

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization'] or 'someone'}/{asked['name']}"
        there = name in self.server.repositories
        self.server.repositories.setdefault(name, {})
        self.server.private.setdefault(name, asked.get("visibility") == "private")
        self._answer(409 if there else 200, {"url": f"{self.server.address}/{name}", "name": name})

    def check_card(self, body: bytes) -> None:
        self._answer(200, {"errors": [], "warnings": []})

    def preupload(self, body: bytes, repo: str) -> None:
        """Small files go with the commit, large ones before it."""
        files = [one["path"] for one in json.loads(body)["files"]]
        modes = [{"path": path, "uploadMode": _mode(path), "shouldIgnore": False} for path in files]
        self._answer(200, {"files": modes})

    def large_files(self, body: bytes, repo: str) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.address}/large/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def put_large(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self._answer(200)

    def commit(self, body: bytes, repo: str) -> None:
        files = self.server.repositories[repo]
        for line in body.splitlines():
            kind, value = json.loads(line).values()
            if kind == "header":
                self.server.commits.append(value["summary"])
            elif kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
        self._answer(200, {"commitUrl": f"{self.server.address}/{repo}/commit/{COMMIT}", "commitOid": COMMIT})

    def tree(self, body: bytes, repo: str) -> None:
        files = self.server.repositories[repo]
        self._answer(200, [{"type": "file", "path": path, "size": len(files[path]), "oid": COMMIT} for path in files])

    def about(self, body: bytes, repo: str) -> None:
        files = self.server.repositories.get(repo)
        if files is None:
            return self._answer(404, {"error": f"{repo} is not here"}, X_Error_Code="RepoNotFound")
        return self._answer(200, {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": path} for path in files]})

    def file(self, body: bytes, repo: str, path: str) -> None:
        content = self.server.repositories.get(repo, {}).get(path)
        if content is None:
            return self._answer(404, {"error": f"no {path}"}, X_Error_Code="EntryNotFound")
        tag = hashlib.sha256(content).hexdigest()
        return self._answer(200, content, ETag=f'"{tag}"', X_Repo_Commit=COMMIT)


_ROUTES = (
    (r"POST /api/repos/create", "create"),
    (r"POST /api/validate-yaml", "check_card"),
    (r"POST /api/models/(?P<repo>[^/]+/[^/]+)/preupload/main", "preupload"),
    (r"POST /(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "large_files"),
    (r"PUT /large/(?P<oid>\w+)", "put_large"),
    (r"POST /api/models/(?P<repo>[^/]+/[^/]+)/commit/main", "commit"),
    (r"GET /api/models/(?P<repo>[^/]+/[^/]+)/tree/\w+", "tree"),
    (r"GET /api/models/(?P<repo>[^/]+/[^/]+)(/revision/main)?", "about"),
    (r"GET /(?P<repo>[^/]+/[^/]+)/resolve/\w+/(?P<path>.+)", "file"),
)


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"
