"""Handles each of the protocol's server methods in a method of its name, on the main thread."""

from __future__ import annotations

import base64
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .. import __version__
from ..catalogue import entries
from ..job_queue.queue import JobQueue
from ..planning import plan_steps
from ..protocol import PROTOCOL_VERSION, ProtocolError, Refusal
from ..protocol import cut as c
from ..protocol import downloads as d
from ..protocol import looks as k
from ..protocol import messages as m
from ..protocol import transfer as t
from ..protocol.endpoint import Answer, Later
from ..protocol.errors import WRONG_VERSION, result_or_error
from ..protocol.media import PARTIAL_SUFFIX, PREVIEW_FILE, PREVIEW_PIXELS_FILE
from ..protocol.sentences import Sentence, as_sentence
from ..storage import training_folder
from . import cards, diagnosis, interchange_requests
from .download_process import DownloadCommand
from .download_queue import Downloads
from .filmstrip_requests import Filmstrips
from .inbox import Call, Inbox
from .job_runner import JobRunner
from .media_requests import SentMedia
from .planning_queue import PlanningQueue
from .seats import Seats
from .thumbnail_requests import Thumbnails

log = logging.getLogger(__name__)


ASKED_FOR = "the client asked for it"
"""Why the server leaves when its client ends as usual."""


class Handlers:
    """The handlers of the methods."""

    def __init__(
        self,
        state_folder: Path,
        log_file: Path,
        inbox: Inbox,
        queue: JobQueue,
        planning: PlanningQueue,
        runner: JobRunner,
        seats: Seats,
        downloads: Downloads,
        fetch: DownloadCommand,
        leave: Callable[[str], None],
        findings_folder: Path,
    ) -> None:
        self._findings_folder = findings_folder
        self._state_folder, self._log_file, self._inbox = state_folder, log_file, inbox
        self._queue, self._planning, self._runner, self._seats = queue, planning, runner, seats
        self._downloads, self._fetch = downloads, fetch
        self._leave = leave
        self._sent = SentMedia(state_folder)
        self._media_thread = ThreadPoolExecutor(1, "media")
        self._media_thread.submit(self._sent.prune)
        self._filmstrips = Filmstrips(state_folder / "filmstrips")
        self._thumbnails = Thumbnails(state_folder / "thumbnails", planning.unusable_files)

    def hello(self, params: m.HelloParams) -> m.HelloResult:
        """Greet, and have a worker ready by the time the first job comes."""
        if params.protocol != PROTOCOL_VERSION:
            older = Sentence("the add-on") if params.protocol < PROTOCOL_VERSION else Sentence("the backend")
            raise ProtocolError(
                WRONG_VERSION,
                Sentence(
                    "The backend speaks version {own} of the protocol and the add-on version {other}; update {older}.",
                    own=PROTOCOL_VERSION,
                    other=params.protocol,
                    older=older,
                ),
            )
        log.info("Greeted by %.100s", params.client)
        self._inbox.put(Call(self._runner.begin))
        tasks = {m.Task(task): None for entry in entries.load().models.values() for task in entry.tasks}
        return m.HelloResult(
            PROTOCOL_VERSION, __version__, list(tasks), os.getpid(), str(self._state_folder), str(self._log_file)
        )

    def ping(self, params: m.Nothing) -> m.PingResult:
        """Answer a ping that the thread at stdin did not recognize in the line, and so did not answer itself."""
        return m.PingResult()

    def models(self, params: m.Nothing) -> m.ModelsResult:
        """The models that are known now; the folders are searched again, and an event reports changes."""
        self._planning.look()
        return self._planning.known

    def name_transformer(self, params: m.NameTransformerParams) -> Later:
        """Remember what a transformer is, and look at the models folders anew, which all later plans wait for."""
        return self._in_thread("name_transformer", lambda: self._planning.name_transformer(params))

    def plan(self, params: m.PlanParams) -> Later:
        """A plan for a request."""
        return Later(
            lambda hand_in: self._planning.plan(params.request, lambda made: hand_in(self._runner.with_time(made)))
        )

    def warm(self, params: m.WarmParams) -> m.Nothing:
        """Have a worker load a model, as soon as it has nothing else to do."""
        self._runner.warm_up(params)
        return m.Nothing()

    def look(self, params: k.LookParams) -> Later:
        """A small draft of a request, as soon as the worker has one."""
        return self._runner.look(params)

    def thumbnails(self, params: m.ThumbnailsParams) -> Later:
        """Small pictures of sources, made beside the other work."""
        return self._in_thread("thumbnails", lambda: self._thumbnails.of(params))

    def filmstrips(self, params: m.FilmstripsParams) -> Later:
        """Takes in a few small pictures, made beside the other work."""
        return self._in_thread("filmstrips", lambda: self._filmstrips.of(params))

    def export_timeline(self, params: c.ExportTimelineParams) -> Later:
        """Write a cut, beside the other work."""
        return self._in_thread("export_timeline", lambda: interchange_requests.export(params))

    def import_timeline(self, params: c.ImportTimelineParams) -> Later:
        """Read a cut, beside the other work."""
        return self._in_thread("import_timeline", lambda: interchange_requests.import_(params))

    def submit(self, params: m.SubmitParams) -> Later:
        """Take a job on; one that is on the disk already, as it was sent before, is not planned again."""

        def start(hand_in: Answer) -> None:
            if self._queue.has(params.job_id):
                hand_in(self._queue.status(params.job_id))
            else:
                self._planning.plan(params.request, lambda plan: hand_in(self._submitted(params, plan)), is_job=True)

        return Later(lambda hand_in: self._queue.when_adopted(lambda: start(hand_in)))

    def _submitted(self, params: m.SubmitParams, plan: m.Plan | ProtocolError) -> Later | ProtocolError:
        """The job on the disk, or why it isn't; an exception would be no answer."""
        if isinstance(plan, ProtocolError):
            return plan
        if plan.problem is not None:
            return Refusal(plan.problem)
        return result_or_error(
            lambda: self._queue.submit(params.job_id, plan_steps.cleaned(params.request), plan), Sentence("The new job")
        )

    def cancel(self, params: m.JobParams) -> Later:
        """End a job."""
        return self._once_written(params.job_id, self._runner.cancel)

    def hold(self, params: m.HoldParams) -> Later:
        """Let a job wait until it is resumed."""
        return self._once_written(params.job_id, lambda job_id: self._runner.hold(job_id, params.hold))

    def resume(self, params: m.JobParams) -> Later:
        """Give a held job its turn again."""
        return self._once_written(params.job_id, self._runner.resume)

    def move(self, params: m.MoveParams) -> Later:
        """Give a queued job its turn right before another one."""
        return self._once_written(params.job_id, lambda job_id: self._queue.move(job_id, params.before))

    def pause(self, params: m.PauseParams) -> m.PauseResult:
        """Begin no job, or begin them again."""
        self._runner.pause(params.paused)
        return m.PauseResult(params.paused)

    def retry(self, params: m.JobParams) -> Later:
        """Queue a job again."""
        return self._runner.retry(params.job_id)

    def details(self, params: m.JobParams) -> Later:
        """A job's request and plan."""
        return self._queue.details(params.job_id)

    def list(self, params: m.ListParams) -> Later:
        """A page of the jobs; before the first, those of servers that died meanwhile are taken over."""

        def answer(hand_in: Answer) -> None:
            hand_in(result_or_error(lambda: self._queue.page(params), Sentence("The list")))

        first = self._queue.when_adopted if params.after else self._queue.adopt
        return Later(lambda hand_in: first(lambda: answer(hand_in)))

    def search(self, params: m.SearchParams) -> Later:
        """The jobs with that text in a prompt of which the list has only the beginning."""
        return self._queue.search(params.text)

    def settle(self, params: m.JobIdsParams) -> Later:
        """Note that a saved project knows how these jobs ended."""
        return self._queue.settle(params.job_ids)

    def clear(self, params: m.JobIdsParams) -> Later:
        """Forget jobs that ended."""
        return self._queue.clear(params.job_ids)

    def _once_written(self, job_id: str, change: Callable[[str], None]) -> Later:
        """The job's status after `change`, once it is on the disk."""

        def begin(hand_in: Answer) -> None:
            failed = result_or_error(lambda: change(job_id), Sentence("The change"))
            if failed is not None:
                hand_in(failed)
            else:
                self._queue.when_written(job_id, lambda: answer(hand_in))

        def answer(hand_in: Answer) -> None:
            hand_in(result_or_error(lambda: self._queue.status(job_id), Sentence("The change")))

        return Later(lambda hand_in: self._queue.when_adopted(lambda: begin(hand_in)))

    def release(self, params: m.Nothing) -> m.WorkersResult:
        """End the idle workers, so that other programs have the cards' memory; the next job starts another."""
        return self._runner.release()

    def cards(self, params: m.Nothing) -> Later:
        """The cards of this machine, listed on a thread of its own: it may take seconds."""
        used = [card for seat in self._seats if seat.card is not None for card in (seat.card.id, *seat.others)]
        return self._in_thread("cards", lambda: cards.as_rows(cards.listed(), used))

    def doctor(self, params: m.Nothing) -> Later:
        """Look at everything, on a thread of its own: it may take seconds."""
        workers, planning = [seat.status for seat in self._seats], self._planning

        def examine() -> m.DoctorResult:
            known, survey = planning.search_again(diagnosis.DISK_SECONDS)
            arguments = (
                self._state_folder,
                known.models,
                next((each for each in workers if each.torch), workers[0] if workers else None),
                planning.models_folders,
                planning.memory_budget_bytes,
            )
            found = diagnosis.examine(*arguments, survey=survey, workers=workers, findings_folder=self._findings_folder)
            return m.DoctorResult(found)

        return self._in_thread("doctor", examine)

    def _in_thread(self, name: str, work: Callable[[], Any]) -> Later:
        """The result of `work`, done on a thread of its own; whatever goes wrong there, there is an answer."""

        def start(hand_in: Answer) -> None:
            def do() -> None:
                result = result_or_error(work, Sentence("'{name}'", name=name))
                self._inbox.put(Call(lambda: hand_in(result)))

            threading.Thread(target=do, name=name, daemon=True).start()

        return Later(start)

    def lacks(self, params: t.LacksParams) -> Later:
        """Which contents are there already."""
        return self._on_media_thread("lacks", lambda: self._sent.lacks(params))

    def put(self, params: t.PutParams) -> Later:
        """The next piece of a content."""
        return self._on_media_thread("put", lambda: self._sent.put(params))

    def gather(self, params: t.GatherParams) -> Later:
        """A folder of contents under their names."""
        return self._on_media_thread("gather", lambda: self._sent.gather(params))

    def place(self, params: t.PlaceParams) -> Later:
        """A folder for a client's takes."""
        return self._on_media_thread("place", lambda: self._sent.place(params))

    def take_files(self, params: t.TakeFilesParams) -> Later:
        """A take's files so far, or a training's."""
        status, media_folder = self._queue.status(params.job_id), self._queue.media_folder(params.job_id)
        take = status.take
        if status.summary.training is not None:
            done = status.state is m.JobState.DONE
            return self._on_media_thread("take_files", lambda: self._sent.training_files(params, media_folder, done))
        finished = "" if take is None else take.folder
        return self._on_media_thread("take_files", lambda: self._sent.take_files(params, media_folder, finished))

    def take_read(self, params: t.TakeReadParams) -> Later:
        """A piece of a take's file, of a training's, or of a job's preview."""
        status, media_folder = self._queue.status(params.job_id), self._queue.media_folder(params.job_id)
        take = status.take
        if status.summary.training is not None:
            return self._on_media_thread("take_read", lambda: self._sent.training_read(params, media_folder))
        folder = Path(media_folder) / (params.job_id + PARTIAL_SUFFIX) if take is None else Path(take.folder)
        if params.name in (PREVIEW_FILE, PREVIEW_PIXELS_FILE):
            folder = self._queue.work_folder(params.job_id)
        return self._on_media_thread("take_read", lambda: self._sent.take_read(params, folder))

    def take_arrived(self, params: m.JobParams) -> Later:
        """A take, or what a training has brought, is whole at its client."""
        status, media_folder = self._queue.status(params.job_id), self._queue.media_folder(params.job_id)

        def remove() -> m.Nothing:
            folder = None if status.take is None else Path(status.take.folder)
            if status.summary.training is not None and status.state.ended:
                folder = training_folder.find(Path(media_folder), "", params.job_id)
            if folder is not None:
                self._sent.take_arrived(str(folder))
            return m.Nothing()

        return self._on_media_thread("take_arrived", remove)

    def shared(self, params: t.SharedParams) -> Later:
        """Whether a folder is the one that a client sees; on a thread of its own, as a share may hang."""
        return self._in_thread("shared", lambda: self._sent.shared(params))

    def line_test(self, params: t.LineTestParams) -> t.Piece:
        """Bytes each way."""
        t.piece_bytes(params.piece)
        return t.Piece(base64.b64encode(os.urandom(max(0, min(params.reply_bytes, t.MAX_PIECE_BYTES)))).decode("ascii"))

    def _on_media_thread(self, name: str, work: Callable[[], Any]) -> Later:
        """The result of `work`, done behind all that was asked of media before."""

        def start(hand_in: Answer) -> None:
            def do() -> None:
                result = result_or_error(work, Sentence("'{name}'", name=name))
                self._inbox.put(Call(lambda: hand_in(result)))

            self._media_thread.submit(do)

        return Later(start)

    def download_plan(self, params: d.ModelParams) -> Later:
        """A plan of a download; a process of its own asks the hub."""
        try:
            entry = entries.any_entry(params.model)
        except entries.UnknownModel as unknown:
            raise Refusal(m.Problem(m.ProblemKind.MODEL_MISSING, as_sentence(str(unknown)))) from None
        return self._fetch.plan(entry, self._inbox)

    def download(self, params: d.ModelParams) -> d.DownloadStatus:
        """Fetch something of the catalogue, or go on with it."""
        return self._downloads.start(params.model)

    def pause_download(self, params: d.ModelParams) -> d.DownloadStatus:
        """Stop a download for now."""
        return self._downloads.pause(params.model)

    def cancel_download(self, params: d.ModelParams) -> d.DownloadStatus | Later:
        """Stop a download and remove what was fetched for it."""
        return self._downloads.cancel(params.model)

    def downloads(self, params: m.Nothing) -> d.DownloadsResult:
        """Every download."""
        return d.DownloadsResult(self._downloads.statuses())

    def shutdown(self, params: m.Nothing) -> m.Nothing:
        """Leave."""
        self._leave(ASKED_FOR)
        return m.Nothing()
