"""Fetches a model, a LoRA or a tiny autoencoder from the Hugging Face hub, only when a person asked for it. No torch.

It can be killed at any moment and goes on from there; no file is used before its checksum was right. See
`download_order` for what is fetched and `hub_cache` for how it lies on the disk.
"""

from __future__ import annotations

import io
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..catalogue.entries import AnyEntry
from ..library import hub_cache, locate
from ..protocol.downloads import DownloadPlan, DownloadState
from ..protocol.errors import Refusal
from ..protocol.messages import Problem
from ..storage import whole_file
from . import hub_listing, hub_stream, problems, trust
from .contents import Order, Wanted, free_bytes_at, look, place
from .download_lock import alone, noting
from .download_progress import Meter, Tell
from .hub_listing import HubFile

log = logging.getLogger(__name__)

DAMAGED_SUFFIX = ".damaged"
LICENCE_PAGES = "https://huggingface.co/"


def plan(entry: AnyEntry, models_folders: list[str], accept_changes: bool = False) -> DownloadPlan:
    """What fetching it would take; `problem` says why it can't be. Asks the hub, fetches no weights."""
    try:
        return look(entry, models_folders, accept_changes).plan()
    except Exception as error:  # the edge: whatever went wrong becomes a sentence
        log.info("no plan for %s", entry.id, exc_info=error)
        return impossible(entry, models_folders, problem_for(error, entry, models_folders))


def impossible(entry: AnyEntry, models_folders: list[str], problem: Problem) -> DownloadPlan:
    """A plan that says why there is none."""
    cache = place(models_folders)
    free_bytes = free_bytes_at(cache)
    page = LICENCE_PAGES + entry.repo
    return DownloadPlan(entry.id, entry.label, str(cache), entry.licence, page, 0, 0, 0, free_bytes, problem=problem)


def unasked(entry: AnyEntry, models_folders: list[str], problem: Problem) -> DownloadPlan:
    """The same, without a look at any disk: the numbers are 0."""
    folder = next((folder for folder in models_folders if folder), str(locate.hub_cache()))
    return DownloadPlan(
        entry.id, entry.label, folder, entry.licence, LICENCE_PAGES + entry.repo, 0, 0, 0, 0, problem=problem
    )


def problem_for(error: Exception, entry: AnyEntry, models_folders: list[str]) -> Problem:
    """The sentence for whatever was raised here."""
    if isinstance(error, Refusal):
        return error.problem
    return problems.problem_of(error, entry, str(place(models_folders)))


def fetch(
    entry: AnyEntry,
    models_folders: list[str],
    tell: Tell,
    tell_plan: Callable[[DownloadPlan], None] | None = None,
    accept_changes: bool = False,
) -> Path:
    """Fetch it, or what of it is missing; its folder. Raises Refusal, or what `problem_for` has words for.

    `accept_changes`: it's taken as the hub has it now, whatever it was when first fetched or is known to be.
    """
    order = look(entry, models_folders, accept_changes)
    made = order.plan()
    if tell_plan is not None:
        tell_plan(made)
    if made.problem is not None:
        raise Refusal(made.problem)
    with alone(order.cache, order.listing.repo):
        meter = Meter(entry.id, order.total_bytes, str(order.cache), tell)
        meter.finished(sum(each.size_bytes for each in order.lent))
        _check_lent(order, meter)
        for each in order.wanted:
            _bring(order.cache, each, meter)
            meter.finished(each.file.size_bytes)
        _assemble(order)
        with noting(order.cache):
            trust.keep_first(order.cache, (each.file for each in order.wanted), accept_changes)
    return order.snapshot


def _check_lent(order: Order, meter: Meter) -> None:
    """Raise DamagedLoan where another model's file isn't what the cache says that it is; it is set aside then."""
    for each in order.lent:
        name = each.pointer.relative_to(order.snapshot).as_posix()
        wanted = hub_cache.checksum_of(each.source) or trust.first_checksum(order.cache, order.lent_repo, name)

        def tell(size_bytes: int = each.size_bytes) -> None:
            meter.say(DownloadState.CHECKING, size_bytes, f"Checking the text encoder of {order.lender}")

        if wanted and not trust.is_right(order.cache, each.source, wanted, tell):
            damaged = each.source.resolve()
            whole_file.replace(damaged, damaged.with_name(damaged.name + DAMAGED_SUFFIX))
            raise problems.DamagedLoan(order.lender, each.source)


def _bring(cache: Path, wanted: Wanted, meter: Meter) -> None:
    """Have the blob, whole and checked; what is here already is looked at as well, once."""
    file = wanted.file

    def is_right(held: Path) -> bool:
        def tell() -> None:
            meter.say(DownloadState.CHECKING, file.size_bytes, f"Checking {_spoken(file)}")

        return trust.is_right(cache, held, file.checksum, tell)

    for held in (wanted.blob, wanted.pointer):
        if hub_cache.is_here(held, file.size_bytes):
            if is_right(held):
                return
            held.unlink()  # damaged: of this length, and not this file
    wanted.blob.parent.mkdir(parents=True, exist_ok=True)
    twin = next((twin for twin in wanted.twins if is_right(twin)), None)
    if twin is not None:
        meter.say(DownloadState.RUNNING, 0, f"Sharing {_spoken(file)}", at_once=True)
        hub_cache.share(twin, wanted.blob)
        return
    _fetch_blob(cache, wanted, meter)


def _fetch_blob(cache: Path, wanted: Wanted, meter: Meter) -> None:
    """Fetch it; a second time where what came was another file or not all of it. Raises WrongAnswer, WrongChecksum."""
    file, partial = wanted.file, hub_cache.partial_of(wanted.blob)
    answered: hub_stream.WrongAnswer | None = None
    for _attempt in (1, 2):
        try:
            _write(file, partial, meter)
        except hub_stream.WrongAnswer as error:
            answered = error
            log.warning("what came for %s is of another length than the hub says", file.name)
            if _is_page(partial) or partial.stat().st_size > file.size_bytes:
                partial.unlink()
            continue
        if _checksum(file, partial, meter) == file.checksum:
            whole_file.replace(partial, wanted.blob)
            trust.remember(cache, wanted.blob, file.checksum)
            return
        log.warning("%s has another checksum than %s", partial, file.checksum)
        partial.unlink()
    raise answered or problems.WrongChecksum(file.name)


def _is_page(file: Path) -> bool:
    """True for a page where a file of weights or of settings should be."""
    with open(file, "rb") as stream:
        return stream.read(64).lstrip()[:1] == b"<"


class _Counted(io.FileIO):
    """A file that tells how long it is after each write, and writes all that it is given."""

    def __init__(self, path: Path, tell: Callable[[int], None]) -> None:
        super().__init__(path, "ab")
        self._tell = tell

    def write(self, content: bytes) -> int:  # type: ignore[override]
        rest = memoryview(content)
        while rest:
            rest = rest[super().write(rest) :]
        self._tell(self.tell())
        return len(content)


def _write(file: HubFile, partial: Path, meter: Meter) -> None:
    if partial.is_file() and partial.stat().st_size > file.size_bytes:
        partial.unlink()
    with _Counted(partial, lambda size: meter.say(DownloadState.RUNNING, size, f"Fetching {_spoken(file)}")) as sink:
        meter.say(DownloadState.RUNNING, sink.tell(), f"Fetching {_spoken(file)}", at_once=True)
        if sink.tell() < file.size_bytes:
            hub_listing.write(file, sink, sink.tell())
        os.fsync(sink.fileno())


def _spoken(file: HubFile) -> str:
    """What a person calls it: its part, for a shard's name fills a panel and says nothing."""
    part, _, rest = file.name.partition("/")
    return f"the {part.replace('_', ' ')}" if rest else part


def _checksum(file: HubFile, path: Path, meter: Meter) -> str:
    """Of the file on the disk: SHA-256, or git's for what is not kept in LFS."""

    def tell() -> None:
        meter.say(DownloadState.CHECKING, file.size_bytes, f"Checking {_spoken(file)}")

    return trust.checksum(path, file.checksum, tell)


def _assemble(order: Order) -> None:
    """All blobs are here: make them a snapshot, and the main one once it is whole."""
    uses = Counter(each.blob for each in order.wanted)
    for each in order.wanted:
        uses[each.blob] -= 1
        if hub_cache.is_here(each.blob, each.file.size_bytes):
            hub_cache.point(each.pointer, each.blob, needed_again=uses[each.blob] > 0)
    for lent in order.lent:
        hub_cache.share(lent.source, lent.pointer)
    order.check()
    hub_cache.name_main(order.cache, order.listing.repo, order.listing.commit)
