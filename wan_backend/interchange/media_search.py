"""Media that has moved, by its name and length: in a folder that a person chose, and in all folders in it.

Folders behind links aren't looked into. Of several files of one name, the one whose folder is called as before comes
first, then the one that is as long as the cut says, then the newest. Only movies of one name are opened, and no more
than their header is read.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..frames import movie_length
from ..protocol.cut import ClipMedia, ClipMediaKind
from .endings import ALL, MOVIES

MAX_FILES = 500_000
MAX_DEPTH = 16
MAX_OPENED = 200
"""So many movies are opened in all."""


@dataclass
class Search:
    """The files in a folder by their names."""

    folder: str
    _folders: dict[str, list[str]] | None = None
    """By the name of a file, in lower case."""
    _sizes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How many files of media each folder has."""
    _opened: dict[str, float | None] = field(default_factory=dict)

    def candidates(self, media: ClipMedia, was_in: str, rate: float) -> list[str]:
        """The folders that have a file called as the media's first one, the likeliest first.

        `was_in` is the name of its former folder, and `rate` the cut's frames a second.
        """
        if self._folders is None:
            self._folders = self._looked()
        found = self._folders.get(media.files[0].lower(), [])
        if len(found) < 2:
            return found
        return sorted(
            found,
            key=lambda folder: (
                os.path.basename(folder) != was_in,
                self._difference(media, folder, rate),
                -_changed(os.path.join(folder, media.files[0])),
                folder,
            ),
        )

    def _difference(self, media: ClipMedia, folder: str, rate: float) -> float:
        """By how much media there is longer or shorter, in frames; 0 where that can't be told."""
        if not media.frames:
            return 0.0
        if media.kind is ClipMediaKind.PICTURES:
            return abs(self._sizes[folder] - media.frames)
        seconds = self._seconds(os.path.join(folder, media.files[0]))
        return 0.0 if seconds is None else abs(round(seconds * (media.rate or rate)) - media.frames)

    def _seconds(self, file: str) -> float | None:
        if not file.lower().endswith(MOVIES):
            return None
        if file not in self._opened:
            self._opened[file] = movie_length.seconds_of(Path(file)) if len(self._opened) < MAX_OPENED else None
        return self._opened[file]

    def _looked(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for folder, names in _folders_in(self.folder):
            media = [name for name in names if name.lower().endswith(ALL)]
            self._sizes[folder] += len(media)
            for name in media:
                found[name.lower()].append(folder)
        return found


def _folders_in(top: str) -> Iterator[tuple[str, Sequence[str]]]:
    files = 0
    for folder, inner, names in os.walk(top):
        inner.sort()
        if folder[len(top) :].count(os.sep) >= MAX_DEPTH:
            inner.clear()
        yield folder, names
        files += len(names)
        if files > MAX_FILES:
            return


def _changed(file: str) -> float:
    try:
        return os.stat(file).st_mtime
    except OSError:
        return 0.0
