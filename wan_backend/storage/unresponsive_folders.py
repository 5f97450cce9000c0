"""Places that don't answer: a share whose server is gone holds whoever looks there, for hours or for ever.

Which they are is one thing for the whole process, as its disks are. Those who look at every models folder, whatever is
asked for, pass over what is known to be silent. Standard library only.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

MAX_CHILDREN = 1000
"""Of a models folder, whose children may be links to other disks."""

_silent: tuple[str, ...] = ()


def set_unresponsive(places: Iterable[str]) -> None:
    """These don't answer, and all others do, as far as is known."""
    global _silent  # replaced as a whole, so that any thread may read it
    _silent = tuple(dict.fromkeys(places))


def containing(path: str | Path) -> str:
    """The silent place that `path` is, or lies in; empty where there is none."""
    if not _silent:
        return ""
    folded = _folded(path)
    return next((place for place in _silent if folded == _folded(place) or folded.startswith(_inside(place))), "")


def touching(folder: str | Path) -> str:
    """The silent place that all of `folder`, or a part of it, is or lies in; empty where there is none."""
    return containing(folder) or next((place for place in _silent if _folded(place).startswith(_inside(folder))), "")


def describe(place: str) -> str:
    """What is said of a silent place."""
    return f"{place} does not answer"


class Probe:
    """Looks at places on a thread of its own, one after the other and each from the root down: where the first one is
    silent, that thread waits there, and knows its name."""

    def __init__(self, places: Iterable[str], with_children: Iterable[str] = ()) -> None:
        """`with_children`: folders whose children are looked at, too."""
        self._with_children = list(dict.fromkeys(filter(os.path.isabs, with_children)))
        self._places = list(dict.fromkeys([*filter(os.path.isabs, places), *self._with_children]))
        self._at = ("", time.monotonic())
        self.over = False
        """All of them have answered."""
        threading.Thread(target=self._look, name="probe", daemon=True).start()

    def silent(self, seconds: float) -> str:
        """The place that has not answered for so long; empty where there is none."""
        place, since = self._at
        return place if not self.over and time.monotonic() - since >= seconds else ""

    def _look(self) -> None:
        try:
            seen: set[str] = set()
            for place in self._places:
                for step in [*reversed(Path(place).parents), Path(place)]:
                    if str(step) not in seen:
                        seen.add(str(step))
                        self._ask(str(step))
            for folder in self._with_children:
                self._at = (folder, time.monotonic())
                with suppress(OSError, ValueError):
                    for name in sorted(os.listdir(folder))[:MAX_CHILDREN]:
                        self._ask(os.path.join(folder, name))
        finally:
            self.over = True

    def _ask(self, place: str) -> None:
        self._at = (place, time.monotonic())
        with suppress(OSError, ValueError):  # a refusal is an answer
            os.stat(place)


def _folded(path: str | Path) -> str:
    return os.path.normcase(os.path.normpath(path))


def _inside(place: str | Path) -> str:
    """What the paths of all that lies in it begin with."""
    folded = _folded(place)
    return folded if folded.endswith(os.sep) else folded + os.sep
