"""A web page is not a user: hosts, origins, content types and tokens, before any route."""

import pytest

pytest.importorskip("fastapi")

from serving import body, fed, server, service

from nounroll.serve.settings import ServeSettings

LOCAL = ("127.0.0.1", "localhost", "::1")
PAGE = "https://app.example"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:9", 200),
        ("[::1]:8000", 200),
        ("app.example", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:8000", 403),
        ("evil.example:127", 403),
        ("user@127.0.0.1", 200),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_a_host_by_another_name_is_refused(host: str, status: int) -> None:
    """A page whose name was made to mean this machine (DNS rebinding) still sends its name."""
    with server(hosts=LOCAL, origins=(PAGE,)) as client:
        for path in ("/v1/models", "/health", "/"):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == status, path
        if status == 403:
            assert "this server answers to 127.0.0.1, ::1, app.example, localhost" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 201),
        ("http://127.0.0.1:8000", 201),
        (PAGE, 201),
        ("http://127.0.0.1:8001", 403),
        ("http://evil.example", 403),
        ("https://app.example.evil.example", 403),
        ("http://app.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_of_another_origin_is_refused(origin: str | None, status: int) -> None:
    """Every page may send a POST without a body, without asking first."""
    with server(hosts=LOCAL, origins=(PAGE,)) as client:
        headers = {"Host": "127.0.0.1:8000"} | ({} if origin is None else {"Origin": origin})
        assert client.post("/v1/sessions", headers=headers).status_code == status
        assert service(client).pool.taken == (status == 201)


def test_a_browser_asks_for_pages_that_are_let_in_alone() -> None:
    """The preflight of a page; and what it is told of the answer."""
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with server(origins=(PAGE,), token="secret") as client:
        said = client.options("/v1/completions", headers={"Origin": PAGE, **ask})
        assert said.status_code == 200
        assert said.headers["access-control-allow-origin"] == PAGE
        assert "authorization" in said.headers["access-control-allow-headers"]
        other = client.options("/v1/completions", headers={"Origin": "https://evil.example", **ask})
        assert (other.status_code, other.headers.get("access-control-allow-origin")) == (400, None)
        headers = {"Origin": PAGE, "Authorization": "Bearer secret"}
        answer = client.post("/v1/completions", json=body(), headers=headers)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    with server() as client:
        refused = client.options("/v1/completions", headers={"Origin": PAGE, **ask})
        assert refused.status_code == 403
        assert "--origins" in refused.json()["error"]["message"]
        assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
@pytest.mark.parametrize("route", ["/v1/completions", "/feed", "/sample"])
def test_a_body_of_a_type_that_any_page_may_send_is_refused(route: str, type: str) -> None:
    with server() as client:
        session = fed(client)
        to = route if route.startswith("/v1") else session + route
        sent = {"/feed": b'{"text": "a"}', "/sample": b"{}"}.get(route, b'{"model": "tiny", "prompt": "It was"}')
        assert client.post(to, content=sent, headers={"Content-Type": type}).status_code == 415
        assert client.get(session).json()["read"] == 6
        good = client.post(to, content=sent, headers={"Content-Type": "Application/JSON; charset=utf-8"})
        assert good.status_code == 200


def test_health_needs_no_token() -> None:
    with server(token="secret") as client:
        assert client.get("/health").status_code == 200
        assert client.get("/metrics").status_code == 401


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://app.example/page", "*", "ftp://x"])
def test_origins_that_are_none(origin: str) -> None:
    with pytest.raises(ValueError, match=r"^origins holds .* write each as https://example\.com, without a path$"):
        ServeSettings(origins=(origin,))
