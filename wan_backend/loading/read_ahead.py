"""Reads files of weights into the system's cache while something else is done, so that loading them later is quick.

Nothing is kept by this process: what was read counts as free memory to every other program.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

import psutil

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 23
"""Read at once; between two pieces it is looked whether there is still any use in it."""
MAX_SHARE = 0.5
"""Share of the machine's free memory that may be filled so; what is read beyond it would push out what came first."""
END_SECONDS = 1.0
"""The wait for the thread at the end; one that hangs on a share is left behind, and harms nothing."""


class ReadAhead:
    """`with ReadAhead(files):` reads the files in order in a thread, until the context or the reason for it ends."""

    def __init__(
        self,
        files: Sequence[tuple[str, Iterable[Path]]],
        should_stop: Callable[[], bool] = lambda: False,
        free_bytes: Callable[[], int] = lambda: int(psutil.virtual_memory().available),
    ) -> None:
        """`files`: the components of a model in the order in which they are needed, each with its files."""
        self._files = [(component, list(places)) for component, places in files]
        self._should_stop, self._free_bytes = should_stop, free_bytes
        self._passed: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read_all, name="read ahead", daemon=True)
        self.read_bytes = 0
        """How much was read so far."""

    def __enter__(self) -> ReadAhead:
        if any(places for _part, places in self._files):
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.join(END_SECONDS)

    def join(self, seconds: float | None = None) -> None:
        """Wait for the thread to be through."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @property
    def is_reading(self) -> bool:
        """False once all is read that there was room for."""
        return self._thread.is_alive()

    def pass_over(self, component: str) -> None:
        """The component is loaded: what is left of its files needn't be read any more."""
        self._passed.add(component)

    def _read_all(self) -> None:
        room = int(self._free_bytes() * MAX_SHARE)
        buffer = bytearray(PIECE_BYTES)
        for component, places in self._files:
            for place in places:
                try:
                    if not self._read(component, place, buffer, room):
                        return
                except (OSError, ValueError) as error:  # who loads it meets the same error, and says it
                    log.info("%s is not read ahead: %s", place, error)

    def _read(self, component: str, place: Path, buffer: bytearray, room: int) -> bool:
        """Read one file; False if nothing more is to be read."""
        with _opened(place) as stream:
            while component not in self._passed:
                if self._ended.is_set() or self._should_stop() or self.read_bytes + PIECE_BYTES > room:
                    return False
                count = stream.readinto(buffer)
                if not count:
                    break
                self.read_bytes += count
        return True


def _opened(place: Path) -> io.FileIO:
    return io.FileIO(place)
