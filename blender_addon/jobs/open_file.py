"""The open file's strips and jobs: placeholders in, takes in their place, and what the file knows when it is saved.

It alone goes through all strips by itself, in ticks; what a person asks for walks elsewhere. Nothing holds a strip any
longer than its call.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import bpy

from ...wan_backend.protocol.conversion import to_json
from ...wan_backend.protocol.messages import JobState, JobStatus, Origin, ProblemKind, TakeRequest
from ..stopwatch import timed
from ..timeline import compat, free_space, identity, provenance, strip_takes, take_strips, untrusted
from . import blender_handlers, pending_takes, placing, project, unknown_jobs
from .job_list import JobList
from .strip_look import StripLook

log = logging.getLogger(__name__)

RequestOf = Callable[[JobStatus], TakeRequest | None]
"""Returns what a job was asked for; or None while the server is asked, after which `due_again` is called."""


ELSEWHERE_SECONDS = 2.0
"""How often it is checked whether another window has made what a placeholder waits for."""
ELSEWHERE_AT_ONCE = 8
"""At most this many placeholders are checked at a time, since each check asks the disk."""


class FileHistory:
    """What this session has seen of the open file's jobs, as job ids. It decides about takes and touches no strip.

    All but `removed` and `saved_as` starts anew when a file is loaded: empty, or with what the file itself knows.
    """

    def __init__(self) -> None:
        self.seen: set[str] = set()
        """Jobs that had a strip in the open file or were asked for in it."""
        self.placed: set[str] = set()
        """Jobs that a person has placed; if an undo brings a placeholder back, that is what they want."""
        self.landed: set[str] = set()
        """Jobs that were placed by themselves, without an undo step: if an undo of something else brings a placeholder
        back, they are placed again."""
        self.decided: set[str] = set()
        """Done jobs for which it is decided: the take was placed, or is left to the person."""
        self.removed: set[str] = set()
        """Jobs with a strip that was removed, or whose making was undone, before another file was loaded."""
        self.known_ends: dict[str, None] = {}
        """Jobs of which the open file itself says that it knows their ends or wants none of their takes, and of which
        the server has not confirmed that yet."""
        self.saved_as: dict[str, str] = {}
        """The path of the file that a job belongs to since it was saved under that name."""

    def see(self, present: Iterable[str]) -> None:
        """These jobs have a strip in the open file now."""
        present = set(present)
        self.seen |= present
        self.removed -= present

    def close_file(self, present: Iterable[str]) -> None:
        """The open file is about to be left, with strips of these jobs in it."""
        self.removed |= self.seen - set(present)

    def open_file(self, known_ends: Iterable[str]) -> None:
        """Another file was loaded, or the same one again as it was saved; it says how these jobs ended."""
        self.seen.clear()
        self.placed.clear()
        self.landed.clear()
        self.decided.clear()
        self.known_ends = dict.fromkeys(known_ends)

    def forget(self, job_id: str) -> None:
        """The job is asked for once more: its next take is a new one."""
        self.placed.discard(job_id)
        self.landed.discard(job_id)
        self.decided.discard(job_id)
        self.known_ends.pop(job_id, None)

    def waiting_strips(self, status: JobStatus, mine: Iterable[identity.Marked]) -> list[identity.Marked]:
        """Which of the job's strips get its take without a click.

        Each placeholder, unless the person undid that; and each strip with other takes, which loses nothing by it.
        """
        job_id = status.job_id
        waiting = [found for found in mine if placing.waits_for(found, job_id)]
        return [f for f in waiting if not (f.is_placeholder and (f.declined or job_id in self.placed))]

    def may_come_back(self, status: JobStatus, has_strips: bool, belongs_here: bool) -> bool:
        """True if the take is placed without a placeholder, because the file was never saved with one.

        That is so if Blender ended, or the file was loaded again, before it was saved.
        """
        job_id = status.job_id
        if has_strips or status.settled or not belongs_here or status.take is None:
            return False
        return not any(job_id in ids for ids in (self.placed, self.landed, self.seen, self.removed, self.known_ends))


class OpenFile:
    """The file that Blender has open, as far as it concerns jobs."""

    def __init__(self) -> None:
        self.history = FileHistory()
        self.loading = False
        self.rendering = False
        self.cleared: set[str] = set()
        """Jobs that the person has cleared from the list; their placeholders don't bring them back."""
        self.problems: dict[str, str] = {}
        """Why a done job could not be placed: job id to sentence."""
        self.notes: dict[str, str] = {}
        """What a person has to know of how a take was placed: job id to sentence."""
        self.landings: list[JobStatus] = []
        """The jobs whose takes were placed by themselves, until somebody says so."""
        self.waits = False
        """True if the file holds placeholders, or strips that wait for one more take."""
        self.ownership_version = 0
        """Counts up whenever `has` may return another answer than before for any job; `pop_came` has single ones."""
        self._came: set[str] = set()
        self._known_as: tuple[str, frozenset[str]] = ("", frozenset())
        """The path and the ids of the open file when it was last asked which jobs belong to it."""
        self._here: dict[str, bool] = {}
        self._origins: dict[tuple[str, str, str], bool] = {}
        self._due: set[str] = set()
        """Done jobs for which it is still to be decided whether their take is placed."""
        self._look_at_all_done = True
        self._unknown: list[tuple[str, str, str]] | None = None
        """Placeholders of jobs that nobody may know, as job id, request and what is remembered of the strips that the
        take is made from; None until they are looked for."""
        self._elsewhere: dict[str, TakeRequest] = {}
        """Jobs of placeholders that this server doesn't have, and what the placeholders ask for."""
        self._next_look = 0.0
        self._strips = -1
        self._ours: list[str] = []
        self._ends: list[str] | None = None
        """The jobs whose ends were written into the file for the save that goes on."""
        self._look: StripLook | None = None
        """A look through the strips that the next tick goes on with."""
        self._on_strips: set[str] = set()
        self._looked: StripLook | None = None
        """The last one that has ended."""
        self._waited_for: set[str] = set()
        """The jobs whose takes a placeholder or a strip with takes waited for at the last look."""

    def has(self, status: JobStatus) -> bool:
        """True if the job belongs to the open file."""
        job_id = status.job_id
        if job_id not in self._here:
            history = self.history
            origin, saved_as = status.summary.origin, history.saved_as.get(job_id, "")
            self._here[job_id] = job_id in history.seen or self._is_origin(origin, saved_as)
        return self._here[job_id]

    def _is_origin(self, origin: Origin, saved_as: str) -> bool:
        key = (origin.project, origin.project_id, saved_as)  # ten thousand jobs come from a few files
        if key not in self._origins:
            self._origins[key] = project.is_origin(origin, saved_as)
        return self._origins[key]

    def opened(self) -> list[str]:
        """Another file was loaded, or the same one again; returns the ids of the jobs whose ends it knows."""
        project.forget()
        unrecognized = identity.count_unrecognized()
        if unrecognized:
            log.warning("%d strips have marks that Wan VSE did not write: they are left as they are.", unrecognized)
        _drop_unreadable_settings()
        known = project.read_ends()
        self.history.open_file(known)
        self.cleared.clear()
        self._elsewhere.clear()
        self.strips_changed()
        self.ownership_changed()  # also where only the file itself is another one
        return known

    def about_to_close(self) -> None:
        """The file is about to be left."""
        self.history.close_file(pending_takes.jobs_on(identity.all_marked()))

    def strips_changed(self, deadline: float = math.inf) -> None:
        """The strips were replaced (load, undo, redo): look at all of them and at all done jobs again.

        Where that isn't done by `deadline` (of time.perf_counter), the next ticks go on.
        """
        self._look = StripLook(replaced=True)
        self._go_on(None, deadline)
        self.history.decided.clear()
        self._unknown = None
        self._look_at_all_done = True
        self._check_ownership()

    @property
    def looking(self) -> bool:
        """True while a look through the strips goes on, which the ticks bring to its end."""
        return self._look is not None

    def _check_ownership(self) -> None:
        """Other jobs may belong to the open file if it has another path or id now. All jobs are sorted anew then."""
        known_as = project.path(), frozenset(project.ids())
        if known_as != self._known_as:
            self._known_as = known_as
            self.ownership_changed()

    def ownership_changed(self) -> None:
        """Which jobs belong to the open file may have changed."""
        self._here.clear()
        self._origins.clear()
        self.ownership_version += 1

    def _note_own(self, job_id: str) -> None:
        self.history.see([job_id])
        if self._here.pop(job_id, True) is False:
            self._came.add(job_id)

    def pop_came(self) -> set[str]:
        """The jobs of which `has` says since the last call that they belong to the file, and said before that not."""
        came, self._came = self._came, set()
        return came

    def sweep_if_changed(self, jobs: JobList, deadline: float = math.inf) -> bool:
        """Follow placeholders that were moved, and give copies ids of their own.

        True if the next tick has to go on, since there are too many strips for the time until `deadline`.
        """
        if self._look is None:
            strips = sum(len(compat.all_strips(scene)) for scene in bpy.data.scenes)
            if strips == self._strips and not self.waits:
                return False
            self._look = StripLook(others=strips != self._strips, asks=self._unknown is None)
            self._strips = strips
        return not self._go_on(jobs, deadline)

    def _go_on(self, jobs: JobList | None, deadline: float) -> bool:
        """Go on with the look; True once that has ended and what it found counts."""
        look = self._look
        if look is None or not look.go_on(jobs, deadline):
            return look is None
        self._look = None
        self._looked, self._waited_for = look, look.waited_for
        self.waits = bool(self._waited_for)
        self._due |= self._waited_for - self.history.decided
        if look.others:
            self._saw_takes(look.on_strips)
        return True

    def _saw_takes(self, on_strips: set[str]) -> None:
        self._on_strips = on_strips
        if not self.history.seen.issuperset(on_strips):
            here = self._here
            self._came.update(job_id for job_id in on_strips - self.history.seen if here.pop(job_id, True) is False)
        self.history.see(on_strips)

    def look_again(self) -> None:
        """Look at the strips anew, also where none was added, removed or moved; the next ticks do it."""
        self._look = self._look or StripLook(asks=self._unknown is None)

    def waits_for(self, job_id: str) -> bool:
        """True if a strip of the open file, as last looked at, stands for the job, has its take or waits for it."""
        return job_id in self._on_strips

    def request_on_strip(self, job_id: str) -> TakeRequest | None:
        """What the job was asked for by a strip of the open file; None if no strip can be read."""
        if job_id not in self._on_strips:
            return None
        texts = (strip_takes.request_text(found.strip, job_id) for found in identity.all_marked())
        request = next((read for text in texts if text and (read := untrusted.request(text)) is not None), None)
        if request is None:
            self._on_strips.discard(job_id)  # it isn't looked for at every draw
            return None
        return unknown_jobs.with_own_folders(request, job_id)

    def add_placeholder(
        self, scene: bpy.types.Scene, job_id: str, request: TakeRequest, name: str, provenance_text: str = ""
    ) -> None:
        """Show where the take will be. `provenance_text` says which strips it is made from (timeline.provenance).

        Those strips stay active, so that one more click makes another take of them.
        """
        origin = request.origin
        name = name or take_strips.strip_name(request)
        place = (origin.channel, origin.start, request.length_frames)
        strip = take_strips.add_placeholder(scene, name, *place, activate=not provenance_text)
        identity.mark_placeholder(strip, job_id, json.dumps(to_json(request)))
        if provenance_text:
            strip[provenance.PROPERTY] = provenance_text
        self._await(job_id)

    def add_pending(self, strip_id: str, job_id: str, request: TakeRequest, provenance_text: str = "") -> bool:
        """Let a placeholder or a strip with takes wait for one more take; False if the strip is gone."""
        found = identity.find(strip_id)
        if found is None:
            return False
        pending_takes.add(found, job_id, json.dumps(to_json(request)), provenance_text)
        self._await(job_id)
        return True

    def wait_again(self, strip_id: str, job_id: str, request: TakeRequest, provenance_text: str) -> None:
        """Let a strip wait once more for a take, as an undo has taken that back; one that is done lands again."""
        if self.add_pending(strip_id, job_id, request, provenance_text):
            self.history.decided.discard(job_id)
            self._due.add(job_id)

    def waiting_refusal(self, strip_id: str) -> str:
        """Why the strip can't wait for one more take; empty if it can, or if it is gone."""
        found = identity.find(strip_id)
        return "" if found is None else strip_takes.waiting_refusal(found.strip)

    def strip_id_of(self, job_id: str) -> str:
        """The id of a strip that shows the job's take or stands for it; empty if there is none."""
        return next((found.strip_id for found in identity.all_marked() if found.job_id == job_id), "")

    def _await(self, job_id: str) -> None:
        self._note_own(job_id)
        self._note_on_strips(job_id)
        for waited_for in (self._waited_for, *([self._look.waited_for] if self._look else ())):
            waited_for.add(job_id)
        self.waits = True

    def _note_on_strips(self, job_id: str) -> None:
        """A strip has got this job; a look that goes on may have passed it already."""
        self._on_strips.add(job_id)
        if self._look is not None:
            self._look.on_strips.add(job_id)

    def put_placeholder_back(
        self, scene: bpy.types.Scene, job_id: str, request: TakeRequest, provenance_text: str
    ) -> None:
        """Show again where the take will be, on a channel that is free there now."""
        start, length = request.origin.start, request.length_frames
        channel = free_space.first_free_channel(scene, start, start + length, max(1, request.origin.channel))
        origin = replace(request.origin, channel=channel or free_space.HIGHEST_CHANNEL)
        self.add_placeholder(scene, job_id, replace(request, origin=origin), "", provenance_text)

    def forget_pending(self, job_ids: Iterable[str]) -> None:
        """No strip waits for the takes of these jobs anymore, since the person has cleared them from the list."""
        pending_takes.drop(identity.all_marked(), set(job_ids))

    def place(self, status: JobStatus, request: TakeRequest, scene: bpy.types.Scene) -> bool:
        """Place a take because the person asked for it; False if `problems` says why not."""
        waiting = self._noted_strips(status.job_id) if self._knows_strips() else None
        placed = placing.place_by_hand(status, request, scene, self.has(status), waiting)
        return self._keep_outcome(status, placed)

    def place_one(self, jobs: JobList, request_of: RequestOf, deadline: float) -> bool:
        """Place at most one finished take that is waited for, if strips may be changed now."""
        if self._look_at_all_done:
            self._look_at_all_done = False
            self._due |= jobs.done_unsettled()
        self._due |= jobs.pop_done()
        if (
            not self._due
            or self._look is not None
            or self.loading
            or not blender_handlers.may_change_strips(self.rendering)
        ):
            return False
        due = self._concerning_strips(jobs, deadline)
        if not due or time.perf_counter() > deadline:
            return False
        is_known = self._knows_strips()
        by_job: dict[str, list[identity.Marked]] | None = None
        for status in sorted(due, key=lambda status: status.created):
            mine = self._noted_strips(status.job_id) if is_known else None
            if mine is None:
                by_job = _strips_by_job() if by_job is None else by_job
                mine = by_job.get(status.job_id, [])
            if self._decide(status, mine, request_of):
                return True
            if time.perf_counter() > deadline:
                return False  # the others are still due
        return False

    def _knows_strips(self) -> bool:
        """Whether no strip was added, removed or moved since the last look."""
        return self._looked is not None and self._looked.sweep.done and self._looked.sweep.is_current()

    def _noted_strips(self, job_id: str) -> list[identity.Marked] | None:
        """The strips that waited for the job at the last look; None if they no longer do, or if there were none."""
        strip_ids = self._looked.waiting.get(job_id, ()) if self._looked is not None else ()
        found = [identity.find(strip_id) for strip_id in strip_ids]
        waiting = [each for each in found if each is not None and placing.waits_for(each, job_id)]
        return waiting if waiting and len(waiting) == len(found) else None

    def _concerning_strips(self, jobs: JobList, deadline: float) -> list[JobStatus]:
        """The due jobs for which strips may change. The others, mostly of other files, are judged without a look at
        strips, and so is what has a placeholder but no take yet: it comes again when it is done.

        Empty if there is no time to go through all of them; the next call continues.
        """
        left = []
        for job_id in list(self._due):
            if time.perf_counter() > deadline:
                return []
            status = jobs.get(job_id) if job_id in jobs.done else None
            if status is not None and (
                job_id in self._waited_for
                or self.history.may_come_back(status, job_id in self._on_strips, self.has(status))
            ):
                left.append(status)
                continue
            self._due.discard(job_id)
            if status is not None:
                self.history.decided.add(job_id)
        return left

    def due_again(self, job_id: str) -> None:
        """Decide about the job again: the request that was missing is known now."""
        self._due.add(job_id)

    def _decide(self, status: JobStatus, mine: list[identity.Marked], request_of: RequestOf) -> bool:
        """True if the take was placed."""
        job_id = status.job_id
        self._due.discard(job_id)
        if job_id in self.history.decided:
            return False
        waiting = self.history.waiting_strips(status, mine)
        request = None
        has_strips = bool(mine) or job_id in self._on_strips
        if not waiting and self.history.may_come_back(status, has_strips, self.has(status)):
            request = request_of(status)
            if request is None:
                return False  # it is asked for; `due_again` follows
        self.history.decided.add(job_id)
        return (bool(waiting) or request is not None) and self._place_waiting(status, waiting, request)

    def _place_waiting(self, status: JobStatus, waiting: list[identity.Marked], request: TakeRequest | None) -> bool:
        undone = status.job_id in self.history.placed  # then it is only kept, and no undo step is lost for it
        at_placeholder = request is None
        with timed("timer: of which placing"):
            if request is None:
                placed = placing.land(status, waiting, may_show=not undone)
            else:
                placed = placing.add_at_recorded_place(status, request, placing.recorded_scene(status))
        is_new = status.job_id not in self.history.landed
        if not self._keep_outcome(status, placed, by_hand=not at_placeholder) or undone:
            return False
        if is_new:
            self.landings.append(status)
        if at_placeholder:
            return True  # no undo step: Ctrl+Z takes back what the person did last, and the take is placed again
        with timed("timer: of which the undo step"):
            bpy.ops.ed.undo_push(message="Place take")
        return True

    def _keep_outcome(self, status: JobStatus, placed: placing.Placed, by_hand: bool = True) -> bool:
        """Remember how placing the take ended; False if it was refused."""
        self.problems.pop(status.job_id, None)
        if placed.refusal:
            log.warning("%s", placed.refusal)
            self.problems[status.job_id] = placed.refusal
            return False
        self.notes.pop(status.job_id, None)
        if placed.note:
            self.notes[status.job_id] = placed.note
        self._was_placed(status, by_hand)
        return True

    def pop_landings(self) -> list[JobStatus]:
        """The jobs whose takes were placed by themselves since the last call."""
        landings, self.landings = self.landings, []
        return landings

    def waiting_jobs(self) -> set[str]:
        """The jobs that a placeholder or another strip of the open file waits for."""
        return pending_takes.waited_for(identity.all_marked())

    def is_dealt_with(self, job_id: str) -> bool:
        """True if it is decided whether the job's take is placed."""
        return job_id in self.history.decided

    def adopt_unknown(self, jobs: JobList, deadline: float, state_folder: str = "") -> bool:
        """Bring placeholders whose job the server doesn't know into the list; as done if their take is on the disk."""
        if self._look is not None:
            return False  # which strips wait is not known yet
        if self._unknown is None:
            waiting = self._looked.pop_asked() if self._looked is not None else None
            if waiting is None:
                waiting = pending_takes.all_asked(identity.all_marked())
            self._unknown = [each for each in waiting if jobs.get(each[0]) is None]
        changed = False
        while self._unknown and time.perf_counter() < deadline:
            job_id, text, asked = self._unknown.pop()
            if job_id not in self.cleared and jobs.get(job_id) is None:
                request = untrusted.request(text)
                if request is None:
                    jobs.keep(*unknown_jobs.unreadable(job_id))
                else:
                    remembered = provenance.read(asked)
                    jobs.keep(*unknown_jobs.unknown(job_id, request, state_folder, remembered))
                    self._elsewhere[job_id] = request
                changed = True
        return changed

    def look_elsewhere(self, jobs: JobList, deadline: float) -> bool:
        """Check whether another window has made the take of a job of this file meanwhile; it is placed here, too."""
        if not self._elsewhere or time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + ELSEWHERE_SECONDS
        for _ in range(min(len(self._elsewhere), ELSEWHERE_AT_ONCE)):
            job_id, request = next(iter(self._elsewhere.items()))
            del self._elsewhere[job_id]
            status = jobs.get(job_id)
            if status is None or jobs.is_on_server(job_id) or status.state is JobState.DONE:
                continue
            held = status.state.ended and status.problem is not None and status.problem.kind is ProblemKind.BUSY
            made = unknown_jobs.done(job_id, request) if held else None  # else no disk is asked for nothing
            if made is not None:
                jobs.keep(*made)
                return True
            self._elsewhere[job_id] = request  # behind the others
            if time.perf_counter() > deadline:
                break
        return False

    def before_save(self, jobs: JobList, listed: bool) -> None:
        """Note what must outlive the session: which takes were undone, which jobs are this file's and which ended.

        `listed`: what `jobs` doesn't hold is gone.
        """
        marked = identity.sweep()
        for found in marked:
            if found.is_placeholder:
                pending_takes.decline(found, self.history.placed)
        self._ours = [status.job_id for status in jobs.all() if self.has(status)]
        present = pending_takes.jobs_on(marked)
        self._ends = self._known_ends(jobs, marked, present)
        project.write_ends([*self._ends, *self._unconfirmed_ends(jobs, listed), *self._given_up(jobs, present)])

    def settled(self, jobs: JobList) -> list[str]:
        """The jobs whose end the file knows, now that it is saved under its own name."""
        self.history.saved_as.update(dict.fromkeys(self._ours, project.path()))
        self._check_ownership()
        ends, self._ends = self._ends, None
        if ends is None:
            marked = identity.all_marked()
            ends = self._known_ends(jobs, marked, pending_takes.jobs_on(marked))
        return ends

    def _unconfirmed_ends(self, jobs: JobList, listed: bool) -> Iterator[str]:
        """The ends that the file knew when it was opened, as far as the server has not confirmed them."""
        for job_id in self.history.known_ends:
            status = jobs.get(job_id)
            if not listed if status is None else not status.settled:
                yield job_id

    def _given_up(self, jobs: JobList, present: set[str]) -> Iterator[str]:
        """Jobs that go on, though the person took their placeholders away: the file wants none of their takes."""
        if jobs.unended:
            running = (jobs.get(job_id) for job_id in self.history.seen - present)
            yield from (status.job_id for status in running if status is not None and not status.state.ended)

    def _known_ends(self, jobs: JobList, marked: list[identity.Marked], present: set[str]) -> list[str]:
        unsettled = jobs.ended_unsettled()
        if not unsettled:
            return []
        waiting = pending_takes.waited_for(found for found in marked if not found.declined)
        ended = sorted(unsettled, key=lambda status: -status.created)
        return [status.job_id for status in ended if self._knows_end(status, present, waiting)]

    def _knows_end(self, status: JobStatus, present: set[str], waiting: set[str]) -> bool:
        if status.summary.training is not None:
            return self.has(status)  # nothing of it waits to be placed
        if status.job_id in present:
            return status.state is not JobState.DONE or status.job_id not in waiting
        return status.job_id in self.history.seen

    def _was_placed(self, status: JobStatus, by_hand: bool) -> None:
        (self.history.placed if by_hand else self.history.landed).add(status.job_id)
        self.history.decided.add(status.job_id)
        self._note_own(status.job_id)
        self._note_on_strips(status.job_id)


def _strips_by_job() -> dict[str, list[identity.Marked]]:
    strips: dict[str, list[identity.Marked]] = defaultdict(list)
    for found in identity.sweep():  # so that each copy has an id of its own and is found again by it
        for job_id in {found.job_id, *strip_takes.pending(found.strip)}:
            strips[job_id].append(found)
    return strips


def _drop_unreadable_settings() -> None:
    """The panel reads these at every redraw."""
    for scene in bpy.data.scenes:
        settings: Any = getattr(scene, "wan_vse", None)
        if settings is not None and scene.library is None:
            for group in (settings, *settings.loras, settings.training, *settings.training.clips):
                untrusted.drop_unreadable(group)
