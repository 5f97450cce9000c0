"""Whether the queue is paused, kept on the disk: whoever pauses it and quits finds it paused."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from ...wan_backend.storage import whole_file

log = logging.getLogger(__name__)

MARK = "queue_paused"
"""A file of the extension's own folder, which is there while the queue is paused."""


class QueuePause:
    """Read once: another window of Blender has a queue, and a pause, of its own until this one ends."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        """`folder()` is the extension's own."""
        self._folder = folder
        self._paused: bool | None = None

    @property
    def paused(self) -> bool:
        """True if no job is to be begun."""
        if self._paused is None:
            self._paused = False
            with contextlib.suppress(OSError):
                self._paused = (self._folder() / MARK).is_file()
        return self._paused

    def set(self, paused: bool) -> None:
        """Pause or resume; where that can't be kept, it holds for this session."""
        self._paused = paused
        try:
            file = self._folder() / MARK
            if paused:
                whole_file.write(file, b"", flushed=True)
            else:
                file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("Whether the queue is paused is not kept: %s", error)
