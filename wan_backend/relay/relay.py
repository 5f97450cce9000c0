"""The relay: to Blender a server, to the server on the other machine its client.

One thread has all the state and takes one event after another, as in the server itself. What needs no other machine
(small pictures of what lies here, cuts that are written and read) is done here.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..protocol import PROTOCOL_VERSION, ProtocolError
from ..protocol import messages as m
from ..protocol import transfer as t
from ..protocol.conversion import from_json
from ..protocol.cut import ExportTimelineParams, ImportTimelineParams
from ..protocol.endpoint import Answer, Endpoint, Later
from ..protocol.errors import GONE, REFUSED, Refusal, result_or_error
from ..protocol.methods import SERVER_EVENTS, SERVER_METHODS
from ..protocol.sentences import Sentence
from ..server import interchange_requests
from ..server.filmstrip_requests import Filmstrips
from ..server.inbox import Call, ClientLine, Event, Inbox, Leave, WorkerExit, WorkerLine
from ..server.standard_io import Busy, StandardInput, StandardOutput, exit_hard_after, leave_at_signals, private_stdout
from ..server.thumbnail_requests import Thumbnails
from ..storage import media_folder, private_files
from ..storage.disk_errors import write_problem
from . import places as far_places
from .asked import AskedFor
from .fetching import Fetcher, is_ours
from .line import STALLED_SECONDS, Line
from .places import PathPair, Places
from .sending import Sender, stopped_is_no_failure
from .trainings import TrainingFetcher

log = logging.getLogger(__name__)

LINK_SECONDS = 0.25
"""From one report of what is on its way to the next."""
LEAVE_SECONDS = 3.0


@dataclass(frozen=True)
class Options:
    """What the preferences say of the machine."""

    state: Path
    name: str
    command: list[str]
    pairs: list[PathPair] = field(default_factory=list)
    paused: bool = False
    stalled_seconds: float = STALLED_SECONDS


class Relay:
    """The relay, with all its parts."""

    def __init__(self, options: Options) -> None:
        """Raises OSError if the state folder can't be used."""
        private_files.make_folder(options.state)
        self._options = options
        self._inbox: Inbox = queue.SimpleQueue()
        self._output = StandardOutput(self._inbox, private_stdout())
        self._endpoint = Endpoint(
            self._output.send,
            serves=SERVER_METHODS,
            handler=self._answer,
            receives=SERVER_METHODS,
            on_event=self._do,
            sends=SERVER_EVENTS,
            peer="Blender",
        )
        self._busy = Busy()
        self._input = StandardInput(
            self._inbox, sys.stdin.buffer, self._endpoint.lines, self._output.send, self._busy
        )  # fmt: skip
        state = options.state
        self._places = Places(state, options.pairs)
        self._line = Line(
            *(options.name, options.command, state / "logs", self._inbox),
            *(self._opened, self._on_event, self._note_link, options.stalled_seconds),
        )
        self._sender = Sender(self._line, self._places, state, self._in_thread, self._note_link)
        self._asked = AskedFor(state)
        self._fetcher = Fetcher(self._line, self._places, self._asked, state, self._on_landed, self._note_link)
        self._trainings = TrainingFetcher(
            *(self._line, self._places, state, self._fetcher.may_fetch, self._on_landed, self._note_link)
        )
        self._has_pictures = importlib.util.find_spec("cv2") is not None
        self._small_pictures, self._strips = Thumbnails(state / "thumbnails"), Filmstrips(state / "filmstrips")
        self._statuses: dict[str, m.JobStatus] = {}
        """The jobs as the far server has them."""
        self._paused = options.paused
        self._ever_open = False
        self._link: t.LinkStatus | None = None
        self._link_changed, self._link_at = True, 0.0
        self._leaving = ""
        self._greeted = False

    def run(self) -> None:
        """Until Blender closes stdin, or a signal says to leave."""
        leave_at_signals(self._inbox)
        self._output.start()
        self._input.start()
        while not self._leaving:
            self._take_one()
        log.info("Leaving: %s", self._leaving)
        exit_hard_after(LEAVE_SECONDS)
        self._line.close()
        self._output.close(0.5)
        logging.shutdown()
        os._exit(0)  # threads that wait at a pipe can't be joined

    def _take_one(self) -> None:
        try:
            event = self._inbox.get(timeout=min(self._line.seconds_to_deadline(), 0.25 if self._link_changed else 1.0))
        except queue.Empty:
            event = None
        self._busy.begin("the line")
        try:
            if event is not None:
                self._handle(event)
            self._line.tick()
            self._fetcher.tick()
            self._trainings.tick()
            self._report_link()
        except Exception:  # the edge of the process: one event must not end the others' work
            log.exception("Something failed while handling %.200r", event)
        self._busy.end()

    def _handle(self, event: Event) -> None:
        match event:
            case ClientLine(line):
                self._input.handled(line)
                self._endpoint.take(line)
            case WorkerLine():
                self._line.on_line(event)
            case WorkerExit():
                self._line.on_exit(event)
            case Call(do):
                do()
            case Leave(why):
                self._leaving = why

    def _answer(self, method: str, params: Any) -> Any:
        """What has no method of its own here knows no path: the far server's answer is Blender's."""
        own = getattr(self, f"_{method}", None)
        return self._forwarded(method, params) if own is None else own(params)

    def _do(self, method: str, params: Any) -> None:
        result = self._answer(method, params)
        if isinstance(result, Later):
            result.start(lambda _: None)

    # Blender's calls

    def _hello(self, params: m.HelloParams) -> m.HelloResult:
        self._greeted = True
        state = self._options.state
        log.info("Greeted by %.100s", params.client)
        self._line.tick()
        return m.HelloResult(
            PROTOCOL_VERSION, __version__, list(m.Task), os.getpid(), str(state), str(state / "logs" / "relay.log")
        )

    def _ping(self, params: m.Nothing) -> m.PingResult:
        return m.PingResult()

    def _shutdown(self, params: m.Nothing) -> m.Nothing:
        self._leaving = "Blender asked for it"
        return m.Nothing()

    def _submit(self, params: m.SubmitParams) -> Later:
        def start(hand_in: Answer) -> None:
            def answered(status: Any) -> None:
                hand_in(self._named(self._shown(status) if isinstance(status, m.JobStatus) else status))

            try:
                self._asked.note(params.job_id, params.request)
            except OSError as error:
                hand_in(Refusal(write_problem(error, Sentence("The job was not accepted"))))
                return
            self._sender.submit(params, answered)

        return Later(start)

    def _plan(self, params: m.PlanParams) -> Later:
        """A plan by the far server; that what is here can be sent is looked at here, and so is this machine's disk."""

        def start(hand_in: Answer) -> None:
            def answered(plan: m.Plan) -> None:
                what = media_folder.MEDIA if params.request.training is None else media_folder.LORAS
                lacking = media_folder.check(params.request.media_folder, plan.disk_bytes, what)
                here = self._named(self._places.here(m.Plan, plan))
                hand_in(here if here.problem or lacking is None else replace(here, problem=lacking))

            if not self._line.is_open:
                hand_in(self._offline())
                return
            request = far_places.planned(params.request, self._places)
            self._line.try_call("plan", m.PlanParams(request), answered, lambda error: hand_in(self._failed(error)))

        return Later(start)

    def _warm(self, params: m.WarmParams) -> m.Nothing:
        if self._line.is_open:
            far = m.WarmParams(far_places.planned(params.request, self._places), params.read_prompt)
            self._line.try_call("warm", far, lambda _: None, lambda _: None)
        return m.Nothing()

    def _thumbnails(self, params: m.ThumbnailsParams) -> m.ThumbnailsResult | Later:
        """Of what lies here, if this Python can read pictures: Blender's own can't."""
        if not self._has_pictures:
            return m.ThumbnailsResult([])
        return self._later("thumbnails", lambda: self._small_pictures.of(params))

    def _filmstrips(self, params: m.FilmstripsParams) -> m.FilmstripsResult | Later:
        if not self._has_pictures:
            return m.FilmstripsResult([""] * len(params.films))
        return self._later("filmstrips", lambda: self._strips.of(params))

    def _export_timeline(self, params: ExportTimelineParams) -> Later:
        return self._later("export_timeline", lambda: interchange_requests.export(params))

    def _import_timeline(self, params: ImportTimelineParams) -> Later:
        return self._later("import_timeline", lambda: interchange_requests.import_(params))

    def _cancel(self, params: m.JobParams) -> Later:
        def start(hand_in: Answer) -> None:
            self._sender.cancel(params.job_id)
            self._ask("cancel", params, hand_in)

        return Later(start)

    def _retry(self, params: m.JobParams) -> Later:
        self._fetcher.forget(params.job_id)
        self._trainings.again(params.job_id)
        return self._forwarded("retry", params)

    def _clear(self, params: m.JobIdsParams) -> Later:
        def start(hand_in: Answer) -> None:
            def answered(result: m.JobIdsParams) -> None:
                for job_id in result.job_ids:
                    self._fetcher.forget(job_id)
                    self._trainings.forget(job_id)
                    self._asked.forget(job_id)
                    self._statuses.pop(job_id, None)
                hand_in(result)

            for job_id in params.job_ids:
                if self._trainings.is_whole(job_id):  # so nothing is lost with what it has left over there
                    self._line.call("take_arrived", m.JobParams(job_id))
            self._line.call("clear", params, answered, hand_in)

        return Later(start)

    def _pause(self, params: m.PauseParams) -> m.PauseResult:
        self._paused = params.paused
        self._line.call("pause", params)
        return m.PauseResult(params.paused)

    def _list(self, params: m.ListParams) -> Later:
        def start(hand_in: Answer) -> None:
            def answered(page: m.ListResult) -> None:
                hand_in(replace(page, jobs=[self._shown(status) for status in page.jobs]))

            self._line.call("list", params, answered, hand_in)

        return Later(start)

    def _details(self, params: m.JobParams) -> Later:
        def start(hand_in: Answer) -> None:
            def answered(details: m.JobDetails) -> None:
                here = self._places.here(m.JobDetails, details)
                asked = self._asked.request(params.job_id)
                hand_in(here if asked is None else replace(here, request=asked))

            self._line.call("details", params, answered, hand_in)

        return Later(start)

    def _look(self, params: Any) -> Any:
        raise Refusal.of(m.ProblemKind.BAD_SETTING, t.LIVE_IS_HERE_ALONE.with_values(name=self._line.name))

    def _nothing_of_that(self, params: Any) -> Any:
        raise Refusal.of(m.ProblemKind.INTERNAL, Sentence("Only the relay asks another machine for that."))

    _lacks = _put = _gather = _place = _take_files = _take_read = _take_arrived = _shared = _line_test = (
        _nothing_of_that
    )

    def _forwarded(self, method: str, params: Any) -> Later:
        return Later(lambda hand_in: self._ask(method, params, hand_in))

    def _ask(self, method: str, params: Any, hand_in: Answer) -> None:
        """Have the far server answer."""

        def answered(result: Any) -> None:
            hand_in(self._shown(result) if isinstance(result, m.JobStatus) else result)

        self._line.call(method, params, answered, hand_in)

    # The far server's events

    def _opened(self, hello: m.HelloResult) -> None:
        self._places.learn_root(hello.state_folder)
        if self._paused:
            self._line.call("pause", m.PauseParams(True))
        self._sender.line_opened()
        self._fetcher.line_opened()
        self._trainings.line_opened()
        if self._ever_open:
            self._catch_up("")
            self._line.call("models", answered=lambda result: self._tell("models", result))
            self._line.call("downloads", answered=self._tell_downloads)
        self._ever_open = True

    def _catch_up(self, after: str) -> None:
        """Report what became of the jobs while there was no line."""

        def answered(page: m.ListResult) -> None:
            for status in page.jobs:
                if self._statuses.get(status.job_id) != status:
                    self._tell("job", self._shown(status))
            if page.next:
                self._catch_up(page.next)

        self._line.call("list", m.ListParams(after), answered)

    def _tell_downloads(self, result: Any) -> None:
        for status in result.downloads:
            self._tell("download", status)

    def _on_event(self, name: str, message: Any) -> None:
        if name == "job":
            self._tell(name, self._shown(message))
        elif name == "progress":
            self._tell(name, self._shown_progress(message))
        else:
            self._tell(name, message)

    def _shown(self, far: m.JobStatus) -> m.JobStatus:
        """A job as Blender sees it: with this machine's paths, and done once its take is here."""
        self._statuses[far.job_id] = far
        here: m.JobStatus = self._named(self._places.here(m.JobStatus, far))
        if far.summary.training is not None:
            return self._shown_training(far, here)
        media = is_ours(far, self._places)
        if far.state is m.JobState.DONE and far.take is not None and media:
            landed = self._fetcher.landed(far.job_id)
            if landed is not None:
                return replace(here, take=landed, preview="")
            gone = self._fetcher.gone(far.job_id)
            if gone is not None:
                return replace(
                    here, state=m.JobState.FAILED, take=None, problem=gone, sentence=gone.sentence, preview=""
                )
            self._fetcher.want(far.job_id, far.take, media)
            sentence = self._fetcher.sentence_of(far.job_id)
            return replace(here, state=m.JobState.DECODING, take=None, sentence=sentence, progress=0.99, preview="")
        if far.state.ended:
            self._fetcher.not_made(far.job_id)
            return replace(here, preview="")
        return replace(here, preview=self._preview(far.job_id, far.step, far.preview))

    def _shown_training(self, far: m.JobStatus, here: m.JobStatus) -> m.JobStatus:
        """A training as Blender sees it: with what is here of the LoRAs that it keeps, and done once all of it is."""
        job_id, status = far.job_id, far.training or m.TrainingStatus()
        if self._trains_on_share(job_id):
            return here
        near = self._near_training(job_id, status, far.state)
        here = replace(here, training=None if far.training is None else near)
        here = replace(here, preview=self._trainings.near_path(job_id, far.preview))
        if far.state is not m.JobState.DONE or not self._asked.training_name(job_id):
            return here
        if not self._trainings.is_whole(job_id):
            sentence = self._trainings.sentence_of(job_id)
            return replace(here, state=m.JobState.DENOISING, sentence=sentence, progress=0.99)
        if near.kept:
            return here
        gone = m.Problem(
            m.ProblemKind.NOT_FOUND,
            Sentence("The LoRA is no longer on {name}: retry its job.", name=self._line.name),
        )
        return replace(here, state=m.JobState.FAILED, problem=gone, sentence=gone.sentence)

    def _near_training(self, job_id: str, far: m.TrainingStatus, state: m.JobState) -> m.TrainingStatus:
        """What is here of a training; what isn't is fetched, if it was asked for here."""
        name, folder = self._asked.training_name(job_id), self._asked.media_folder(job_id)
        if name:
            self._trainings.want(job_id, folder, name, far, state.ended, state is m.JobState.DONE)
        return self._trainings.near(job_id, far)

    def _trains_on_share(self, job_id: str) -> bool:
        """Whether both machines see the folder of LoRAs."""
        folder = self._asked.media_folder(job_id)
        return bool(folder) and self._places.shared(folder) is not None

    def _shown_progress(self, far: m.ProgressParams) -> m.ProgressParams:
        job_id = far.job_id
        if self._asked.training_name(job_id):
            here = self._places.here(m.ProgressParams, far)
            if self._trains_on_share(job_id):
                return here
            near = None if far.training is None else self._near_training(job_id, far.training, far.state)
            return replace(here, preview=self._trainings.near_path(job_id, far.preview), training=near)
        if far.state is m.JobState.DECODING:
            self._fetch_early(far.job_id)
        here = self._places.here(m.ProgressParams, far)
        return replace(here, preview=self._preview(far.job_id, far.step, far.preview))

    def _preview(self, job_id: str, step: int, far: str) -> str:
        return self._fetcher.preview(step, job_id) if far else ""

    def _fetch_early(self, job_id: str) -> None:
        media = self._asked.media_folder(job_id)
        if media and self._places.shared(media) is None:
            self._fetcher.early(job_id, media)

    def _on_landed(self, job_id: str) -> None:
        far = self._statuses.get(job_id)
        if far is not None:
            self._tell("job", self._shown(far))

    def _named(self, message: Any) -> Any:
        """What is said of a disk or a folder there names the machine."""
        refused = isinstance(message, ProtocolError)
        problem = _problem_of(message) if refused else getattr(message, "problem", None)
        if problem is None or problem.kind not in (m.ProblemKind.DISK_FULL, m.ProblemKind.FOLDER):
            return message
        named = self._on_machine(problem)
        return Refusal(named) if refused else replace(message, problem=named)

    def _on_machine(self, problem: m.Problem) -> m.Problem:
        words = Sentence("On {name}: {words}", name=self._line.name, words=problem.sentence)
        return replace(problem, sentence=words)

    # The line

    def _note_link(self) -> None:
        self._link_changed = True

    def _report_link(self) -> None:
        now = time.monotonic()
        if not self._greeted or not self._link_changed or now < self._link_at:
            return
        self._link_changed, self._link_at = False, now + LINK_SECONDS
        arrivals = (self._fetcher, self._trainings)
        coming = next(filter(None, (*(each.current for each in arrivals), *(each.hindered for each in arrivals))), "")
        if coming and self._statuses.get(coming) is not None and self._statuses[coming].state is m.JobState.DONE:
            self._tell_coming(coming)
        status = self._link_status(coming)
        if status != self._link:
            self._link = status
            self._tell("link", status)

    def _link_status(self, coming: str) -> t.LinkStatus:
        if not self._line.is_open:
            return t.LinkStatus(False, self._line.sentence)
        sending = self._sender.sentence
        if sending:
            return t.LinkStatus(True, sending, self._sender.done_bytes, self._sender.total_bytes)
        sentence = self._fetcher.sentence or self._trainings.sentence_of(coming)
        if sentence and coming:
            return t.LinkStatus(True, sentence, *self._coming_bytes(coming))
        return t.LinkStatus(True, sentence)

    def _coming_bytes(self, job_id: str) -> tuple[int, int]:
        """How much is here, and how much there is, of what comes home of a job."""
        fetcher = self._trainings if self._asked.training_name(job_id) else self._fetcher
        return fetcher.done_bytes(job_id), fetcher.total_bytes(job_id)

    def _tell_coming(self, job_id: str) -> None:
        """Report a take, or a LoRA, that comes home as progress of its job."""
        far = self._statuses[job_id]
        done, total = self._coming_bytes(job_id)
        share = 0.95 + 0.04 * (done / total if total else 0.0)
        trains = bool(self._asked.training_name(job_id))
        sentence = (self._trainings if trains else self._fetcher).sentence_of(job_id)
        state = m.JobState.DENOISING if trains else m.JobState.DECODING
        self._tell("progress", m.ProgressParams(job_id, state, far.step, far.steps, share, None, sentence, ""))

    def _offline(self) -> Refusal:
        return Refusal.of(m.ProblemKind.OFFLINE, self._line.sentence)

    def _failed(self, error: ProtocolError) -> ProtocolError:
        return self._offline() if error.code == GONE else error

    def _tell(self, name: str, message: Any) -> None:
        if self._greeted:
            line = self._endpoint.event_line(name, message)
            if line is not None:
                self._output.send(line, droppable=name in ("progress", "link"))

    # Threads

    def _later(self, name: str, work: Callable[[], Any]) -> Later:
        return Later(lambda hand_in: self._in_thread(name, work, hand_in))

    def _in_thread(self, name: str, work: Callable[[], Any], hand_in: Answer) -> None:
        def do() -> None:
            result = result_or_error(lambda: stopped_is_no_failure(work), Sentence("'{name}'", name=name))
            self._inbox.put(Call(lambda: hand_in(result)))

        threading.Thread(target=do, name=name, daemon=True).start()


def _problem_of(error: ProtocolError) -> m.Problem | None:
    """What a refusal says, also one that came over the line."""
    if error.code != REFUSED:
        return None
    try:
        problem: m.Problem = from_json(m.Problem, error.details, "problem")
    except ProtocolError:
        return None
    return problem
