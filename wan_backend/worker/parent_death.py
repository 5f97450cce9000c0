"""Dying with the server, where the system offers it. Standard library only.

The listener leaves when stdin ends; this holds even while the main thread is stuck in C code that lets no
other thread run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends (Linux alone; elsewhere nothing is done).

    The server therefore starts workers from a thread that lives as long as itself.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended in between
        os._exit(0)
