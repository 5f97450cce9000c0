"""What is going on with every job. One Tracker for a Blender; all of it happens in `tick`, in slices.

The tracker holds no strip and no scene from one tick to the next.
"""

from __future__ import annotations

import atexit
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

import bpy

from ...wan_backend.protocol.messages import JobState, JobStatus, ModelRow, Plan, TakeRequest, WorkerStatus
from ..backend.connection import BackendState
from ..backend.setup import Setup
from ..stopwatch import timed
from . import folders, handlers, landing, project
from .collect import Collector
from .job_list import JobList
from .open_file import OpenFile
from .orders import Order
from .request import Refused
from .server import Server
from .sourcing import Sourcing

__all__ = ["BackendState", "Tracker", "get", "register", "unregister"]

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.008
BUSY_SECONDS = 0.05
"""From one tick to the next while something is going on."""
IDLE_SECONDS = 0.5
SWEEP_SECONDS = 1.0
_MOST_LATE = 5
"""So many ticks a change waits to be shown while each has more to do than it should."""
_LOST_REQUEST = "What this take was asked for is no longer known: add its files to the timeline by hand."
EXIT_PATIENCE_SECONDS = 0.3
"""So long Blender's own end waits for the backend's; it leaves by itself in any case."""


class Tracker:
    """Everything that the panel shows and the operators do. Never blocks."""

    def __init__(self) -> None:
        self.setup = Setup()
        self.collector = Collector()
        self.on_change: list[Callable[[], None]] = []
        self.file = OpenFile()
        self._list = JobList()
        self.server = Server(self._list, folders.backend_settings, self._note_change)
        self.downloads = self.server.downloads
        self.sourcing = Sourcing(self._list, self.server.outbox, folders.user_folder, self._note_change)
        self._changed = False
        self._told_late = 0
        self._ordered_for = -1
        self._next_sweep = 0.0

    # What the panel shows

    @property
    def backend(self) -> BackendState:
        """How the backend is."""
        return self.server.state

    @property
    def models(self) -> list[ModelRow]:
        """The catalogue; empty until the backend has answered."""
        return self.server.models

    @property
    def worker(self) -> WorkerStatus:
        """How the process is that has the model."""
        return self.server.worker

    @property
    def plan(self) -> Plan | None:
        """What would be done for the request last given to `want_plan`; None while it isn't known."""
        return self.server.planner.plan

    @property
    def looking(self) -> str:
        """How far the backend's first look through the models folders is; empty where it is over."""
        return self.server.looking

    @property
    def held_elsewhere(self) -> int:
        """How many jobs other windows of Blender have that are not in this list."""
        return self.server.held_elsewhere

    def plan_of(self, request: TakeRequest) -> Plan | None:
        """The plan, where it is that of `request`."""
        return self.server.planner.plan_of(request)

    @property
    def plan_sentence(self) -> str:
        """Why there is no plan, where the backend said so."""
        return self.server.planner.sentence

    def model(self, model_id: str) -> ModelRow | None:
        """A model of the catalogue; None where it isn't known (yet)."""
        return next((row for row in self.models if row.model == model_id), None)

    def jobs(self) -> list[JobStatus]:
        """The open file's jobs, newest first, then those of other files, newest first; only to be read.

        The same list until something changes.
        """
        if self._ordered_for != self.file.belongings:
            self._ordered_for = self.file.belongings
            self._list.order_anew()
        return self._list.in_order(self.file.has)

    def job(self, job_id: str) -> JobStatus | None:
        """One job; None where nobody knows it."""
        return self._list.get(job_id)

    def request_of(self, job_id: str) -> TakeRequest | None:
        """What the job was asked for; None where only the backend knows: `want_details` asks it. Safe in a draw."""
        known = self._list.request_of(job_id) or self.server.details.request_of(job_id)
        if known is None:
            known = self.file.request_on_strip(job_id)
            if known is not None:
                self.server.details.learn(job_id, known)
        return known

    def plan_of_job(self, job_id: str) -> Plan | None:
        """What was planned for the job; None where it isn't known (yet): `want_details` asks. Safe in a draw."""
        return self.server.details.plan_of(job_id)

    def want_details(self, job_id: str) -> None:
        """Ask the backend for the job's request and plan, once. Safe in a draw."""
        self.server.want_details(job_id)

    def belongs_here(self, job_id: str) -> bool:
        """True where the job was asked for in the open file."""
        status = self._list.get(job_id)
        return status is not None and self.file.has(status)

    # The backend

    def want(self) -> None:
        """Someone looks: the next tick starts the backend, if it never was. Safe in a draw."""
        self.server.want()

    def start(self) -> None:
        """Start the backend now, also after it failed."""
        self.server.start()

    def stop(self) -> None:
        """End the backend; jobs that run become interrupted."""
        self.server.stop()

    def restart(self) -> None:
        """Stop, then start, with the preferences as they are now."""
        self.stop()
        self.start()

    def want_plan(self, request: TakeRequest) -> None:
        """Ask what would be done for `request`; the answer comes as `plan`. Safe in a draw."""
        self.server.planner.want(request)

    # What the operators do

    def generate(self, scene: bpy.types.Scene, order: Order, name: str = "") -> str:
        """Put a placeholder where the request's origin says and ask for the take; gives the job's id.

        `name` is the strip's; without one, the prompt's first words. The caller pushes the undo step. Raises Refused.
        """
        if self.server.is_out_of_reach:
            raise Refused(self.backend.sentence)
        job_id = uuid.uuid4().hex
        order = replace(order, request=project.at_home(order.request, scene))
        asked = self.sourcing.send(job_id, scene, order)
        sent = self._list.request_of(job_id)
        assert sent is not None
        self.file.add_placeholder(scene, job_id, sent, name, asked)
        self.want()
        self._note_change()
        return job_id

    def cancel(self, job_id: str) -> None:
        """End a job in any state."""
        if not self.sourcing.cancel(job_id):
            self.server.outbox.cancel(job_id)
        self._note_change()

    def retry(self, job_id: str) -> None:
        """Ask once more for a job that ended without a take."""
        status = self._list.get(job_id)
        if status is None or not status.state.ended:
            return
        self.want()
        if not self._list.is_servers(job_id):
            self._retry(job_id, self.request_of(job_id))
        elif (told := self.server.details.told(job_id)) is not None:
            self._retry(job_id, told)
        else:  # what was rendered for it may be gone: that is seen once it is known what the server has been asked for
            self.server.details.want(job_id, lambda request: self._retry(job_id, request))
        self._note_change()

    def _retry(self, job_id: str, request: TakeRequest | None) -> None:
        status = self._list.get(job_id)
        if status is None:  # the server's list came without it meanwhile: what its strip asks for is asked anew
            request = self.request_of(job_id)
        if request is None if status is None else not status.state.ended:
            return
        self.file.book.forget(job_id)
        belongs_here = status is None or self.file.has(status)
        if request is None or not self.sourcing.retry(job_id, request, belongs_here):
            self.server.outbox.retry(job_id, request)
        self._note_change()

    def clear(self) -> None:
        """Forget the jobs that ended; their media and their strips stay, and so do results that no file has yet."""
        waiting = self.file.waiting_jobs()
        ended = [status.job_id for status in self._list.all() if self._may_be_forgotten(status, waiting)]
        self.server.outbox.clear([job_id for job_id in ended if self._list.is_servers(job_id)])
        self._list.forget(ended)
        self.file.cleared.update(ended)
        self._note_change()

    def can_place(self, job_id: str) -> bool:
        """True where `place` would work: the take is on the disk."""
        status = self._list.get(job_id)
        return status is not None and landing.is_whole(status)

    def place(self, job_id: str, scene: bpy.types.Scene) -> bool:
        """Put a take on the timeline now: in place of its placeholder, else where it was asked for.

        The caller pushes the undo step. False where it can't be; `problem_of` then says why.
        """
        status = self._list.get(job_id)
        if status is None or status.take is None:
            return False
        request = self.request_of(job_id) or landing.request_on_disk(status)
        self._note_change()
        if request is None:
            self.file.problems[job_id] = _LOST_REQUEST
            return False
        return self.file.place(status, request, scene)

    def problem_of(self, job_id: str) -> str:
        """Why a finished take could not be placed; empty where nothing is in the way."""
        return self.file.problems.get(job_id, "")

    def note_of(self, job_id: str) -> str:
        """What a person has to know of how a take was placed; mostly nothing."""
        return self.file.notes.get(job_id, "")

    def free_card(self) -> None:
        """Let go of the loaded model and its memory, unless a job runs."""
        self.server.free_card()

    def collect(self) -> None:
        """Begin to copy the takes beside the .blend and to point their strips there. Raises Refused."""
        self.collector.begin()
        self._note_change()

    # The timer

    def tick(self) -> float:
        """One slice of the work, about 8 ms at most; gives the seconds to the next."""
        with timed("timer: tick"):
            deadline = time.perf_counter() + SLICE_SECONDS
            if self._told_late < _MOST_LATE:
                self._run_children(deadline)
                self._work_on_file(deadline)
            self._tell_of_change(deadline)  # what waited too long has a tick of its own
        return BUSY_SECONDS if self._is_busy() or self._told_late else IDLE_SECONDS

    def _tell_of_change(self, deadline: float) -> None:
        """To whoever shows anything; where the slice is used up, in one of the next ticks."""
        if not self._changed:
            return
        if time.perf_counter() > deadline and self._told_late < _MOST_LATE:
            self._told_late += 1
            return
        self._changed, self._told_late = False, 0
        for callback in self.on_change:
            callback()

    def close(self, patience_seconds: float = EXIT_PATIENCE_SECONDS) -> None:
        """Blender or the add-on ends: no child is left behind."""
        self.server.connection.close(patience_seconds)
        self.sourcing.close(patience_seconds)
        self.setup.close(patience_seconds)

    def file_loaded(self) -> None:
        """A file was opened, or the same one again."""
        self.server.outbox.settle(self.file.opened())
        self.collector.stop()
        if self.file.waits and not bpy.app.background:
            self.want()
        self._note_change()

    def about_to_save(self) -> None:
        """The open file is about to be written: it is to tell what it knows."""
        self.file.before_save(self._list, self.server.listed)

    def file_saved(self) -> None:
        """The open file is on the disk: tell the server which jobs' ends it knows."""
        self.server.outbox.settle(self.file.settled(self._list))
        self._note_change()

    def strips_changed(self) -> None:
        """An undo or redo has put other strips in the old ones' place."""
        self.file.strips_changed()
        self._note_change()

    def _run_children(self, deadline: float) -> None:
        self.server.tick(deadline)
        if self.sourcing.tick(deadline):
            self._changed = True
        was_busy = self.setup.busy
        if self.setup.tick(deadline):
            self._changed = True
        if was_busy and not self.setup.busy and self.setup.state == "done":
            self.restart()

    def _work_on_file(self, deadline: float) -> None:
        if self.collector.tick(deadline):
            self._changed = True
        knows = self.server.listed or self.server.is_out_of_reach
        if (
            knows
            and time.perf_counter() < deadline
            and self.file.adopt_unknown(self._list, deadline, self.server.state_folder)
        ):
            self._changed = True
        if time.perf_counter() < deadline and self.file.look_elsewhere(self._list, deadline):
            self._changed = True
        for job_id in self.sourcing.take_to_render():
            if self.belongs_here(job_id):
                self.retry(job_id)
        if time.monotonic() >= self._next_sweep and time.perf_counter() < deadline:
            self._next_sweep = time.monotonic() + SWEEP_SECONDS
            self.file.sweep_if_changed()
        if time.perf_counter() < deadline and self.file.land_one(self._list, self._request_to_land, deadline):
            self._changed = True

    def _request_to_land(self, status: JobStatus) -> TakeRequest | None:
        """For a take without a placeholder; None while the backend is asked, or where nobody knows."""
        job_id = status.job_id
        request = self.request_of(job_id)
        if request is None:
            self.server.details.want(job_id, lambda answer: self._land_with(status, answer))
        return request

    def _land_with(self, status: JobStatus, answer: TakeRequest | None) -> None:
        request = answer or landing.request_on_disk(status)
        if request is None:
            self.file.problems[status.job_id] = _LOST_REQUEST
            self.file.book.judged.add(status.job_id)
        else:
            self.server.details.learn(status.job_id, request)
            self.file.due_again(status.job_id)
        self._note_change()

    def _is_busy(self) -> bool:
        running = self.downloads.busy or self._list.busy
        running = running or (self.backend.state == "ready" and not self.server.listed)
        return running or self.backend.state == "starting" or self.setup.busy or self.collector.busy

    def _may_be_forgotten(self, status: JobStatus, waiting: set[str]) -> bool:
        if status.held_elsewhere:
            return False
        if status.state is JobState.DONE and status.job_id in waiting:
            return False  # its placing was undone: the list alone has the button that places it again
        if status.state is JobState.DONE and not status.settled:
            return self.file.has(status) and self.file.is_dealt_with(status.job_id)
        return status.state.ended

    def _note_change(self) -> None:
        self._changed = True


_tracker: Tracker | None = None


def get() -> Tracker:
    """The session's tracker."""
    global _tracker
    if _tracker is None:
        _tracker = Tracker()
    return _tracker


def register() -> None:
    """Start the timer and the handlers."""
    handlers.register(get)
    if not bpy.app.timers.is_registered(_on_timer):
        bpy.app.timers.register(_on_timer, first_interval=IDLE_SECONDS, persistent=True)
    atexit.register(_close)


def unregister() -> None:
    """Stop the timer, the handlers and the backend."""
    global _tracker
    atexit.unregister(_close)
    if bpy.app.timers.is_registered(_on_timer):
        bpy.app.timers.unregister(_on_timer)
    handlers.unregister()
    _close()
    _tracker = None


def _on_timer() -> float:
    try:
        return get().tick()
    except Exception:
        log.exception("A tick failed")
        return IDLE_SECONDS


def _close() -> None:
    if _tracker is not None:
        _tracker.close()
