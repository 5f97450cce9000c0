"""What stands in front of Gradio: who may ask, for what, and how much they may send.

Gradio serves more than this page needs, among it files by their path and addresses that it fetches. Only what the page
asks for is let through; everything else isn't there. Each answer forbids the browser to ask anybody else for anything.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..protocol.media import MOVIE_FILES, MediaFormat
from ..storage.byte_sizes import size_in_words
from . import addresses

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_UPLOAD_BYTES = 1 << 30
MAX_OTHER_BYTES = 1 << 20
RESERVE_BYTES = 1 << 30
"""Left free on the disk beside what is sent."""
ENVELOPE_BYTES = 1 << 16
"""What may stand around a file that is sent."""
API = "/gradio_api/"
UPLOAD, FILE = API + "upload", API + "file="
READ = {
    "/", "/theme.css", "/favicon.ico", "/config", "/manifest.json", "/logout", UPLOAD + "_progress",
    *(API + name for name in ("queue/data", "info", "startup-events", "login_check", "user", "app_id", "theme.css")),
}  # fmt: skip
READ_BELOW = ("/assets/", "/static/", API + "heartbeat/")
SENT = {"/login", UPLOAD, *(API + name for name in ("queue/join", "run/predict", "component_server", "cancel", "reset"))}
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio's own page has both
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Gate:
    """The application behind it, for those who may ask."""

    def __init__(self, app: App, folder: Path, takes_folder: Path, any_host: bool) -> None:
        """`any_host`: it is not for this machine alone, so it may be called by any name; there is a password then."""
        self._app, self._folder, self._takes_folder, self._any_host = app, folder, takes_folder, any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope) if scope["type"] == "http" else (404, "Not found.")
        if refusal is not None:
            log.info("%.10s %.200s: %s", scope.get("method"), scope["path"], refusal[1])
            await _answer(send, *refusal)
            return

        async def closed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                ours = {name for name, _ in HEADERS}
                kept = [each for each in message.get("headers", []) if bytes(each[0]).lower() not in ours]
                message = {**message, "headers": [*kept, *HEADERS]}
            await send(message)

        await self._app(scope, receive, closed)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The code and the sentence with which a request is refused; None if it isn't."""
        headers = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not self._any_host and not addresses.is_loopback(addresses.name_in(host)):
            return 403, "This page is for this machine alone: open it as http://localhost with its port."
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "Another page may not ask this one for anything."
        path = scope["path"]
        if scope["method"] in ("GET", "HEAD"):
            return None if self._may_be_read(path) else (404, "Not found.")
        if scope["method"] != "POST" or path.rstrip("/") not in SENT:
            return 404, "Not found."
        return self._too_much(path, headers.get(b"content-length", ""))

    def _may_be_read(self, path: str) -> bool:
        if path.startswith(FILE):
            return self._is_take(Path(path.removeprefix(FILE)))
        whole = path if path == "/" else path.rstrip("/")
        return whole in READ or path.startswith(READ_BELOW)

    def _is_take(self, file: Path) -> bool:
        """Whether it is the movie of a take, right in its folder among the takes."""
        return (
            file.name == MOVIE_FILES[MediaFormat.H264]
            and file.parent.parent == self._takes_folder
            and file.parent.name not in (".", "..")
            and file.resolve() == file
        )

    def _too_much(self, path: str, length: str) -> tuple[int, str] | None:
        """Why so much isn't taken; said before any of it is read."""
        if not length.isdecimal():
            return 411, "Say beforehand how much is sent."
        if path.rstrip("/") != UPLOAD:
            return None if int(length) <= MAX_OTHER_BYTES else (413, "That is too much for one request.")
        if int(length) > MAX_UPLOAD_BYTES + ENVELOPE_BYTES:
            return 413, f"That file is too large: it may have up to {size_in_words(MAX_UPLOAD_BYTES)}."
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            free = 0
        return None if int(length) + RESERVE_BYTES <= free else (507, "There is no room for that file: tell who runs this.")


async def _answer(send: Send, code: int, sentence: str) -> None:
    words = sentence.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(words)), *HEADERS]
    await send({"type": "http.response.start", "status": code, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": words})
