"""What goes wrong while something is fetched, as sentences with buttons. Uses huggingface_hub's errors; no torch."""

from __future__ import annotations

import logging

from ..protocol.messages import Fix, FixAction, Problem, ProblemKind
from . import media_place
from .catalogue import AnyEntry, ModelEntry
from .download_lock import Elsewhere
from .wholeness import NotWhole

log = logging.getLogger(__name__)

LOG_IN = "log in with 'hf auth login' in a terminal, or set HF_TOKEN before Blender starts, then retry"


class WrongChecksum(Exception):
    """A file came twice with another content than the hub says; the message is its name."""


def retry(entry: AnyEntry) -> Fix:
    """The button that goes on."""
    return Fix("Retry", action=FixAction.DOWNLOAD, value=entry.id)


def choose_folder() -> Fix:
    """The button that leads to the models folder."""
    return Fix("Choose Folder", action=FixAction.OPEN_PREFERENCES)


def too_little_room(entry: AnyEntry, needed_bytes: int, free_bytes: int, folder: str) -> Problem:
    """Said before anything is fetched."""
    needed, free = media_place.size_in_words(needed_bytes), media_place.size_in_words(free_bytes)
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
    if isinstance(error, WrongChecksum):
        sentence = f"{error} came damaged twice, so it was thrown away; retry, or try another connection."
        return Problem(ProblemKind.CHECKSUM, sentence, again)
    if isinstance(error, Elsewhere):
        sentence = f"{entry.label} is being fetched by another Blender or terminal; wait for it, then retry."
        return Problem(ProblemKind.BUSY, sentence, again)
    if isinstance(error, OfflineModeIsEnabled):
        sentence = "HF_HUB_OFFLINE is set, so nothing may be fetched; unset it and start Blender again."
        return Problem(ProblemKind.OFFLINE, sentence, again)
    if isinstance(error, HTTPError):
        return _from_network(error, entry, again)
    if isinstance(error, NotWhole | ValueError):
        sentence = f"{entry.label} can't be fetched because {error}; retry later, or {_otherwise(entry)}."
        return Problem(ProblemKind.MODEL_BROKEN, sentence, again)
    if isinstance(error, OSError):
        return _from_disk(error, entry, folder)
    words = f"{type(error).__name__}: {error}".split("\n")[0][:200]
    return Problem(
        ProblemKind.INTERNAL, f"{entry.label} could not be fetched ({words}); retry, it goes on from there.", again
    )


def _otherwise(entry: AnyEntry) -> str:
    return "choose another model" if isinstance(entry, ModelEntry) else "do without it"


def _from_disk(error: OSError, entry: AnyEntry, folder: str) -> Problem:
    fixes = [retry(entry), choose_folder()]
    if media_place.is_quota(error):
        sentence = (
            f"Your quota on the disk of {folder} is used up, however much is free there; delete something of yours, "
            "then retry: what was fetched is kept."
        )
        return Problem(ProblemKind.DISK_FULL, sentence, fixes)
    if media_place.is_full(error):
        sentence = f"The disk of {folder} is full; make room, then retry: what was fetched is kept."
        return Problem(ProblemKind.DISK_FULL, sentence, fixes)
    where = error.filename or folder
    sentence = (
        f"{where} can't be written ({media_place.reason(error)}); mend that, or choose another models folder in the "
        "preferences."
    )
    return Problem(ProblemKind.FOLDER, sentence, fixes)


def _from_network(error: Exception, entry: AnyEntry, again: list[Fix]) -> Problem:
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError

    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    page = f"huggingface.co/{entry.repo}"
    if isinstance(error, GatedRepoError) or status == 403:
        sentence = f"{entry.label} is given to those who agreed to its terms: do so at {page}, {LOG_IN}."
        return Problem(ProblemKind.NOT_ALLOWED, sentence, again)
    if status == 401:
        sentence = f"The hub gives {entry.label} only to those whom it knows, or has it no more: {LOG_IN}."
        return Problem(ProblemKind.NOT_ALLOWED, sentence, again)
    if status == 404 or isinstance(error, EntryNotFoundError):
        sentence = f"The hub has no {page} any more, or not all of its files; update Wan VSE, or {_otherwise(entry)}."
        return Problem(ProblemKind.NOT_FOUND, sentence, again)
    if status:
        sentence = f"The hub answered with an error ({status}); retry in a while, it goes on from there."
        return Problem(ProblemKind.HUB_FAILED, sentence, again)
    log.info("the hub can't be reached: %s", error)
    sentence = "Hugging Face can't be reached: look at the network, then retry. What is here already is kept."
    return Problem(ProblemKind.OFFLINE, sentence, again)
