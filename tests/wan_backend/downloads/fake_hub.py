"""A Hugging Face hub on 127.0.0.1: enough of its API for a model to be fetched, and whatever can go wrong there.

Standard library only. `files` may be changed at any time; what was asked for is noted in `asked`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40
PIECE_BYTES = 1 << 14


class FakeHub:
    """Repositories by name, each a dict of file names and contents."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.lfs_suffixes = (".safetensors", ".model")
        self.slow_seconds = 0.0
        """Between two pieces of a file, after the first `quick_bytes` of it."""
        self.quick_bytes = 0
        """Waited after each piece of PIECE_BYTES."""
        self.status: dict[str, int] = {}
        """Answered instead of a file of that name, or of a repository's list."""
        self.gated: set[str] = set()
        self.spoiled: dict[str, int] = {}
        """How many times yet a file comes with another content."""
        self.cut: dict[str, int] = {}
        """After how many bytes the line breaks, once."""
        self.ignores_ranges = False
        self.instead: dict[str, Callable[[bytes], bytes]] = {}
        """What somebody between here and the hub makes of a file's content."""
        self.busy: dict[str, int] = {}
        """How many times yet a file, or a repository's list, is answered with 503."""
        self.raw: dict[str, Callable[[str, bytes], tuple[int, dict[str, str], bytes]]] = {}
        """A file's answer made by hand, of the Range that was asked for and the content: status, headers, body."""
        self.moved: dict[str, str] = {}
        """Where a path is answered with another address: what it begins with, and the address in its place."""
        self.commit = COMMIT
        self.asked: list[tuple[str, str]] = []
        """File names with the Range that was asked for."""
        self.tokens: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: _Handler(self, *given))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """No more answers."""
        self._server.shutdown()
        self._server.server_close()

    def add(self, repo: str, folder: Path, **more: bytes) -> None:
        """Serve what is in `folder`, and `more` (double underscores in names stand for dots)."""
        held = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        held.update({name.replace("__", "."): content for name, content in more.items()})
        self.repos[repo] = held

    def accept(self, cache: Path) -> None:
        """Note in a cache that these repositories are taken as they are here: they aren't those that are known."""
        notes = {repo: {"accepted": True, "commit": "", "files": {}} for repo in self.repos}
        (cache / ".locks").mkdir(parents=True, exist_ok=True)
        (cache / ".locks" / "wan_vse_first.json").write_text(json.dumps(notes))

    def names(self) -> list[str]:
        """The files that were asked for."""
        return [name for name, _ in self.asked]

    def listing(self, repo: str) -> dict:
        """As the API says it."""
        rows = []
        for name, content in self.repos[repo].items():
            row = {"rfilename": name, "size": len(content), "blobId": git_checksum(content)}
            if name.endswith(self.lfs_suffixes):
                row["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            rows.append(row)
        return {
            "id": repo,
            "modelId": repo,
            "sha": self.commit,
            "siblings": rows,
            "cardData": {"license": "apache-2.0"},
        }

    def tree(self, repo: str) -> list[dict]:
        """The same in the API's other words."""
        rows = self.listing(repo)["siblings"]
        return [
            {"type": "file", "path": row["rfilename"], "size": row["size"], "oid": row["blobId"]}
            | ({"lfs": {**row["lfs"], "oid": row["lfs"]["sha256"]}} if "lfs" in row else {})
            for row in rows
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: FakeHub, *given: object) -> None:
        self.hub = hub
        with contextlib.suppress(ConnectionError):
            super().__init__(*given)

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.tokens.add(self.headers.get("Authorization", ""))
        for start, address in self.hub.moved.items():
            if path.startswith(start):
                self._move(address + path.removeprefix(start))
                return
        if "/tree/" in path:
            self._whole(json.dumps(self.hub.tree(path.removeprefix("/api/models/").partition("/tree/")[0])).encode())
            return
        if path.startswith("/api/models/"):
            self._list(path.removeprefix("/api/models/").partition("/revision/")[0])
            return
        repo, _, rest = path[1:].partition("/resolve/")
        self._file(repo, rest.partition("/")[2])

    def _list(self, repo: str) -> None:
        if self._is_busy(repo):
            return
        status = self.hub.status.get(repo, 200 if repo in self.hub.repos else 404)
        if status != 200:
            self._fail(status, "RepoNotFound" if status == 404 else "")
            return
        self._whole(json.dumps(self.hub.listing(repo)).encode())

    def _file(self, repo: str, name: str) -> None:
        wanted = self.headers.get("Range", "")
        self.hub.asked.append((name, wanted))
        if repo in self.hub.gated:
            self._fail(403, "GatedRepo")
            return
        if name in self.hub.raw:
            self._by_hand(*self.hub.raw[name](wanted, self.hub.repos[repo][name]))
            return
        if self._is_busy(name):
            return
        content = self.hub.repos.get(repo, {}).get(name)
        status = self.hub.status.get(name, 200 if content is not None else 404)
        if status != 200:
            self._fail(status, "EntryNotFound" if status == 404 else "")
            return
        assert content is not None
        content = self.hub.instead.get(name, bytes)(content)
        if self.hub.spoiled.get(name, 0) > 0:
            self.hub.spoiled[name] -= 1
            content = bytes(len(content))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not self.hub.ignores_ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._pour(name, content[start:])

    def _move(self, address: str) -> None:
        self.send_response(307)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _by_hand(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if headers.get("Content-Length") != str(len(body)):
            self.close_connection = True  # its end is that of the line
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _is_busy(self, name: str) -> bool:
        left = self.hub.busy.get(name, 0)
        self.hub.busy[name] = max(0, left - 1)
        if left:
            self._fail(503, "")
        return left > 0

    def _pour(self, name: str, content: bytes) -> None:
        cut = self.hub.cut.pop(name, None)
        for at in range(0, len(content), PIECE_BYTES):
            if cut is not None and at >= cut:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(content[at : at + PIECE_BYTES])
            if at >= self.hub.quick_bytes:
                time.sleep(self.hub.slow_seconds)

    def _whole(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _fail(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def git_checksum(content: bytes) -> str:
    """As git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
