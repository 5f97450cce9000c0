"""The open file's strips and jobs: placeholders in, takes in their place, and what the file knows when it is saved.

Every walk over the strips happens here; none holds a strip any longer than its call.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import bpy

from ...wan_backend.protocol.conversion import from_json, to_json
from ...wan_backend.protocol.errors import ProtocolError
from ...wan_backend.protocol.messages import JobState, JobStatus, Problem, ProblemKind, TakeRequest
from ..stopwatch import timed
from ..timeline import compat, identity, placement, provenance
from . import landing, project
from .book import Book
from .job_list import JobList

log = logging.getLogger(__name__)

UNKNOWN = Problem(ProblemKind.INTERRUPTED, "The backend does not know this take's job: press Retry to have it made.")


class OpenFile:
    """What the tracker asks and tells of the file that Blender has open."""

    def __init__(self) -> None:
        self.book = Book()
        self.loading = False
        self.rendering = False
        self.cleared: set[str] = set()
        """Jobs that the person has cleared from the list; their placeholders don't bring them back."""
        self.problems: dict[str, str] = {}
        """Why a done job could not be placed: job id to sentence."""
        self.notes: dict[str, str] = {}
        """What a person has to know of how a take was placed: job id to sentence."""
        self.waits = False
        """True where the file holds placeholders."""
        self._here: dict[str, bool] = {}
        self._unknown_checked = False
        self._strips = -1
        self._ours: list[str] = []

    def has(self, status: JobStatus) -> bool:
        """True where the job belongs to the open file."""
        job_id = status.job_id
        if job_id not in self._here:
            book = self.book
            home = book.homes.get(job_id, "")
            self._here[job_id] = job_id in book.seen or project.is_origin(status.request.origin, home)
        return self._here[job_id]

    def opened(self) -> None:
        """Another file was loaded, or the same one again."""
        project.forget()
        self.book.open_file()
        self.cleared.clear()
        self.strips_changed()

    def about_to_close(self) -> None:
        """The file is about to be left."""
        self.book.close_file(found.job_id for found in identity.all_marked())

    def strips_changed(self) -> None:
        """The strips are other ones now (load, undo, redo): look at all of them, and at all done jobs again."""
        marked = identity.sweep()
        self.book.see(found.job_id for found in marked)
        self.book.judged.clear()
        self.waits = any(found.is_placeholder for found in marked)
        self._unknown_checked = False
        self._here.clear()

    def sweep_if_changed(self) -> None:
        """Follow placeholders that were moved, and give copies ids of their own."""
        strips = sum(len(compat.all_strips(scene)) for scene in bpy.data.scenes)
        if strips != self._strips or self.waits:
            self._strips = strips
            marked = identity.sweep()
            self.waits = any(found.is_placeholder for found in marked)
            self.book.see(found.job_id for found in marked)

    def add_placeholder(
        self, scene: bpy.types.Scene, job_id: str, request: TakeRequest, name: str, asked: str = ""
    ) -> None:
        """Show at once where the take will be. `asked` is what it is to remember of the strips that it is made from.

        Where there are such, they stay active as well: one click more makes another take of them.
        """
        origin = request.origin
        name = name or placement.strip_name(request)
        place = (origin.channel, origin.start, request.length_frames)
        strip = placement.add_placeholder(scene, name, *place, activate=not asked)
        identity.mark_placeholder(strip, job_id, json.dumps(to_json(request)))
        if asked:
            strip[provenance.ASKED] = asked
        self.book.see([job_id])
        self.waits = True

    def place(self, status: JobStatus, scene: bpy.types.Scene) -> bool:
        """Place a take because the person said so; False where `problems` says why not."""
        with self._problems_of(status):
            self._note(status, landing.land_by_hand(status, scene, self.has(status)))
            self._landed(status)
        return status.job_id not in self.problems

    def land_one(self, jobs: JobList) -> bool:
        """Place at most one finished take that is waited for, if strips may be changed now."""
        due = [s for s in jobs.all() if s.state is JobState.DONE and s.job_id not in self.book.judged]
        if not due or self.loading or not landing.allowed(self.rendering):
            return False
        marked = identity.sweep()
        for status in sorted(due, key=lambda status: status.created):
            self.book.judged.add(status.job_id)
            if self._land(status, marked):
                return True
        return False

    def _land(self, status: JobStatus, marked: list[identity.Marked]) -> bool:
        said = None
        with self._problems_of(status), timed("timer: of which placing"):
            said = landing.land_by_itself(status, marked, self.book)
        landed = said is not None
        if landed:
            self._note(status, said)
            self._landed(status)
            with timed("timer: of which the undo step"):
                bpy.ops.ed.undo_push(message="Place take")
        return landed

    @contextmanager
    def _problems_of(self, status: JobStatus) -> Iterator[None]:
        self.problems.pop(status.job_id, None)
        try:
            yield
        except (placement.TakeGone, placement.NoRoom) as error:
            log.warning("%s", error)
            self.problems[status.job_id] = str(error)

    def _note(self, status: JobStatus, sentence: str) -> None:
        self.notes.pop(status.job_id, None)
        if sentence:
            self.notes[status.job_id] = sentence

    def waiting_jobs(self) -> set[str]:
        """The jobs that have a placeholder in the open file."""
        return {found.job_id for found in identity.all_marked() if found.is_placeholder}

    def is_dealt_with(self, job_id: str) -> bool:
        """True where the job's result was placed or left to the person."""
        return job_id in self.book.judged

    def adopt_unknown(self, jobs: JobList) -> bool:
        """Bring placeholders whose job the server doesn't know into the list, done where their take is on disk."""
        if self._unknown_checked:
            return False
        self._unknown_checked = True
        changed = False
        for found in identity.all_marked():
            if found.is_placeholder and found.job_id not in self.cleared and jobs.get(found.job_id) is None:
                status = _status_of_unknown(found)
                if status is not None:
                    jobs.keep(status)
                    changed = True
        return changed

    def before_save(self, statuses: Iterable[JobStatus]) -> None:
        """Note what must outlive the session: which takes were undone, and which jobs are this file's."""
        for found in identity.sweep():
            if found.is_placeholder and found.job_id in self.book.landed:
                found.strip[identity.DECLINED] = True
        self._ours = [status.job_id for status in statuses if self.has(status)]

    def settled(self, statuses: Iterable[JobStatus]) -> list[str]:
        """The jobs whose end the file knows, now that it is saved under its own name."""
        self.book.homes.update(dict.fromkeys(self._ours, project.path()))
        self._here.clear()
        marked = identity.all_marked()
        present = {found.job_id for found in marked}
        waiting = {found.job_id for found in marked if found.is_placeholder and not found.declined}
        return [status.job_id for status in statuses if self._knows_end(status, present, waiting)]

    def _knows_end(self, status: JobStatus, present: set[str], waiting: set[str]) -> bool:
        if status.settled or not status.state.ended:
            return False
        if status.job_id in present:
            return status.state is not JobState.DONE or status.job_id not in waiting
        return status.job_id in self.book.seen

    def _landed(self, status: JobStatus) -> None:
        self.book.landed.add(status.job_id)
        self.book.judged.add(status.job_id)
        self.book.see([status.job_id])
        self._here.pop(status.job_id, None)


def _status_of_unknown(found: identity.Marked) -> JobStatus | None:
    try:
        request = from_json(TakeRequest, json.loads(found.strip[identity.REQUEST]), "request")
    except (KeyError, ValueError, TypeError, ProtocolError):
        return None
    take = landing.take_on_disk(found.job_id, request)
    if take is not None:
        return JobStatus(found.job_id, JobState.DONE, request, progress=1.0, take=take)
    return JobStatus(found.job_id, JobState.INTERRUPTED, request, sentence=UNKNOWN.sentence, problem=UNKNOWN)
