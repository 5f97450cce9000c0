"""What a process of the worker's side does before anything else, so that its protocol and its end are safe."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def begin() -> tuple[int, int]:
    """Set the process up; returns the descriptors of the true stdin and stdout, which carry its protocol.

    Logs and the stacks of crashes go to stderr, and the process dies with its parent.
    """
    source, sink = guard_standard_streams()
    faulthandler.enable(sys.stderr)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    die_with_parent()
    return source, sink


def guard_standard_streams() -> tuple[int, int]:
    """Descriptors of the true stdin and stdout; from now on fd 0 is empty, and whatever is printed goes to stderr.

    No print of a library, or of the C code below it, can then break into the protocol, and no child process can read
    from it.
    """
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends (Linux alone; elsewhere nothing is done).

    It holds even while the main thread is stuck in C code that lets no other thread run, where the end of stdin would
    not be noticed. The server starts workers from a thread that lives as long as itself for this reason.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended in between
        os._exit(0)
