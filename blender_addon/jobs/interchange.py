"""Cuts out to other programs and in from them: described here, written and read by the backend.

One goes on at a time. The cut travels in a file of the extension's own folder, since it is as long as the film. All is
done in slices, by the session's ticks or by the operator that waits: a timeline is described and written, an answer is
waited for, and a cut that was read is laid out once strips may be changed.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol import ProtocolError, cut_file
from ...wan_backend.protocol.conversion import to_json
from ...wan_backend.protocol.cut import (
    ClipMedia,
    ClipMediaKind,
    Cut,
    ExportTimelineParams,
    ExportTimelineResult,
    ImportTimelineParams,
    ImportTimelineResult,
)
from ...wan_backend.protocol.messages import FrameRate, JobState, JobStatus, JobSummary, Task
from ..backend.client import ChildClient
from ..timeline import compat, cut_description, cut_layout, scene_format
from ..translation import translated
from . import blender_handlers, film_takes, folders, placing, take_folders
from .request import Refused

log = logging.getLogger(__name__)

STEP_SECONDS = 0.004
"""So long a step takes; a tick has several."""


@dataclass
class _Order:
    file: str
    cut_file: Path
    scene: str
    describing: cut_description.Describing | None = None
    """Of an export."""
    as_movies: bool = False
    search_folder: str = ""
    is_ready: bool = False
    """Whether the server can be asked."""
    is_sent: bool = False


class Interchange:
    """Writes and reads cuts, one at a time."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.sentence = ""
        """How the last one ended."""
        self.failed = False
        """Whether it ended without a result."""
        self._on_change = on_change
        self._order: _Order | None = None
        self._steps: Generator[None, None, str] | None = None
        self._laying: cut_layout.Laying | None = None

    @property
    def busy(self) -> bool:
        """True until the file is written, or the cut is on the timeline."""
        return self._order is not None

    @property
    def laying(self) -> bool:
        """True while a part of a cut is on the timeline: nothing else is to be placed there."""
        return self._laying is not None

    @property
    def progress(self) -> float | None:
        """How much of it is done here, from 0 to 1; None while the server is at it."""
        if self._laying is not None:
            return self._laying.progress
        order = self._order
        return None if order is None or order.is_ready or order.describing is None else order.describing.progress

    def begin_export(self, scene: bpy.types.Scene, file: str, as_movies: bool = False) -> None:
        """Have the scene's timeline written to `file`. Raises Refused and OSError."""
        sentence = cut_description.refusal(scene)
        if sentence:
            raise Refused(sentence)
        order = self._begin(file, scene)
        order.as_movies = as_movies
        order.describing = cut_description.Describing(scene, Path(bpy.data.filepath).stem or scene.name)
        self._steps = self._describe(order, order.describing)

    def begin_import(self, scene: bpy.types.Scene, file: str, search_folder: str = "") -> None:
        """Have `file` read, and put its cut onto the scene's timeline. Raises Refused."""
        order = self._begin(file, scene)
        order.is_ready, order.search_folder = True, search_folder

    def _begin(self, file: str, scene: bpy.types.Scene) -> _Order:
        if self.busy:
            raise Refused("A timeline is already being exported or imported: wait a moment.")
        cut_file = folders.user_folder() / f"cut-{uuid.uuid4().hex}.json"
        self._order = _Order(os.path.abspath(file), cut_file, scene.name)
        self.sentence, self.failed = "", False
        self._on_change()
        return self._order

    def send(self, client: ChildClient) -> None:
        """Send what was asked for, once there is a server."""
        order = self._order
        if order is None or order.is_sent or not order.is_ready:
            return
        order.is_sent = True

        def failed(error: ProtocolError) -> None:
            self._end(order, translated(error.message), failed=True)

        def exported(result: ExportTimelineResult) -> None:
            clips = iface_("1 clip") if result.clips == 1 else iface_("{} clips").format(result.clips)
            takes = iface_("1 take") if result.takes == 1 else iface_("{} takes").format(result.takes)
            done = iface_("'{}' has {} with {}.").format(os.path.basename(order.file), clips, takes)
            described = order.describing.result if order.describing is not None else None
            lost = described.sentence if described is not None else ""
            self._end(order, " ".join(filter(None, (done, lost, *map(translated, result.lost)))))

        def imported(result: ImportTimelineResult) -> None:
            if order is self._order:
                self._steps = self._lay(order, result)

        if order.describing is not None:
            params = ExportTimelineParams(str(order.cut_file), order.file, order.as_movies)
            client.call("export_timeline", params, exported, failed)
        else:
            scene = compat.own_scene(order.scene)
            rate = scene_format.rate_of(scene) if scene is not None else FrameRate(24)
            places = film_takes.places()
            into = ImportTimelineParams(order.file, str(order.cut_file), places, order.search_folder, rate)
            client.call("import_timeline", into, imported, failed)

    def give_up(self, sentence: str) -> None:
        """There will be no server until the person does something; what it has answered is still laid out."""
        if self._order is not None and not (self._order.is_sent and self._steps is not None):
            self._end(self._order, translated(sentence) or iface_("The backend is not running."), failed=True)

    def stop(self) -> None:
        """Another file is opened: what was asked for belongs to the one before."""
        if self._order is not None:
            self._laying = None
            self._end(self._order, "", failed=True)

    def break_off(self, why: str = "") -> None:
        """A person wants no more of it, or undo has changed the timeline under it: what was laid out goes."""
        if self._order is None:
            return
        if self._laying is not None:
            self._laying.give_up(why)
            self._laying = None
        self._end(self._order, why, failed=True)

    def strips_changed(self) -> None:
        """An undo or redo has put other strips in the old ones' place."""
        if self._laying is not None:
            self.break_off(iface_(cut_layout.CHANGED))

    def tick(self, deadline: float) -> bool:
        """Go on until `deadline` (of time.perf_counter), strips may be changed now; True if something changed."""
        order, steps = self._order, self._steps
        if order is None or steps is None:
            return False
        try:
            next(steps)
            while time.perf_counter() < deadline:
                next(steps)
        except StopIteration as done:
            self._steps = None
            if done.value:
                self._end(order, done.value, failed=not done.value.startswith("'"))
        except Exception:  # nothing else would be placed while a part of a cut is on the timeline
            log.exception("the work on %s broke off", order.file)
            self.break_off(iface_("'{}' can't be told or laid out: see the log.").format(os.path.basename(order.file)))
        return True

    def _describe(self, order: _Order, describing: cut_description.Describing) -> Generator[None, None, str]:
        """Describe the timeline, and write the cut for the server; returns why it can't be told."""
        while not describing.go_on(time.perf_counter() + STEP_SECONDS):
            yield
        if describing.result is None:
            return iface_(describing.refusal)
        try:
            with open(order.cut_file, "x", encoding="ascii") as written:
                for line in cut_file.lines_of(describing.result.cut):
                    written.write(line)
                    yield
        except OSError as error:
            return iface_("The cut can't be written ({}).").format(error.strerror or error)
        except ValueError:  # a number of the .blend is none
            return iface_("The timeline has values that other programs can't be told of.")
        order.is_ready = True
        return ""

    def _lay(self, order: _Order, result: ImportTimelineResult) -> Generator[None, None, str]:
        """Read the cut and lay it out; returns how that ended."""
        try:
            with open(order.cut_file, encoding="ascii") as lines:
                cut = yield from cut_file.reading(lines)
        except (OSError, ValueError, ProtocolError) as error:
            log.warning("%s: %s", order.cut_file, error)
            return iface_("The cut can't be read.")
        while not blender_handlers.may_change_strips():
            yield
        scene = compat.own_scene(order.scene)
        if scene is None:
            return iface_(cut_layout.GONE)
        laying = self._laying = cut_layout.Laying(scene, cut, found_take)
        while not (blender_handlers.may_change_strips() and laying.go_on(time.perf_counter() + STEP_SECONDS)):
            yield
        self._laying = None
        if laying.refusal:
            return laying.refusal
        bpy.ops.ed.undo_push(message="Import Timeline")
        rate = compat.own_scene(order.scene)
        return self._said(order, cut, laying.laid, result, scene_format.rate_of(rate) if rate else cut.frame_rate)

    @staticmethod
    def _said(order: _Order, cut: Cut, laid: cut_layout.LaidOut, result: ImportTimelineResult, here: FrameRate) -> str:
        strips = iface_("1 strip") if laid.strips == 1 else iface_("{} strips").format(laid.strips)
        said = [iface_("'{}' is on the timeline: {}.").format(os.path.basename(order.file), strips)]
        for count, one, several in (
            (
                result.missing,
                iface_("The media of 1 clip isn't there: a color strip stands for it."),
                iface_("The media of {} clips isn't there: color strips stand for them."),
            ),
            (
                laid.unreadable,
                iface_("Blender can't read the media of 1 clip: a color strip stands for it."),
                iface_("Blender can't read the media of {} clips: color strips stand for them."),
            ),
            (
                laid.speeds,
                iface_("1 sound has a speed of its own, and plays at its usual one here."),
                iface_("{} sounds have a speed of their own, and play at their usual one here."),
            ),
        ):
            said += [one if count == 1 else several.format(count)] if count else []
        rate, wanted = here.exact(), cut.frame_rate.exact()
        if rate != wanted:
            words = iface_(
                "It was cut at {:.6g} frames a second, and the scene has {:.6g}: set the scene's frame rate."
            )
            said.append(words.format(float(wanted), float(rate)))
        return " ".join([*said, *map(translated, result.lost)])

    def _end(self, order: _Order, sentence: str, failed: bool = False) -> None:
        if order is not self._order:
            return
        self._order, self._steps = None, None
        self.sentence, self.failed = sentence, failed
        try:
            order.cut_file.unlink(missing_ok=True)
        except OSError as error:  # Windows keeps what is open
            log.warning("%s: %s", order.cut_file, error)
        self._on_change()


def found_take(media: ClipMedia) -> cut_layout.MadeTake | None:
    """What a take's folder says of it; None where the folder isn't one, or has other files than the cut says."""
    if take_folders.job_of(Path(media.folder)) != media.job_id:
        return None
    take = placing.take_in(media.folder)
    if take is None:
        return None
    files = placing.files_of(take)
    is_movie = media.kind is ClipMediaKind.FILE
    if list(files.files) != media.files or files.is_movie is not is_movie or (is_movie and take.frames != media.frames):
        return None
    blank = JobSummary("", Task.TEXT_TO_VIDEO, "", 0, 1)
    asked = placing.request_on_disk(JobStatus(media.job_id, JobState.DONE, blank, take=take))
    return cut_layout.MadeTake(json.dumps(to_json(asked)) if asked is not None else "", json.dumps(to_json(take)))
