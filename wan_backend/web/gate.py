"""What stands in front of Gradio: who may ask, for what, and how much they may send.

Gradio serves more than this page needs, among it files by their path and addresses that it fetches; and where a value
says that it is a file, it reads that file, or fetches it. So only what the page asks for is let through, and no value
may say so: what people send arrives here. Each answer forbids the browser to ask anybody else for anything.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..protocol.media import MOVIE_FILES
from ..protocol.messages import MediaFormat
from . import addresses

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BYTES = 1 << 20
"""Of what is asked; what people send is limited where it arrives."""
API = "/gradio_api/"
UPLOAD, FILE = "/upload", API + "file="
LOGIN, LOGIN_CHECK = "/login", API + "login_check"
READ = {
    "/", "/theme.css", "/favicon.ico", "/config", "/manifest.json", "/logout",
    *(API + name for name in ("queue/data", "info", "startup-events", "login_check", "user", "app_id", "theme.css")),
}  # fmt: skip
READ_BELOW = ("/assets/", "/static/", API + "heartbeat/")
SENT = {LOGIN, *(API + name for name in ("queue/join", "run/predict", "component_server", "cancel", "reset"))}
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


class Arrivals(Protocol):
    """Where what people send goes."""

    async def take(self, length: str, body: AsyncIterator[bytes]) -> tuple[int, dict[str, str]]:
        """The code and the values of the answer to so many bytes."""


class Gate:
    """The application behind it, for those who may ask."""

    def __init__(self, app: App, arrivals: Arrivals, takes_folder: Path, any_host: bool) -> None:
        """`any_host`: it is not for this machine alone, so it may be called by any name; there is a password then."""
        self._app, self._arrivals, self._takes_folder, self._any_host = app, arrivals, takes_folder, any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers) if scope["type"] == "http" else (404, "Not found.")
        if refusal is not None:
            log.info("%.10s %.200s: %s", scope.get("method"), scope["path"], refusal[1])
            await _answer(send, *refusal)
        elif scope["method"] == "PUT":
            await self._take(scope, receive, send, headers)
        elif scope["method"] == "POST":
            await self._ask(scope, receive, send)
        else:
            await self._app(scope, receive, _closed(send))

    def _refusal(self, scope: Scope, headers: dict[bytes, str]) -> tuple[int, str] | None:
        """The code and the sentence with which a request is refused; None if it isn't, so far."""
        host = headers.get(b"host", "")
        if not self._any_host and not addresses.is_loopback(addresses.name_in(host)):
            return 403, "This page is for this machine alone: open it as http://localhost with its port."
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "Another page may not ask this one for anything."
        path, method = scope["path"], scope["method"]
        if method in ("GET", "HEAD"):
            known = self._may_be_read(path)
        else:
            known = path == UPLOAD if method == "PUT" else method == "POST" and path.rstrip("/") in SENT
        return None if known else (404, "Not found.")

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

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a question through, of which all is known."""
        whole = b""
        async for piece in _body(receive):
            whole += piece
            if len(whole) > MAX_BYTES:
                await _answer(send, 413, "That is too much for one request.")
                return
        if scope["path"].rstrip("/") != LOGIN and not _is_harmless(whole):
            log.warning("%.200s: refused, as a value says that it is a file", scope["path"])
            await _answer(send, 400, "The page asks for nothing like that.")
            return
        messages = [{"type": "http.request", "body": whole, "more_body": False}]

        async def again() -> MutableMapping[str, Any]:
            return messages.pop() if messages else await receive()

        await self._app(scope, again, _closed(send))

    async def _take(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, str]) -> None:
        """Take what a person sends, who may be here."""
        if not await self._is_let_in(scope):
            await _answer(send, 401, "Enter the password first: load the page again.")
            return
        code, values = await self._arrivals.take(headers.get(b"content-length", ""), _body(receive))
        await _answer(send, code, json.dumps(values), b"application/json")

    async def _is_let_in(self, scope: Scope) -> bool:
        """Whether Gradio would answer who asks: it knows who gave the password."""
        codes: list[int] = []

        async def nothing() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def note(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                codes.append(message["status"])

        asked = {**scope, "method": "GET", "path": LOGIN_CHECK, "raw_path": LOGIN_CHECK.encode(), "query_string": b""}
        await self._app(asked, nothing, note)
        return codes == [200]


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    """What comes, piece by piece. Raises ConnectionError if who sends it leaves."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the browser left")
        more = message.get("more_body", False)
        yield message.get("body", b"")


def _is_harmless(body: bytes) -> bool:
    """Whether it is JSON without a value that says of itself to be a file, which Gradio would read or fetch."""
    try:
        waiting = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "meta" in value or "_type" in value:
                return False
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return True


def _closed(send: Send) -> Send:
    """`send`, with the headers that forbid everything else."""

    async def closed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in HEADERS}
            kept = [each for each in message.get("headers", []) if bytes(each[0]).lower() not in ours]
            message = {**message, "headers": [*kept, *HEADERS]}
        await send(message)

    return closed


async def _answer(send: Send, code: int, words: str, kind: bytes = b"text/plain; charset=utf-8") -> None:
    body = words.encode()
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *HEADERS]
    headers += [(b"connection", b"close")] if code >= 400 else []
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
