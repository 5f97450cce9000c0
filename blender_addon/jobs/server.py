"""The server as the jobs see it: what it knows, what it is asked, and what it is still to be told.

No strip and no scene is known here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ...wan_backend.protocol.errors import GONE, ProtocolError
from ...wan_backend.protocol.messages import (
    ElsewhereParams,
    ExtraRow,
    HelloResult,
    JobStatus,
    ListParams,
    ListResult,
    ModelRow,
    ModelsResult,
    ProgressParams,
    WorkerState,
    WorkerStatus,
)
from ..backend.command import BackendSettings
from ..backend.connection import BackendState, Connection
from .details import Details
from .downloads import Downloads
from .job_list import JobList
from .outbox import Outbox
from .planner import Planner
from .thumbnails import Thumbnails

log = logging.getLogger(__name__)

PAGE_JOBS = 100
"""So many statuses are read in a tick without anyone feeling it."""
_PAGES_UNTOLD = 10
"""While a long list comes in, it is shown anew every so many pages."""


class Server:
    """One server after another; what they say goes into the list of jobs."""

    def __init__(self, jobs: JobList, settings: Callable[[], BackendSettings], on_change: Callable[[], None]) -> None:
        self.models: list[ModelRow] = []
        self.extras: list[ExtraRow] = []
        self.looking = ""
        """How far the server's first look through the models folders is, in a sentence; empty where it is over."""
        self.state_folder = ""
        """Where it keeps its jobs, and other windows' servers theirs; empty until it is known."""
        self.held_elsewhere = 0
        """How many jobs other windows have that are in no list here."""
        self.worker = WorkerStatus(WorkerState.NONE)
        self.listed = False
        """True while the list of jobs is the server's own, and whole."""
        self.details = Details(on_change)
        self.planner = Planner(on_change)
        self.thumbnails = Thumbnails(on_change)
        self.outbox = Outbox(jobs, on_change)
        self.downloads = Downloads(lambda: self.connection.client, on_change, self._models_changed)
        self.connection = Connection(settings, self._on_ready, self._on_event, self._on_lost)
        self._jobs = jobs
        self._on_change = on_change
        self._wanted = self._ever_started = False
        self._pages = 0

    @property
    def state(self) -> BackendState:
        """How the backend is."""
        return self.connection.state

    @property
    def is_out_of_reach(self) -> bool:
        """True where there will be no server until the person does something."""
        return self.state.state in ("missing", "failed")

    def fetchable(self, known_id: str) -> ModelRow | ExtraRow | None:
        """The model, LoRA or tiny autoencoder of that id; None where it isn't known (yet)."""
        rows: list[ModelRow | ExtraRow] = [*self.models, *self.extras]
        return next((row for row in rows if row.model == known_id), None)

    def want(self) -> None:
        """The next tick starts the server, if it never was."""
        self._wanted = True

    def start(self) -> None:
        """Start it now, also after it failed."""
        self._ever_started = True
        self.connection.start()
        self._on_change()

    def stop(self) -> None:
        """End it."""
        self.connection.stop()
        self._on_lost()

    def tick(self, deadline: float) -> None:
        """Read and write until `deadline` (of time.perf_counter)."""
        if self._wanted and not self._ever_started:
            self.start()
        if self.connection.tick(deadline):
            self._on_change()
        if self.state.state == "ready" and self.connection.client is not None:
            self.outbox.tick(self.connection.client, deadline)
            self.planner.tick(self.connection.client)
            self.thumbnails.tick(self.connection.client)
            self.details.tick(self.connection.client)
        elif self.is_out_of_reach:
            self.outbox.give_up(self.state.sentence)
            self.details.give_up()

    def free_card(self) -> None:
        """Let go of the loaded model and its memory, unless a job runs."""
        if self.connection.client is not None:
            self.connection.client.call("release", answered=self._hear_worker)

    def _on_ready(self, hello: HelloResult) -> None:
        client = self.connection.client
        assert client is not None
        log.info("Backend %s, process %d", hello.version, hello.pid)
        self.state_folder = hello.state_folder
        client.call("models", answered=self._hear_models)
        self._ask_for_list()
        client.call("downloads", answered=self.downloads.hear_all)
        self._on_change()

    def _ask_for_list(self) -> None:
        if self.connection.client is not None:
            self._jobs.begin_pages()
            self._pages = 0
            self.connection.client.call("list", ListParams(most=PAGE_JOBS), self._hear_page, self._no_page)

    def want_details(self, job_id: str) -> None:
        """Someone looks at what the job was asked for; the answer comes into `details`. Safe in a draw."""
        if self._jobs.is_servers(job_id):
            self.details.want(job_id)

    def _on_event(self, name: str, message: Any) -> None:
        if name == "progress":
            self._hear_progress(message)
        elif name == "job":
            self._hear_job(message)
        elif name == "models":
            self._hear_models(message)
        elif name == "worker":
            self._hear_worker(message)
        elif name == "download":
            self.downloads.hear(message)
        elif name == "elsewhere":
            self._hear_elsewhere(message)

    def _hear_elsewhere(self, said: ElsewhereParams) -> None:
        self.held_elsewhere = said.jobs
        if self.listed and any(status.held_elsewhere for status in self._jobs.all()):
            self._ask_for_list()  # who has one may have taken it on again
        self._on_change()

    def _hear_job(self, status: JobStatus) -> None:
        self._jobs.hear(status)
        self.details.changed(status.job_id)
        self._on_change()

    def _hear_progress(self, said: ProgressParams) -> None:
        self._jobs.hear_progress(said)
        self._on_change()

    def _models_changed(self) -> None:
        """A model came: what the server knows of the models, and would do with them, is another."""
        if self.connection.client is not None:
            self.connection.client.call("models", answered=self._hear_models)
            self.planner.forget()

    def _on_lost(self) -> None:
        self.listed = False
        self.worker = WorkerStatus(WorkerState.NONE)
        self.held_elsewhere = 0
        self.looking = ""
        self.planner.forget()
        self.thumbnails.forget()
        self.details.server_gone()
        self.downloads.server_gone()
        self.outbox.server_gone()
        self._on_change()

    def _hear_page(self, page: ListResult) -> None:
        last = not page.next
        self.held_elsewhere = page.held_elsewhere
        self._jobs.hear_page(page.jobs, last)
        self.listed = last
        if not last and self.connection.client is not None:
            params = ListParams(page.next, PAGE_JOBS)
            self.connection.client.call("list", params, self._hear_page, self._no_page)
        if last or self._pages % _PAGES_UNTOLD == 0:
            self._on_change()
        self._pages += 1

    def _no_page(self, error: ProtocolError) -> None:
        """What came so far stays; what the server has of other jobs is not known, so none of them is called gone."""
        if error.code != GONE:
            log.warning("The backend's list of jobs is not whole: %s", error.message)
            self.listed = True
            self._on_change()

    def _hear_models(self, result: ModelsResult) -> None:
        if (result.models, result.extras) != (self.models, self.extras):
            self.planner.forget()  # what can be planned with them is another matter now
        self.models, self.extras, self.looking = result.models, result.extras, result.looking
        self._on_change()

    def _hear_worker(self, worker: WorkerStatus) -> None:
        self.worker = worker
        self._on_change()
