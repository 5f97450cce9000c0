"""Makes stale takes anew, each with its own settings and seed, from its sources as they are now.

The takes are asked for one after the other, in ticks: only where nothing else waits in the queue, so that they go
behind whatever a person asks for meanwhile, and a take that is made from another one after that one. Each comes onto
its strip as a new take; the ones before stay. In the end there is a report, as a text of the file. How far it is stands
on the disk, too (kept_runs): when the film is opened again, the run goes on, or its report is there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Hold, JobState, JobStatus, Origin, TakeRequest
from ..stopwatch import timed
from ..timeline import compat, identity, provenance, strip_takes, untrusted
from ..translation import translated
from . import blender_handlers, takes_again
from .kept_runs import KeptRuns
from .planned_takes import PlannedTake
from .rebuild_report import TEXT, show_text, written
from .rebuild_run import Entry, Run, State
from .request import Refused
from .stale_takes import StaleTake

log = logging.getLogger(__name__)

AT_ONCE = 2
"""So many of its jobs are in the queue: while one is made, the sources of the next are rendered."""
DAY_SECONDS = 24 * 3600.0
"""No hour is further away: where it seems so after Blender was closed, the clock was set back."""
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
    film: Callable[[], Origin]
    """The open one."""
    is_wanted: Callable[[JobStatus], bool]
    """Whether a strip may be given the job's take that isn't on it: no saved film says that it knows the job's end."""
    knows_all: Callable[[], bool]
    """Whether a job that isn't known now is gone."""
    retry: Callable[[str], None]
    want: Callable[[], None]
    """Have the backend start: jobs of it are waited for."""


class Rebuilding:
    """The takes of one run, from the press of the button to the report."""

    def __init__(self, desk: Desk, kept: KeptRuns) -> None:
        self._desk, self._kept = desk, kept
        self.entries: list[Entry] = []
        self.report = ""
        """The report of the last run; empty before there is one."""
        self.begins = 0.0
        """When it begins, in seconds since 1970; 0 for at once."""
        self._latest = 0.0
        """The moment of time.monotonic at which it begins, wherever the clock has been set meanwhile."""
        self._ended_at = 0.0
        self._moved: set[tuple[str, str]] = set()
        self._stuck: list[State] = []
        """The states in which all that wait are made from others of them, so that none can be asked for."""
        self._undone = False
        self._to_find = True
        """The open film may have a run on the disk."""
        self._unsure: set[str] = set()
        """Jobs of a run from the disk: whether their strips wait for them, as then, is still to be seen."""
        self._may_retry: set[str] = set()
        """Jobs of it that may have been interrupted as Blender ended."""
        self._retried: set[str] = set()
        """Those that are tried once more, until they go on."""

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
        more = [Entry(each) for each in stale if each.strip_id not in known]
        if going_on:
            self.entries += more
            self._kept.add(more)
            return
        self.entries, self._to_find = more, False
        self._wait_until(in_seconds)
        self._kept.begin(self._desk.film(), Run(self.begins, more))

    def _wait_until(self, in_seconds: float) -> None:
        self.begins = time.time() + in_seconds if in_seconds else 0.0
        self._latest = time.monotonic() + in_seconds

    def stop(self) -> None:
        """Ask for no more of them. What is in the queue stays there."""
        self._skip(State.WAITS, iface_("You stopped before its turn."))
        self.begins = 0.0

    def _skip(self, state: State, why: str) -> None:
        skipped = [entry for entry in self.entries if entry.state is state]
        for entry in skipped:
            entry.state, entry.why = State.SKIPPED, why
        self._note(skipped)

    def _note(self, changed: list[Entry]) -> None:
        """Keep how far these are now."""
        if changed:
            self._ended_at = time.time()
            numbers = {id(entry): number for number, entry in enumerate(self.entries)}
            self._kept.note([(numbers[id(entry)], entry) for entry in changed])

    def opened(self) -> None:
        """Another file was opened: its strips are others. What is in the queue stays there, and the run on the disk."""
        self._kept.leave()
        self.entries, self.report, self._to_find = [], "", True
        self._unsure.clear()
        self._may_retry.clear()
        self._retried.clear()

    def saved(self) -> None:
        """The file was saved. With the report in it, there is nothing to be kept beside it."""
        if self.report and not self.busy and TEXT in bpy.data.texts:
            self._kept.drop()
        else:
            self._kept.saved_as(self._desk.film())

    def close(self) -> None:
        """Blender ends: the run goes on when the film is opened again."""
        self._kept.release()

    def _find(self) -> bool:
        """Go on with the film's run, if one is on the disk."""
        self._to_find = False
        run = self._kept.find()
        if run is None:
            return False
        self.entries, self._ended_at = run.entries, run.ended_at
        self._unsure = {entry.job_id for entry in run.entries if entry.state in (State.ASKED, State.REBUILT)}
        self._may_retry = {entry.job_id for entry in run.entries if entry.state is State.ASKED}
        left = run.begins - time.time()
        self._wait_until(min(left, DAY_SECONDS) if left > 0 else 0.0)
        if run.begins and left <= 0 and all(entry.state is State.WAITS for entry in run.entries):
            hour = time.strftime("%H:%M", time.localtime(run.begins))
            self._skip(State.WAITS, iface_("The film was not open at {}, when it was to be rebuilt.").format(hour))
        self._skip(State.ASKING, iface_("Blender ended just when it was asked for."))
        if self._may_retry:
            self._desk.want()
        return True

    def strips_changed(self) -> None:
        """An undo or redo may have taken back that strips wait for their new takes, which is no step of its own."""
        self._undone = bool(self.entries)

    def tick(self, rendering: bool) -> bool:
        """Go on with it; True if something changed."""
        if not (self.entries or self._to_find) or not blender_handlers.may_change_strips(rendering):
            return False
        changed = self._find() if self._to_find else False
        if self._unsure:
            self._settle_unsure()
        if self._undone:
            self._undone = False
            self._wait_again(self.entries)
        changed = (self._follow() if self.busy else False) or changed
        if self.busy and not self.waits and self._desk.may_ask():
            changed = self._ask_next() or changed
        if self.entries and not self.busy and not self.report:
            self.report = written(self.entries, self._ended_at)
            show_text(self.report)
            changed = True
        return changed

    def _follow(self) -> bool:
        """Look how the jobs went that were asked for."""
        ended = [entry for entry in self.entries if entry.state is State.ASKED and self._has_ended(entry)]
        self._note(ended)
        return bool(ended)

    def _has_ended(self, entry: Entry) -> bool:
        """Whether nothing more comes of a take that was asked for, which its entry says then."""
        status = self._desk.get(entry.job_id)
        if status is None:
            if not self._desk.knows_all() or _is_awaited(entry):
                return False
            entry.state = State.REBUILT if _has(entry) else State.FAILED
            entry.why = "" if _has(entry) else iface_("Its job was taken off the list.")
            return True
        if not status.state.ended:
            self._retried.discard(entry.job_id)
            if status.hold is Hold.NO_PLACEHOLDER and not _has(entry) and entry.job_id not in self._unsure:
                entry.state, entry.why = State.SKIPPED, iface_("Its strip is no longer there.")
                return True
        if not status.state.ended or entry.job_id in self._unsure | self._retried:
            return False
        if status.state is JobState.DONE:
            entry.why = self._desk.problem(entry.job_id)
            if not entry.why and _is_awaited(entry):
                return False  # what is made from it waits until it is on its strip
            entry.state = State.FAILED if entry.why else State.REBUILT
            return True
        if status.state is JobState.INTERRUPTED and entry.job_id in self._may_retry:
            self._may_retry.discard(entry.job_id)
            self._retried.add(entry.job_id)
            self._desk.retry(entry.job_id)
            return False
        gone = iface_("Its job was taken off the list.")
        entry.state = State.FAILED
        entry.why = translated(status.problem.sentence) if status.problem is not None else gone
        return True

    def _ask_next(self) -> bool:
        going_on = [job for job in self._desk.going_on() if job.hold is Hold.NONE]
        asked = {entry.job_id for entry in self.entries if entry.state is State.ASKED}
        asked &= {job.job_id for job in going_on}  # one that is held, or that has come, keeps none waiting
        others = [job for job in going_on if job.job_id not in asked]
        if others:
            self._let_pass(going_on, asked)
            return False
        if len(asked) >= AT_ONCE or self._states() == self._stuck:
            return False
        entry = self._next()
        if entry is None:
            self._stuck = self._states()
            return False
        entry.state = State.ASKING
        self._note([entry])  # were Blender to end of it, it would do so each time that the film is opened
        try:
            with timed("timer: of which asking for a rebuild"):
                self._ask(entry)
            entry.state = State.ASKED
        except Refused as refused:
            entry.state, entry.why = State.SKIPPED, translated(refused.sentence)
        except Exception:
            entry.state, entry.why = State.FAILED, iface_("It could not be asked for: Blender's console says why.")
            raise  # and it isn't tried again at every tick
        finally:
            self._note([entry])
        return True

    def _states(self) -> list[State]:
        return [entry.state for entry in self.entries]

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

    def _ask(self, entry: Entry) -> None:
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
        strip_id = found.strip_id
        entry.job_id = self._desk.generate(found.scene, PlannedTake(asked, target), found.strip.name, strip_id)
        waiting = identity.find(strip_id)
        for each in strip_takes.asked_for(waiting.strip) if waiting is not None else ():
            if each.job_id == entry.job_id:
                entry.request, entry.asked = each.request, each.asked

    def _settle_unsure(self) -> None:
        """Let strips wait again for what came or was asked for after the film had been saved last."""
        for entry in [entry for entry in self.entries if entry.job_id in self._unsure]:
            status = self._desk.get(entry.job_id)
            if status is None and not self._desk.knows_all():
                continue
            self._unsure.discard(entry.job_id)
            if status is None and entry.state is State.ASKED and not _has(entry):
                entry.state = State.WAITS  # Blender ended before anybody had got it
                self._note([entry])
            elif status is not None and status.state is not JobState.CANCELED and self._desk.is_wanted(status):
                self._wait_again([entry])

    def _wait_again(self, entries: Iterable[Entry]) -> None:
        """Let each strip wait for its new take that neither waits for it nor has it."""
        for entry in entries:
            found = identity.find(entry.stale.strip_id) if entry.state in (State.ASKED, State.REBUILT) else None
            if found is None or found.is_placeholder or entry.job_id in strip_takes.jobs_on(found.strip):
                continue
            request = untrusted.request(entry.request) if entry.request else None
            if request is not None and not strip_takes.waiting_refusal(found.strip):
                self._desk.wait_again(found.strip_id, entry.job_id, request, entry.asked)


def _has(entry: Entry) -> bool:
    """Whether its strip has the new take, or waits for it."""
    found = identity.find(entry.stale.strip_id)
    return found is not None and entry.job_id in strip_takes.jobs_on(found.strip)


def _is_awaited(entry: Entry) -> bool:
    """Whether its strip still waits for the new take."""
    found = identity.find(entry.stale.strip_id)
    return found is not None and entry.job_id in strip_takes.pending(found.strip)


def _sources(entry: Entry) -> set[str]:
    """The names of the strips that it is made from."""
    scene = compat.own_scene(entry.stale.scene)
    strip = compat.strip_named(scene, entry.stale.strip) if scene is not None else None
    made_from = provenance.known(untrusted.text_in(strip, provenance.PROPERTY)) if strip is not None else None
    if made_from is None:
        return set()
    return {each.name for each in made_from.sources} | {each.name for each in made_from.seen}
