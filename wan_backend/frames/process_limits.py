"""Limits of the memory that a process may take which reads media."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FEW_ARENAS = {"MALLOC_ARENA_MAX": "2"}
"""For the environment of such a process: each arena reserves address space, and that is what's limited."""


@contextlib.contextmanager
def memory(max_bytes: int) -> Iterator[None]:
    """A context in which taking more memory than that, beyond what is taken now, is a MemoryError (Linux alone)."""
    before = limit_memory(max_bytes)
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError, ValueError):
                resource: Any = importlib.import_module("resource")
                resource.setrlimit(resource.RLIMIT_AS, before)


def limit_memory(max_bytes: int) -> tuple[int, int] | None:
    """Limit the process as `memory` does, to its end; returns the limits of before, or None if none can be set."""
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        resource: Any = importlib.import_module("resource")
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + max_bytes
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
        return soft, hard
    return None
