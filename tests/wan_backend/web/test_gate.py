"""What stands in front of the page: who may ask, for what, and how much may be sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from wan_backend.web import addresses, gate
from wan_backend.web.gate import Gate

HOST = "127.0.0.1:7860"


class Asked:
    """One request to a gate with an application behind it that answers everything."""

    def __init__(self, tmp_path: Path, any_host: bool = False) -> None:
        self.reached = False
        self._takes = tmp_path / "takes"
        self._gate = Gate(self._app, tmp_path, self._takes, any_host)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached = True
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Frame-Options", b"ALLOW")]})
        await send({"type": "http.response.body", "body": b"page"})

    def __call__(self, path: str, method: str = "GET", kind: str = "http", **headers: str) -> tuple[int, str, dict]:
        """The code, the words and the headers of the answer."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("nothing of a request that is refused may be read")

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
    assert ask(path, "POST", content_length="2")[0] == 404 and not ask.reached


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


@pytest.mark.parametrize("host", ["example.com", "example.com:7860", "127.0.0.1.example.com", "10.0.0.1", "", "[::2]:1"])
def test_a_page_for_this_machine_alone_goes_by_no_other_name(ask, tmp_path, host):
    code, words, _ = ask("/", host=host)
    assert code == 403 and "this machine alone" in words and not ask.reached
    assert Asked(tmp_path, any_host=True)("/", host=host)[0] == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1", "127.8.8.8:1", "[::1]:7860", "[::1]", "LOCALHOST.:1"])
def test_this_machines_names(host):
    assert addresses.is_loopback(addresses.name_in(host))


def test_another_page_in_the_browser_may_send_nothing(ask):
    sent = {"content_length": "2"}
    assert ask("/gradio_api/queue/join", "POST", origin=f"http://{HOST}", **sent)[0] == 200
    for origin in ("http://example.com", "null", "http://127.0.0.1:1", ""):
        assert ask("/gradio_api/queue/join", "POST", origin=origin, **sent)[0] == 403 and not ask.reached


def test_what_is_too_large_is_refused_before_any_of_it_is_read(ask):
    code, words, _ = ask("/gradio_api/upload", "POST", content_length=str(4 << 30))
    assert code == 413 and words == "That file is too large: it may have up to 1.1 GB." and not ask.reached
    assert ask("/gradio_api/upload", "POST")[0] == 411  # it doesn't say how much comes
    assert ask("/gradio_api/upload", "POST", content_length="-1")[0] == 411
    assert ask("/gradio_api/queue/join", "POST", content_length=str(2 << 20))[0] == 413
    assert not ask.reached


def test_a_full_disk_is_told_before_anything_arrives(ask, monkeypatch):
    class Full:
        free = 2 << 30

    monkeypatch.setattr(gate.shutil, "disk_usage", lambda _folder: Full)
    assert ask("/gradio_api/upload", "POST", content_length=str(1 << 20))[0] == 200
    Full.free = 1 << 30
    code, words, _ = ask("/gradio_api/upload", "POST", content_length=str(1 << 20))
    assert code == 507 and "no room" in words


def test_there_are_no_web_sockets(ask):
    assert ask("/", kind="websocket")[0] == 404 and not ask.reached
