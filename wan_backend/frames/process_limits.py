"""What the process that reads media may take of the machine's memory, and how long it lives. Standard library only."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""For the environment of such a process: each arena reserves addresses, and it is those that are limited."""

LOOK_SECONDS = 1.0


@contextlib.contextmanager
def memory(most_bytes: int) -> Iterator[None]:
    """Have what takes more than that beside what is taken now fail with a MemoryError, where the system can (Linux)."""
    before = limit_memory(most_bytes)
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError, ValueError):
                resource: Any = importlib.import_module("resource")
                resource.setrlimit(resource.RLIMIT_AS, before)


def limit_memory(most_bytes: int) -> tuple[int, int] | None:
    """The same until the process ends, or the limits that are given back are set; None where there is no limit."""
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        resource: Any = importlib.import_module("resource")
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + most_bytes
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
        return soft, hard
    return None


def end_with_parent() -> None:
    """Have this process end soon after the one that started it; Windows doesn't tell, and there it ends by itself."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
