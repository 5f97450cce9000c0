"""What goes wrong while something is fetched, as sentences with buttons. Uses huggingface_hub's errors; no torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from ..catalogue.entries import AnyEntry, ModelEntry
from ..library import locate
from ..library.integrity import NotWhole
from ..protocol.messages import Fix, FixAction, Problem, ProblemKind
from ..storage import media_folder
from .download_lock import Elsewhere
from .hub_stream import NoWay, WrongAnswer, proxy_in_words
from .trust import Changed

log = logging.getLogger(__name__)

LOG_IN = "log in with 'hf auth login' in a terminal, or set HF_TOKEN before Blender starts, then retry"


MEND_PROXY = "start it, or mend or unset that variable and start Blender again; what is here already is kept."


REFUSALS = (401, 403, 404, 405, 410, 418, 451)
"""Which no retry mends, whoever says so."""


class WrongChecksum(Exception):
    """A file came twice with another content than the hub says; the message is its name."""


class DamagedLoan(Exception):
    """A file of another model, which was to be shared, is damaged."""

    def __init__(self, lender: str, file: Path) -> None:
        super().__init__(lender)
        self.lender, self.file = lender, file


def retry(entry: AnyEntry) -> Fix:
    """The button that goes on."""
    return Fix("Retry", action=FixAction.DOWNLOAD, value=entry.id)


def choose_folder() -> Fix:
    """The button that leads to the models folder."""
    return Fix("Choose Folder", action=FixAction.OPEN_PREFERENCES)


def too_little_room(entry: AnyEntry, needed_bytes: int, free_bytes: int, folder: str) -> Problem:
    """Said before anything is fetched."""
    needed, free = media_folder.size_in_words(needed_bytes), media_folder.size_in_words(free_bytes)
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
    wrong = _wrong_content(error, entry, folder, again)
    if wrong is not None:
        return wrong
    if isinstance(error, Elsewhere):
        sentence = f"{entry.label} is being fetched by another Blender or terminal; wait for it, then retry."
        return Problem(ProblemKind.BUSY, sentence, again)
    if isinstance(error, OfflineModeIsEnabled):
        sentence = "HF_HUB_OFFLINE is set, so nothing may be fetched; unset it and start Blender again."
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, HTTPError):
        return _from_network(error, entry, again)
    if isinstance(error, NoWay):
        return Problem(ProblemKind.OFFLINE, str(error), again)
    if isinstance(error, ImportError) and "proxy" in str(error).lower():
        sentence = f"This backend can't speak to a SOCKS proxy ({_proxy()}); set up the backend again, then retry."
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, NotWhole | ValueError):
        sentence = f"{entry.label} can't be fetched because {error}; retry later, or {_otherwise(entry)}."
        return Problem(ProblemKind.MODEL_BROKEN, sentence, again)
    if isinstance(error, OSError):
        return _from_disk(error, entry, folder)
    words = f"{type(error).__name__}: {error}".split("\n")[0][:200]
    return Problem(
        ProblemKind.INTERNAL, f"{entry.label} could not be fetched ({words}); retry, it goes on from there.", again
    )


def _wrong_content(error: Exception, entry: AnyEntry, folder: str, again: list[Fix]) -> Problem | None:
    """Where something came, or is here, that is not what it should be."""
    if isinstance(error, WrongChecksum):
        sentence = f"{error} came damaged twice, so it was thrown away; retry, or try another connection."
        return Problem(ProblemKind.CHECKSUM, sentence, again)
    if isinstance(error, DamagedLoan):
        sentence = (
            f"{error.file} of {error.lender}, which {entry.label} was to share, is damaged and was set aside; retry, "
            f"and it is fetched anew. {error.lender} must be downloaded again, too."
        )
        return Problem(ProblemKind.CHECKSUM, sentence, again)
    if isinstance(error, Changed):
        command = f"{locate.download_command(entry.id)} --accept-changes"
        was = "that was fetched here first" if error.was_fetched else "that this version of Wan VSE knows"
        sentence = (
            f"The hub's {error} is not the file any more {was}, so it isn't used: look at its page for what was "
            f"changed and why. Update Wan VSE, or take it as it is now, in a terminal: {command}"
        )
        return Problem(ProblemKind.CHECKSUM, sentence, again)
    if isinstance(error, WrongAnswer):
        sentence = (
            f"What came for {error} was not that, or not all of it: a network that wants a login first, a proxy or a "
            "mirror answered in the hub's place. Open any page in a browser to see, then retry."
        )
        return Problem(ProblemKind.HUB_FAILED, sentence, again)
    return None


def _otherwise(entry: AnyEntry) -> str:
    return "choose another model" if isinstance(entry, ModelEntry) else "do without it"


def _from_disk(error: OSError, entry: AnyEntry, folder: str) -> Problem:
    fixes = [retry(entry), choose_folder()]
    if media_folder.is_quota(error):
        sentence = (
            f"Your quota on the disk of {folder} is used up, however much is free there; delete something of yours, "
            "then retry: what was fetched is kept."
        )
        return Problem(ProblemKind.DISK_FULL, sentence, fixes)
    if media_folder.is_full(error):
        sentence = f"The disk of {folder} is full; make room, then retry: what was fetched is kept."
        return Problem(ProblemKind.DISK_FULL, sentence, fixes)
    where = error.filename or folder
    sentence = (
        f"{where} can't be written ({media_folder.reason(error)}); mend that, or choose another models folder in the "
        "preferences."
    )
    return Problem(ProblemKind.FOLDER, sentence, fixes)


def _is_anothers_page(headers: Mapping[str, str]) -> bool:
    """True for a page of somebody who stands between: the hub answers programs otherwise, and says why."""
    return headers.get("content-type", "").startswith("text/html") and "x-error-code" not in headers


def _refused(error: Exception, status: int, entry: AnyEntry, again: list[Fix]) -> Problem | None:
    """Where somebody says no, the hub or whoever stands before it."""
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError

    page = f"huggingface.co/{entry.repo}"
    if isinstance(error, HfHubHTTPError) and status in REFUSALS and _is_anothers_page(error.response.headers):
        sentence = (
            f"A page came that says no ({status}) and isn't the hub's: a company's filter, a proxy or a mirror answers "
            f"in its place. Open {page} in a browser to see, have huggingface.co allowed there, then retry."
        )
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, GatedRepoError) or status == 403:
        sentence = f"{entry.label} is given to those who agreed to its terms: do so at {page}, {LOG_IN}."
        return Problem(ProblemKind.NOT_ALLOWED, sentence, again)
    if status == 401:
        sentence = f"The hub gives {entry.label} only to those whom it knows, or has it no more: {LOG_IN}."
        return Problem(ProblemKind.NOT_ALLOWED, sentence, again)
    if status == 404 or isinstance(error, EntryNotFoundError):
        sentence = f"The hub has no {page} any more, or not all of its files; update Wan VSE, or {_otherwise(entry)}."
        return Problem(ProblemKind.NOT_FOUND, sentence, again)
    return None


def _from_network(error: Exception, entry: AnyEntry, again: list[Fix]) -> Problem:
    from httpx2 import ProxyError
    from huggingface_hub.errors import HfHubHTTPError

    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    refused = _refused(error, status, entry, again)
    if refused is not None:
        return refused
    if status == 407 or (isinstance(error, ProxyError) and "407" in str(error)):
        place = f" ({_proxy()})" if _proxy() else ""
        sentence = (
            f"The proxy{place} wants a login, or another one: put it before the host, as "
            "http://name:password@host, and start Blender again; what is here already is kept."
        )
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if status == 511:
        sentence = "This network wants a login first: open any page in a browser, then retry."
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if status in (429, 502, 503, 504):
        sentence = f"The hub is overloaded or being mended ({status}); retry in some minutes, it goes on from there."
        return Problem(ProblemKind.HUB_FAILED, sentence, again)
    if status:
        sentence = f"The hub answered with an error ({status}); retry in a while, it goes on from there."
        return Problem(ProblemKind.HUB_FAILED, sentence, again)
    log.info("the hub can't be reached: %s", error)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        sentence = (
            "Hugging Face can't be told from an impostor: its certificate isn't known here (a company's proxy, a login "
            "page, a wrong clock). Look at that, or set SSL_CERT_FILE to your company's certificates, then retry."
        )
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if _proxy():
        sentence = f"Hugging Face can't be reached through the proxy that is set ({_proxy()}); {MEND_PROXY}"
        return Problem(ProblemKind.OFFLINE, sentence, again)
    sentence = "Hugging Face can't be reached: look at the network, then retry. What is here already is kept."
    return Problem(ProblemKind.OFFLINE, sentence, again)


def _proxy() -> str:
    """The proxy that the hub is asked through, without a password; or nothing."""
    from huggingface_hub import constants

    return proxy_in_words(constants.ENDPOINT)
