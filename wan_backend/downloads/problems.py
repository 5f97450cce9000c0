"""What goes wrong while something is downloaded, as sentences with buttons."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum, auto

from ..catalogue.entries import AnyEntry, ModelEntry
from ..library import locate
from ..protocol.messages import Fix, FixAction, Problem, ProblemKind
from ..protocol.sentences import Sentence
from ..storage import byte_sizes, disk_errors
from ..storage.guarded_files import UnusableFile
from . import network_settings

log = logging.getLogger(__name__)

LOG_IN = Sentence("log in with 'hf auth login' in a terminal, or set HF_TOKEN before Blender starts, then retry")
FIX_PROXY = Sentence("start it, or fix or unset that variable and start Blender again; what was downloaded is kept.")
REFUSALS = (401, 403, 404, 405, 410, 418, 451)
"""HTTP statuses that a retry doesn't change, whoever answers with them."""


class Failure(Enum):
    """Why a download can't go on; the words for each are in `_SENTENCES`."""

    WRONG_ANSWER = auto()
    """What came was not what was asked for: a portal's page, or a file of another length."""
    WRONG_CHECKSUM = auto()
    """A file came twice with another content than the hub says."""
    DAMAGED_SHARE = auto()
    """A file of another model, which was to be shared, is damaged."""
    CHANGED = auto()
    """A file of the hub isn't the one that was fetched first."""
    UNKNOWN_CONTENT = auto()
    """A file of the hub isn't the one that the catalogue knows."""
    BUSY = auto()
    """Another process is downloading the same model."""
    NETWORK_SETTINGS = auto()
    """The environment's proxy or certificates can't be used; the subject is the sentence."""


class DownloadError(Exception):
    """A download can't go on. `subject` is the file or sentence that it is about, `lender` the model that has it."""

    def __init__(self, failure: Failure, subject: str = "", lender: str = "") -> None:
        super().__init__(subject)
        self.failure, self.subject, self.lender = failure, subject, lender


_SENTENCES = {
    Failure.WRONG_ANSWER: (
        ProblemKind.HUB_FAILED,
        Sentence(
            "What came for {subject} was something else, or not all of it: a network that needs a "
            "login, a proxy or a mirror answered instead of the hub. Open any page in a browser to "
            "see, then retry."
        ),
    ),
    Failure.WRONG_CHECKSUM: (
        ProblemKind.CHECKSUM,
        Sentence("{subject} came damaged twice, so it was deleted; retry, or try another connection."),
    ),
    Failure.DAMAGED_SHARE: (
        ProblemKind.CHECKSUM,
        Sentence(
            "{subject} of {lender}, which {label} was to share, is damaged and was set aside; retry "
            "to download it again. {lender} must be downloaded again, too."
        ),
    ),
    Failure.CHANGED: (
        ProblemKind.CHECKSUM,
        Sentence(
            "The hub's {subject} is no longer the file that was first downloaded, so it isn't used: see its page for "
            "what was changed and why. Update Wan VSE, or accept the change in a terminal: {command}"
        ),
    ),
    Failure.UNKNOWN_CONTENT: (
        ProblemKind.CHECKSUM,
        Sentence(
            "The hub's {subject} is no longer the file that this version of Wan VSE knows, so it isn't used: see its "
            "page for what was changed and why. Update Wan VSE, or accept the change in a terminal: {command}"
        ),
    ),
    Failure.BUSY: (
        ProblemKind.BUSY,
        Sentence("{label} is being downloaded by another Blender or terminal; wait for it, then retry."),
    ),
    Failure.NETWORK_SETTINGS: (ProblemKind.OFFLINE, Sentence("{subject}")),
}


def retry(entry: AnyEntry) -> Fix:
    """The button that goes on with the download."""
    return Fix(Sentence("Retry"), action=FixAction.DOWNLOAD, value=entry.id)


def choose_folder() -> Fix:
    """The button that leads to the models folder."""
    return Fix(Sentence("Choose Folder"), action=FixAction.OPEN_PREFERENCES)


def too_little_space(entry: AnyEntry, needed_bytes: int, free_bytes: int, folder: str) -> Problem:
    """The problem of a disk that is too full, known before anything is fetched."""
    needed, free = byte_sizes.size_in_words(needed_bytes), byte_sizes.size_in_words(free_bytes)
    sentence = Sentence(
        "{model} needs {needed} in {folder}, where {free} are free; make room, or choose another "
        "models folder in the preferences.",
        model=entry.label,
        needed=needed,
        folder=folder,
        free=free,
    )
    return Problem(ProblemKind.DISK_FULL, sentence, [retry(entry), choose_folder()])


def problem_of(error: Exception, entry: AnyEntry, folder: str) -> Problem:
    """The Problem that `error` is while `entry` is fetched into `folder`."""
    from httpx2 import HTTPError  # huggingface_hub's HTTP library, whose errors it lets through
    from huggingface_hub.errors import OfflineModeIsEnabled

    again = [retry(entry)]
    if isinstance(error, DownloadError):
        kind, template = _SENTENCES[error.failure]
        command = f"{locate.download_command(entry.id)} --accept-changes"
        sentence = template.with_values(subject=error.subject, lender=error.lender, label=entry.label, command=command)
        return Problem(kind, sentence, again)
    if isinstance(error, OfflineModeIsEnabled):
        sentence = Sentence("HF_HUB_OFFLINE is set, so nothing can be downloaded; unset it and start Blender again.")
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, HTTPError):
        return _from_network(error, entry, again)
    if isinstance(error, ImportError) and "proxy" in str(error).lower():
        sentence = Sentence(
            "This backend can't speak to a SOCKS proxy ({proxy}); set up the backend again, then retry.", proxy=_proxy()
        )
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, UnusableFile | ValueError):
        sentence = Sentence(
            "{model} can't be downloaded because {reason}; retry later, or {otherwise}.",
            model=entry.label,
            reason=error,
            otherwise=_otherwise(entry),
        )
        return Problem(ProblemKind.MODEL_BROKEN, sentence, again)
    if isinstance(error, OSError):
        return _from_disk(error, entry, folder)
    words = f"{type(error).__name__}: {error}".split("\n")[0][:200]
    return Problem(
        ProblemKind.INTERNAL,
        Sentence("{model} could not be downloaded ({words}); retry to resume.", model=entry.label, words=words),
        again,
    )


def _otherwise(entry: AnyEntry) -> Sentence:
    return Sentence("choose another model") if isinstance(entry, ModelEntry) else Sentence("do without it")


def _from_disk(error: OSError, entry: AnyEntry, folder: str) -> Problem:
    fixes = [retry(entry), choose_folder()]
    if disk_errors.is_quota(error):
        sentence = Sentence(
            "Your quota on the disk of {folder} is used up; delete something of yours, then retry: "
            "what was downloaded is kept.",
            folder=folder,
        )
        return Problem(ProblemKind.DISK_FULL, sentence, fixes)
    if disk_errors.is_full(error):
        sentence = Sentence(
            "The disk of {folder} is full; make room, then retry: what was downloaded is kept.", folder=folder
        )
        return Problem(ProblemKind.DISK_FULL, sentence, fixes)
    where = error.filename or folder
    sentence = Sentence(
        "{where} can't be written ({reason}); fix that, or choose another models folder in the preferences.",
        where=where,
        reason=disk_errors.reason(error),
    )
    return Problem(ProblemKind.FOLDER, sentence, fixes)


def _is_page_of_another(headers: Mapping[str, str]) -> bool:
    """True for a page of somebody between here and the hub, which answers programs otherwise, and says why."""
    return headers.get("content-type", "").startswith("text/html") and "x-error-code" not in headers


def _from_refusal(error: Exception, status: int, entry: AnyEntry, again: list[Fix]) -> Problem | None:
    """The problem if the hub, or whoever answers in its place, refuses; else None."""
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError

    page = f"huggingface.co/{entry.repo}"
    if isinstance(error, HfHubHTTPError) and status in REFUSALS and _is_page_of_another(error.response.headers):
        sentence = Sentence(
            "Something other than the hub refused the download ({status}): a company's filter, a "
            "proxy or a mirror. Open {page} in a browser to see, have huggingface.co allowed there, "
            "then retry.",
            status=status,
            page=page,
        )
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, GatedRepoError) or status == 403:
        sentence = Sentence(
            "{model} is only for those who have agreed to its terms: do so at {page}, {log_in}.",
            model=entry.label,
            page=page,
            log_in=LOG_IN,
        )
        return Problem(ProblemKind.NOT_ALLOWED, sentence, again)
    if status == 401:
        sentence = Sentence(
            "{model} needs a Hugging Face login, or is no longer on the hub: {log_in}.",
            model=entry.label,
            log_in=LOG_IN,
        )
        return Problem(ProblemKind.NOT_ALLOWED, sentence, again)
    if status == 404 or isinstance(error, EntryNotFoundError):
        sentence = Sentence(
            "The hub no longer has {page}, or not all of its files; update Wan VSE, or {otherwise}.",
            page=page,
            otherwise=_otherwise(entry),
        )
        return Problem(ProblemKind.NOT_FOUND, sentence, again)
    return None


def _from_network(error: Exception, entry: AnyEntry, again: list[Fix]) -> Problem:
    from huggingface_hub.errors import HfHubHTTPError

    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    return (
        _from_refusal(error, status, entry, again)
        or _from_login(error, status, again)
        or _from_status(status, again)
        or _from_no_answer(error, again)
    )


def _from_login(error: Exception, status: int, again: list[Fix]) -> Problem | None:
    from httpx2 import ProxyError

    if status == 407 or (isinstance(error, ProxyError) and "407" in str(error)):
        place = f" ({_proxy()})" if _proxy() else ""
        sentence = Sentence(
            "The proxy{place} needs a login, or a different one: put it before the host, as "
            "http://name:password@host, and start Blender again; what was downloaded is kept.",
            place=place,
        )
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if status == 511:
        sentence = Sentence("This network needs a login: open any page in a browser, then retry.")
        return Problem(ProblemKind.OFFLINE, sentence, again)
    return None


def _from_status(status: int, again: list[Fix]) -> Problem | None:
    if status in (429, 502, 503, 504):
        sentence = Sentence(
            "The hub is overloaded or under repair ({status}); retry in a few minutes to resume.", status=status
        )
        return Problem(ProblemKind.HUB_FAILED, sentence, again)
    if status:
        sentence = Sentence("The hub answered with an error ({status}); retry later to resume.", status=status)
        return Problem(ProblemKind.HUB_FAILED, sentence, again)
    return None


def _from_no_answer(error: Exception, again: list[Fix]) -> Problem:
    log.info("the hub can't be reached: %s", error)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        sentence = Sentence(
            "Hugging Face can't be verified: its certificate isn't known here (a company's proxy, a "
            "login page, a wrong clock). Fix that, or set SSL_CERT_FILE to your company's "
            "certificates, then retry."
        )
    elif _proxy():
        sentence = Sentence(
            "Hugging Face can't be reached through the proxy that is set ({proxy}); {fix_proxy}",
            proxy=_proxy(),
            fix_proxy=FIX_PROXY,
        )
    else:
        sentence = Sentence(
            "Hugging Face can't be reached: check the network, then retry. What was downloaded is kept."
        )
    return Problem(ProblemKind.OFFLINE, sentence, again)


def _proxy() -> str:
    """The proxy that the hub is asked through, without a password; or nothing."""
    from huggingface_hub import constants

    return network_settings.proxy_in_words(constants.ENDPOINT)
