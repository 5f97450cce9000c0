"""That no two processes fetch the same model into the same folder. Standard library and filelock only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..library import hub_cache


class Elsewhere(Exception):
    """Another process is fetching the same model."""


@contextmanager
def alone(cache: Path, repo: str) -> Iterator[None]:
    """Hold the lock meanwhile; the system takes it back when the process ends, however it ends. Raises Elsewhere."""
    from filelock import FileLock, Timeout

    folder = cache / ".locks" / hub_cache.repo_folder(cache, repo).name
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "download.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Elsewhere from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def noting(cache: Path) -> Iterator[None]:
    """Hold back others that write down what they fetched into the same folder; for half a minute at most."""
    from filelock import FileLock, Timeout

    lock = FileLock(cache / ".locks" / "wan_vse_notes.lock", timeout=30)
    with suppress(Timeout):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_taken(cache: Path, repo: str) -> bool:
    """Whether a process fetches it now. Raises OSError."""
    if not hub_cache.repo_folder(cache, repo).is_dir():
        return False
    try:
        with alone(cache, repo):
            return False
    except Elsewhere:
        return True
