"""Fetches a model, a LoRA or a tiny autoencoder from the Hugging Face hub, only when a person asked for it.

It can be killed at any moment and goes on from there; no file is used before its checksum was right. See `contents`
for what is fetched and `library.hub_cache` for how it lies on the disk.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..catalogue.entries import AnyEntry
from ..library import hub_cache
from ..protocol import spoken
from ..protocol.downloads import DownloadPlan, DownloadState, DownloadStatus
from ..protocol.errors import Refusal
from ..protocol.messages import Problem
from ..protocol.sentences import Sentence
from ..storage import byte_sizes, whole_file
from ..storage.transfer_rate import TransferRate
from . import cache_notes, hub_listing, problems
from .contents import Contents, WantedFile, find_contents, target_cache
from .hub_listing import HubFile
from .problems import DownloadError, Failure

log = logging.getLogger(__name__)

DAMAGED_SUFFIX = ".damaged"
LICENSE_PAGES = "https://huggingface.co/"
REPORT_SECONDS = 0.25
"""Progress is reported no more often than this."""
RATE_WINDOW_SECONDS, MIN_RATE_SECONDS = 10.0, 2.0
"""The rate is that of the last ten seconds, and known once two have passed."""

OnStatus = Callable[[DownloadStatus], None]


class DownloadProgress:
    """Counts bytes over all files of a download, and reports them with a rate, not too often."""

    def __init__(
        self,
        model: str,
        total_bytes: int,
        folder: str,
        on_status: OnStatus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._total_bytes, self._folder = model, total_bytes, folder
        self._on_status, self._clock = on_status, clock
        self._finished_bytes = 0
        self._reported_at = float("-inf")
        self._rate = TransferRate(RATE_WINDOW_SECONDS, MIN_RATE_SECONDS, clock)

    def add_finished(self, size_bytes: int) -> None:
        """Count a file of that size as done."""
        self._finished_bytes += size_bytes

    def report(self, state: DownloadState, file_bytes: int, sentence: Sentence, at_once: bool = False) -> None:
        """Report that the file at work has `file_bytes` now.

        `at_once` is for where it begins, with bytes that were not fetched just now and say nothing of the rate.
        """
        now, done_bytes = self._clock(), min(self._total_bytes, self._finished_bytes + file_bytes)
        if at_once or state is not DownloadState.RUNNING:
            self._rate.forget()
        if now < self._reported_at + REPORT_SECONDS and not at_once:
            return
        self._reported_at = now
        self._rate.note(done_bytes)
        rate, left = self._rate.bytes_per_second, self._rate.seconds_left(self._total_bytes - done_bytes)
        self._on_status(
            DownloadStatus(
                self._model,
                state,
                done_bytes,
                self._total_bytes,
                rate,
                left,
                self._folder,
                Sentence("{activity}.", activity=sentence),
            )
        )


def plan(entry: AnyEntry, models_folders: list[str], accept_changes: bool = False) -> DownloadPlan:
    """What fetching it would take; `problem` says why it can't be. Asks the hub, fetches no weights."""
    try:
        return find_contents(entry, models_folders, accept_changes).plan()
    except Exception as error:  # the edge: whatever went wrong becomes a sentence
        log.info("no plan for %s", entry.id, exc_info=error)
        return refused_plan(entry, models_folders, problem_for(error, entry, models_folders))


def refused_plan(entry: AnyEntry, models_folders: list[str], problem: Problem) -> DownloadPlan:
    """A plan that says why nothing can be fetched."""
    cache = target_cache(models_folders)
    free_bytes = byte_sizes.free_bytes_at(cache)
    page = LICENSE_PAGES + entry.repo
    return DownloadPlan(entry.id, entry.label, str(cache), entry.licence, page, 0, 0, 0, free_bytes, problem=problem)


def unasked_plan(entry: AnyEntry, models_folders: list[str], problem: Problem) -> DownloadPlan:
    """A plan that says why the hub couldn't be asked; no disk is looked at, and the numbers are 0."""
    folder = next((folder for folder in models_folders if folder), str(hub_cache.cache_folder()))
    return DownloadPlan(
        entry.id, entry.label, folder, entry.licence, LICENSE_PAGES + entry.repo, 0, 0, 0, 0, problem=problem
    )


def problem_for(error: Exception, entry: AnyEntry, models_folders: list[str]) -> Problem:
    """The problem for whatever was raised here."""
    if isinstance(error, Refusal):
        return error.problem
    return problems.problem_of(error, entry, str(target_cache(models_folders)))


def fetch(
    entry: AnyEntry,
    models_folders: list[str],
    on_status: OnStatus,
    on_plan: Callable[[DownloadPlan], None] | None = None,
    accept_changes: bool = False,
) -> Path:
    """Fetch it, or what of it is missing, and return its folder. Raises Refusal, or what `problem_for` has words for.

    With `accept_changes` it is taken as the hub has it now, whatever it was when first fetched or is known to be.
    """
    contents = find_contents(entry, models_folders, accept_changes)
    made = contents.plan()
    if on_plan is not None:
        on_plan(made)
    if made.problem is not None:
        raise Refusal(made.problem)
    with cache_notes.download_lock(contents.cache, contents.listing.repo):
        progress = DownloadProgress(entry.id, contents.total_bytes, str(contents.cache), on_status)
        progress.add_finished(sum(each.size_bytes for each in contents.lent))
        _check_lent(contents, progress)
        for each in contents.wanted:
            _obtain_blob(contents.cache, each, progress)
            progress.add_finished(each.file.size_bytes)
        _assemble(contents)
        cache_notes.note_first(contents.cache, [each.file for each in contents.wanted], accept_changes)
    return contents.snapshot


def _check_lent(contents: Contents, progress: DownloadProgress) -> None:
    """Raise DownloadError if another model's file isn't what the cache says that it is; it is set aside then."""
    for each in contents.lent:
        name = each.pointer.relative_to(contents.snapshot).as_posix()
        first = cache_notes.first_checksum(contents.cache, contents.lent_repo, name)
        wanted = hub_cache.checksum_of(each.source) or first

        def report(size_bytes: int = each.size_bytes) -> None:
            progress.report(
                DownloadState.CHECKING,
                size_bytes,
                Sentence("Checking the text encoder of {lender}", lender=contents.lender),
            )

        if wanted and not cache_notes.has_checksum(contents.cache, each.source, wanted, report):
            damaged = each.source.resolve()
            whole_file.replace(damaged, damaged.with_name(damaged.name + DAMAGED_SUFFIX))
            raise DownloadError(Failure.DAMAGED_SHARE, str(each.source), contents.lender)


def _obtain_blob(cache: Path, wanted: WantedFile, progress: DownloadProgress) -> None:
    """See that the blob is here, whole and checked; what is here already is checked as well, once."""
    file = wanted.file

    def is_right(held: Path) -> bool:
        def report() -> None:
            progress.report(
                DownloadState.CHECKING, file.size_bytes, Sentence("Checking {name}", name=_name_in_words(file))
            )

        return cache_notes.has_checksum(cache, held, file.checksum, report)

    for held in (wanted.blob, wanted.pointer):
        if hub_cache.has_size(held, file.size_bytes):
            if is_right(held):
                return
            held.unlink()  # damaged: of this length, and not this file
    wanted.blob.parent.mkdir(parents=True, exist_ok=True)
    twin = next((twin for twin in wanted.twins if is_right(twin)), None)
    if twin is not None:
        progress.report(DownloadState.RUNNING, 0, Sentence("Sharing {name}", name=_name_in_words(file)), at_once=True)
        hub_cache.link_or_copy(twin, wanted.blob)
        return
    _fetch_blob(cache, wanted, progress)


def _fetch_blob(cache: Path, wanted: WantedFile, progress: DownloadProgress) -> None:
    """Fetch it; a second time where what came was another file or not all of it. Raises DownloadError."""
    file, partial = wanted.file, hub_cache.partial_path(wanted.blob)
    failed = DownloadError(Failure.WRONG_CHECKSUM, file.name)
    for _attempt in (1, 2):
        try:
            _write(file, partial, progress)
        except DownloadError as error:
            failed = error
            log.warning("what came for %s is of another length than the hub says", file.name)
            if _is_page(partial) or partial.stat().st_size > file.size_bytes:
                partial.unlink()
            continue
        if _checksum(file, partial, progress) == file.checksum:
            whole_file.replace(partial, wanted.blob)
            cache_notes.note_checksum(cache, wanted.blob, file.checksum)
            return
        log.warning("%s has another checksum than %s", partial, file.checksum)
        partial.unlink()
    raise failed


def _is_page(file: Path) -> bool:
    """True for a page where a file of weights or of settings should be."""
    with open(file, "rb") as stream:
        return stream.read(64).lstrip()[:1] == b"<"


class _ReportingFile(io.FileIO):
    """A file that reports its length after each write, and writes all that it is given."""

    def __init__(self, path: Path, on_length: Callable[[int], None]) -> None:
        super().__init__(path, "ab")
        self._on_length = on_length

    def write(self, content: bytes) -> int:  # type: ignore[override]
        rest = memoryview(content)
        while rest:
            rest = rest[super().write(rest) :]
        self._on_length(self.tell())
        return len(content)


def _write(file: HubFile, partial: Path, progress: DownloadProgress) -> None:
    if partial.is_file() and partial.stat().st_size > file.size_bytes:
        partial.unlink()
    sentence = Sentence("Downloading {name}", name=_name_in_words(file))
    with _ReportingFile(partial, lambda size: progress.report(DownloadState.RUNNING, size, sentence)) as sink:
        progress.report(DownloadState.RUNNING, sink.tell(), sentence, at_once=True)
        if sink.tell() < file.size_bytes:
            hub_listing.fetch_into(file, sink, sink.tell())
        os.fsync(sink.fileno())


def _name_in_words(file: HubFile) -> Sentence:
    """What a person calls it: its component, for a shard's name fills a panel and says nothing."""
    component, _, rest = file.name.partition("/")
    return (
        Sentence("the {component}", component=spoken.component(component))
        if rest
        else Sentence("{file}", file=component)
    )


def _checksum(file: HubFile, path: Path, progress: DownloadProgress) -> str:
    """The checksum of the file on the disk: SHA-256, or git's for what is not kept in LFS."""

    def report() -> None:
        progress.report(DownloadState.CHECKING, file.size_bytes, Sentence("Checking {name}", name=_name_in_words(file)))

    return cache_notes.checksum(path, file.checksum, report)


def _assemble(contents: Contents) -> None:
    """Make a snapshot of the blobs, which are all here, and the main one once it is whole."""
    uses = Counter(each.blob for each in contents.wanted)
    for each in contents.wanted:
        uses[each.blob] -= 1
        if hub_cache.has_size(each.blob, each.file.size_bytes):
            hub_cache.link_to_blob(each.pointer, each.blob, needed_again=uses[each.blob] > 0)
    for lent in contents.lent:
        hub_cache.link_or_copy(lent.source, lent.pointer)
    contents.check()
    hub_cache.set_main(contents.cache, contents.listing.repo, contents.listing.commit)
