"""Keeps a list of folders that don't answer: a share whose server is gone holds up its readers for hours or forever.

There is one list for the whole process. Code that reads every models folder skips those on the list.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..protocol.sentences import Sentence

MAX_CHILDREN = 1000
"""Number of a models folder's children that are probed: they may be links to other disks."""

_silent: tuple[str, ...] = ()


def set_unresponsive(folders: Iterable[str]) -> None:
    """Replace the list: these folders don't answer, and all others do, as far as is known."""
    global _silent  # replaced as a whole, so that any thread may read it
    _silent = tuple(dict.fromkeys(folders))


def containing(path: str | Path) -> str:
    """The unresponsive folder that `path` is, or lies in; empty if there is none."""
    if not _silent:
        return ""
    folded = _folded(path)
    return next((each for each in _silent if folded == _folded(each) or folded.startswith(_inside(each))), "")


def touching(folder: str | Path) -> str:
    """The unresponsive folder that `folder` is, lies in or contains; empty if there is none."""
    return containing(folder) or next((each for each in _silent if _folded(each).startswith(_inside(folder))), "")


def describe(folder: str) -> Sentence:
    """A clause that says that the folder does not answer."""
    return Sentence("{folder} does not answer", folder=folder)


class Probe:
    """Looks at folders on a thread of its own, one after the other and each from the root down: the thread waits at the
    first one that doesn't answer, and knows its name."""

    def __init__(self, folders: Iterable[str], with_children: Iterable[str] = ()) -> None:
        """`with_children`: folders whose children are looked at, too."""
        self._with_children = list(dict.fromkeys(filter(os.path.isabs, with_children)))
        self._folders = list(dict.fromkeys([*filter(os.path.isabs, folders), *self._with_children]))
        self._at = ("", time.monotonic())
        self.over = False
        """All of them have answered."""
        threading.Thread(target=self._look, name="probe", daemon=True).start()

    def silent(self, seconds: float) -> str:
        """The folder that has not answered for `seconds`; empty if there is none."""
        folder, since = self._at
        return folder if not self.over and time.monotonic() - since >= seconds else ""

    def _look(self) -> None:
        try:
            seen: set[str] = set()
            for folder in self._folders:
                for step in [*reversed(Path(folder).parents), Path(folder)]:
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

    def _ask(self, folder: str) -> None:
        self._at = (folder, time.monotonic())
        with suppress(OSError, ValueError):  # a refusal is an answer
            os.stat(folder)


def _folded(path: str | Path) -> str:
    return os.path.normcase(os.path.normpath(path))


def _inside(folder: str | Path) -> str:
    """The prefix of all paths inside the folder."""
    folded = _folded(folder)
    return folded if folded.endswith(os.sep) else folded + os.sep
