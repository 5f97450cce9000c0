"""Has the frames that a take reads taken out of long footage, where that is less to send than the files themselves.

A child of the backend's Python does it; Blender's own can't decode, and then the files are sent as they are.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..protocol.conversion import to_json
from ..protocol.messages import Framing, Plan, Role, Source, TakeRequest
from ..server.thumbnail_requests import have_child_make
from ..storage import private_files, whole_file
from .contents import Stopped, read_names
from .places import Places

log = logging.getLogger(__name__)

PROCESS = "wan_backend.frames.sent_frames_process"
DONE_FILE = "done.json"
PATIENCE_SECONDS = 1800.0
WORTH_BYTES = 4 << 20
"""Files that are smaller are sent as they are: looking for what is less would take longer."""
BYTES_PER_PIXEL = 2.0
"""About what a PNG file takes of footage with some grain."""


def is_possible() -> bool:
    """Whether this Python can decode footage."""
    return all(importlib.util.find_spec(name) is not None for name in ("cv2", "av", "numpy"))


def is_worth_asking(request: TakeRequest, places: Places) -> bool:
    """Whether a plan may show that less has to be sent. A take that is made larger is needed as it is."""
    return request.finish is None and any(
        _size(source) > WORTH_BYTES for source in request.sources if _may_be_extracted(source, places)
    )


def with_extracted(
    request: TakeRequest, plan: Plan, places: Places, folder: Path, stopped: Callable[[], bool]
) -> TakeRequest:
    """The request with frames in place of the sources that are larger. Never raises but Stopped."""
    room = plan.width * plan.height * BYTES_PER_PIXEL
    chosen = [
        number
        for number, source in enumerate(request.sources)
        if _may_be_extracted(source, places)
        and _size(source) > max(WORTH_BYTES, room * _most_frames(source, request, plan))
    ]
    if not chosen or plan.problem is not None:
        return request
    try:
        shutil.rmtree(folder, ignore_errors=True)
        private_files.make_folder(folder)
        order = {"request": to_json(request), "plan": to_json(plan), "sources": chosen}
        have_child_make(PROCESS, [str(folder)], json.dumps(order).encode(), time.monotonic() + PATIENCE_SECONDS)
        if stopped():
            raise Stopped
        names = whole_file.read_json(folder / DONE_FILE)
    except (OSError, ValueError) as error:  # a file that can't be read there can't be read here: the job says so
        log.warning("No frames were taken out, the files are sent whole: %s", error)
        return request
    sources = list(request.sources)
    for number in chosen:
        if files := [str(name) for name in names.get(str(number), [])]:
            sources[number] = _extracted(sources[number], plan, folder / str(number), files)
    return replace(request, sources=sources)


def _may_be_extracted(source: Source, places: Places) -> bool:
    """Whether less may be sent of it: a reference is read in a shape of its own, which no frame of the scene's has."""
    return source.role is not Role.REFERENCE and places.shared(source.folder) is None


def _most_frames(source: Source, request: TakeRequest, plan: Plan) -> int:
    """No more frames of a source are read: of a training's, several clips may be cut."""
    return source.frames if request.training is not None else min(source.frames, plan.model_frames)


def _extracted(source: Source, plan: Plan, folder: Path, files: list[str]) -> Source:
    whole = Framing(plan.width, plan.height, 0.0, 0.0, plan.width, plan.height)
    return replace(
        source,
        folder=str(folder),
        files=files,
        is_movie=False,
        first_frame=0,
        framing=whole,
        pictures=None,
        rendered=True,
        shown_files=source.shown_files if source.rendered else [str(Path(source.folder, source.files[0]))],
    )


def _size(source: Source) -> int:
    try:
        return sum(Path(source.folder, name).stat().st_size for name in dict.fromkeys(read_names(source)))
    except (OSError, ValueError):
        return 0
