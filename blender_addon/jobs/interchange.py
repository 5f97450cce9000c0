"""Cuts out to other programs and in from them: described here, written and read by the backend.

One goes on at a time. The cut travels in a file of the extension's own folder, since it is as long as the film; an
answer is waited for by the session's ticks, and a cut that was read is laid out as soon as strips may be changed.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol import ProtocolError
from ...wan_backend.protocol.conversion import from_json, to_json
from ...wan_backend.protocol.cut import (
    MAX_CUT_BYTES,
    ClipMedia,
    ClipMediaKind,
    Cut,
    ExportTimelineParams,
    ExportTimelineResult,
    ImportTimelineParams,
    ImportTimelineResult,
    is_sane_cut,
)
from ...wan_backend.protocol.messages import JobState, JobStatus, JobSummary, Task
from ...wan_backend.storage import whole_file
from ..backend.client import ChildClient
from ..timeline import compat, cut_description, cut_layout, scene_format
from ..translation import translated
from . import film_takes, folders, placing, take_folders
from .request import Refused

log = logging.getLogger(__name__)


@dataclass
class _Order:
    is_export: bool
    file: str
    cut_file: Path
    scene: str
    sentence: str = ""
    """What the file won't have."""
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
        self._read: tuple[_Order, ImportTimelineResult] | None = None

    @property
    def busy(self) -> bool:
        """True until the file is written, or the cut is on the timeline."""
        return self._order is not None

    def begin_export(self, scene: bpy.types.Scene, file: str) -> None:
        """Have the scene's timeline written to `file`. Raises Refused and OSError."""
        sentence = cut_description.refusal(scene)
        if sentence:
            raise Refused(sentence)
        described = cut_description.of(scene, Path(bpy.data.filepath).stem or scene.name)
        if not is_sane_cut(described.cut):
            raise Refused("The timeline has more strips, or stranger ones, than other programs can be told of.")
        order = self._begin(True, file, scene)
        order.sentence = described.sentence
        whole_file.write_json(order.cut_file, to_json(described.cut), flushed=False)

    def begin_import(self, scene: bpy.types.Scene, file: str) -> None:
        """Have `file` read, and put its cut onto the scene's timeline. Raises Refused."""
        self._begin(False, file, scene)

    def _begin(self, is_export: bool, file: str, scene: bpy.types.Scene) -> _Order:
        if self.busy:
            raise Refused("A timeline is already being exported or imported: wait a moment.")
        cut_file = folders.user_folder() / f"cut-{uuid.uuid4().hex}.json"
        self._order = _Order(is_export, os.path.abspath(file), cut_file, scene.name)
        self.sentence, self.failed = "", False
        self._on_change()
        return self._order

    def send(self, client: ChildClient) -> None:
        """Send what was asked for, once there is a server."""
        order = self._order
        if order is None or order.is_sent:
            return
        order.is_sent = True

        def failed(error: ProtocolError) -> None:
            self._end(order, translated(error.message), failed=True)

        def exported(result: ExportTimelineResult) -> None:
            clips = iface_("1 clip") if result.clips == 1 else iface_("{} clips").format(result.clips)
            takes = iface_("1 take") if result.takes == 1 else iface_("{} takes").format(result.takes)
            done = iface_("'{}' has {} with {}.").format(os.path.basename(order.file), clips, takes)
            self._end(order, " ".join(filter(None, (done, order.sentence, *map(translated, result.lost)))))

        def imported(result: ImportTimelineResult) -> None:
            self._read = order, result

        if order.is_export:
            params = ExportTimelineParams(str(order.cut_file), order.file)
            client.call("export_timeline", params, exported, failed)
        else:
            into = ImportTimelineParams(order.file, str(order.cut_file), film_takes.places())
            client.call("import_timeline", into, imported, failed)

    def give_up(self, sentence: str) -> None:
        """There will be no server until the person does something."""
        if self._order is not None:
            self._end(self._order, translated(sentence) or iface_("The backend is not running."), failed=True)

    def stop(self) -> None:
        """Another file is opened: what was asked for belongs to the one before."""
        if self._order is not None:
            self._end(self._order, "", failed=True)

    def tick(self) -> bool:
        """Lay out the cut that was read, if there is one; strips may be changed now."""
        if self._read is None:
            return False
        (order, result), self._read = self._read, None
        if order is not self._order:
            return False
        scene = compat.own_scene(order.scene)
        sentence = iface_("The scene is gone.") if scene is None else self._lay(scene, order, result)
        self._end(order, sentence, failed=not sentence.startswith("'"))
        return True

    def _lay(self, scene: bpy.types.Scene, order: _Order, result: ImportTimelineResult) -> str:
        try:
            cut = from_json(Cut, whole_file.read_json(order.cut_file, MAX_CUT_BYTES), "cut")
        except (OSError, ValueError, ProtocolError) as error:
            log.warning("%s: %s", order.cut_file, error)
            return iface_("The cut can't be read.")
        laid = cut_layout.lay(scene, cut, found_take) if is_sane_cut(cut) else iface_("The cut can't be read.")
        if isinstance(laid, str):
            return laid
        bpy.ops.ed.undo_push(message="Import Timeline")
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
                iface_("1 clip has a speed of its own, and plays a frame of its media in each frame here."),
                iface_("{} clips have a speed of their own, and play a frame of their media in each frame here."),
            ),
        ):
            said += [one if count == 1 else several.format(count)] if count else []
        rate, wanted = scene_format.rate_of(scene).exact(), cut.frame_rate.exact()
        if rate != wanted:
            words = iface_(
                "It was cut at {:.6g} frames a second, and the scene has {:.6g}: set the scene's frame rate."
            )
            said.append(words.format(float(wanted), float(rate)))
        return " ".join([*said, *map(translated, result.lost)])

    def _end(self, order: _Order, sentence: str, failed: bool = False) -> None:
        if order is not self._order:
            return
        self._order, self._read = None, None
        self.sentence, self.failed = sentence, failed
        order.cut_file.unlink(missing_ok=True)
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
