"""The worker's way out: whole lines on what was stdout, from any thread. Standard library only."""

from __future__ import annotations

import os
import sys
import threading


class Channel:
    """Sends whole lines, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, line: bytes) -> None:
        """Write one line, to its end."""
        with self._lock:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


def guard_standard_streams() -> tuple[int, int]:
    """Descriptors of the true stdin and stdout; from now on fd 0 is empty and whatever is printed is stderr's.

    So no print of a library, nor of the C code below it, can break into the protocol, and no child process
    can eat from it.
    """
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink
