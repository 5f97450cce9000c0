"""What the disk says of the takes that strips keep: whether all their files are there, and when they were made.

It needs no Blender. Draws ask for the answers that are kept; the disk is asked in ticks, and again after a while. A
folder whose own date is as it was has lost no file, so that a second look costs one question.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.media import MOVIE_FILES, SETTINGS_FILE, frame_file
from ...wan_backend.storage import whole_file
from ..timeline import path_rules, picture_files

MAX_KEPT = 8000
MAX_DATE_CHARACTERS = 40
_UNSURE = -2
"""In the place of a date that the folder would still have after a change."""
AGAIN_SECONDS = 6.0
"""An answer that is older is looked up once more when it is asked for."""


@dataclass(frozen=True)
class TakePlace:
    """Where a take's files are to be."""

    folder: str
    first_file: str
    frames: int

    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        is_movie = self.first_file in MOVIE_FILES.values()
        return (self.first_file,) if is_movie else tuple(map(frame_file, range(self.frames)))


@dataclass(frozen=True)
class TakeMedia:
    """What was found of one."""

    missing: str = ""
    """The name of the first of its files that is gone; empty while all are there."""
    made: float = 0.0
    """When it was made, in seconds since 1970; 0 if that isn't known."""

    @property
    def is_gone(self) -> bool:
        """Whether it can't be shown."""
        return bool(self.missing)


@dataclass(frozen=True)
class _Kept:
    media: TakeMedia
    stamp: int
    """When the folder was changed last, in nanoseconds; -1 if it isn't there."""
    looked: float


class MediaLook:
    """The answers, and what is still to be looked up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[TakePlace, _Kept] = OrderedDict()
        self._asked: dict[TakePlace, None] = {}
        self.version = 0
        """Grows with each answer that is another than before."""

    @property
    def busy(self) -> bool:
        """Whether something is still to be looked up."""
        return bool(self._asked)

    def of(self, place: TakePlace) -> TakeMedia | None:
        """What is known of the take; None until it was looked at. Safe in a draw."""
        kept = self._kept.get(place)
        if (kept is None or self._clock() > kept.looked + AGAIN_SECONDS) and _may_be_asked(place):
            self._asked[place] = None
        return None if kept is None else kept.media

    def tick(self, deadline: float) -> bool:
        """Look until `deadline` (of time.perf_counter), at one take at least; True if an answer is new."""
        before = self.version
        while self._asked:
            place = next(iter(self._asked))
            del self._asked[place]
            self._look(place)
            if time.perf_counter() > deadline:
                break
        return self.version != before

    def forget(self) -> None:
        """Look anew at whatever is asked for, as after a file was opened."""
        self._kept.clear()
        self._asked.clear()
        self.version += 1

    def _look(self, place: TakePlace) -> None:
        kept = self._kept.pop(place, None)
        stamp = _stamp(place.folder)
        if kept is not None and kept.stamp == stamp:
            now = replace(kept, looked=self._clock())
        else:
            sure = stamp if path_rules.is_settled(stamp) else _UNSURE
            now = _Kept(_media(place), sure, self._clock())
        self._kept[place] = now
        if kept is None or kept.media != now.media:
            self.version += 1
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)


def _may_be_asked(place: TakePlace) -> bool:
    """False for a share of Windows: one that doesn't answer would hold the window up."""
    return not (os.name == "nt" and place.folder.startswith("\\\\"))


def _stamp(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except (OSError, ValueError):
        return -1


def _media(place: TakePlace) -> TakeMedia:
    missing = path_rules.missing(place.files(), picture_files.files_in(place.folder))
    return TakeMedia(missing[0] if missing else "", made_seconds(place.folder))


def made_seconds(folder: str) -> float:
    """When the take in the folder was made, by its settings, else by their file's date; 0 if there are none."""
    file = Path(folder, SETTINGS_FILE)
    try:
        settings = whole_file.read_json(file, bounds.MAX_JSON_CHARACTERS)
        made = settings.get("made") if isinstance(settings, dict) else None
        return _seconds_of(made) or max(0.0, file.lstat().st_mtime)
    except (OSError, ValueError):
        return 0.0


def _seconds_of(made: object) -> float:
    """A date in ISO's form in seconds since 1970; 0 if it is none."""
    if not isinstance(made, str) or len(made) > MAX_DATE_CHARACTERS:
        return 0.0
    try:
        return max(0.0, datetime.fromisoformat(made).timestamp())
    except (ValueError, OverflowError, OSError):
        return 0.0
