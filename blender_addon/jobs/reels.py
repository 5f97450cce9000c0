"""Frames of takes and sources as the backend reads them to be compared: said by who shows them, asked for in the ticks.

Blender reads a picture whole or not at all, which may take longer than a frame of its window does; from a reel any rows
are read in no time. It needs no Blender. A backend that is not there costs the quickness alone.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import struct
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...wan_backend.protocol.errors import ProtocolError
from ...wan_backend.protocol.media import FILMSTRIP_HEAD, MAX_REEL_FRAMES, MAX_REEL_SIDE, REEL_MARK
from ...wan_backend.protocol.messages import Film, FilmstripsParams, FilmstripsResult, Role, Source
from ..backend.client import ChildClient

log = logging.getLogger(__name__)

MAX_KNOWN = 4000
FIRST_FRAMES, LEAST_FRAMES = 12, 8
ANSWER_SECONDS = 1.5
"""So many frames are asked for at once as come within this time: an answer comes soon, also on a slow machine."""


class Frame(NamedTuple):
    """A picture's file, or a frame of a movie, at a size."""

    path: str
    movie_frame: int
    """-1 for a picture."""
    side: int
    """The most pixels a side."""


@dataclass(frozen=True)
class ReelPicture:
    """Where a frame lies in a reel."""

    file: str
    width: int
    height: int
    offset: int

    def rows(self, first: int, end: int) -> bytes:
        """Those rows, the lowest being 0, of four bytes a pixel. Raises OSError if the reel is gone."""
        line = 4 * self.width
        with open(self.file, "rb") as file:
            file.seek(self.offset + first * line)
            found = file.read((end - first) * line)
        if len(found) != (end - first) * line:
            raise OSError(errno.EIO, "cut off", str(self.file))
        return found


@dataclass(frozen=True)
class _Wanted:
    film: Film
    frames: tuple[Frame, ...]


class ReelQuery:
    """Reels by the frames that they have."""

    def __init__(self) -> None:
        self._known: OrderedDict[Frame, ReelPicture | None] = OrderedDict()
        self._wanted: list[_Wanted] = []
        self._asked: tuple[_Wanted, ...] = ()
        self._most = FIRST_FRAMES
        self.seconds = 0.0
        """How long the last answer took."""

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._asked or self._wanted)

    def is_known(self, frame: Frame) -> bool:
        """Whether the backend has answered; there may be none."""
        return frame in self._known

    def of(self, frame: Frame) -> ReelPicture | None:
        """Where the frame is; None until it has come, and where there is none. Safe in a draw."""
        return self._known.get(frame)

    def lost(self, frame: Frame) -> None:
        """Its reel is gone from the disk: it is asked for again."""
        self._known.pop(frame, None)

    def want(self, series: Sequence[tuple[Sequence[Frame], tuple[int, int]]]) -> None:
        """Ask for those frames, each series of one take or movie, with the size of its pictures; not for what was
        wanted before and isn't any more. Safe in a draw."""
        self._wanted = [made for frames, size in series if (made := self._missing(frames, size)) is not None]

    def _missing(self, frames: Sequence[Frame], size: tuple[int, int]) -> _Wanted | None:
        asked = {frame for each in self._asked for frame in each.frames}
        left = [frame for frame in dict.fromkeys(frames) if frame not in self._known and frame not in asked]
        if not left:
            return None
        first = left[0]
        folder, name = os.path.split(first.path)
        if first.movie_frame < 0:
            left = [frame for frame in left if os.path.dirname(frame.path) == folder][: self._most]
            names = [os.path.basename(frame.path) for frame in left]
            source = Source(Role.FOOTAGE, folder, names, frames=len(names))
        else:
            here = {frame.movie_frame: frame for frame in left if frame.path == first.path}
            low = min(here)
            numbers = range(low, min(max(here) + 1, low + self._most))
            left = [here.get(number, first._replace(movie_frame=number)) for number in numbers]
            source = Source(Role.FOOTAGE, folder, [name], is_movie=True, frames=len(left), first_frame=low)
        return _Wanted(Film(source, *size, side=min(first.side, MAX_REEL_SIDE)), tuple(left))

    def tick(self, client: ChildClient) -> None:
        """Ask for what is wanted, unless an answer is still to come: the child that makes it is one at a time."""
        if not self._wanted or self._asked:
            return
        asked = self._asked = tuple(self._wanted)
        since = time.monotonic()
        self._wanted = []

        def answered(result: FilmstripsResult) -> None:
            self._note_time(max(len(each.frames) for each in asked), time.monotonic() - since)
            for each, file in zip(asked, result.files, strict=False):
                self._keep(each.frames, file)
            self._asked = ()

        def failed(error: ProtocolError) -> None:
            log.info("No reels: %s", error.message)
            for each in asked:
                self._keep(each.frames, "")
            self._asked = ()

        client.call("filmstrips", FilmstripsParams([each.film for each in asked]), answered, failed)

    def forget(self) -> None:
        """The server is gone: what it had no answer for is asked again."""
        self._asked, self._wanted = (), []
        for frame in [frame for frame, found in self._known.items() if found is None]:
            del self._known[frame]

    def end(self) -> None:
        """Nobody compares any more: what is compared next may have changed on the disk."""
        self._wanted = []
        self._known.clear()

    def _note_time(self, frames: int, seconds: float) -> None:
        self.seconds = seconds
        if frames > 1:
            self._most = max(LEAST_FRAMES, min(int(frames * ANSWER_SECONDS / max(seconds, 0.001)), MAX_REEL_FRAMES))

    def _keep(self, frames: tuple[Frame, ...], file: str) -> None:
        head = _head(file) if file else None
        for index, frame in enumerate(frames):
            found = None
            if head is not None and index < head[2]:
                found = ReelPicture(file, head[0], head[1], FILMSTRIP_HEAD.size + index * head[0] * head[1] * 4)
            self._known[frame] = found
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _head(file: str) -> tuple[int, int, int] | None:
    """Width, height and number of the frames of a whole reel; None for anything else."""
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):  # a named pipe would be waited for
            return None
        with open(file, "rb") as opened:
            mark, width, height, count, _ = FILMSTRIP_HEAD.unpack(opened.read(FILMSTRIP_HEAD.size))
    except (OSError, ValueError, struct.error):
        return None
    sides = 0 < width <= MAX_REEL_SIDE and 0 < height <= MAX_REEL_SIDE and 0 < count <= MAX_REEL_FRAMES
    whole = status.st_size == FILMSTRIP_HEAD.size + 4 * width * height * count
    return (width, height, count) if mark == REEL_MARK and sides and whole else None
