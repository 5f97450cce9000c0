"""Whether files are there, and how large their pictures are: all of them at once, or a few more at every look.

A panel looks at every redraw, and thousands of files on a share would hold Blender's window up: `glance` looks at the
first and the last, and goes on through the others in slices from one look to the next. An order looks at as many as it
can in a moment (`moment`): whoever reads the others later says what is wrong with them.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .picture_size import Size, head_of

SLICE_FILES = 100
SLICE_SECONDS = 0.003
AGAIN_SECONDS = 4.0
"""So long after all of a list was gone through, the glances begin anew."""
MOMENT_FILES = 100
MOMENT_SECONDS = 0.1
"""An order looks for so long, and at so many files however long that takes."""
MOST_KEPT = 32
"""So many lists are remembered."""


@dataclass
class Found:
    """What was found of a list of files, as far as it was looked at."""

    lost: list[str] = field(default_factory=list)
    """Missing, empty or not to be read."""
    sizes: set[Size | None] = field(default_factory=set)
    """Of the pictures. None stands for a file that is no picture whose size can be told."""
    opaque: bool = True
    """False where one of them may be transparent somewhere."""
    complete: bool = False
    """True where every file was looked at."""


Look = Callable[[str, Sequence[str], bool], Found]
"""Looks at the named files of a folder; the last argument says whether the pictures' sizes are wanted, too."""


def whole(folder: str, names: Sequence[str], sizes: bool) -> Found:
    """Every file, now."""
    found = Found(complete=True)
    for name in dict.fromkeys(names):
        _look_at(folder, name, sizes, found)
    return found


def moment(folder: str, names: Sequence[str], sizes: bool) -> Found:
    """As many files as a moment is enough for, and what glances found of the others."""
    found, until = Found(), time.monotonic() + MOMENT_SECONDS
    looked: set[str] = set()
    for name in dict.fromkeys([*names[:1], *names[-1:], *names]):
        if len(looked) >= MOMENT_FILES and time.monotonic() > until:
            break
        _look_at(folder, name, sizes, found)
        looked.add(name)
    else:
        found.complete = True
    before = _kept.get((folder, sizes, tuple(names)))
    if before is None or found.complete:
        return found
    seen = before.found if before.before is None else before.before
    found.lost += [name for name in seen.lost if name not in looked]
    found.sizes |= seen.sizes
    found.opaque &= seen.opaque
    found.complete = seen.complete
    return found


def glance(folder: str, names: Sequence[str], sizes: bool) -> Found:
    """The first and the last file, and what was found so far of the others."""
    key = (folder, sizes, tuple(names))
    kept = _kept.pop(key, None) or _Glances(list(dict.fromkeys([*names[:1], *names[-1:], *names])))
    _kept[key] = kept  # what was looked at last is the last to go
    if len(_kept) > MOST_KEPT:
        del _kept[next(iter(_kept))]
    return kept.go_on(folder, sizes)


def forget() -> None:
    """Look at everything anew."""
    _kept.clear()


@dataclass
class _Glances:
    """How far one list was gone through, and what the time before found."""

    names: list[str]
    at: int = 0
    found: Found = field(default_factory=Found)
    before: Found | None = None
    again_at: float = 0.0

    def go_on(self, folder: str, sizes: bool) -> Found:
        if self.at == len(self.names) and time.monotonic() > self.again_at:
            self.at, self.found, self.before = 0, Found(), self.found
        enough, end = time.monotonic() + SLICE_SECONDS, min(len(self.names), self.at + SLICE_FILES)
        while self.at < end and (self.at < 2 or time.monotonic() < enough):
            _look_at(folder, self.names[self.at], sizes, self.found)
            self.at += 1
            if self.at == len(self.names):
                self.before, self.again_at = None, time.monotonic() + AGAIN_SECONDS
                self.found.complete = True
        return self.found if self.before is None or self.found.lost else self.before


_kept: dict[tuple[object, ...], _Glances] = {}


def _look_at(folder: str, name: str, sizes: bool, found: Found) -> None:
    path = os.path.join(folder, name)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            found.lost.append(name)
        elif sizes:
            head = head_of(path, status)
            found.sizes.add(head.size)
            found.opaque &= head.is_opaque
    except (OSError, ValueError):
        found.lost.append(name)
