"""Keeps what the models folders hold, which is surveyed on a thread of its own so that nobody waits."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .survey import Survey, survey
from .transformer_answers import TransformerAnswers

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
"""A survey is believed this long; then the folders are looked at again, and until that is over it is still given."""
FRESH_FACTOR = 10
"""A survey is believed this many times as long as it took, or longer: a slow share isn't read on and on."""


class LibraryIndex:
    """The last survey of the folders. Its methods may be called from any thread."""

    def __init__(
        self,
        folders: Iterable[str],
        snapshots: Callable[[], Iterable[Path]] = tuple,
        answers: TransformerAnswers | None = None,
        files: Callable[[], Iterable[Path]] = tuple,
    ) -> None:
        """`snapshots` returns the folders of fetched models, anew at each refresh; `files` the single files."""
        self._folders, self._snapshots, self._files = [Path(folder) for folder in folders], snapshots, files
        self.answers = answers or TransformerAnswers()
        self._known: Survey | None = None
        self._fresh_until = 0.0
        self._one_at_a_time = threading.Lock()
        self._changed = threading.Condition()
        """Guards what follows."""
        self._is_wanted = self._is_coming = self._is_refreshing = False
        self._begun = self._refreshes = 0
        """The numbers of the last refresh that began and of the last that is over."""
        self._turn = 0
        """Grows when a refresh is given up; what a thread of an earlier turn finds is ignored."""
        self._progress_at = 0.0
        self.on_file: Callable[[int], None] = lambda _: None
        """Called on the thread that refreshes with how many files were looked at so far."""
        self.on_refreshed: Callable[[], None] = lambda: None
        """Called on the same thread when a refresh is over."""

    @property
    def is_ready(self) -> bool:
        """True once the folders were surveyed."""
        return self._known is not None

    def refresh(self) -> Survey:
        """Survey the folders now, which takes as long as the disks take."""
        with self._one_at_a_time:
            began = time.monotonic()
            with self._changed:
                self._is_refreshing, self._progress_at, turn = True, began, self._turn
                self._begun += 1
                number = self._begun
            try:
                found = survey(
                    self._folders,
                    self._snapshots(),
                    functools.partial(self._on_file, turn),
                    self.answers.all(),
                    self._files(),
                )
            except Exception:  # the edge of a thread: whatever a folder does, those who wait get their answer
                log.exception("The models folders could not be looked at")
                found = self._known or Survey()
            took = time.monotonic() - began
            log.info("%d files looked at in %.2f s", len(found.files), took)
            with self._changed:
                if turn != self._turn:
                    return found
                self._known, self._refreshes, self._is_refreshing = found, number, False
                self._fresh_until = time.monotonic() + max(FRESH_SECONDS, FRESH_FACTOR * took)
                self._changed.notify_all()
        self.on_refreshed()
        return found

    def request_refresh(self) -> int:
        """Have the folders surveyed on a thread; once more if that goes on already.

        Returns the number of that refresh, which begins after this call.
        """
        with self._changed:
            self._is_wanted = True
            after = self._begun + 1
            if self._is_coming:
                return after
            self._is_coming = True
        threading.Thread(target=self._refresh_as_wanted, name="library", daemon=True).start()
        return after

    def stalled_seconds(self) -> float:
        """Seconds since the refresh that goes on last finished a file; 0 if none goes on."""
        with self._changed:
            return time.monotonic() - self._progress_at if self._is_refreshing else 0.0

    def abandon_refresh(self) -> int:
        """Give up the refresh that goes on, for it hangs, and begin another, past places that are known not to answer.

        Returns the number of the new one.
        """
        with self._changed:
            self._turn += 1
            self._one_at_a_time = threading.Lock()
            self._is_refreshing = self._is_coming = False
        return self.request_refresh()

    def wait(self, number: int = 1, seconds: float | None = None) -> bool:
        """Wait until the refresh of this number or a later one is over; False if none was within `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._refreshes >= number, seconds)

    @property
    def refreshes(self) -> int:
        """The number of the last refresh that is over; 0 before the first."""
        return self._refreshes

    def known(self) -> Survey | None:
        """The last survey, at once; None before the first refresh is over. An old one is refreshed meanwhile."""
        if time.monotonic() > self._fresh_until and not self._is_coming:
            self.request_refresh()
        return self._known

    def _on_file(self, turn: int, files: int) -> None:
        with self._changed:
            if turn != self._turn:
                return
            self._progress_at = time.monotonic()
        self.on_file(files)

    def _refresh_as_wanted(self) -> None:
        turn = self._turn
        while True:
            with self._changed:
                if turn != self._turn:
                    return
                if not self._is_wanted:
                    self._is_coming = False
                    return
                self._is_wanted = False
            try:
                self.refresh()
            except Exception:  # the edge: a listener that fails must not be the end of all refreshes
                log.exception("Something failed after a refresh of the models folders")
