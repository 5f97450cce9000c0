"""The backend's server as this side knows it: what it reported, what it is asked, what is still to be sent to it.

It knows no strips and no scenes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...wan_backend.protocol.errors import GONE, ProtocolError
from ...wan_backend.protocol.messages import (
    CardRow,
    CardsResult,
    ElsewhereParams,
    ExtraRow,
    HelloResult,
    JobState,
    JobStatus,
    ListParams,
    ListResult,
    ModelRow,
    ModelsResult,
    NameTransformerParams,
    PauseParams,
    ProgressParams,
    TakeRequest,
    TransformerPart,
    WarmParams,
    WorkersResult,
    WorkerState,
    WorkerStatus,
)
from ...wan_backend.protocol.sentences import NO_SENTENCE
from ...wan_backend.protocol.transfer import LinkStatus
from ..backend.client import ChildClient
from ..backend.connection import BackendStatus, Connection
from ..backend.launch_command import BackendSettings
from .filmstrips import FilmstripQuery
from .job_list import JobList
from .known_downloads import KnownDownloads
from .outbox import Outbox
from .queue_pause import QueuePause
from .reels import ReelQuery
from .server_queries import DetailsQuery, PlanQuery, SearchQuery, ThumbnailQuery

log = logging.getLogger(__name__)

PAGE_JOBS = 100
"""The statuses of one page are read in a tick without anyone noticing."""
_PAGES_PER_REDRAW = 10
"""While a long list comes in, it is drawn again after this many pages."""


class ServerProxy:
    """Stands for one server after another; the statuses that they report go into `jobs`."""

    def __init__(self, jobs: JobList, settings: Callable[[], BackendSettings], on_change: Callable[[], None]) -> None:
        self.models: list[ModelRow] = []
        self.extras: list[ExtraRow] = []
        self.looking = NO_SENTENCE
        """A sentence on how far the server's first search of the models folders is; empty once it has ended."""
        self.state_folder = ""
        """The folder in which the servers of all windows keep their jobs; empty until it is known."""
        self.link: LinkStatus | None = None
        """The line to another machine; None if takes are made on this one."""
        self.machine_name = ""
        """The name of the other machine that was chosen when the server was started last; empty for this one."""
        self.held_elsewhere = 0
        """How many jobs of other windows are in no list here."""
        self.workers: list[WorkerStatus] = []
        """The workers of the server by their places, as far as it has told of them."""
        self.cards: list[CardRow] = []
        """The graphics cards of the machine; empty where there is nothing to choose."""
        self.listed = False
        """True while `jobs` has the server's whole list."""
        self.details = DetailsQuery(on_change)
        self.plan_query = PlanQuery(on_change, lambda: settings().warm_up)
        self.job_plan_query = PlanQuery(on_change)
        """For the chosen job, where no server has it (yet)."""
        self.training_plan_query = PlanQuery(on_change)
        """For the training that the panel describes."""
        self.filmstrips = FilmstripQuery()
        self.reels = ReelQuery()
        self.thumbnail_query = ThumbnailQuery(on_change, self._forget_plans)
        self.search_query = SearchQuery(on_change)
        self.outbox = Outbox(jobs, on_change)
        self.downloads = KnownDownloads(lambda: self.connection.client, on_change, self._models_changed)
        self.connection = Connection(self._settings_to_start_with, self._on_ready, self._on_event, self._on_lost)
        self._jobs = jobs
        self._settings, self._on_change = settings, on_change
        self._wanted = self._ever_started = False
        self._pages = 0
        self._pause = QueuePause(lambda: settings().user_folder)
        self._told_paused = False

    @property
    def status(self) -> BackendStatus:
        """Whether the backend runs, starts, is missing or has failed."""
        return self.connection.status

    @property
    def worker(self) -> WorkerStatus:
        """The worker with the most of a device's memory, which stands for all where one is asked for."""
        return max(self.workers, key=lambda each: each.device_bytes, default=WorkerStatus(WorkerState.NONE))

    @property
    def working_places(self) -> int:
        """How many takes may be made at once."""
        return max(1, sum(each.state is not WorkerState.BROKEN for each in self.workers))

    @property
    def paused(self) -> bool:
        """True if no job is to be begun; each server is told so, until a person resumes the queue."""
        return self._pause.paused

    @property
    def is_out_of_reach(self) -> bool:
        """True if there will be no server until the person does something."""
        return self.status.state in ("missing", "failed")

    def model(self, model_id: str) -> ModelRow | None:
        """A model of the catalogue; None if it isn't known (yet)."""
        return next((row for row in self.models if row.model == model_id), None)

    def fetchable(self, known_id: str) -> ModelRow | ExtraRow | None:
        """The model, LoRA or tiny autoencoder of that id; None if it isn't known (yet)."""
        rows: list[ModelRow | ExtraRow] = [*self.models, *self.extras]
        return next((row for row in rows if row.model == known_id), None)

    def want(self) -> None:
        """Have the next tick start the server, unless it was started before. Safe in a draw."""
        self._wanted = True

    def warm(self, request: TakeRequest) -> None:
        """A request will be submitted once its sources are rendered: the model gets ready for it meanwhile.

        It isn't asked for twice: where there is no server now, the job finds it as it is.
        """
        if self.status.state == "ready" and self.connection.client is not None and self._settings().warm_up:
            self.connection.client.call("warm", WarmParams(request, read_prompt=True))

    def start(self) -> None:
        """Start the server now, even after it failed."""
        self._ever_started = True
        self.connection.start()
        self._on_change()

    def stop(self) -> None:
        """End the server; jobs that run become interrupted."""
        self.connection.stop()
        self._on_lost()

    def tick(self, deadline: float) -> None:
        """Read and write until `deadline` (of time.perf_counter)."""
        if self._wanted and not self._ever_started:
            self.start()
        if self.connection.tick(deadline):
            self._on_change()
        if self.status.state == "ready" and self.connection.client is not None:
            self._tell_paused(self.connection.client)
            self.outbox.tick(self.connection.client, deadline)
            self.plan_query.tick(self.connection.client)
            self.job_plan_query.tick(self.connection.client)
            self.training_plan_query.tick(self.connection.client)
            self.thumbnail_query.tick(self.connection.client)
            self.filmstrips.tick(self.connection.client, deadline)
            self.reels.tick(self.connection.client)
            self.search_query.tick(self.connection.client)
            self.details.tick(self.connection.client)
        elif self.is_out_of_reach:
            self.outbox.give_up(self.status.sentence)
            self.details.give_up()

    def pause(self, paused: bool) -> None:
        """Have no job begun, or have them begun again. The job that runs stops, and is the first to resume."""
        self._pause.set(paused)
        self._on_change()

    def _settings_to_start_with(self) -> BackendSettings:
        """A server that begins now is told of the pause before it has begun any job."""
        self._told_paused = self.paused
        settings = self._settings()
        self.machine_name = settings.machine.name if settings.machine is not None else ""
        return replace(settings, paused=self.paused)

    def _tell_paused(self, client: ChildClient) -> None:
        if self.paused != self._told_paused:
            self._told_paused = self.paused
            client.call("pause", PauseParams(self.paused))

    def free_card(self) -> None:
        """Have the server unload the model and free its memory, unless a job runs."""
        if self.connection.client is not None:
            self.connection.client.call("release", answered=self._receive_workers)

    def name_transformer(self, file: str, part: TransformerPart) -> None:
        """Have the server remember what a transformer's file is, which only a person can say; then plan anew."""

        def failed(error: ProtocolError) -> None:
            self.plan_query.refuse(error.message)

        if self.connection.client is not None:
            params = NameTransformerParams(file, part)
            self.connection.client.call("name_transformer", params, lambda _: self._models_changed(), failed)

    def _on_ready(self, hello: HelloResult) -> None:
        client = self.connection.client
        assert client is not None
        log.info("Backend %s, process %d", hello.version, hello.pid)
        self.state_folder = hello.state_folder
        client.call("models", answered=self._receive_models)
        self._ask_for_list()
        client.call("downloads", answered=self.downloads.receive_all)
        client.call("cards", answered=self._receive_cards)
        self._on_change()

    def _ask_for_list(self) -> None:
        if self.connection.client is not None:
            self._jobs.begin_pages()
            self._pages = 0
            self.connection.client.call("list", ListParams(most=PAGE_JOBS), self._receive_page, self._no_page)

    def want_details(self, job_id: str) -> None:
        """Ask, once, for the job's request and plan; the answer comes into `details`. Safe in a draw."""
        if self._jobs.is_on_server(job_id):
            self.details.want(job_id)

    def _on_event(self, name: str, message: Any) -> None:
        if name == "progress":
            self._receive_progress(message)
        elif name == "job":
            self._receive_job(message)
        elif name == "models":
            self._receive_models(message)
        elif name == "worker":
            self._receive_worker(message)
        elif name == "download":
            self.downloads.receive(message)
        elif name == "elsewhere":
            self._receive_elsewhere(message)
        elif name == "link":
            self._receive_link(message)

    def _receive_link(self, link: LinkStatus) -> None:
        if link.connected and (self.link is None or not self.link.connected):
            self._forget_plans()  # while there was no line, there were none
        self.link = link
        self._on_change()

    def _receive_elsewhere(self, report: ElsewhereParams) -> None:
        self.held_elsewhere = report.jobs
        if self.listed and any(status.held_elsewhere for status in self._jobs.all()):
            self._ask_for_list()  # who has one may have taken it on again
        self._on_change()

    def _receive_job(self, status: JobStatus) -> None:
        self._jobs.receive(status)
        self.details.job_changed(status.job_id)
        if status.state is JobState.DONE:
            self.plan_query.forget()  # it may have calibrated what is planned now
        self._on_change()

    def _receive_progress(self, progress: ProgressParams) -> None:
        self._jobs.receive_progress(progress)
        self._on_change()

    def _models_changed(self) -> None:
        """Another model can be used: ask for the list of models and for the plan again."""
        if self.connection.client is not None:
            self.connection.client.call("models", answered=self._receive_models)
            self._forget_plans()

    def _forget_plans(self) -> None:
        """What the server would plan now is another matter."""
        self.plan_query.forget()
        self.job_plan_query.forget()
        self.training_plan_query.forget()

    def _on_lost(self) -> None:
        self.listed = False
        self.workers = []
        self.held_elsewhere = 0
        self.link = None
        self.looking = NO_SENTENCE
        self._forget_plans()
        self.thumbnail_query.forget()
        self.filmstrips.forget()
        self.reels.forget()
        self.search_query.forget()
        self.details.server_gone()
        self.downloads.server_gone()
        self.outbox.server_gone()
        self._on_change()

    def _receive_page(self, page: ListResult) -> None:
        last = not page.next
        self.held_elsewhere = page.held_elsewhere
        self._jobs.receive_page(page.jobs, last)
        self.listed = last
        if not last and self.connection.client is not None:
            params = ListParams(page.next, PAGE_JOBS)
            self.connection.client.call("list", params, self._receive_page, self._no_page)
        if last or self._pages % _PAGES_PER_REDRAW == 0:
            self._on_change()
        self._pages += 1

    def _no_page(self, error: ProtocolError) -> None:
        """Keep what came so far; which other jobs the server has is not known, so that none is dropped."""
        if error.code != GONE:
            log.warning("The backend's list of jobs is not whole: %s", error.message)
            self.listed = True
            self._on_change()

    def _receive_models(self, result: ModelsResult) -> None:
        if (result.models, result.extras) != (self.models, self.extras):
            self._forget_plans()  # a plan depends on the models
        self.models, self.extras, self.looking = result.models, result.extras, result.looking
        self._on_change()

    def _receive_worker(self, worker: WorkerStatus) -> None:
        others = [each for each in self.workers if each.number != worker.number]
        self.workers = sorted([*others, worker], key=lambda each: each.number)
        self._on_change()

    def _receive_workers(self, result: WorkersResult) -> None:
        self.workers = result.workers
        self._on_change()

    def _receive_cards(self, result: CardsResult) -> None:
        self.cards = result.cards if len(result.cards) > 1 else []
        self._on_change()
