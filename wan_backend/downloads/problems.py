"""What goes wrong while something is downloaded, as sentences with buttons."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum, auto

from ..catalogue.entries import AnyEntry, ModelEntry
from ..library import locate
from ..protocol.messages import Fix, FixAction, Problem, ProblemKind
from ..storage import byte_sizes, disk_errors
from ..storage.guarded_files import UnusableFile
from . import network_settings

log = logging.getLogger(__name__)

LOG_IN = "log in with 'hf auth login' in a terminal, or set HF_TOKEN before Blender starts, then retry"
FIX_PROXY = "start it, or fix or unset that variable and start Blender again; what was downloaded is kept."
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


_CHANGED = (
    "so it isn't used: see its page for what was changed and why. Update Wan VSE, or accept the change in a "
    "terminal: {command}"
)
_SENTENCES = {
    Failure.WRONG_ANSWER: (
        ProblemKind.HUB_FAILED,
        "What came for {subject} was something else, or not all of it: a network that needs a login, a proxy or "
        "a mirror answered instead of the hub. Open any page in a browser to see, then retry.",
    ),
    Failure.WRONG_CHECKSUM: (
        ProblemKind.CHECKSUM,
        "{subject} came damaged twice, so it was deleted; retry, or try another connection.",
    ),
    Failure.DAMAGED_SHARE: (
        ProblemKind.CHECKSUM,
        "{subject} of {lender}, which {label} was to share, is damaged and was set aside; retry to download it "
        "again. {lender} must be downloaded again, too.",
    ),
    Failure.CHANGED: (
        ProblemKind.CHECKSUM,
        "The hub's {subject} is no longer the file that was first downloaded, " + _CHANGED,
    ),
    Failure.UNKNOWN_CONTENT: (
        ProblemKind.CHECKSUM,
        "The hub's {subject} is no longer the file that this version of Wan VSE knows, " + _CHANGED,
    ),
    Failure.BUSY: (
        ProblemKind.BUSY,
        "{label} is being downloaded by another Blender or terminal; wait for it, then retry.",
    ),
    Failure.NETWORK_SETTINGS: (ProblemKind.OFFLINE, "{subject}"),
}


def retry(entry: AnyEntry) -> Fix:
    """The button that goes on with the download."""
    return Fix("Retry", action=FixAction.DOWNLOAD, value=entry.id)


def choose_folder() -> Fix:
    """The button that leads to the models folder."""
    return Fix("Choose Folder", action=FixAction.OPEN_PREFERENCES)


def too_little_space(entry: AnyEntry, needed_bytes: int, free_bytes: int, folder: str) -> Problem:
    """The problem of a disk that is too full, known before anything is fetched."""
    needed, free = byte_sizes.size_in_words(needed_bytes), byte_sizes.size_in_words(free_bytes)
    sentence = (
        f"{entry.label} needs {needed} in {folder}, where {free} are free; make room, or choose another models folder "
        "in the preferences."
    )
    return Problem(ProblemKind.DISK_FULL, sentence, [retry(entry), choose_folder()])


def problem_of(error: Exception, entry: AnyEntry, folder: str) -> Problem:
    """The Problem that `error` is while `entry` is fetched into `folder`."""
    from httpx2 import HTTPError  # huggingface_hub's HTTP library, whose errors it lets through
    from huggingface_hub.errors import OfflineModeIsEnabled

    again = [retry(entry)]
    if isinstance(error, DownloadError):
        kind, words = _SENTENCES[error.failure]
        command = f"{locate.download_command(entry.id)} --accept-changes"
        sentence = words.format(subject=error.subject, lender=error.lender, label=entry.label, command=command)
        return Problem(kind, sentence, again)
    if isinstance(error, OfflineModeIsEnabled):
        sentence = "HF_HUB_OFFLINE is set, so nothing can be downloaded; unset it and start Blender again."
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, HTTPError):
        return _from_network(error, entry, again)
    if isinstance(error, ImportError) and "proxy" in str(error).lower():
        sentence = f"This backend can't speak to a SOCKS proxy ({_proxy()}); set up the backend again, then retry."
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, UnusableFile | ValueError):
        sentence = f"{entry.label} can't be downloaded because {error}; retry later, or {_otherwise(entry)}."
        return Problem(ProblemKind.MODEL_BROKEN, sentence, again)
    if isinstance(error, OSError):
        return _from_disk(error, entry, folder)
    words = f"{type(error).__name__}: {error}".split("\n")[0][:200]
    return Problem(ProblemKind.INTERNAL, f"{entry.label} could not be downloaded ({words}); retry to resume.", again)


def _otherwise(entry: AnyEntry) -> str:
    return "choose another model" if isinstance(entry, ModelEntry) else "do without it"


def _from_disk(error: OSError, entry: AnyEntry, folder: str) -> Problem:
    fixes = [retry(entry), choose_folder()]
    if disk_errors.is_quota(error):
        sentence = (
            f"Your quota on the disk of {folder} is used up; delete something of yours, "
            "then retry: what was downloaded is kept."
        )
        return Problem(ProblemKind.DISK_FULL, sentence, fixes)
    if disk_errors.is_full(error):
        sentence = f"The disk of {folder} is full; make room, then retry: what was downloaded is kept."
        return Problem(ProblemKind.DISK_FULL, sentence, fixes)
    where = error.filename or folder
    sentence = (
        f"{where} can't be written ({disk_errors.reason(error)}); fix that, or choose another models folder in the "
        "preferences."
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
        sentence = (
            f"Something other than the hub refused the download ({status}): a company's filter, a proxy or a mirror. "
            f"Open {page} in a browser to see, have huggingface.co allowed there, then retry."
        )
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, GatedRepoError) or status == 403:
        sentence = f"{entry.label} is only for those who have agreed to its terms: do so at {page}, {LOG_IN}."
        return Problem(ProblemKind.NOT_ALLOWED, sentence, again)
    if status == 401:
        sentence = f"{entry.label} needs a Hugging Face login, or is no longer on the hub: {LOG_IN}."
        return Problem(ProblemKind.NOT_ALLOWED, sentence, again)
    if status == 404 or isinstance(error, EntryNotFoundError):
        sentence = f"The hub no longer has {page}, or not all of its files; update Wan VSE, or {_otherwise(entry)}."
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
        sentence = (
            f"The proxy{place} needs a login, or a different one: put it before the host, as "
            "http://name:password@host, and start Blender again; what was downloaded is kept."
        )
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if status == 511:
        sentence = "This network needs a login: open any page in a browser, then retry."
        return Problem(ProblemKind.OFFLINE, sentence, again)
    return None


def _from_status(status: int, again: list[Fix]) -> Problem | None:
    if status in (429, 502, 503, 504):
        sentence = f"The hub is overloaded or under repair ({status}); retry in a few minutes to resume."
        return Problem(ProblemKind.HUB_FAILED, sentence, again)
    if status:
        sentence = f"The hub answered with an error ({status}); retry later to resume."
        return Problem(ProblemKind.HUB_FAILED, sentence, again)
    return None


def _from_no_answer(error: Exception, again: list[Fix]) -> Problem:
    log.info("the hub can't be reached: %s", error)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        sentence = (
            "Hugging Face can't be verified: its certificate isn't known here (a company's proxy, a login "
            "page, a wrong clock). Fix that, or set SSL_CERT_FILE to your company's certificates, then retry."
        )
    elif _proxy():
        sentence = f"Hugging Face can't be reached through the proxy that is set ({_proxy()}); {FIX_PROXY}"
    else:
        sentence = "Hugging Face can't be reached: check the network, then retry. What was downloaded is kept."
    return Problem(ProblemKind.OFFLINE, sentence, again)


def _proxy() -> str:
    """The proxy that the hub is asked through, without a password; or nothing."""
    from huggingface_hub import constants

    return network_settings.proxy_in_words(constants.ENDPOINT)
