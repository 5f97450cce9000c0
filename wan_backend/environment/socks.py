"""Connections through a SOCKS proxy, which Python's own library can't make.

SOCKS 5 (RFC 1928) with or without a name and password (RFC 1929). The proxy resolves the host's name, as often nobody
else can. uv speaks SOCKS by itself; this is for fetching uv.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit

from ..protocol.sentences import Sentence

VERSION, CONNECT, BY_NAME = 5, 1, 3
NO_LOGIN, PASSWORD, NEITHER = 0, 2, 255
REASONS = {
    1: Sentence("it failed"),
    2: Sentence("its rules forbid it"),
    3: Sentence("the network can't be reached"),
    4: Sentence("the host can't be reached"),
    5: Sentence("the host refused"),
    6: Sentence("it took too long"),
}


class SocksError(OSError):
    """The proxy doesn't do it; the message says why."""


def connect(proxy: str, host: str, port: int, timeout: float | None) -> socket.socket:
    """A connection to `host` through `proxy` ("socks5://name:password@host:1080"). Raises OSError."""
    parts = urlsplit(proxy)
    if parts.scheme.startswith("socks4"):
        raise SocksError(Sentence("SOCKS 4 isn't supported, SOCKS 5 is"))
    stream = socket.create_connection((parts.hostname or "", parts.port or 1080), timeout)
    try:
        _greet(stream, unquote(parts.username or ""), unquote(parts.password or ""))
        name = host.encode("idna")
        stream.sendall(bytes((VERSION, CONNECT, 0, BY_NAME, len(name))) + name + struct.pack(">H", port))
        _version, reply, _, kind = _exactly(stream, 4)
        if reply:
            raise SocksError(
                Sentence(
                    "the SOCKS proxy says no: {reason}",
                    reason=REASONS.get(reply, Sentence("reply {reply}", reply=reply)),
                )
            )
        length = {1: 4, 4: 16}.get(kind) or _exactly(stream, 1)[0]
        _exactly(stream, length + 2)
    except BaseException:
        stream.close()
        raise
    return stream


def _greet(stream: socket.socket, name: str, password: str) -> None:
    ways = bytes((NO_LOGIN, PASSWORD)) if name else bytes((NO_LOGIN,))
    stream.sendall(bytes((VERSION, len(ways))) + ways)
    version, way = _exactly(stream, 2)
    if version != VERSION:
        raise SocksError(Sentence("what answers there is no SOCKS 5 proxy"))
    if way == PASSWORD:
        words = [part.encode() for part in (name, password)]
        stream.sendall(b"\x01" + b"".join(bytes((len(word),)) + word for word in words))
        if _exactly(stream, 2)[1]:
            raise SocksError(Sentence("the SOCKS proxy refuses this login (407)"))
    elif way == NEITHER:
        raise SocksError(Sentence("the SOCKS proxy requires a login (407)"))


def _exactly(stream: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        piece = stream.recv(count - len(content))
        if not piece:
            raise SocksError(Sentence("the SOCKS proxy hung up"))
        content += piece
    return content


class Http(urllib.request.HTTPHandler):
    """http:// addresses through a SOCKS proxy."""

    def __init__(self, proxy: str) -> None:
        super().__init__()
        self._proxy = proxy

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Open it through the proxy."""
        proxy = self._proxy

        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                self.sock = connect(proxy, self.host, self.port, self.timeout)

        return self.do_open(Connection, request)


class Https(urllib.request.HTTPSHandler):
    """https:// addresses through a SOCKS proxy."""

    def __init__(self, proxy: str, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._proxy, self._whom_to_trust = proxy, context

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Open it through the proxy; TLS goes from here to the host."""
        proxy, context = self._proxy, self._whom_to_trust

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                plain: Any = connect(proxy, self.host, self.port, self.timeout)
                self.sock = context.wrap_socket(plain, server_hostname=self.host)

        return self.do_open(Connection, request)
