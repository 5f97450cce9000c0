"""The small pictures of takes, as the backend makes them: asked for by who shows them, read in the ticks.

It needs no Blender. A backend that is not there costs the pictures alone.
"""

from __future__ import annotations

import logging
import os
import stat
import struct
import time
import zlib
from collections import OrderedDict, deque
from dataclasses import dataclass

from ...wan_backend.protocol.errors import GONE, ProtocolError
from ...wan_backend.protocol.media import (
    FILMSTRIP_HEAD,
    FILMSTRIP_MARK,
    FILMSTRIP_PICTURES,
    FILMSTRIP_SIDE,
    MAX_FILMSTRIPS,
    frame_file,
)
from ...wan_backend.protocol.messages import Film, FilmstripsParams, FilmstripsResult, Role, Source
from ..backend.client import ChildClient
from .take_library import ListedTake

log = logging.getLogger(__name__)

MAX_KEPT = 60
"""Of each, up to two and a half megabytes of pixels."""
MAX_WANTED = 40
AT_ONCE = MAX_FILMSTRIPS
"""Films in one question: to start the process that makes them takes as long as making them."""
MAX_FILE_BYTES = 4 << 20


@dataclass(frozen=True)
class Filmstrip:
    """A few pictures, first to last: rows of RGBA as 32 bit floats, the lowest first, the first picture lowest."""

    width: int
    height: int
    count: int
    pixels: bytes


class FilmstripQuery:
    """Filmstrips by the folders of their takes."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Filmstrip | None] = OrderedDict()
        self._wanted: OrderedDict[str, ListedTake] = OrderedDict()
        self._to_read: deque[tuple[str, str]] = deque()
        self._asked: set[str] = set()
        self.version = 0
        """Grows with each strip that came."""

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come or to be read."""
        return bool(self._to_read or self._asked)

    def of(self, take: ListedTake) -> Filmstrip | None:
        """The take's strip; None until it has come, and where there is none. Safe in a draw."""
        if take.folder in self._known:
            self._known.move_to_end(take.folder)
            return self._known[take.folder]
        if take.folder not in self._asked and take.width and take.height:
            self._wanted[take.folder] = take
            self._wanted.move_to_end(take.folder)  # what is in view now goes first
            while len(self._wanted) > MAX_WANTED:
                self._wanted.popitem(last=False)
        return None

    def tick(self, client: ChildClient, deadline: float) -> None:
        """Read what was made, until `deadline` (of time.perf_counter), or ask for some of what is in view."""
        while self._to_read and time.perf_counter() < deadline:
            folder, file = self._to_read.popleft()
            self._keep(folder, read(file) if file else None)
        if self._wanted and not self._asked:
            takes = [self._wanted.popitem()[1] for _ in range(min(AT_ONCE, len(self._wanted)))]
            self._ask(client, takes)

    def want_none(self) -> None:
        """Nobody looks at them any more: what was not asked for yet isn't."""
        self._wanted.clear()

    def forget(self) -> None:
        """The server is gone: what it was asked is asked again."""
        self._asked.clear()
        self._to_read.clear()
        for folder in [folder for folder, strip in self._known.items() if strip is None]:
            del self._known[folder]

    def _ask(self, client: ChildClient, takes: list[ListedTake]) -> None:
        folders = [take.folder for take in takes]
        self._asked.update(folders)

        def answered(result: FilmstripsResult) -> None:
            self._to_read.extend(zip(folders, result.files, strict=False))

        def failed(error: ProtocolError) -> None:
            if error.code != GONE:
                log.info("No filmstrips: %s", error.message)
                for folder in folders:
                    self._keep(folder, None)

        client.call("filmstrips", FilmstripsParams([film_of(take) for take in takes]), answered, failed)

    def _keep(self, folder: str, strip: Filmstrip | None) -> None:
        self._asked.discard(folder)
        self._known[folder] = strip
        while len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)
        self.version += 1


def film_of(take: ListedTake) -> Film:
    """The take as the backend is asked for it."""
    files = [take.first_file] if take.is_movie else [frame_file(index) for index in range(take.frames)]
    source = Source(Role.FOOTAGE, take.folder, files, take.is_movie, frames=take.frames)
    return Film(source, take.width, take.height)


def read(path: str) -> Filmstrip | None:
    """The strip in a file; None if it holds none."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a named pipe would be waited for
            return None
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES)
        mark, width, height, count, _ = FILMSTRIP_HEAD.unpack_from(content)
        sides = 0 < width <= FILMSTRIP_SIDE and 0 < height <= FILMSTRIP_SIDE and 0 < count <= FILMSTRIP_PICTURES
        if mark != FILMSTRIP_MARK or not sides:
            return None
        size = 16 * width * height * count
        pixels = zlib.decompressobj().decompress(content[FILMSTRIP_HEAD.size :], size)
    except (OSError, ValueError, zlib.error, struct.error):
        return None
    return Filmstrip(width, height, count, pixels) if len(pixels) == size else None
