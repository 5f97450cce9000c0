"""Files of sources that were looked at and can't be used, so that a plan says so before anything is made.

A plan never opens a picture or a movie. Whoever did, in a process of its own, notes here what is wrong with it; that
holds as long as the file is the same one.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass

from ..protocol.messages import Problem, Source

MAX_KEPT = 1000
"""Those that were noted first are forgotten."""


@dataclass(frozen=True)
class FileState:
    """A file, the part of it that a source shows, and its stamp at some moment."""

    path: str
    part: tuple[int, ...]
    """A movie's first frame and the number of frames; empty for a picture."""
    stamp: tuple[int, ...]
    """Empty if there is no file."""

    @classmethod
    def of(cls, source: Source, name: str) -> FileState:
        """The state of one of the source's files now; never raises for what is on the disk."""
        path, part = _place(source, name)
        try:
            state = os.stat(path)
        except (OSError, ValueError):
            return cls(path, part, ())
        return cls(path, part, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


class UnusableFiles:
    """The problem of each file that can't be used; safe to call from any thread."""

    def __init__(self) -> None:
        self._problems: OrderedDict[tuple[str, tuple[int, ...]], tuple[FileState, Problem]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, state: FileState, problem: Problem) -> None:
        """Keep what is wrong with a file that was in that state before it was read."""
        with self._lock:
            place = state.path, state.part
            self._problems[place] = state, problem
            self._problems.move_to_end(place)
            while len(self._problems) > MAX_KEPT:
                self._problems.popitem(last=False)

    def problem(self, source: Source) -> Problem | None:
        """What is wrong with one of the source's files, if it is still the one that was looked at."""
        for name in dict.fromkeys(source.files):
            with self._lock:
                known = self._problems.get(_place(source, name))
            if known is not None and known[0].stamp and known[0] == FileState.of(source, name):
                return known[1]
        return None


def _place(source: Source, name: str) -> tuple[str, tuple[int, ...]]:
    return os.path.join(source.folder, name), (source.first_frame, source.frames) if source.is_movie else ()
