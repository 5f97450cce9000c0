"""Why a set-up failed, and what to do: out of what uv said, or of an error of Python's.

uv's words are those of the pinned version, which the tests ask for them.
"""

from __future__ import annotations

import errno
import re
import ssl
import urllib.error
from pathlib import Path

from ..protocol.messages import ProblemKind
from ..protocol.sentences import NO_SENTENCE, Sentence
from .index_file import NoSuchFile, OtherFile
from .reach import Reach, proxy_of, without_password

AGAIN = Sentence("then set up again: it resumes from there.")
_HOST = re.compile(r"(?:https?://)([^/\s`)@]+@)?([^/\s`)]+)")
_ROOM = re.compile(r"No space left|not enough space|os error (?:28|112)\b|Disk quota|Errno 28|WinError 112")
_CERTIFICATE = re.compile(
    r"invalid peer certificate|CERTIFICATE_VERIFY_FAILED|No CA certificates|UnknownIssuer|self-signed"
)
_PROXY_LOGIN = re.compile(r"proxy authorization required|\b407\b|SOCKS error: .*auth", re.IGNORECASE)
_PROXY = re.compile(r"tunnel error|socks proxy|SOCKS error|SOCKS proxy|proxy", re.IGNORECASE)
_NETWORK = re.compile(
    r"dns error|client error|tcp connect|Connection (?:refused|reset|aborted)|timed out|operation timed|getaddrinfo|"
    r"Name or service|unreachable|error sending request|Request failed|Failed to fetch|IncompleteRead|hung up|"
    r"bytes came|Remote end closed",
    re.IGNORECASE,
)
_NO_BUILD = re.compile(
    r"No solution found|no wheels with a matching|no version of|No download found|No interpreter found|was not found in"
)
_CHECKSUM = re.compile(r"[Hh]ash mismatch|Hash-checking is enabled")
_FOLDER = re.compile(r"Permission denied|os error (?:13|5|30|32)\b|Access is denied|Read-only file system")


class SetupFailed(Exception):
    """A step failed; the message is a sentence for a person."""

    def __init__(self, sentence: Sentence, kind: ProblemKind = ProblemKind.SETUP) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.kind = kind


def of_words(what: Sentence, words: str, reach: Reach, folder: Path) -> SetupFailed:
    """The failure of `what` ("Fetching the packages"), out of what was said; `folder` is where it should all lie."""
    sentence, kind = _cause(words, reach, folder)
    return SetupFailed(Sentence("{what} stopped: {cause}", what=what, cause=sentence), kind)


def of_error(what: Sentence, error: BaseException, reach: Reach, folder: Path) -> SetupFailed:
    """The failure of `what` by an error of Python's; raised again by whoever asked for it."""
    if isinstance(error, OtherFile):
        return of_words(what, "Hash mismatch", reach, folder)
    if isinstance(error, NoSuchFile):
        return SetupFailed(Sentence("{what} stopped: {reason}.", what=what, reason=error))
    reason = getattr(error, "reason", error) if isinstance(error, urllib.error.URLError) else error
    is_of_tls = isinstance(reason, ssl.SSLError)  # whose numbers are its own
    if isinstance(reason, OSError) and not is_of_tls and reason.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return of_words(what, "Permission denied", reach, folder)
    if isinstance(error, urllib.error.HTTPError) and error.code != 407:
        return of_words(what, f"client error ({error.code}) {error.url}", reach, folder)
    return of_words(what, f"{reach.index} {reason}", reach, folder)


def is_of_certificates(words: str) -> bool:
    """True if a host's certificate isn't trusted, or the file of certificates is none."""
    return bool(_CERTIFICATE.search(words)) or "No such file" in words


def _cause(words: str, reach: Reach, folder: Path) -> tuple[Sentence, ProblemKind]:
    if _ROOM.search(words):
        return Sentence(
            "the disk of {folder} is full. Free some space, {again}", folder=folder, again=AGAIN
        ), ProblemKind.DISK_FULL
    if _CHECKSUM.search(words):
        return (
            Sentence(
                "a file isn't the one that this version was tested with, so it wasn't used. Something "
                "between here and its index changed it: set up again on another network, or update Wan "
                "VSE."
            ),
            ProblemKind.CHECKSUM,
        )
    if _NO_BUILD.search(words):
        return (
            Sentence(
                "there is no build{detail} for this machine. Update Wan VSE; or set up with another "
                "Python or build of torch.",
                detail=_detail(words),
            ),
            ProblemKind.SETUP,
        )
    if _FOLDER.search(words):
        return (
            Sentence(
                "{folder} can't be written. Check its permissions and your virus scanner, {again}",
                folder=folder,
                again=AGAIN,
            ),
            ProblemKind.FOLDER,
        )
    return _network(words, reach)


def _network(words: str, reach: Reach) -> tuple[Sentence, ProblemKind]:
    host = _host(words, reach)
    proxy = without_password(proxy_of(reach, f"https://{host}/"))
    if reach.certificates and not Path(reach.certificates).is_file():
        return (
            Sentence(
                "SSL_CERT_FILE names {certificates}, which is no file. Correct or unset it, {again}",
                certificates=reach.certificates,
                again=AGAIN,
            ),
            ProblemKind.OFFLINE,
        )
    if _CERTIFICATE.search(words):
        named = reach.certificates
        look = (
            Sentence(
                "the certificates in {named} (SSL_CERT_FILE) don't vouch for it. Correct or unset that variable",
                named=named,
            )
            if named
            else Sentence(
                "its certificate isn't trusted here (a company's proxy, a login page, a wrong clock). "
                "Check that, or set SSL_CERT_FILE to your company's certificates"
            )
        )
        return Sentence(
            "{host} can't be verified: {advice}, {again}", host=host, advice=look, again=AGAIN
        ), ProblemKind.OFFLINE
    if proxy and _PROXY_LOGIN.search(words):
        return (
            Sentence(
                "the proxy ({proxy}) requires a login, or a different one. Put it before the host, as "
                "http://name:password@host, start Blender again, {again}",
                proxy=proxy,
                again=AGAIN,
            ),
            ProblemKind.OFFLINE,
        )
    if proxy and (_PROXY.search(words) or _NETWORK.search(words)):
        sentence = Sentence(
            "{host} can't be reached through the proxy that is set ({proxy}). Correct it, {again}",
            host=host,
            proxy=proxy,
            again=AGAIN,
        )
        return sentence, ProblemKind.OFFLINE
    if _NETWORK.search(words):
        return Sentence(
            "{host} can't be reached. Check the network, {again}", host=host, again=AGAIN
        ), ProblemKind.OFFLINE
    return Sentence("{words} The log says more.", words=_last(words)), ProblemKind.SETUP


def _host(words: str, reach: Reach) -> str:
    found = _HOST.findall(words) or _HOST.findall(reach.index)
    return str(found[-1][1]) if found else Sentence("the index of packages")


def _detail(words: str) -> Sentence:
    """Which package, in uv's words."""
    found = re.search(r"Because (?:there is no version of )?([\w.-]+)(?:\{[^}]*\})?(==[\w.+]+)", words)
    if not found:
        return NO_SENTENCE
    return Sentence(" of {package} {version}", package=found[1], version=found[2].removeprefix("=="))


def _last(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    if not lines:
        return Sentence("it said nothing.")
    said = next((line for line in lines if line.startswith("error:")), lines[-1])
    return said.removeprefix("error:").strip()[:300].rstrip(".") + "."
