"""Makes stale takes anew, each with its own settings and seed, from its sources as they are now.

The takes are asked for one after the other, in ticks: only where nothing else waits in the queue, so that they go
behind whatever a person asks for meanwhile, and a take that is made from another one after that one. Each comes onto
its strip as a new take; the ones before stay. In the end there is a report, as a text of the file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Hold, JobState, JobStatus, TakeRequest
from ..stopwatch import timed
from ..timeline import compat, identity, provenance, strip_takes, untrusted
from ..translation import translated
from . import blender_handlers, takes_again
from .planned_takes import PlannedTake
from .rebuild_report import show_text, written
from .rebuild_run import Entry, State
from .request import Refused
from .stale_takes import StaleTake

log = logging.getLogger(__name__)

AT_ONCE = 2
"""So many of its jobs are in the queue: while one is made, the sources of the next are rendered."""
Generate = Callable[[bpy.types.Scene, PlannedTake, str, str], str]


@dataclass(frozen=True)
class Desk:
    """What it needs of the session."""

    generate: Generate
    going_on: Callable[[], list[JobStatus]]
    """The jobs that have not ended, in running order."""
    get: Callable[[str], JobStatus | None]
    move: Callable[[str, str], None]
    """Give a job its turn right before another one."""
    wait_again: Callable[[str, str, TakeRequest, str], None]
    """Let the strip of that id wait for the job's take, whether it was placed before or not."""
    problem: Callable[[str], str]
    """Why the job's take could not be placed; empty if it could, or is still to be."""
    may_ask: Callable[[], bool]
    """Whether a backend is there, or may be started, and the queue isn't paused."""


class Rebuilding:
    """The takes of one run, from the press of the button to the report."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.entries: list[Entry] = []
        self.report = ""
        """The report of the last run; empty before there is one."""
        self.begins = 0.0
        """When it begins, in seconds since 1970; 0 for at once."""
        self._latest = 0.0
        """The moment of time.monotonic at which it begins, wherever the clock has been set meanwhile."""
        self._moved: set[tuple[str, str]] = set()
        self._asked: dict[str, strip_takes.Asked] = {}
        """By job, what its strip keeps while it waits for it."""
        self._undone = False

    @property
    def busy(self) -> bool:
        """Whether a run goes on, or waits for its hour."""
        return any(not entry.ended for entry in self.entries)

    @property
    def waits(self) -> bool:
        """Whether its hour has not come yet."""
        return time.time() < self.begins and time.monotonic() < self._latest

    def count(self, state: State) -> int:
        """How many are that far."""
        return sum(entry.state is state for entry in self.entries)

    def begin(self, stale: Iterable[StaleTake], in_seconds: float = 0.0) -> None:
        """Make these anew, `in_seconds` from now. A run that goes on gets them, too."""
        self.report = ""
        going_on = [entry for entry in self.entries if not entry.ended]
        known = {entry.stale.strip_id for entry in going_on}
        if not going_on:
            self.entries = []
            self.begins = time.time() + in_seconds if in_seconds else 0.0
            self._latest = time.monotonic() + in_seconds
        self.entries += [Entry(each) for each in stale if each.strip_id not in known]

    def stop(self) -> None:
        """Ask for no more of them. What is in the queue stays there."""
        for entry in self.entries:
            if entry.state is State.WAITS:
                entry.state, entry.why = State.SKIPPED, iface_("You stopped before its turn.")
        self.begins = 0.0

    def opened(self) -> None:
        """Another file was opened: its strips are others. What is in the queue stays there."""
        self.entries, self.report = [], ""
        self._asked.clear()

    def strips_changed(self) -> None:
        """An undo or redo may have taken back that strips wait for their new takes, which is no step of its own."""
        self._undone = bool(self.entries)

    def tick(self, rendering: bool) -> bool:
        """Go on with it; True if something changed."""
        if not self.entries or not blender_handlers.may_change_strips(rendering):
            return False
        if self._undone:
            self._undone = False
            self._wait_again()
        changed = self._follow() if self.busy else False
        if self.busy and not self.waits and self._desk.may_ask():
            changed = self._ask_next() or changed
        if not self.busy and not self.report:
            self.report = written(self.entries)
            show_text(self.report)
            changed = True
        return changed

    def _follow(self) -> bool:
        """Look how the jobs went that were asked for."""
        changed = False
        for entry in self.entries:
            if entry.state is not State.ASKED:
                continue
            status = self._desk.get(entry.job_id)
            if status is not None and not status.state.ended:
                continue
            if status is not None and status.state is JobState.DONE:
                entry.why = self._desk.problem(entry.job_id)
                if not entry.why and _is_awaited(entry):
                    continue  # what is made from it waits until it is on its strip
                entry.state = State.FAILED if entry.why else State.REBUILT
            else:
                entry.state, problem = State.FAILED, status.problem if status is not None else None
                gone = iface_("Its job was taken off the list.")
                entry.why = translated(problem.sentence) if problem is not None else gone
            changed = True
        return changed

    def _ask_next(self) -> bool:
        asked = {entry.job_id for entry in self.entries if entry.state is State.ASKED}
        going_on = [job for job in self._desk.going_on() if job.hold is Hold.NONE]
        others = [job for job in going_on if job.job_id not in asked]
        if others:
            self._let_pass(going_on, asked)
            return False
        entry = self._next() if len(asked) < AT_ONCE else None
        if entry is None:
            return False
        try:
            with timed("timer: of which asking for a rebuild"):
                entry.job_id = self._ask(entry)
            entry.state = State.ASKED
        except Refused as refused:
            entry.state, entry.why = State.SKIPPED, translated(refused.sentence)
        return True

    def _let_pass(self, going_on: list[JobStatus], asked: set[str]) -> None:
        """Give what a person has asked for meanwhile its turn before ours that wait."""
        ours = next((job.job_id for job in going_on if job.job_id in asked and job.state is JobState.QUEUED), "")
        for job in going_on[[job.job_id for job in going_on].index(ours) :] if ours else ():
            pair = (job.job_id, ours)
            if job.job_id not in asked and job.state is JobState.QUEUED and pair not in self._moved:
                self._moved.add(pair)
                self._desk.move(*pair)

    def _next(self) -> Entry | None:
        """The next one that isn't made from another one of them which is to be made anew first."""
        unended = {(each.stale.scene, each.stale.strip) for each in self.entries if not each.ended}
        waiting = [entry for entry in self.entries if entry.state is State.WAITS]
        for entry in waiting:
            made_from = {(entry.stale.scene, name) for name in _sources(entry)} - {
                (entry.stale.scene, entry.stale.strip)
            }
            if not made_from & unended:
                return entry
        is_asked = any(entry.state is State.ASKED for entry in self.entries)
        return waiting[0] if waiting and not is_asked else None  # those that are made from one another in a circle

    def _ask(self, entry: Entry) -> str:
        """Raises Refused."""
        identity.sweep()  # a copy of the strip, just made, gets an id of its own
        found = identity.find(entry.stale.strip_id)
        if found is None or found.is_placeholder:
            raise Refused(iface_("Its strip is no longer there."))
        if found.job_id != entry.stale.job_id:
            raise Refused(iface_("The strip shows another take meanwhile."))
        again = takes_again.again_of(found.strip, found.job_id)
        made_from = provenance.read(again.asked) if again is not None else None
        if again is None or made_from is None:
            raise Refused(iface_("Its settings can't be read."))
        if any(not wanted.strip_names for wanted in made_from.wanted):
            words = "It was made from all that the film showed there, which is this take now: restyle the range again."
            raise Refused(iface_(words))
        asked = takes_again.in_place(found.scene, found.strip, again.made)
        start, channel = asked.origin.start, asked.origin.channel
        target = provenance.target_again(found.scene, made_from, start, start + asked.length_frames, channel)
        job_id = self._desk.generate(found.scene, PlannedTake(asked, target), found.strip.name, found.strip_id)
        waiting = identity.find(found.strip_id)
        if waiting is not None:
            asked_for = strip_takes.asked_for(waiting.strip)
            self._asked.update({each.job_id: each for each in asked_for if each.job_id == job_id})
        return job_id

    def _wait_again(self) -> None:
        """Let each strip wait for its new take that neither waits for it nor has it."""
        for entry in self.entries:
            found = identity.find(entry.stale.strip_id) if entry.state in (State.ASKED, State.REBUILT) else None
            if found is None or found.is_placeholder or entry.job_id in strip_takes.jobs_on(found.strip):
                continue
            asked = self._asked.get(entry.job_id, strip_takes.Asked(entry.job_id))
            request = untrusted.request(asked.request)
            if request is not None and not strip_takes.waiting_refusal(found.strip):
                self._desk.wait_again(found.strip_id, entry.job_id, request, asked.asked)


def _is_awaited(entry: Entry) -> bool:
    """Whether its strip still waits for the new take."""
    found = identity.find(entry.stale.strip_id)
    return found is not None and entry.job_id in strip_takes.pending(found.strip)


def _sources(entry: Entry) -> set[str]:
    """The names of the strips that it is made from."""
    scene = compat.own_scene(entry.stale.scene)
    strip = compat.strip_named(scene, entry.stale.strip) if scene is not None else None
    made_from = provenance.read(untrusted.text_in(strip, provenance.PROPERTY)) if strip is not None else None
    if made_from is None:
        return set()
    return {each.name for each in made_from.sources} | {each.name for each in made_from.seen}
