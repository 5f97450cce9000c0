"""The add-on's one Session in this Blender: the server, the jobs and the open file, driven by one timer.

`Session.tick` does all work in slices. No strip and no scene is held from one tick to the next.
"""

from __future__ import annotations

import atexit
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface

from ...wan_backend.protocol.messages import Hold, JobState, JobStatus, Origin, TakeRequest
from ...wan_backend.protocol.transfer import LIVE_IS_HERE_ALONE
from .. import translation
from ..backend.machine_test import MachineTest
from ..backend.setup import Setup
from ..stopwatch import timed
from ..timeline import compat
from . import blender_handlers, film_takes, folders, looked_at, placing, project
from .cleaning import Cleaner
from .collect import Collector, Wanted
from .interchange import Interchange
from .job_list import JobList, JobOrder
from .kept_runs import KeptRuns
from .live import Live
from .open_file import OpenFile
from .placeholder_holds import PlaceholderHolds
from .planned_takes import PlannedTake
from .rebuilding import Desk, Rebuilding
from .request import Refused
from .server_proxy import ServerProxy
from .sourcing import Sourcing
from .stale_takes import SLICE_SECONDS as STALE_SECONDS
from .stale_takes import StaleTake, StaleTakes

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.008
"""A tick takes no longer than half a frame of a 60 Hz window, as far as it can tell."""
SHOWN_WITHIN_SECONDS = 0.004
"""A change is shown in the tick that brought it only if so much of the slice is left: else it has a tick of its own."""
LISTING_SECONDS = 0.02
"""The time from one tick to the next while the list of jobs comes in, page by page."""
BUSY_SECONDS = 0.05
"""The time from one tick to the next while something is going on."""
IDLE_SECONDS = 0.5
SWEEP_SECONDS = 1.0
"""The time from one look for moved and copied placeholders to the next."""
MAX_LATE_TICKS = 5
"""A change is shown after this many ticks, even if each of them has used up its slice."""
EXIT_PATIENCE_SECONDS = 0.3
"""How long Blender waits, when it ends, for the backend, which would end by itself as well."""
_LOST_REQUEST = "The request of this take is no longer known: add its files to the timeline by hand."


class Session:
    """What the panel shows and the operators ask for. No call blocks.

    `server` is the backend as this side knows it, `jobs` every job's status, `file` the open file's strips,
    `sourcing` the jobs whose sources are still rendered, `setup` makes the backend's environment, `machine_test` tests
    that of a machine, `collector` copies takes, `cleaner` finds those that nothing uses, `interchange` writes and reads
    cuts, `live` has what is looked at made as small drafts, `stale` knows takes whose sources have changed,
    `rebuilding` makes them anew. `on_change` is called from `tick` after anything of these changed.
    """

    def __init__(self) -> None:
        self.setup = Setup()
        self.machine_test = MachineTest()
        self.collector = Collector()
        self.cleaner = Cleaner()
        self.on_change: list[Callable[[], None]] = []
        self.file = OpenFile()
        self.jobs = JobList()
        self.server = ServerProxy(self.jobs, folders.backend_settings, self._note_change)
        self.interchange = Interchange(self._note_change)
        self.sourcing = Sourcing(self.jobs, self.server.outbox, folders.user_folder, self._note_change)
        self.stale = StaleTakes(lambda: self.file.rendering)
        self.rebuilding = Rebuilding(self._desk(), KeptRuns(_runs_folder, project.is_origin))
        self.live = Live(looked_at.with_sources, self._note_change)
        self._holds = PlaceholderHolds(self.jobs, self.file, self.server.outbox)
        self._changed = False
        self._shown_late = 0
        self._ordered_for = -1
        self._next_sweep = 0.0
        self._swept = False
        """True if the strips were looked through, and the jobs are still to be compared with them."""

    def _desk(self) -> Desk:
        """What `rebuilding` needs."""
        return Desk(
            generate=self.generate,
            going_on=lambda: [job for _, _, job_id in self.order().going_on if (job := self.jobs.get(job_id))],
            get=self.jobs.get,
            move=self.move,
            wait_again=self.file.wait_again,
            problem=lambda job_id: self.file.problems.get(job_id, ""),
            may_ask=lambda: not (self.server.is_out_of_reach or self.server.paused),
            film=lambda: Origin(project.path(), project.id_to_be()),
            is_wanted=lambda job: not job.settled and job.job_id not in self.file.history.known_ends,
            knows_all=lambda: self.server.listed and not self.file.looking,
            retry=self.retry,
            want=self._want_in_window,
        )

    def _want_in_window(self) -> None:
        """Have the backend start, for what the file waits for; in the background somebody else asks for that."""
        if not bpy.app.background:
            self.server.want()

    # What the panel shows

    def queue(self) -> list[JobStatus]:
        """All jobs in running order, and then those that ended (`JobList.in_order`); only to be read.

        The same list is returned until something changes. Ten thousand may be there: draws ask for `order`.
        """
        self._follow_ownership()
        return self.jobs.in_order(self.file.has)

    def order(self) -> JobOrder:
        """Which of these jobs are shown; the same object while no more changes than how far a job is."""
        self._follow_ownership()
        return self.jobs.order(self.file.has)

    def _follow_ownership(self) -> None:
        came = self.file.pop_came()
        if self._ordered_for != self.file.ownership_version:
            self._ordered_for = self.file.ownership_version
            self.jobs.reorder(self.file.has)
        elif came:
            self.jobs.reorder(self.file.has, came)

    def request_of(self, job_id: str) -> TakeRequest | None:
        """What the job was asked for; None if only the server knows: `server.want_details` asks. Safe in a draw."""
        known = self.jobs.request_of(job_id) or self.server.details.request_of(job_id)
        if known is None:
            known = self.file.request_on_strip(job_id)
            if known is not None:
                self.server.details.learn(job_id, known)
        return known

    def belongs_here(self, job_id: str) -> bool:
        """True if the job was asked for in the open file."""
        status = self.jobs.get(job_id)
        return status is not None and self.file.has(status)

    def can_place(self, job_id: str) -> bool:
        """True if `place` would work: the take is on the disk."""
        status = self.jobs.get(job_id)
        return status is not None and placing.is_whole(status)

    # What the operators do

    def restart(self) -> None:
        """End the backend and start it with the preferences as they are now; a job that runs goes on after that."""
        self.server.stop()
        self.server.start()

    def generate(self, scene: bpy.types.Scene, take: PlannedTake, name: str = "", onto: str = "") -> str:
        """Put a placeholder where the request's origin says and ask for the take; returns the job's id.

        `name` is the strip's; without one, the prompt's first words. `onto` is the id of a placeholder or of a strip
        with takes: the take comes onto that one. The caller pushes the undo step. Raises Refused.
        """
        if self.server.is_out_of_reach:
            raise Refused(self.server.status.sentence)
        if onto and (refusal := self.file.waiting_refusal(onto)):
            raise Refused(refusal)
        job_id = uuid.uuid4().hex
        take = replace(take, request=project.with_own_origin(take.request, scene))
        provenance_text = self.sourcing.send(job_id, scene, take)
        sent = self.jobs.request_of(job_id)
        assert sent is not None
        if not (onto and self.file.add_pending(onto, job_id, sent, provenance_text)):
            self.file.add_placeholder(scene, job_id, sent, name, provenance_text)
        self.server.want()
        if self.sourcing.waits(job_id):
            self.server.warm(sent)
        self._note_change()
        return job_id

    def train(self, scene: bpy.types.Scene, take: PlannedTake) -> str:
        """Ask for a LoRA; returns the job's id. Nothing of it comes onto the timeline, so no strip waits for it.

        It belongs to the open file by its origin alone, and goes on whatever is undone there. Raises Refused.
        """
        if self.server.is_out_of_reach:
            raise Refused(self.server.status.sentence)
        job_id = uuid.uuid4().hex
        take = replace(take, request=project.with_own_origin(take.request, scene))
        self.sourcing.send(job_id, scene, take)
        self.server.want()
        self._note_change()
        return job_id

    def cancel(self, job_id: str) -> None:
        """End a job in any state."""
        if not self.sourcing.cancel(job_id):
            self.server.outbox.cancel(job_id)
        self._note_change()

    def hold(self, job_id: str) -> None:
        """Let a job wait until it is resumed; one that runs stops at its last step."""
        self.server.outbox.hold(job_id, Hold.PERSON)
        self._note_change()

    def resume(self, job_id: str) -> None:
        """Give a held job its turn again; with its placeholder, if that is gone and the request is known."""
        status = self.jobs.get(job_id)
        if status is None:
            return
        if status.hold is Hold.NO_PLACEHOLDER and not self.file.waits_for(job_id) and self.file.has(status):
            request, scene = self.request_of(job_id), compat.own_scene(status.summary.origin.scene)
            if request is not None and scene is not None:
                self.file.put_placeholder_back(scene, job_id, request, self.sourcing.provenance_text(job_id))
        self._holds.want(job_id)
        self.server.outbox.resume(job_id)
        self._note_change()

    def is_movable(self, status: JobStatus) -> bool:
        """True if the job waits for its turn at the server."""
        waits = status.state is JobState.QUEUED and status.hold is Hold.NONE and not status.held_elsewhere
        return waits and self.jobs.is_on_server(status.job_id)

    def move(self, job_id: str, before: str) -> None:
        """Give a job that waits its turn right before another one that waits."""
        self.server.outbox.move(job_id, before)
        self._note_change()

    def retry(self, job_id: str) -> None:
        """Ask once more for a job that ended without a take."""
        status = self.jobs.get(job_id)
        if status is None or not status.state.ended:
            return
        self.server.want()
        if not self.jobs.is_on_server(job_id):
            self._retry(job_id, self.request_of(job_id))
        elif (reported := self.server.details.reported_request(job_id)) is not None:
            self._retry(job_id, reported)
        else:  # what was rendered for it may be gone: that is seen once it is known what the server has been asked for
            self.server.details.want(job_id, lambda request: self._retry(job_id, request))
        self._note_change()

    def _retry(self, job_id: str, request: TakeRequest | None) -> None:
        status = self.jobs.get(job_id)
        if status is None:  # the server's list came without it meanwhile: what its strip asks for is asked for again
            request = self.request_of(job_id)
        if request is None if status is None else not status.state.ended:
            return
        self.file.history.forget(job_id)
        belongs_here = status is None or self.file.has(status)
        if request is None or not self.sourcing.retry(job_id, request, belongs_here):
            self.server.outbox.retry(job_id, request)
        self._note_change()

    def clear(self) -> None:
        """Forget the jobs that ended; their media and their strips stay, and so do results that no file has yet."""
        waiting = self.file.waiting_jobs()
        self._forget([status.job_id for status in self.jobs.all() if self._may_be_forgotten(status, waiting)])

    def clear_one(self, job_id: str) -> bool:
        """Forget one job that ended; False if it has to stay, since no file has its take yet."""
        status = self.jobs.get(job_id)
        if status is None or not self._may_be_forgotten(status, self.file.waiting_jobs()):
            return False
        self._forget([job_id])
        return True

    def _forget(self, ended: list[str]) -> None:
        trained = [job for job_id in ended if (job := self.jobs.get(job_id)) is not None and job.summary.training]
        for job in trained:
            if self.file.has(job):
                self.sourcing.remove_rendered(job.job_id, job.summary.origin)
        self.server.outbox.clear([job_id for job_id in ended if self.jobs.is_on_server(job_id)])
        self.jobs.forget(ended)  # after the line above, which asks where they are
        self.file.forget_pending(ended)
        self.file.cleared.update(ended)
        self._note_change()

    def place(self, job_id: str, scene: bpy.types.Scene) -> bool:
        """Put a take on the timeline now: in place of its placeholder, or else at its recorded place.

        The caller pushes the undo step. False if it can't be placed; `file.problems` then says why.
        """
        status = self.jobs.get(job_id)
        if status is None or status.take is None:
            return False
        request = self.request_of(job_id) or placing.request_on_disk(status)
        self._note_change()
        if request is None:
            self.file.problems[job_id] = _LOST_REQUEST
            return False
        return self.file.place(status, request, scene)

    def collect(self, wanted: Wanted | None = None) -> None:
        """Begin to copy the takes beside the .blend and to point their strips there. Raises Refused."""
        self.collector.begin(wanted or Wanted())
        self._note_change()

    def rebuild(self, stale: list[StaleTake], in_seconds: float = 0.0) -> None:
        """Make these stale takes anew, `in_seconds` from now."""
        self.rebuilding.begin(stale, in_seconds)
        self._note_change()

    def stop_rebuilding(self) -> None:
        """Ask for no more takes that are to be made anew."""
        self.rebuilding.stop()
        self._note_change()

    def look_for_unused(self) -> None:
        """Begin to look for takes of the open film that nothing uses."""
        self.cleaner.begin(self._must_stay)
        self._note_change()

    def _must_stay(self, job_id: str) -> bool:
        """True of a job that goes on, or whose take may still be placed."""
        status = self.jobs.get(job_id)
        if status is None:
            return False
        return not status.state.ended or (status.state is JobState.DONE and not status.settled)

    # The timer

    def tick(self) -> float:
        """One slice of the work, about 8 ms at most; returns the seconds to the next."""
        with timed("timer: tick"):
            deadline = time.perf_counter() + SLICE_SECONDS
            if self._shown_late < MAX_LATE_TICKS:
                self._run_children(deadline)
                self._work_on_file(deadline)
            self._show_change(deadline)  # what waited too long has a tick of its own
        if self.server.status.state == "ready" and not self.server.listed:
            return LISTING_SECONDS
        return BUSY_SECONDS if self._is_busy() or self._shown_late else IDLE_SECONDS

    def _show_change(self, deadline: float) -> None:
        """Call `on_change`; if much of the slice is used up, in one of the next ticks."""
        if not self._changed:
            return
        if time.perf_counter() > deadline - SHOWN_WITHIN_SECONDS and self._shown_late < MAX_LATE_TICKS:
            self._shown_late += 1
            return
        self._changed, self._shown_late = False, 0
        for callback in self.on_change:
            callback()

    def close(self, patience_seconds: float = EXIT_PATIENCE_SECONDS) -> None:
        """End every child, by force after `patience_seconds`, because Blender or the add-on ends."""
        self.server.connection.close(patience_seconds)
        self.sourcing.close(patience_seconds)
        self.collector.stop()
        self.setup.close(patience_seconds)
        self.machine_test.close(patience_seconds)
        self.rebuilding.close()

    def file_loaded(self) -> None:
        """A file was opened, or the same one again."""
        self.server.outbox.settle(self.file.opened())
        self.collector.stop()
        self.interchange.stop()
        self.cleaner.opened()
        self.stale.opened()
        self.rebuilding.opened()
        self.live.forget()
        if self.file.waits:
            self._want_in_window()
        self._note_change()

    def about_to_save(self) -> None:
        """Write what the file knows of its jobs into it, because it is about to be saved."""
        self.file.before_save(self.jobs, self.server.listed)

    def file_saved(self) -> None:
        """The open file is on the disk: tell the server which jobs' ends it knows."""
        self.server.outbox.settle(self.file.settled(self.jobs))
        self.rebuilding.saved()
        self.collector.begin_by_itself()
        self._note_change()

    def strips_changed(self) -> None:
        """An undo or redo has put other strips in the old ones' place."""
        self.interchange.strips_changed()
        self.file.strips_changed(time.perf_counter() + SLICE_SECONDS)
        self._next_sweep, self._swept = 0.0, False
        self.cleaner.follow()
        self.stale.look_again()
        self.rebuilding.strips_changed()
        self._note_change()

    def _run_children(self, deadline: float) -> None:
        self.server.tick(deadline)
        if self.server.status.state == "ready" and self.server.connection.client is not None:
            self.interchange.send(self.server.connection.client)
        elif self.server.is_out_of_reach:
            self.interchange.give_up(self.server.status.sentence)
        if self.sourcing.tick(deadline):
            self._changed = True
        if self.machine_test.tick(deadline):
            self._changed = True
        self._look(deadline)
        was_busy = self.setup.busy
        if self.setup.tick(deadline):
            self._changed = True
        if was_busy and not self.setup.busy and self.setup.state == "done":
            self.restart()

    def _look(self, deadline: float) -> None:
        """Have what the panel shows made as a small draft, while there is nothing better to do."""
        ready = self.server.status.state == "ready" and time.perf_counter() < deadline
        self.live.tick(self.server.connection.client if ready else None, self._why_live_rests())

    def _why_live_rests(self) -> str:
        if not self.live.is_on:
            return ""
        if self.server.machine_name:
            return LIVE_IS_HERE_ALONE.with_values(name=self.server.machine_name)
        if self.jobs.busy or self.sourcing.busy:
            return "Live rests while takes are made."
        return "Live rests while the queue is paused." if self.server.paused else looked_at.why_blender_rests()

    def _work_on_file(self, deadline: float) -> None:
        self._changed |= self.interchange.tick(deadline)
        if self.interchange.laying:  # what is placed now would be in its undo step
            return
        self._changed |= self.collector.tick(deadline)
        self._changed |= self.cleaner.tick(deadline)
        self._work_on_stale(deadline)
        knows = self.server.listed or self.server.is_out_of_reach
        if (
            knows
            and time.perf_counter() < deadline
            and self.file.adopt_unknown(self.jobs, deadline, self.server.state_folder)
        ):
            self._changed = True
        if time.perf_counter() < deadline and self.file.look_elsewhere(self.jobs, deadline):
            self._changed = True
        for job_id in self.sourcing.pop_to_render():
            if self.belongs_here(job_id):
                self.retry(job_id)
        if time.monotonic() >= self._next_sweep and time.perf_counter() < deadline:
            self._sweep(deadline)
        if time.perf_counter() < deadline and self.file.place_one(self.jobs, self._request_to_place, deadline):
            self.collector.begin_by_itself()  # what was asked for before the first save goes where that film is
            self.stale.look_again()
            self._changed = True

    def _work_on_stale(self, deadline: float) -> None:
        """Look for takes whose sources have changed, and make those anew that are to be."""
        if self.file.loading:
            return
        now = time.perf_counter()
        if now < deadline and self.stale.tick(min(deadline, now + STALE_SECONDS)):
            self._changed = True
        if time.perf_counter() < deadline and self.rebuilding.tick(self.file.rendering):
            self._changed = True

    def _sweep(self, deadline: float) -> None:
        """Look through the strips, then compare the jobs with them; what there is no time for, the next tick does."""
        if not self._swept:
            self._swept = not self.file.sweep_if_changed(self.jobs, deadline)
            if not self._swept or time.perf_counter() > deadline:
                self._next_sweep = 0.0
                return
        self._swept, self._next_sweep = False, time.monotonic() + SWEEP_SECONDS
        if not self.file.loading:
            self._holds.look(lambda job_id: not self.sourcing.waits(job_id))
            if self.file.looking:
                self._next_sweep = 0.0  # it waits for what the strips say now

    def _request_to_place(self, status: JobStatus) -> TakeRequest | None:
        """The request of a take without a placeholder; None while the backend is asked, or if nobody knows it."""
        job_id = status.job_id
        request = self.request_of(job_id)
        if request is None:
            self.server.details.want(job_id, lambda answer: self._place_with(status, answer))
        return request

    def _place_with(self, status: JobStatus, answer: TakeRequest | None) -> None:
        request = answer or placing.request_on_disk(status)
        if request is None:
            self.file.problems[status.job_id] = _LOST_REQUEST
            self.file.history.decided.add(status.job_id)
        else:
            self.server.details.learn(status.job_id, request)
            self.file.due_again(status.job_id)
        self._note_change()

    def _is_busy(self) -> bool:
        running = self.server.downloads.busy or self.jobs.busy or self.server.filmstrips.busy or self.server.reels.busy
        return (
            running
            or self.server.status.state == "starting"
            or self.setup.busy
            or self.machine_test.busy
            or self.collector.busy
            or self.cleaner.busy
            or self.interchange.busy
            or self.file.looking
            or self.stale.busy
            or self.live.busy
        )

    def _may_be_forgotten(self, status: JobStatus, waiting: set[str]) -> bool:
        if status.held_elsewhere:
            return False
        if status.summary.training is not None:
            return status.state.ended  # its LoRA is a file by itself, which no strip waits for
        if status.state is JobState.DONE and status.job_id in waiting:
            return False  # its placing was undone: the list alone has the button that places it again
        if status.state is JobState.DONE and not status.settled:
            return self.file.has(status) and self.file.is_dealt_with(status.job_id)
        return status.state.ended

    def _note_change(self) -> None:
        self._changed = True


def _runs_folder() -> Path:
    """Where it is kept how stale takes are rebuilt."""
    return folders.user_folder() / "rebuilding"


_session: Session | None = None


def current() -> Session:
    """This Blender's session, made when it is first asked for."""
    global _session
    if _session is None:
        _session = Session()
    return _session


def register() -> None:
    """Start the timer and the handlers."""
    translation.use(pgettext_iface)
    blender_handlers.register(current)
    if not bpy.app.timers.is_registered(_on_timer):
        # Without `persistent`, the timer would end when another file is loaded.
        bpy.app.timers.register(_on_timer, first_interval=IDLE_SECONDS, persistent=True)
    atexit.register(_close)


def unregister() -> None:
    """Stop the timer, the handlers and the backend."""
    global _session
    atexit.unregister(_close)
    if bpy.app.timers.is_registered(_on_timer):
        bpy.app.timers.unregister(_on_timer)
    blender_handlers.unregister()
    _close()
    film_takes.forget()
    _session = None


def hurry() -> None:
    """Have the next tick come at once: somebody waits for an answer. Safe in a draw."""
    if bpy.app.timers.is_registered(_on_timer):
        bpy.app.timers.unregister(_on_timer)
        bpy.app.timers.register(_on_timer, first_interval=0.0, persistent=True)


def _on_timer() -> float:
    try:
        return current().tick()
    except Exception:  # Blender would never call a timer again that raised
        log.exception("A tick failed")
        return IDLE_SECONDS


def _close() -> None:
    if _session is not None:
        _session.close()
