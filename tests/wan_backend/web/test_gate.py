"""What stands in front of the page: who may ask, for what, and how much may be sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from wan_backend.web import addresses
from wan_backend.web.gate import Gate

HOST = "127.0.0.1:7860"


class Asked:
    """One request to a gate with an application behind it that answers everything."""

    def __init__(self, tmp_path: Path, any_host: bool = False) -> None:
        self.reached = False
        self.taken: list[tuple[str, bytes]] = []
        self.is_let_in = True
        self._gate = Gate(self._app, self, tmp_path / "takes", any_host)

    async def take(self, length: str, body: Any) -> tuple[int, dict[str, str]]:
        """In the place of the uploads."""
        self.taken.append((length, b"".join([piece async for piece in body])))
        return 200, {"id": "x"}

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/gradio_api/login_check":
            await send({"type": "http.response.start", "status": 200 if self.is_let_in else 401, "headers": []})
            return
        self.reached = True
        self.body = (await receive())["body"] if scope["method"] == "POST" else b""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Frame-Options", b"ALLOW")]})
        await send({"type": "http.response.body", "body": b"page"})

    def __call__(
        self, path: str, method: str = "GET", body: bytes | None = None, kind: str = "http", **headers: str
    ) -> tuple[int, str, dict]:
        """The code, the words and the headers of the answer; without a body, the request's may not be read."""
        sent: list[Any] = []
        pieces = [] if body is None else [body[at : at + 1000] for at in range(0, max(1, len(body)), 1000)]

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            assert pieces, "nothing of a request that is refused may be read"
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        given = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
        scope = {
            "type": kind,
            "method": method,
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        self.reached = False
        asyncio.run(self._gate(scope, receive, send))
        told = {bytes(name).lower(): bytes(value) for name, value in sent[0]["headers"]}
        assert len(told) == len(sent[0]["headers"])
        return sent[0]["status"], sent[1]["body"].decode(), told


@pytest.fixture
def ask(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_what_the_page_needs_is_let_through_and_may_ask_nobody_else(ask):
    for path in ("/", "/config", "/assets/index.js", "/gradio_api/queue/data", "/theme.css"):
        code, _, headers = ask(path)
        assert (code, ask.reached) == (200, True), path
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
        assert headers[b"x-frame-options"] == b"DENY" and headers[b"referrer-policy"] == b"no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=http://example.com/take.mp4",
        "/gradio_api/proxy=https://example.com/",
        "/gradio_api/stream/x/y/z/playlist.m3u8",
        "/gradio_api/upload",
        "/gradio_api/deep_link",
        "/gradio_api/runs",
        "/gradio_api/vibe-code",
        "/gradio_api/call/predict/x",
        "/monitoring",
        "/svelte/../../etc/passwd",
        "/docs",
        "/openapi.json",
    ],
)
def test_what_else_gradio_has_is_not_there(ask, path):
    assert ask(path)[0] == 404 and not ask.reached
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(path, method)[0] == 404 and not ask.reached


def test_movies_of_takes_are_served_and_nothing_else_of_any_folder(ask, tmp_path):
    folder = tmp_path / "takes" / "0001 a red car, seed 1"
    folder.mkdir(parents=True)
    for name in ("take.mp4", "take.json"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "take.mp4").write_bytes(b"x")
    below = "/gradio_api/file=" + str(folder)
    assert ask(f"{below}/take.mp4")[0] == 200
    (folder.parent / "0002 link").symlink_to(tmp_path)
    for other in (
        f"{below}/take.json",
        f"{below}/../../take.mp4",
        f"{below}/..%2F..%2Ftake.mp4",
        f"{folder.parent}/0002 link/take.mp4",
        f"/gradio_api/file={folder.parent}/0002 link/take.mp4",
        f"/gradio_api/file={folder.parent}/../take.mp4",
        "/gradio_api/file=take.mp4",
    ):
        assert ask(other)[0] == 404 and not ask.reached, other


@pytest.mark.parametrize(
    "host", ["example.com", "example.com:7860", "127.0.0.1.example.com", "10.0.0.1", "", "[::2]:1"]
)
def test_a_page_for_this_machine_alone_goes_by_no_other_name(ask, tmp_path, host):
    code, words, _ = ask("/", host=host)
    assert code == 403 and "this machine alone" in words and not ask.reached
    assert Asked(tmp_path, any_host=True)("/", host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9", "127.0.0.1", "127.8.8.8:1", "[::1]:7860", "[::1]", "LOCALHOST.:1"]
)
def test_this_machines_names(host):
    assert addresses.is_loopback(addresses.name_in(host))


def test_another_page_in_the_browser_may_send_nothing(ask):
    assert ask("/gradio_api/queue/join", "POST", b"{}", origin=f"http://{HOST}")[0] == 200
    for origin in ("http://example.com", "null", "http://127.0.0.1:1", ""):
        for path, method in (("/gradio_api/queue/join", "POST"), ("/upload", "PUT")):
            assert ask(path, method, origin=origin)[0] == 403 and not ask.reached and not ask.taken


def test_what_is_sent_goes_to_the_uploads_if_one_may_be_here(ask):
    content = bytes(5000)
    assert ask("/upload", "PUT", content, content_length="5000")[:2] == (200, '{"id": "x"}')
    assert ask.taken == [("5000", content)] and not ask.reached
    ask.is_let_in = False
    code, words, _ = ask("/upload", "PUT", content_length="5000")
    assert code == 401 and "password" in words and len(ask.taken) == 1


@pytest.mark.parametrize(
    "value",
    [
        '{"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]}',
        '{"data": [[{"a": {"path": "http://example.com", "\\u006deta": {"\\u005ftype": "gradio.FileData"}}}]]}',
        '{"data": {"_type": "gradio.FileData"}}',
        "no JSON",
        "",
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("path", ["queue/join", "run/predict/", "component_server"])
def test_no_value_says_that_it_is_a_file(ask, path, value):
    code, words, _ = ask(f"/gradio_api/{path}", "POST", value.encode())
    assert (code, words, ask.reached) == (400, "The page asks for nothing like that.", False)


def test_what_is_asked_comes_through_as_it_was(ask):
    asked = b'{"data": ["the words \\"meta\\" and gradio.FileData", null, 1.5], "event_data": {"id": "x"}}'
    assert ask("/gradio_api/queue/join", "POST", asked)[0] == 200 and ask.body == asked
    form = b"username=x&password=y"
    assert ask("/login", "POST", form)[0] == 200 and ask.body == form


def test_a_question_may_not_be_endless(ask):
    code, words, _ = ask("/gradio_api/queue/join", "POST", b'"' + bytes(2 << 20))
    assert code == 413 and words == "That is too much for one request." and not ask.reached


def test_there_are_no_web_sockets(ask):
    assert ask("/", kind="websocket")[0] == 404 and not ask.reached
