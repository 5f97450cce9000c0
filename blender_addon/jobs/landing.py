"""Which finished take goes where, and when that is allowed. Knows no backend."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import bpy

from ...wan_backend.protocol.conversion import from_json, to_json
from ...wan_backend.protocol.errors import ProtocolError
from ...wan_backend.protocol.media import SETTINGS_FILE, frame_file
from ...wan_backend.protocol.messages import JobState, JobStatus, MediaFormat, Take, TakeRequest
from ..timeline import following, identity, placement, provenance
from . import project
from .book import Book

log = logging.getLogger(__name__)

MODAL_PREFIXES = ("TRANSFORM_OT_", "SEQUENCER_OT_", "RENDER_OT_")
"""Operators during which no strip may change: under the mouse, an undo step can end Blender."""


def allowed(rendering: bool = False) -> bool:
    """True where strips may be changed now: no render runs, and nobody drags one.

    `rendering` is what the handlers have heard. With a window Blender itself knows better: there a render that
    could be heard of is one of its jobs, also when it ends without a word.
    """
    if bpy.app.is_job_running("RENDER") or (rendering and bpy.app.background):
        return False
    windows = bpy.context.window_manager.windows if bpy.context.window_manager else ()
    return not any(
        operator.bl_idname.startswith(MODAL_PREFIXES) for window in windows for operator in window.modal_operators
    )


def is_whole(status: JobStatus) -> bool:
    """True where the job's take is on the disk."""
    take = status.take
    return (
        status.state is JobState.DONE
        and take is not None
        and os.path.isfile(os.path.join(take.folder, take.first_file))
    )


def take_on_disk(job_id: str, request: TakeRequest) -> Take | None:
    """The take of a job that no backend knows any more, from its own folder; None where there is none."""
    for parent in dict.fromkeys((request.media_folder, bpy.path.abspath("//wan"))):
        folder = Path(parent) / job_id
        try:
            settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
            take = from_json(Take, settings["take"], "take")
        except (OSError, ValueError, KeyError, TypeError, ProtocolError):
            continue
        return Take(**{**vars(take), "folder": str(folder)})
    return None


def files_of(take: Take) -> placement.TakeFiles:
    """The take as the timeline needs it."""
    if take.media_format is MediaFormat.PNG:
        files = tuple(frame_file(index) for index in range(take.frames))
        return placement.TakeFiles(take.folder, files, take.frames, is_movie=False)
    return placement.TakeFiles(take.folder, (take.first_file,), take.frames, is_movie=True)


def land_by_itself(status: JobStatus, marked: Iterable[identity.Marked], book: Book) -> str | None:
    """Place a done take where it is waited for; None where it is left to the person or needs nothing.

    Gives what the person has to know of it, mostly nothing. Raises TakeGone and NoRoom.

    Every placeholder of the job gets the take, unless the person has undone that.
    Without one, the take goes where it was asked for, if the file never saw its placeholder: Blender ended, or
    the file was loaded again, before that was saved.
    """
    mine = [found for found in marked if found.job_id == status.job_id]
    waiting = [found for found in mine if found.is_placeholder and not found.declined]
    if status.job_id in book.landed:
        return None
    if waiting:
        return replace_placeholders(status, waiting)
    if mine or status.settled or status.job_id in book.seen | book.removed:
        return None
    if not project.is_origin(status.request.origin, book.homes.get(status.job_id, "")):
        return None
    add_at_recorded_place(status, _recorded_scene(status))
    return ""


def land_by_hand(status: JobStatus, scene: bpy.types.Scene, belongs_here: bool) -> str:
    """Place a done take because the person said so; gives what they have to know. Raises TakeGone and NoRoom."""
    waiting = [f for f in identity.sweep() if f.job_id == status.job_id and f.is_placeholder]
    if waiting:
        return replace_placeholders(status, waiting)
    if belongs_here:
        add_at_recorded_place(status, scene)
    else:
        add_at_recorded_place(status, scene, start=scene.frame_current)
    return ""


def replace_placeholders(status: JobStatus, waiting: list[identity.Marked]) -> str:
    """Give each placeholder the take, where its sources are now; gives what the person has to know.

    Raises TakeGone before anything is changed.
    """
    assert status.take is not None
    files = files_of(status.take)
    placement.check_there(files)
    strip_ids = [found.strip[identity.STRIP] for found in waiting]
    said = ""
    for strip_id in strip_ids:
        found = identity.find(strip_id)  # again: replacing one can move the others in memory
        if found is not None:
            said = (following.follow(found) if len(strip_ids) == 1 else "") or said
            asked = found.strip.get(provenance.ASKED)
            made = placement.put_in_place(found, files, status.request.length_frames)
            _mark(made, status)
            if asked:
                made[provenance.ASKED] = asked
    return said


def add_at_recorded_place(status: JobStatus, scene: bpy.types.Scene, start: int | None = None) -> None:
    """Put the take where it was asked for, or at `start`. Raises TakeGone and NoRoom."""
    assert status.take is not None
    origin, request = status.request.origin, status.request
    place = origin.start if start is None else start
    name = placement.strip_name(request)
    channel = max(1, min(origin.channel, 128))
    files = files_of(status.take)
    strip = placement.put_on_timeline(scene, name, files, channel, place, request.length_frames)
    _mark(strip, status)


def _recorded_scene(status: JobStatus) -> bpy.types.Scene:
    return bpy.data.scenes.get(status.request.origin.scene) or bpy.context.scene


def _mark(strip: object, status: JobStatus) -> None:
    request_json, take_json = (json.dumps(to_json(value)) for value in (status.request, status.take))
    identity.mark_take(strip, status.job_id, request_json, take_json)
