"""Fetches one file of a package index with Python's own library: resumed after a stop, compared with its checksum.

For uv's own wheel; uv fetches all else. A file that is half here lies beside its place as NAME.part, and only what was
compared gets its name.
"""

from __future__ import annotations

import hashlib
import html
import logging
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urljoin, urlsplit

from ..protocol.sentences import Sentence
from ..storage import whole_file
from . import socks
from .reach import Reach, proxy_of, tls

log = logging.getLogger(__name__)

TRIES = 3
TIMEOUT_SECONDS = 60.0
PIECE_BYTES = 1 << 18
LARGEST_PAGE_BYTES = 64_000_000
AGENT = "wan-vse-setup"
_LINK = re.compile(r"<a\s[^>]*?href\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)

Received = Callable[[int], None]
"""Called with how many bytes are here."""


class OtherFile(Exception):
    """What came isn't the file that was meant."""


class NoSuchFile(Exception):
    """The index doesn't have it."""


def find(reach: Reach, project: str, name: str) -> str:
    """The address of the file `name` on the index's page of `project`. Raises NoSuchFile, OSError, HTTPException."""
    page = f"{reach.index.rstrip('/')}/{project}/"
    try:
        with _open(reach, page) as answer:
            text = answer.read(LARGEST_PAGE_BYTES).decode("utf-8", "replace")
            page = str(answer.geturl())
    except urllib.error.HTTPError as error:
        if error.code in (404, 410):
            raise NoSuchFile(Sentence("{shown} isn't there", shown=_shown(page))) from None
        raise
    for link in _LINK.findall(text):
        address = urljoin(page, html.unescape(link)).partition("#")[0]
        if unquote(urlsplit(address).path).rpartition("/")[2] == name:
            return address
    raise NoSuchFile(Sentence("{name} isn't on {shown}", name=name, shown=_shown(page)))


def _shown(address: str) -> str:
    """Without a name and password."""
    return urlsplit(address)._replace(netloc=urlsplit(address).netloc.rpartition("@")[2]).geturl()


def fetch(reach: Reach, address: str, file: Path, sha256: str, received: Received, pause_seconds: float = 2.0) -> None:
    """Put what `address` has into `file`; goes on where an earlier try stopped.

    Raises OtherFile if its checksum isn't `sha256`; OSError or HTTPException if it doesn't come after some tries.
    """
    part = file.with_name(file.name + whole_file.UNFINISHED_SUFFIX)
    for attempt in range(TRIES):
        try:
            _go_on(reach, address, part, received)
            break
        except (OSError, HTTPException) as error:
            if attempt == TRIES - 1 or not may_pass(error):
                raise
            log.info("once more: %s stopped: %r", address.rpartition("/")[2], error)
            time.sleep(pause_seconds)
    with open(part, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != sha256:
        part.unlink()
        raise OtherFile(Sentence("{file} is {digest}, not {wanted}", file=file.name, digest=digest, wanted=sha256))
    whole_file.replace(part, file)


def may_pass(error: BaseException) -> bool:
    """False if trying at once again is of no use: no room, a certificate, a page that isn't there."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (408, 425, 429) or error.code >= 500
    reason: Any = getattr(error, "reason", error)
    return not isinstance(reason, (PermissionError, FileNotFoundError, socks.SocksError)) and not (
        "CERTIFICATE_VERIFY_FAILED" in str(reason) or getattr(reason, "errno", None) == 28
    )


def _go_on(reach: Reach, address: str, part: Path, received: Received) -> None:
    held = part.stat().st_size if part.exists() else 0
    try:
        answer = _open(reach, address, {"Range": f"bytes={held}-"} if held else {})
    except urllib.error.HTTPError as error:
        if error.code == 416:  # all of it is here, or more than there is; its checksum tells
            return
        raise
    with answer:
        if answer.status != 206:
            held = 0
        length = answer.headers.get("Content-Length")
        with open(part, "ab" if held else "wb") as stream:
            came = _copy(answer, stream, held, received)
        if length and length.isdigit() and came < int(length):
            raise ConnectionError(Sentence("{came} of {length} bytes came", came=came, length=length))


def _copy(answer: IO[bytes], stream: IO[bytes], held: int, received: Received) -> int:
    came = 0
    while piece := answer.read(PIECE_BYTES):
        stream.write(piece)
        came += len(piece)
        received(held + came)
    return came


def _open(reach: Reach, address: str, headers: dict[str, str] | None = None) -> Any:
    if urlsplit(address).scheme not in ("http", "https", "file"):
        raise ValueError(Sentence("{address} is no address of a file", address=address))
    proxy, context = proxy_of(reach, address), tls(reach)
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    proxies: dict[str, str] = {}
    if proxy.startswith("socks"):
        handlers = [socks.Http(proxy), socks.Https(proxy, context)]
    elif proxy:
        proxies = {"http": proxy, "https": proxy}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), *handlers)
    request = urllib.request.Request(address, headers={"User-Agent": AGENT, **(headers or {})})
    return opener.open(request, timeout=TIMEOUT_SECONDS)
