"""What a child process does first, so that its protocol stays clean and it doesn't outlive its parent."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
import time

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LOOK_SECONDS = 1.0
"""Of `exit_after_parent`, between two looks."""
_PR_SET_PDEATHSIG = 1


def begin() -> tuple[int, int]:
    """Set up a process of the worker's side; returns the descriptors of the true stdin and stdout, for its protocol.

    Logs and the stacks of crashes go to stderr, and the process dies with its parent.
    """
    source, sink = guard_standard_streams()
    faulthandler.enable(sys.stderr)
    log_to_stderr()
    die_with_parent_thread()
    return source, sink


def log_to_stderr() -> None:
    """Send the log to stderr, whose lines the server keeps in a file."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT)


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


def die_with_parent_thread() -> None:
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


def exit_after_parent() -> None:
    """Exit soon after the parent process did, for a process that a short-lived thread starts and whose stdin is read.

    On Windows the parent's id stays the same when it has ended, so there the process exits when its work is done.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def exit_with(source: int) -> None:
    """Exit as soon as the descriptor `source` ends, which the parent holds open as long as it wants this process."""

    def watch() -> None:
        while os.read(source, 1 << 10):
            pass
        os._exit(0)

    threading.Thread(target=watch, name="stdin", daemon=True).start()
