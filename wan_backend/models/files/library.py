"""What the models folders hold, looked at on a thread of its own so that nobody waits. Standard library only."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .survey import Survey, survey

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
"""So long what is known is believed; then it is looked at again, meanwhile it is still told."""


class Library:
    """The last survey of the folders. Its methods may be called from any thread."""

    def __init__(self, folders: Iterable[str], snapshots: Callable[[], Iterable[Path]] = tuple) -> None:
        """`snapshots` gives the folders of fetched models, anew at each look."""
        self._folders, self._snapshots = [Path(folder) for folder in folders], snapshots
        self._known: Survey | None = None
        self._looked_at = 0.0
        self._lock = threading.Lock()
        self._coming = False
        """True while a look of our own accord is under way."""

    def look(self) -> Survey:
        """Look now; takes seconds where the folders are large and were never looked at."""
        with self._lock:
            began = time.monotonic()
            try:
                self._known = survey(self._folders, self._snapshots())
            except Exception:  # the edge of a thread: whatever a folder does, those who wait get their answer
                log.exception("The models folders could not be looked at")
                self._known = self._known or Survey()
            self._looked_at, self._coming = time.monotonic(), False
            log.info("%d files looked at in %.2f s", len(self._known.looked), self._looked_at - began)
            return self._known

    def known(self) -> Survey | None:
        """What is known, at once; None before the first look is over. Has it looked at again where it is old."""
        if time.monotonic() - self._looked_at > FRESH_SECONDS and not self._coming:
            self._coming = True
            threading.Thread(target=self.look, name="library", daemon=True).start()
        return self._known
