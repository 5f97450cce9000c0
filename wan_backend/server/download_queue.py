"""Keeps the queue of downloads: one at a time runs in a process of its own; all are kept on the disk.

The main thread calls all methods, and reports of the download process come through the inbox. That process alone uses
the network (`wan_backend.downloads`).
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..catalogue import entries
from ..catalogue.entries import AnyEntry
from ..downloads import cache_notes, problems
from ..downloads.problems import DownloadError, Failure
from ..library import hub_cache
from ..protocol import ProtocolError, Refusal
from ..protocol.downloads import DownloadPlan, DownloadState, DownloadStatus
from ..protocol.endpoint import Answer, Later
from ..protocol.errors import result_or_error
from ..protocol.messages import Problem, ProblemKind
from ..protocol.sentences import Sentence, as_sentence
from ..storage.disk_errors import reason
from . import download_records, process_exit
from .download_process import DownloadCommand, DownloadProcess, DownloadReport
from .download_records import DownloadRecords, Record
from .inbox import Call, Inbox

log = logging.getLogger(__name__)


class Downloads:
    """Every download that this server knows, in the order in which they were asked for."""

    def __init__(
        self, state_folder: Path, command: DownloadCommand, inbox: Inbox, on_change: Callable[[DownloadStatus], None]
    ) -> None:
        self._records = DownloadRecords(state_folder / "downloads")
        self._command, self._inbox, self._on_change = command, inbox, on_change
        self._known: dict[str, Record] = {}
        self._process: DownloadProcess | None = None
        self._model = ""
        """The model whose process runs, perhaps about to end."""
        self._stopping = False
        self._canceled: set[str] = set()
        self._take_over()

    def statuses(self) -> list[DownloadStatus]:
        """All of them; those that another server left meanwhile are taken over first."""
        self._take_over()
        return [record.status for record in self._known.values()]

    def _take_over(self) -> None:
        """Add the records on the disk; another thread counts the bytes that each has fetched."""
        new = {model: record for model, record in self._records.read().items() if model not in self._known}
        self._known |= new
        for record in new.values():
            count = functools.partial(download_records.counted, record)
            self._in_thread("count", count, functools.partial(self._counted, record))

    def _counted(self, before: Record, now: Record | ProtocolError) -> None:
        model = before.status.model
        if isinstance(now, Record) and now != before and self._known.get(model) is before:
            self._known[model] = now
            self._on_change(now.status)

    def _in_thread(self, name: str, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Have `work`, which looks at folders that may hang, done on a thread; `then` is given the outcome."""

        def do() -> None:
            result = result_or_error(work, Sentence("A download"))
            self._inbox.put(Call(lambda: then(result)))

        threading.Thread(target=do, name=name, daemon=True).start()

    def start(self, model: str) -> DownloadStatus:
        """Put a download at the end of the queue, or one that stopped back into it. Raises Refusal."""
        entry = self._entry(model)
        known = self._known.get(model)
        if known is not None and (known.status.state.active or model in self._canceled):
            return known.status
        old = known.status if known is not None else DownloadStatus(model, DownloadState.WAITING)
        status = dataclasses.replace(
            old,
            state=DownloadState.WAITING,
            problem=None,
            sentence=Sentence("{model} waits for its turn.", model=entry.label),
        )
        self._known.pop(model, None)  # to the end
        self._set(Record(status) if known is None else dataclasses.replace(known, status=status))
        self._advance()
        return self._known[model].status

    def pause(self, model: str) -> DownloadStatus:
        """Stop for now. Raises Refusal if it is not going on."""
        record = self._record(model)
        if not record.status.state.active:
            return record.status
        self._set(
            dataclasses.replace(
                record, status=_at_rest(record.status, DownloadState.PAUSED, Sentence("What was downloaded is kept."))
            )
        )
        self._stop_process(model)
        return self._known[model].status

    def cancel(self, model: str) -> DownloadStatus | Later:
        """Stop and remove what was fetched for it; its last event says when that is done. Raises Refusal."""
        record = self._record(model)
        entry = self._entry(model)
        folder = record.status.folder
        if self._is_ours(entry) or not folder:
            return self._cancel(model)

        def start(hand_in: Answer) -> None:
            def looked(taken: bool | ProtocolError) -> None:
                if taken is True:
                    hand_in(Refusal(problems.problem_of(DownloadError(Failure.BUSY), entry, folder)))
                else:
                    hand_in(result_or_error(lambda: self._cancel(model), Sentence("Canceling the download")))

            self._in_thread("lock", lambda: _is_taken(entry, Path(folder)), looked)

        return Later(start)

    def _cancel(self, model: str) -> DownloadStatus:
        record = self._record(model)
        self._canceled.add(model)
        self._set(
            dataclasses.replace(record, status=_at_rest(record.status, DownloadState.PAUSED, Sentence("Canceling.")))
        )
        if self._model == model:
            self._stop_process(model)
        else:
            self._discard(model)
        return self._known[model].status

    def leave(self) -> None:
        """The server ends: what was at work is offered again by the next one."""
        if self._process is not None:
            self._process.kill()
        for record in self._known.values():
            if record.status.state.active:
                self._records.write(record)

    def _advance(self) -> None:
        """Begin the next one, if none is at work."""
        if self._process is not None:
            return
        waiting = [model for model, record in self._known.items() if record.status.state is DownloadState.WAITING]
        if not waiting:
            return
        self._model = model = waiting[0]
        self._set_state(model, state=DownloadState.RUNNING, sentence=Sentence("Asking the hub for its files."))
        try:
            self._process = self._command.start("run", model, self._inbox, self._on_report, self._on_exit)
        except OSError as error:
            self._model = ""
            self._end(
                model, _ended_badly(model, Sentence("could not be started ({reason})", reason=reason(error)), None)
            )

    def _on_report(self, report: DownloadReport) -> None:
        record = self._known.get(self._model)
        if record is None or self._stopping or report.model != self._model:
            return  # it was paused or canceled, and said this before it was killed
        if isinstance(report, DownloadPlan):
            self._set(record.planned(report))
        else:
            self._keep_report(record, report)

    def _keep_report(self, record: Record, report: DownloadStatus) -> None:
        if report.state is DownloadState.DONE:
            self._known[report.model] = Record(dataclasses.replace(report, folder=record.status.folder))
            self._records.remove(report.model)
            if record.left:
                threading.Thread(target=hub_cache.remove_blobs, args=[record.left_blobs], daemon=True).start()
            self._on_change(self._known[report.model].status)
        elif report.state is DownloadState.FAILED and report.problem is not None:
            self._end(report.model, report.problem)
        else:
            self._known[report.model] = dataclasses.replace(record, status=report)
            self._on_change(report)

    def _on_exit(self, code: int) -> None:
        model, process = self._model, self._process
        self._process, self._model, self._stopping = None, "", False
        record = self._known.get(model)
        if model in self._canceled:
            self._discard(model)
        elif record is not None and record.status.state.active and record.status.state is not DownloadState.WAITING:
            log_file = process.log_file if process is not None else None
            how = process_exit.in_words(code, log_file) if log_file else Sentence("ended")
            self._end(model, _ended_badly(model, how, log_file))
        self._advance()

    def _end(self, model: str, problem: Problem) -> None:
        record = self._known[model]
        status = _at_rest(record.status, DownloadState.FAILED, problem.sentence)
        self._set(dataclasses.replace(record, status=dataclasses.replace(status, problem=problem)))

    def _stop_process(self, model: str) -> None:
        if self._model == model and self._process is not None:
            self._stopping = True
            self._process.kill()

    def _discard(self, model: str) -> None:
        """Remove its files on a thread of its own: large ones take a disk its time."""
        others = {blob for other, record in self._known.items() if other != model for blob in record.blobs}
        blobs = [blob for blob in self._known[model].blobs + self._known[model].left_blobs if blob not in others]

        self._in_thread("discard", lambda: hub_cache.remove_blobs(blobs), functools.partial(self._discarded, model))

    def _discarded(self, model: str, freed_bytes: int | ProtocolError) -> None:
        log.info("The download of %s was canceled; bytes removed: %s", model, freed_bytes)
        self._canceled.discard(model)
        self._known.pop(model, None)
        self._records.remove(model)
        self._on_change(DownloadStatus(model, DownloadState.CANCELED, sentence=Sentence("Canceled; nothing was kept.")))

    def _set_state(self, model: str, state: DownloadState, sentence: Sentence) -> None:
        record = self._known[model]
        status = dataclasses.replace(record.status, state=state, sentence=sentence)
        self._set(dataclasses.replace(record, status=status))

    def _set(self, record: Record) -> None:
        """Keep it, on the disk too, and report it."""
        self._known[record.status.model] = record
        self._records.write(record)
        self._on_change(record.status)

    def _entry(self, model: str) -> AnyEntry:
        try:
            return entries.any_entry(model)
        except entries.UnknownModel as unknown:
            raise Refusal(Problem(ProblemKind.MODEL_MISSING, as_sentence(str(unknown)))) from None

    def _record(self, model: str) -> Record:
        try:
            return self._known[model]
        except KeyError:
            sentence = Sentence("That model is not being downloaded; press Download to start.")
            raise Refusal(Problem(ProblemKind.BAD_SETTING, sentence)) from None

    def _is_ours(self, entry: AnyEntry) -> bool:
        """Whether a process of ours is at work on that repository, be it for another file of it."""
        return bool(self._model) and entries.any_entry(self._model).repo == entry.repo


def _is_taken(entry: AnyEntry, folder: Path) -> bool:
    try:
        return cache_notes.is_downloading(folder, entry.repo)
    except OSError as error:
        log.warning("%s can't be looked at: %s", folder, error)
        return False


def _ended_badly(model: str, how: Sentence, log_file: Path | None) -> Problem:
    sentence = Sentence("The download process {how}; retry to resume.", how=how)
    return Problem(ProblemKind.INTERNAL, sentence, [problems.retry(entries.any_entry(model))], str(log_file or ""))


def _at_rest(status: DownloadStatus, state: DownloadState, sentence: Sentence) -> DownloadStatus:
    return dataclasses.replace(status, state=state, sentence=sentence, bytes_per_second=0.0, seconds_left=None)
