"""The request of `generate --edit MOVIE`: looks at the movie and at the reference pictures that are given with it.

They are looked at in a process of its own, with limits of memory and time (`frames.upload_process`), because nobody
knows what the files are. They are read where they lie, also by who makes the take once more.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..protocol.conversion import from_json
from ..protocol.errors import ProtocolError
from ..protocol.media import UPLOAD_FILE, UPLOAD_LINE_FILE
from ..protocol.messages import MAX_REFERENCES, MAX_TAKE_FRAMES, Framing, Role, Source, TakeRequest, Task
from ..protocol.uploads import Upload
from ..server.thumbnail_requests import have_child_make
from ..storage import whole_file
from ..storage.disk_errors import reason

MODEL = "bernini-r-1.3b"
"""The model of an edit where none is named."""
PROCESS = "wan_backend.frames.upload_process"
PATIENCE_SECONDS = 60.0


def request_of(request: TakeRequest, movie: Path, references: Sequence[Path], frames: int | None) -> TakeRequest:
    """The request as an edit of the movie's first `frames`, or of all, at its rate; raises ValueError with a sentence.

    A size by name takes the movie's shape.
    """
    if len(references) > MAX_REFERENCES:
        raise ValueError(f"An edit takes at most {MAX_REFERENCES} reference pictures; leave some out.")
    found = looked_at(movie)
    if not found.is_movie or found.pictures is None:
        raise ValueError(f"{movie} is a picture; --edit takes a movie.")
    if frames is not None and frames > found.frames:
        raise ValueError(f"{movie} has {found.frames} frames; leave out --frames, or ask for at most as many.")
    if frames is None and found.frames > MAX_TAKE_FRAMES:
        raise ValueError(
            f"{movie} has {found.frames} frames, and a take at most {MAX_TAKE_FRAMES}; edit its first with --frames."
        )
    length = found.frames if frames is None else frames
    width, height = request.width, request.height
    if request.resolution != "exact":
        scale = (width * height / (found.width * found.height)) ** 0.5
        width, height = max(2, round(found.width * scale)), max(2, round(found.height * scale))
    footage = Source(
        Role.FOOTAGE,
        str(movie.absolute().parent),
        [movie.name],
        is_movie=True,
        frames=length,
        framing=_whole(width, height),
        pictures=found.pictures,
    )
    pictures = [_reference(picture, number) for number, picture in enumerate(references, 1)]
    return replace(
        request,
        task=Task.EDIT,
        width=width,
        height=height,
        length_frames=length,
        frame_rate=found.frame_rate,
        sources=[footage, *pictures, *request.sources],
    )


def _reference(picture: Path, number: int) -> Source:
    found = looked_at(picture)
    if found.is_movie or found.pictures is None:
        raise ValueError(f"{picture} is a movie; --reference takes a picture.")
    return Source(
        Role.REFERENCE,
        str(picture.absolute().parent),
        [picture.name],
        framing=replace(_whole(*found.pictures.shown_size()), mirror_x=found.mirrored),
        pictures=found.pictures,
        at_frame=number,
    )


def _whole(width: int, height: int) -> Framing:
    return Framing(width, height, 0.0, 0.0, float(width), float(height))


def looked_at(file: Path) -> Upload:
    """What the file is; raises ValueError with a sentence if takes can't be made from it."""
    try:
        file.stat()
        with tempfile.TemporaryDirectory(prefix="wan-backend-") as name:
            folder = Path(name)
            _lay(file.absolute(), folder / UPLOAD_FILE)
            have_child_make(PROCESS, [name], b"", time.monotonic() + PATIENCE_SECONDS)
            found = _line_in(folder)
    except OSError as error:
        raise ValueError(f"{file} can't be read ({reason(error)}).") from None
    if found is None:
        raise ValueError(f"{file} can't be used: it could not be decoded.")
    if found.problem:
        raise ValueError(f"{file} can't be used: {found.problem}.")
    return found


def _lay(file: Path, place: Path) -> None:
    """Have the file at `place`, too. Raises OSError."""
    try:
        os.symlink(file, place)
    except OSError:  # Windows lets not everybody
        shutil.copyfile(file, place)


def _line_in(folder: Path) -> Upload | None:
    try:
        return from_json(Upload, whole_file.read_json(folder / UPLOAD_LINE_FILE), "upload")
    except (OSError, ValueError, ProtocolError):
        return None
