"""Which takes are stale: their sources are no longer what they were when the take was asked for.

The session's timer looks through the shown takes, a few milliseconds at a time, and rests between two walks for ten
times as long as a walk took, or longer. A change counts once two looks in a row have found it, so that nothing is said
while a person drags something. Where a source can't be looked at, as on a drive that is away, the take is unknown, not
stale. Draws read what was found. No strip is kept, only names and words.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..stopwatch import timed
from ..timeline import compat, identity, provenance, source_looks, strip_takes, untrusted
from ..timeline.path_rules import shown as shown_path
from . import blender_handlers, project, source_records
from .file_digests import Away, FileDigests

log = logging.getLogger(__name__)

SLICE_SECONDS = 0.003
STRIPS_AT_ONCE = 60
REST_SECONDS = 5.0
SURE_SECONDS = 1.0
"""After this time, what looks stale for the first time is looked at again."""
REST_SHARE = 10.0


@dataclass(frozen=True)
class StaleTake:
    """A take that a strip shows and whose sources have changed."""

    job_id: str
    scene: str
    strip: str
    """Its name."""
    strip_id: str
    frame: int
    """The strip's first."""
    reason: str
    """A sentence."""
    waits: bool = False
    """Whether another take is being made for the strip."""


@dataclass(frozen=True)
class _Shown:
    """A take that is to be looked at."""

    scene: str
    strip: str
    strip_id: str
    frame: int
    job_id: str
    text: str
    """The Provenance as JSON."""
    waits: bool


class StaleTakes:
    """What was found at the last walk."""

    def __init__(self, rendering: Callable[[], bool] = lambda: False) -> None:
        """`rendering` says whether a render was reported: nothing is looked at then."""
        self.files = FileDigests()
        self.found: dict[str, StaleTake] = {}
        """By job, in the order of the cut."""
        self.stale: frozenset[str] = frozenset()
        """The jobs of `found`."""
        self.unknown: dict[str, str] = {}
        """By job, the sentences that say why a take can't be judged."""
        self.version = 0
        """Grows with each walk that found something else than the one before."""
        self._rendering = rendering
        self._walk: Generator[bool, None, None] | None = None
        self._next = 0.0
        self._spent = 0.0
        self._shapes: dict[str, str] = {}
        """The digests of meshes, for one walk."""
        self._suspects: dict[str, tuple[str, ...]] = {}
        """By job, what the last walk found changed."""
        self._read_texts: dict[str, tuple[str, str]] = {}
        """By job, a provenance text, and the one that is to be kept in its place since the files were read."""

    @property
    def busy(self) -> bool:
        """Whether a walk goes on."""
        return self._walk is not None

    def opened(self) -> None:
        """Another file was opened: nothing is known of it."""
        self.found, self.stale, self.unknown = {}, frozenset(), {}
        self._suspects.clear()
        self._read_texts.clear()
        self.files.forget()
        self.version += 1
        self.look_again()

    def look_again(self) -> None:
        """Begin a new walk soon, since strips or takes have changed."""
        self._walk, self._next, self._spent = None, 0.0, 0.0

    def tick(self, deadline: float) -> bool:
        """Go on until `deadline` (of time.perf_counter); True if other takes are stale than before."""
        if self._walk is None and time.monotonic() < self._next:
            return False
        if _plays() or not blender_handlers.may_change_strips(self._rendering()):
            return False
        before, began = self.version, time.perf_counter()
        with timed("timer: of which stale takes"):
            self._go_on(deadline)
        self._spent += time.perf_counter() - began
        if self._walk is None:
            fresh = any(job_id not in self.stale for job_id in self._suspects)
            rest = SURE_SECONDS if fresh else max(REST_SECONDS, REST_SHARE * self._spent)
            self._next, self._spent = time.monotonic() + rest, 0.0
        return self.version != before

    def _go_on(self, deadline: float) -> None:
        if self._walk is None:
            self._walk = self._steps()
        try:
            next(self._walk)
            while time.perf_counter() < deadline and not next(self._walk):
                pass
        except StopIteration:
            self._walk = None
        except (RuntimeError, ReferenceError, AttributeError, KeyError, TypeError, ValueError):
            log.exception("The walk for stale takes failed")  # the next one may not: a strip went between two slices
            self._walk, self._next = None, time.monotonic() + REST_SECONDS

    def _steps(self) -> Generator[bool, None, None]:
        """The walk; True stands for a step to come that may take a few milliseconds, and so begins a tick."""
        self._shapes.clear()
        found: dict[str, StaleTake] = {}
        unknown: dict[str, str] = {}
        suspects: dict[str, tuple[str, ...]] = {}
        for shown in self._all_shown():
            if shown is None:
                yield False
                continue
            if shown.job_id in suspects or shown.job_id in unknown:
                continue
            yield True
            try:
                reasons = yield from self._reasons(shown)
            except Away as away:
                words = iface_("'{}': {} can't be looked at now, so whether it has changed isn't known.")
                unknown[shown.job_id] = words.format(shown.strip, shown_path(away.name))
                continue
            except source_looks.Unknown:
                continue
            suspects[shown.job_id] = reasons
            if reasons and (shown.job_id in self.stale or self._suspects.get(shown.job_id)):
                place = (shown.scene, shown.strip, shown.strip_id, shown.frame)
                reason = source_records.sentence(reasons)
                found[shown.job_id] = StaleTake(shown.job_id, *place, reason, shown.waits)
        self._suspects = {job_id: reasons for job_id, reasons in suspects.items() if reasons}
        if (found, unknown) != (self.found, self.unknown):
            self.found, self.stale, self.unknown = found, frozenset(found), unknown
            self.version += 1

    def _all_shown(self) -> Iterator[_Shown | None]:
        """The shown takes of the open file with sources that are known; None between the slices."""
        for name in [scene.name for scene in bpy.data.scenes if scene.library is None]:
            first, at_end = 0, False
            while not at_end:
                shown, at_end = self._slice(name, first)
                first += STRIPS_AT_ONCE
                yield from shown
                yield None

    def _slice(self, scene_name: str, first: int) -> tuple[list[_Shown], bool]:
        scene = compat.own_scene(scene_name)
        if scene is None:
            return [], True
        strips = compat.all_strips(scene)[first : first + STRIPS_AT_ONCE]
        found = []
        for strip in strips:
            text = untrusted.text_in(strip, provenance.PROPERTY)
            job_id = untrusted.id_in(strip, identity.JOB) if text else ""
            if job_id and identity.role_of(strip) == identity.TAKE_ROLE:
                text = self._kept(strip, job_id, text)
                waits = bool(strip_takes.pending(strip))
                strip_id, frame = untrusted.id_in(strip, identity.STRIP), compat.start(strip)
                found.append(_Shown(scene_name, strip.name, strip_id, frame, job_id, text, waits))
        return found, len(strips) < STRIPS_AT_ONCE

    def _kept(self, strip: compat.Strip, job_id: str, text: str) -> str:
        """The strip's text, with what was read of the files since it was written."""
        before, after = self._read_texts.get(job_id, ("", ""))
        if not after or before != text:
            return text
        strip[provenance.PROPERTY] = after
        return after

    def _place(self, shown: _Shown) -> tuple[bpy.types.Scene, compat.Strip]:
        """The scene and the strip as they are now. Raises source_looks.Unknown if the take isn't shown there now."""
        scene = compat.own_scene(shown.scene)
        strip = compat.strip_named(scene, shown.strip) if scene is not None else None
        if scene is None or strip is None or untrusted.id_in(strip, identity.JOB) != shown.job_id:
            raise source_looks.Unknown
        return scene, strip

    def _reasons(self, shown: _Shown) -> Generator[bool, None, tuple[str, ...]]:
        """What has changed. Raises Away and source_looks.Unknown."""
        made_from = provenance.known(shown.text)
        if made_from is None or not made_from.seen:
            return ()
        scene, strip = self._place(shown)
        if not _asked_here(strip):
            return ()
        ranges = source_records.ranges(scene, strip, made_from)
        del scene, strip  # from here on, ticks may end
        now: list[source_looks.Looked] = []
        for wanted in ranges:
            yield False
            now += source_records.look(*self._place(shown), wanted)
        yield False
        cut_off = source_records.trimmed(self._place(shown)[0], made_from)
        yield False
        steps = source_records.compared(made_from.seen, now, self.files, self._shapes)
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                reasons, kept = ended.value
                break
            yield False
        reasons = [iface_("'{}' was trimmed and no longer joins it").format(name) for name in cut_off] + reasons
        if not reasons and kept != made_from.seen:
            self._read_texts[shown.job_id] = shown.text, provenance.write(replace(made_from, seen=kept))
        return tuple(reasons)


def _asked_here(strip: compat.Strip) -> bool:
    """False for a take that was pasted from another film: its sources are names there, which others may have here."""
    request = identity.request_of(strip)
    known = request.origin.project_id if request is not None else ""
    return not known or known in project.ids()


def _plays() -> bool:
    """Whether a window plays: nothing is to disturb that."""
    manager = bpy.context.window_manager
    return manager is not None and any(window.screen.is_animation_playing for window in manager.windows)
