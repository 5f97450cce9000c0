"""The open film's takes on the disk: where they lie, which of them it uses, and how one is laid on its timeline."""

from __future__ import annotations

import json
import os
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.conversion import to_json
from ...wan_backend.protocol.media import frame_file
from ...wan_backend.protocol.messages import JobState, JobStatus, JobSummary, Take, TakeRequest, Task
from ..timeline import compat, identity, strip_media, strip_takes, take_strips
from . import folders, placing, project, request, take_folders
from .take_library import ListedTake, TakeLibrary, read_take

INDEX_FILE = "takes_index.jsonl"
STRIPS_AT_ONCE = 200
"""About two milliseconds' worth."""

_library: TakeLibrary | None = None


def library() -> TakeLibrary:
    """The takes of the open film and its folder, as far as they were looked through."""
    global _library
    if _library is None:
        _library = TakeLibrary(folders.user_folder() / INDEX_FILE)
    return _library


def forget() -> None:
    """Drop what is known, because the add-on ends."""
    global _library
    _library = None


def places() -> list[str]:
    """The media folders that takes of the open film may lie in."""
    found = [request.media_folder(folders.preferences())]
    if project.path():
        found.append(os.path.join(os.path.dirname(project.path()), request.MEDIA_FOLDER))
    own = folders.user_folder() / "media"
    found += [str(own / project_id) for project_id in sorted({*project.ids(), project.id_to_be()})]
    return list(dict.fromkeys(found))


def used_jobs() -> frozenset[str]:
    """The jobs whose takes the open file uses: strips show, keep or wait for them, or play files of their folders.

    Linked scenes count, and so do strips that lost our marks, and images and movies that lie in a take's folder.
    """
    walk = UsedJobs()
    while not walk.done:
        walk.step()
    return frozenset(walk.found)


class UsedJobs:
    """`used_jobs` in slices. No strip is held between two of them: what changes meanwhile may be missed."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.done = False
        self._scene = 0
        self._strip = 0

    def step(self) -> None:
        """Look at the next STRIPS_AT_ONCE strips of a scene, also inside meta strips; behind them, at other media."""
        scenes = bpy.data.scenes
        if self._scene >= len(scenes):
            for block in (*bpy.data.images, *bpy.data.movieclips):
                path = bpy.path.abspath(block.filepath, library=block.library)
                self.found.add(take_folders.job_played(Path(os.path.dirname(path.replace("\\", "/")))))
            self.found.discard("")
            self.done = True
            return
        strips = compat.all_strips(scenes[self._scene])[self._strip : self._strip + STRIPS_AT_ONCE]
        for strip in strips:
            if identity.role_of(strip):
                self.found.update(strip_takes.jobs_on(strip))
            self.found.add(_played_job(strip))
        self._strip += len(strips)
        if len(strips) < STRIPS_AT_ONCE:
            self._scene, self._strip = self._scene + 1, 0


def _played_job(strip: compat.Strip) -> str:
    """The job whose take a strip plays, whether it has our marks or not."""
    if not strip_media.stored_path(strip):
        return ""
    return take_folders.job_played(Path(strip_media.played_folder(strip) or ""))


def project_of(folder: Path) -> str:
    """The id of the film that a take was made for; empty if that can't be read."""
    take = read_take(folder, 0)
    return take.project_id if take is not None else ""


def lay(take: ListedTake, scene: bpy.types.Scene, channel: int, start: int) -> compat.Strip | str:
    """Put the take on the timeline, on that channel if it is free there; the strip, or why it can't be.

    The caller pushes the undo step.
    """
    asked = _request_of(take)
    frames = min(take.length_frames or take.frames, take.frames)
    files = take_strips.TakeFiles(take.folder, _files(take), take.frames, take.is_movie)
    refusal = take_strips.missing_refusal(files)
    if refusal:
        return refusal
    name = take_strips.strip_name(asked) if asked is not None else take.prompt[: take_strips.NAME_CHARACTERS]
    strip = take_strips.put_on_timeline(scene, name or iface_("Take"), files, max(1, min(channel, 128)), start, frames)
    if not isinstance(strip, str):
        found = placing.take_in(take.folder)
        request_text = json.dumps(to_json(asked)) if asked is not None else ""
        identity.mark_take(strip, take.job_id, request_text, json.dumps(to_json(found)) if found else "")
    return strip


def _files(take: ListedTake) -> tuple[str, ...]:
    if take.is_movie:
        return (take.first_file,)
    return tuple(frame_file(index) for index in range(take.frames))


def _request_of(take: ListedTake) -> TakeRequest | None:
    """The whole request, from the take's folder; None if a newer version wrote it."""
    found: Take | None = placing.take_in(take.folder)
    if found is None:
        return None
    blank = JobSummary("", Task.TEXT_TO_VIDEO, "", 0, 1)
    return placing.request_on_disk(JobStatus(take.job_id, JobState.DONE, blank, take=found))
