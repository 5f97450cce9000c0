"""Streams a file from the hub: it resumes in the middle, and a wrong answer costs nothing of what came before.

huggingface_hub's own download isn't used: when a portal or a proxy answers a request for the rest with a page, it
throws away all that came before; it writes an answer without end until the disk is full; it waits as long as a server
says. Its client is used, so the login, proxies and certificates are the library's own; the login goes to the hub alone.
"""

from __future__ import annotations

import functools
import io
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .problems import DownloadError, Failure

if TYPE_CHECKING:
    from httpx2 import Response, TransportError

log = logging.getLogger(__name__)
T = TypeVar("T")
Sink = io.RawIOBase | io.BytesIO

BUSY_STATUSES = (408, 429, 500, 502, 503, 504)
BUSY_SECONDS = (1.0, 3.0, 9.0)
"""Pauses after which the hub is asked again that answers with one of BUSY_STATUSES."""
MAX_PAUSE_SECONDS = 60.0
"""A hub that says how long to wait is obeyed up to here; after that, a person is told."""
CHUNK_BYTES = 1 << 20
"""Size of what is written at a time; more would let a slow line look dead, and lose more at a kill."""
MAX_BREAKS = 5
"""How often the line may break with less than CHUNK_BYTES in between."""
BREAK_SECONDS = 1.0
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass
class _Rest:
    """A file as far as it came."""

    name: str
    size_bytes: int
    sink: Sink
    held: int

    def write(self, content: bytes) -> None:
        """Write as much as belongs to the file: an answer without end must not fill the disk."""
        wanted = content[: self.size_bytes - self.held]
        if wanted:
            self.sink.write(wanted)
            self.held += len(wanted)


def ask_patiently(ask: Callable[[], T]) -> T:
    """The answer of `ask`, which is called again a few times if the hub is overloaded or under repair."""
    from huggingface_hub.errors import HfHubHTTPError

    for seconds in BUSY_SECONDS:
        try:
            return ask()
        except HfHubHTTPError as error:
            if error.response.status_code not in BUSY_STATUSES:
                raise
            wished = error.response.headers.get("Retry-After", "")
            pause = min(MAX_PAUSE_SECONDS, max(seconds, float(wished) if wished.isdecimal() else 0.0))
            log.info("the hub answers %d; asked again in %g s", error.response.status_code, pause)
            time.sleep(pause)
    return ask()


def append(url: str, name: str, size_bytes: int, sink: Sink, held: int) -> None:
    """Append the bytes of `url` from `held` on to `sink`, `size_bytes` at most; it goes on where the line breaks.

    The file is not compared with its checksum. Raises what huggingface_hub and its HTTP library raise, DownloadError,
    and OSError if `sink` can't be written.
    """
    from httpx2 import TransportError

    rest = _Rest(name, size_bytes, sink, held)
    breaks, ranges = 0, True
    while True:
        before, asked_for_rest = rest.held, ranges
        try:
            ranges = ask_patiently(functools.partial(_ask, url, rest, ranges)) and ranges
        except TransportError as error:
            breaks = breaks + 1 if rest.held - before < CHUNK_BYTES else 1
            if breaks > MAX_BREAKS or _is_final(error):
                raise
            log.info("the line broke at %d of %d bytes of %s: %s", rest.held, size_bytes, name, error)
            time.sleep(BREAK_SECONDS)
            continue
        if rest.held >= size_bytes:
            return
        if asked_for_rest and not ranges:
            continue
        if rest.held - before < CHUNK_BYTES:  # else it comes in pieces
            raise _wrong_answer(name)


def _ask(url: str, rest: _Rest, ranges: bool) -> bool:
    """Ask once, for the rest if `ranges`; of an answer with the whole file, what is here already is skipped.

    False if the hub, or what is between, can't give the rest of a file: then all of it must be asked for.
    """
    from httpx2 import DecodingError
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

    asked = {"Range": f"bytes={rest.held}-"} if ranges and rest.held else {}
    headers = {**build_hf_headers(), "Accept-Encoding": "identity", **asked}
    seconds = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=seconds, follow_redirects=True) as response:
        if response.status_code == 416:
            if not asked:
                raise _wrong_answer(rest.name)
            return False
        hf_raise_for_status(response)
        start = _first_byte(response, rest)
        if start is None:
            return False
        past = rest.held - start
        try:
            for content in response.iter_bytes(CHUNK_BYTES):
                passed = min(past, len(content))
                past -= passed
                rest.write(content[passed:])
                if rest.held >= rest.size_bytes:
                    return True
        except DecodingError as error:
            raise _wrong_answer(rest.name) from error
    return True


def _first_byte(response: Response, rest: _Rest) -> int | None:
    """Where in the file the answer begins: where the file stops here, or at 0; None if it is another piece of it.

    Raises DownloadError if it can't be the file.
    """
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _wrong_answer(rest.name)
    encoded = response.headers.get("Content-Encoding", "identity").lower() != "identity"
    if response.status_code == 206:
        said = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip().lower())
        if encoded or said is None or int(said[1]) != rest.held:
            if rest.held:
                return None
            raise _wrong_answer(rest.name)
        if said[2] not in ("*", str(rest.size_bytes)):
            raise _wrong_answer(rest.name)
        return rest.held
    length = response.headers.get("Content-Length", "")
    if not encoded and length and length != str(rest.size_bytes):
        raise _wrong_answer(rest.name)
    return 0


def _wrong_answer(name: str) -> DownloadError:
    return DownloadError(Failure.WRONG_ANSWER, name)


def _is_final(error: TransportError) -> bool:
    """True if asking again is of no use: a proxy refuses, a certificate or a protocol isn't known."""
    from httpx2 import ProxyError, UnsupportedProtocol

    return isinstance(error, ProxyError | UnsupportedProtocol) or "CERTIFICATE_VERIFY_FAILED" in str(error)
