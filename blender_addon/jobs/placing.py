"""Puts finished takes on the timeline."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import bpy

from ...wan_backend.protocol import bounds, take_names
from ...wan_backend.protocol.conversion import from_json, to_json
from ...wan_backend.protocol.errors import ProtocolError
from ...wan_backend.protocol.media import SETTINGS_FILE, frame_file
from ...wan_backend.protocol.messages import JobState, JobStatus, MediaFormat, Take, TakeRequest
from ..timeline import compat, identity, provenance, strip_takes, take_strips
from . import take_folders

log = logging.getLogger(__name__)

T = TypeVar("T")


def is_whole(status: JobStatus) -> bool:
    """True if the job's take is on the disk."""
    take = status.take
    return (
        status.state is JobState.DONE
        and take is not None
        and os.path.isfile(os.path.join(take.folder, take.first_file))
    )


def take_on_disk(job_id: str, asked: TakeRequest, places: Iterable[str]) -> Take | None:
    """The take of a job that no backend knows anymore, from its own folder in one of `places`; None if none is."""
    for parent in dict.fromkeys(places):
        folder = take_folders.find(Path(parent), job_id, take_names.title(asked))
        take = take_in(str(folder)) if folder is not None else None
        if take is not None:
            return take
    return None


def take_in(folder: str) -> Take | None:
    """The take that the folder's settings speak of, where it lies now; None if they can't be read."""
    take = _settings(Path(folder), "take", Take)
    return replace(take, folder=folder) if take is not None and bounds.is_sane_take(take) else None


def files_of(take: Take) -> take_strips.TakeFiles:
    """The take as the timeline needs it."""
    if take.media_format is MediaFormat.PNG:
        files = tuple(frame_file(index) for index in range(take.frames))
        return take_strips.TakeFiles(take.folder, files, take.frames, False, take.handle_before, take.handle_after)
    movie = (take.first_file,)
    return take_strips.TakeFiles(take.folder, movie, take.frames, True, take.handle_before, take.handle_after)


@dataclass(frozen=True)
class Placed:
    """How placing a take ended."""

    refusal: str = ""
    """Why the take was not placed; empty if it was."""
    note: str = ""
    """What the person should know of where it was placed."""


def place_by_hand(
    status: JobStatus,
    request: TakeRequest,
    scene: bpy.types.Scene,
    belongs_here: bool,
    waiting: list[identity.Marked] | None = None,
) -> Placed:
    """Place a done take because the person asked for it: on the strips that wait for it, or else at its recorded place.

    In a file that the job doesn't belong to, it is placed at the playhead. `waiting` are the strips that wait, if they
    are known; else all strips are looked at.
    """
    if waiting is None:
        waiting = [found for found in identity.sweep() if waits_for(found, status.job_id)]
    if waiting:
        return land(status, waiting)
    return add_at_recorded_place(status, request, scene, start=None if belongs_here else scene.frame_current)


def waits_for(found: identity.Marked, job_id: str) -> bool:
    """True if the strip waits for the job's take: its placeholder, or a strip that gets it as one more take."""
    return (found.is_placeholder and found.job_id == job_id) or job_id in strip_takes.pending(found.strip)


def land(status: JobStatus, waiting: list[identity.Marked], may_show: bool = True) -> Placed:
    """Give each strip the take; nothing is changed if the take is refused.

    It replaces a placeholder, where its sources are now. A strip with takes keeps it as its newest, and shows it if it
    still shows what it showed when this one was asked for and if it `may_show` it.
    """
    assert status.take is not None
    files = files_of(status.take)
    refusal = take_strips.missing_refusal(files)
    if refusal:
        return Placed(refusal)
    strip_ids = [found.strip_id for found in waiting]
    note = ""
    for strip_id in strip_ids:
        found = identity.find(strip_id)  # again: replacing one can move the others in memory
        if found is None:
            continue
        if found.is_placeholder:
            note = (provenance.follow(found) if len(strip_ids) == 1 else "") or note
            _replace(found, status, files)
        else:
            note = _add_to(found, status, may_show) or note
    return Placed(note=note)


def _replace(found: identity.Marked, status: JobStatus, files: take_strips.TakeFiles) -> None:
    old, job_id = found.strip, status.job_id
    asked_for, made_from = strip_takes.request_text(old, job_id), strip_takes.provenance_text(old, job_id)
    still_asked = strip_takes.asked_besides(old, job_id)
    made = take_strips.put_in_place(found, files, status.summary.length_frames)
    _mark(made, status, asked_for)
    strip_takes.set_asked(made, still_asked)
    if made_from:
        made[provenance.PROPERTY] = made_from


def _add_to(found: identity.Marked, status: JobStatus, may_show: bool) -> str:
    """Keep the take on a strip that shows another one; returns why it isn't shown, if that was meant."""
    strip, job_id, take = found.strip, status.job_id, status.take
    assert take is not None
    asked = next((each for each in strip_takes.asked_for(strip) if each.job_id == job_id), strip_takes.Asked(job_id))
    request_text = asked.request
    if not request_text and (request := request_on_disk(status)) is not None:
        request_text = json.dumps(to_json(request))
    files = files_of(take)
    kept = strip_takes.KeptTake(
        job_id,
        take.folder,
        take.first_file,
        take.frames,
        files.is_movie,
        handle_before=take.handle_before,
        handle_after=take.handle_after,
    )
    strip_takes.set_asked(strip, strip_takes.asked_besides(strip, job_id))
    strip_takes.remember(strip, kept, strip_takes.Made(request_text, json.dumps(to_json(take)), asked.asked))
    shows_the_same = found.job_id == asked.shown
    return strip_takes.show(found.scene, strip, job_id) if may_show and shows_the_same else ""


def add_at_recorded_place(
    status: JobStatus, request: TakeRequest, scene: bpy.types.Scene, start: int | None = None
) -> Placed:
    """Put the take on the recorded channel, or a free one, at the recorded frame or `start` (of the scene)."""
    assert status.take is not None
    origin = status.summary.origin
    place = origin.start if start is None else start
    name = take_strips.strip_name(request)
    channel = max(1, min(origin.channel, 128))
    files = files_of(status.take)
    strip = take_strips.put_on_timeline(scene, name, files, channel, place, status.summary.length_frames)
    if isinstance(strip, str):
        return Placed(strip)
    _mark(strip, status, json.dumps(to_json(request)))
    return Placed()


def recorded_scene(status: JobStatus) -> bpy.types.Scene:
    """The scene that the take was asked for in; if it is gone, the one that is shown."""
    scene: Any = compat.own_scene(status.summary.origin.scene)
    if scene is None and bpy.context.scene.library is not None:  # what is put into a linked one is in no file
        scene = next((each for each in bpy.data.scenes if each.library is None), None)
    return scene or bpy.context.scene


def request_on_disk(status: JobStatus) -> TakeRequest | None:
    """The request of a finished take, from the settings file in its folder; None if that can't be read."""
    request = None if status.take is None else _settings(Path(status.take.folder), "request", TakeRequest)
    return request if request is not None and bounds.is_sane_request(request) else None


def _settings(folder: Path, name: str, kind: type[T]) -> T | None:
    """What the take's settings file holds under `name`; None if that can't be read. The folder may be anybody's."""
    file = folder / SETTINGS_FILE
    try:
        if not file.is_file() or file.stat().st_size > bounds.MAX_JSON_CHARACTERS:  # a named pipe would be waited for
            return None
        return from_json(kind, bounds.json_values(file.read_text(encoding="utf-8"))[name], name)
    except (OSError, ValueError, KeyError, TypeError, ProtocolError):
        return None


def _mark(strip: object, status: JobStatus, request_json: str) -> None:
    identity.mark_take(strip, status.job_id, request_json, json.dumps(to_json(status.take)))
