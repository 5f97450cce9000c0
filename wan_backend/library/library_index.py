"""Keeps what the models folders hold, which is surveyed on a thread of its own so that nobody waits."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .survey import Survey, survey

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
"""A survey is believed this long; then the folders are looked at again, and until that is over it is still given."""
FRESH_LOOKS = 10
"""A survey is believed this many times as long as it took, or longer: a slow share isn't read on and on."""


class LibraryIndex:
    """The last survey of the folders. Its methods may be called from any thread."""

    def __init__(self, folders: Iterable[str], snapshots: Callable[[], Iterable[Path]] = tuple) -> None:
        """`snapshots` gives the folders of fetched models, anew at each look."""
        self._folders, self._snapshots = [Path(folder) for folder in folders], snapshots
        self._known: Survey | None = None
        self._fresh_until = 0.0
        self._one_at_a_time = threading.Lock()
        self._changed = threading.Condition()
        """Guards what follows."""
        self._wanted = self._coming = self._looking = False
        self._looks = 0
        self._given_up = 0
        """Looks that were promised and will never be over."""
        self._turn = 0
        """Grows when a look is given up; what a thread of an earlier turn finds is ignored."""
        self._moved_at = 0.0
        self.on_file: Callable[[int], None] = lambda _: None
        """Called on the thread that looks with how many files were looked at so far."""
        self.on_looked: Callable[[], None] = lambda: None
        """Called on the same thread when a look is over."""

    @property
    def ready(self) -> bool:
        """True once the folders were looked through."""
        return self._known is not None

    def look(self) -> Survey:
        """Look now, which takes as long as the disks take."""
        with self._one_at_a_time:
            began = time.monotonic()
            with self._changed:
                self._looking, self._moved_at, turn = True, began, self._turn
            try:
                found = survey(self._folders, self._snapshots(), functools.partial(self._on_file, turn))
            except Exception:  # the edge of a thread: whatever a folder does, those who wait get their answer
                log.exception("The models folders could not be looked at")
                found = self._known or Survey()
            took = time.monotonic() - began
            log.info("%d files looked at in %.2f s", len(found.files), took)
            with self._changed:
                if turn != self._turn:
                    return found
                self._known, self._looks, self._looking = found, self._looks + 1 + self._given_up, False
                self._given_up = 0
                self._fresh_until = time.monotonic() + max(FRESH_SECONDS, FRESH_LOOKS * took)
                self._changed.notify_all()
        self.on_looked()
        return found

    def look_soon(self) -> int:
        """Have the folders looked through on a thread; once more where that goes on already.

        Returns how many looks will be over when that one is.
        """
        with self._changed:
            self._wanted = True
            after = self._looks + (2 if self._looking else 1)
            if self._coming:
                return after
            self._coming = True
        threading.Thread(target=self._look_as_wanted, name="library", daemon=True).start()
        return after

    def stuck_for(self) -> float:
        """Seconds since the look that goes on last finished a file; 0 where none goes on."""
        with self._changed:
            return time.monotonic() - self._moved_at if self._looking else 0.0

    def look_past(self) -> int:
        """Give up the look that goes on, for it hangs, and look anew, past places that are known not to answer.

        Returns how many looks will be over when that one is.
        """
        with self._changed:
            self._turn += 1
            self._given_up += self._looking
            self._one_at_a_time = threading.Lock()
            self._looking = self._coming = False
        return self.look_soon() + self._given_up

    def wait(self, looks: int = 1, seconds: float | None = None) -> bool:
        """Wait until so many looks are over; False where they were not within `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._looks >= looks, seconds)

    @property
    def looks(self) -> int:
        """How many looks are over."""
        return self._looks

    def known(self) -> Survey | None:
        """The last survey, at once; None before the first look is over. An old one is refreshed meanwhile."""
        if time.monotonic() > self._fresh_until and not self._coming:
            self.look_soon()
        return self._known

    def _on_file(self, turn: int, files: int) -> None:
        with self._changed:
            if turn != self._turn:
                return
            self._moved_at = time.monotonic()
        self.on_file(files)

    def _look_as_wanted(self) -> None:
        turn = self._turn
        while True:
            with self._changed:
                if turn != self._turn:
                    return
                if not self._wanted:
                    self._coming = False
                    return
                self._wanted = False
            try:
                self.look()
            except Exception:  # the edge: a listener that fails must not be the end of all looks
                log.exception("Something failed after a look at the models folders")
