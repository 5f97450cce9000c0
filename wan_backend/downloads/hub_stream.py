"""A file of the hub as it streams in: gone on with in the middle, and nothing that came is lost to a wrong answer.

huggingface_hub's own way isn't taken: where a portal or a proxy answers a request for the rest with a page, it throws
away all that came before; it writes an answer without end until the disk is full; it waits as long as it is told to.
Its client is taken, so the login, proxies and certificates are the library's own; the login goes to the hub alone.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from httpx2 import Response, TransportError

log = logging.getLogger(__name__)
T = TypeVar("T")
Sink = io.RawIOBase | io.BytesIO

BUSY = (408, 429, 500, 502, 503, 504)
BUSY_SECONDS = (1.0, 3.0, 9.0)
"""So often and after such times the hub is asked again that answers so."""
LONGEST_SECONDS = 60.0
"""A hub that says how long to wait is heeded up to here; after that, a person is told."""
CHUNK_BYTES = 1 << 20
"""Written at a time; more would let a slow line look dead, and lose more at a kill."""
BREAKS = 5
"""So often the line may break with less than CHUNK_BYTES between."""
BREAK_SECONDS = 1.0
PROXIES = ("https", "http", "all")
OTHERS_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What other programs are told of a company's certificates with; taken where SSL_CERT_FILE says nothing."""
_PROXY = re.compile(r"(http|https|socks5|socks5h)://([^/?#@\s]*@)?(\[[0-9a-fA-F:.]+\]|[^:/?#@\[\]\s]+)(:\d{1,5})?/?")
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class WrongAnswer(Exception):
    """What came was not what was asked for: a portal's page, or a file of another length. The message is its name."""


class NoWay(Exception):
    """What says how the network is reached makes no sense; the message is a sentence, and has no password."""


class _NoRange(Exception):
    """The hub, or what is between, can't give the rest of a file; it's asked for all of it."""


@dataclass
class _Rest:
    """A file, as far as it came."""

    name: str
    size_bytes: int
    sink: Sink
    held: int

    def take(self, content: bytes) -> None:
        """Write it, as much as belongs to the file: an answer without end must not fill the disk."""
        wanted = content[: self.size_bytes - self.held]
        if wanted:
            self.sink.write(wanted)
            self.held += len(wanted)


def make_ready() -> None:
    """See that what says how the network is reached makes sense. Raises NoWay.

    The library's own words for it are of no help to a person, and have the password in them.
    """
    for kind in PROXIES:
        found = _proxy(kind)
        if found and not _PROXY.fullmatch(found[1] if "://" in found[1] else f"http://{found[1]}"):
            raise NoWay(
                f"The proxy that is set ({found[0]}) is not an address that can be used: it looks like "
                "http://host:3128 or socks5://host:1080; if it wants a login, with name:password@ before the host, "
                "where # / ? @ are written as %23 %2F %3F %40. Mend or unset it, and start Blender again."
            )
    given = next((name for name in ("SSL_CERT_FILE", *OTHERS_CERTIFICATES) if os.environ.get(name)), "")
    if given and os.path.isfile(os.environ[given]):
        os.environ["SSL_CERT_FILE"] = os.environ[given]
    elif given == "SSL_CERT_FILE":
        file = os.environ[given]
        raise NoWay(f"SSL_CERT_FILE is set to {file}, which is no file; mend or unset it, and start Blender again.")


def proxy_in_words(url: str) -> str:
    """The proxy that `url` is asked through, as "ALL_PROXY: socks5://host:1080", without a password; or nothing."""
    for kind in ("http" if url.startswith("http:") else "https", "all"):
        found = _proxy(kind)
        if found:
            scheme, mark, rest = found[1].rpartition("://")
            return f"{found[0]}: {scheme or 'http'}{mark or '://'}{rest.rpartition('@')[2]}"
    return ""


def _proxy(kind: str) -> tuple[str, str] | None:
    """What says it, and what it says."""
    found = urllib.request.getproxies().get(kind)
    names = (f"{kind}_proxy", f"{kind.upper()}_PROXY")
    return (next((name for name in names if os.environ.get(name)), "the system's"), found) if found else None


def patiently(ask: Callable[[], T]) -> T:
    """The answer; asked for a few times where the hub is overloaded or being mended."""
    from huggingface_hub.errors import HfHubHTTPError

    for seconds in BUSY_SECONDS:
        try:
            return ask()
        except HfHubHTTPError as error:
            if error.response.status_code not in BUSY:
                raise
            told = error.response.headers.get("Retry-After", "")
            pause = min(LONGEST_SECONDS, max(seconds, float(told) if told.isdecimal() else 0.0))
            log.info("the hub answers %d; asked again in %g s", error.response.status_code, pause)
            time.sleep(pause)
    return ask()


def append(url: str, name: str, size_bytes: int, sink: Sink, held: int) -> None:
    """Write the bytes of `url` from `held` on to `sink`, `size_bytes` at most; it goes on where the line breaks.

    Whether it's the right file is for its checksum to say. Raises what huggingface_hub and its HTTP library raise,
    WrongAnswer, and OSError where `sink` can't be written.
    """
    from httpx2 import TransportError

    rest = _Rest(name, size_bytes, sink, held)
    breaks, ranges = 0, True
    while True:
        before = rest.held
        try:
            patiently(functools.partial(_ask, url, rest, ranges))
        except _NoRange:
            ranges = False
            continue
        except TransportError as error:
            breaks = breaks + 1 if rest.held - before < CHUNK_BYTES else 1
            if breaks > BREAKS or _is_final(error):
                raise
            log.info("the line broke at %d of %d bytes of %s: %s", rest.held, size_bytes, name, error)
            time.sleep(BREAK_SECONDS)
            continue
        if rest.held >= size_bytes:
            return
        if rest.held - before < CHUNK_BYTES:  # else it comes in pieces
            raise WrongAnswer(name)


def _ask(url: str, rest: _Rest, ranges: bool) -> None:
    """Ask once, for the rest where `ranges` are given; an answer with all of it is read past what is here."""
    from httpx2 import DecodingError
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

    asked = {"Range": f"bytes={rest.held}-"} if ranges and rest.held else {}
    headers = {**build_hf_headers(), "Accept-Encoding": "identity", **asked}
    seconds = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=seconds, follow_redirects=True) as response:
        if response.status_code == 416:
            if not asked:
                raise WrongAnswer(rest.name)
            raise _NoRange
        hf_raise_for_status(response)
        past = 0 if _is_the_rest(response, rest) else rest.held
        try:
            for content in response.iter_bytes(CHUNK_BYTES):
                passed = min(past, len(content))
                past -= passed
                rest.take(content[passed:])
                if rest.held >= rest.size_bytes:
                    return
        except DecodingError as error:
            raise WrongAnswer(rest.name) from error


def _is_the_rest(response: Response, rest: _Rest) -> bool:
    """True where what comes begins where the file stops here, false where it's all of it.

    Raises WrongAnswer where it can't be the file, and _NoRange where it's another part of it.
    """
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise WrongAnswer(rest.name)
    encoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
    if response.status_code == 206:
        said = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip().lower())
        if encoded or said is None or int(said[1]) != rest.held:
            raise _NoRange if rest.held else WrongAnswer(rest.name)
        if said[2] not in ("*", str(rest.size_bytes)):
            raise WrongAnswer(rest.name)
        return True
    length = response.headers.get("Content-Length", "")
    if not encoded and length and length != str(rest.size_bytes):
        raise WrongAnswer(rest.name)
    return False


def _is_final(error: TransportError) -> bool:
    """True where asking again is of no use: a proxy that refuses, a stranger's certificate, no known protocol."""
    from httpx2 import ProxyError, UnsupportedProtocol

    return isinstance(error, ProxyError | UnsupportedProtocol) or "CERTIFICATE_VERIFY_FAILED" in str(error)
