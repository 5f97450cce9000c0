"""What the backend notes beside the Hugging Face cache: which files were checked, what came first, who downloads now.

It lies among the cache's own locks, where whoever reads the cache passes over it.

    .locks/wan_vse_checked.json     file -> its stamp and the checksum that it was seen to have
    .locks/wan_vse_first.json       repository -> the commit that was fetched first, and its files with their checksums
    .locks/wan_vse_notes.lock       held while one of them is written
    .locks/REPOSITORY/download.lock held while a process downloads from that repository

The hub may give other files under the same name one day, by its owner's will or another's. What was fetched once stays
what it is: later downloads ask for that commit, and a file that differs is refused; so is one that differs from what
the catalogue knows of it. A person who was told may accept it as it is now, which is noted, too.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..library import hub_cache
from ..storage import guarded_files, whole_file
from ..storage.guarded_files import stamp
from .hub_listing import HubFile
from .problems import DownloadError, Failure

log = logging.getLogger(__name__)

CHECKED, FIRST = "wan_vse_checked.json", "wan_vse_first.json"
READ_BYTES = 1 << 22
NOTES_LOCK_SECONDS = 30
"""After this long the notes are written without the lock, which a dead disk may hold."""


@contextmanager
def download_lock(cache: Path, repo: str) -> Iterator[None]:
    """Hold the repository's lock, which the system takes back when the process ends, however it ends.

    Raises DownloadError if another process has it.
    """
    from filelock import FileLock, Timeout

    folder = cache / ".locks" / hub_cache.repo_folder(cache, repo).name
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "download.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DownloadError(Failure.BUSY) from None
    try:
        yield
    finally:
        lock.release()


def is_downloading(cache: Path, repo: str) -> bool:
    """True if a process downloads from the repository now. Raises OSError."""
    if not hub_cache.repo_folder(cache, repo).is_dir():
        return False
    try:
        with download_lock(cache, repo):
            return False
    except DownloadError:
        return True


@contextmanager
def _notes_lock(cache: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(cache / ".locks" / "wan_vse_notes.lock", timeout=NOTES_LOCK_SECONDS)
    with suppress(Timeout):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def checksum(file: Path, like: str, on_read: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of the file, or git's SHA-1 if `like` is one. Raises OSError; `on_read` is called again and again."""
    if len(like) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with guarded_files.opened(file) as stream:
        while chunk := stream.read(READ_BYTES):
            digest.update(chunk)
            on_read()
    return digest.hexdigest()


def has_checksum(cache: Path, file: Path, wanted: str, on_read: Callable[[], None] = lambda: None) -> bool:
    """True if the file has that checksum; it is read once, and believed while it is unchanged. Raises OSError."""
    whole = file.resolve(strict=True)
    now = [*stamp(whole), wanted]
    known = _read(cache, CHECKED)
    if known.get(str(whole)) == now:
        return True
    if checksum(whole, wanted, on_read) != wanted:
        log.warning("%s has another checksum than %s", whole, wanted)
        return False
    note_checksum(cache, whole, wanted)
    return True


def note_checksum(cache: Path, file: Path, seen: str) -> None:
    """Note that the file was seen to have that checksum."""
    whole = file.resolve()
    known = {name: row for name, row in _read(cache, CHECKED).items() if Path(name).is_file()}
    _write(cache, CHECKED, {**known, str(whole): [*stamp(whole), seen]})


def first_commit(cache: Path, repo: str) -> str:
    """The commit of the repository that was fetched first; empty if none was."""
    commit = _row(cache, repo).get("commit")
    return commit if isinstance(commit, str) else ""


def first_checksum(cache: Path, repo: str, name: str) -> str:
    """The checksum of a file of the repository as it was fetched first; empty if it wasn't."""
    files = _row(cache, repo).get("files")
    was = files.get(name) if isinstance(files, dict) else None
    return was[1] if isinstance(was, list) and len(was) == 2 and isinstance(was[1], str) else ""


def check_unchanged(cache: Path, repo: str, files: Iterable[HubFile], known: Mapping[str, str]) -> None:
    """Raise DownloadError if a file isn't what it was at first, or what is `known` of it: name -> checksum."""
    row = _row(cache, repo)
    first = row.get("files")
    accepted = row.get("accepted") is True
    for file in files:
        was = first.get(file.name) if isinstance(first, dict) else None
        if was is not None and was != [file.size_bytes, file.checksum]:
            raise DownloadError(Failure.CHANGED, f"{repo}/{file.name}")
        if not accepted and known.get(file.name, file.checksum) != file.checksum:
            raise DownloadError(Failure.UNKNOWN_CONTENT, f"{repo}/{file.name}")


def note_first(cache: Path, files: Iterable[HubFile], accepted: bool = False) -> None:
    """Note what was fetched now, if nothing is known of it yet; with `accepted`, in place of what is known."""
    with _notes_lock(cache):
        notes = _read(cache, FIRST)
        for file in files:
            row = notes.get(file.repo)
            if not isinstance(row, dict) or not isinstance(row.get("files"), dict):
                row = notes[file.repo] = {"commit": file.commit, "files": {}}
            if accepted:
                row.update(commit=file.commit, accepted=True)
                row["files"][file.name] = [file.size_bytes, file.checksum]
            else:
                row["files"].setdefault(file.name, [file.size_bytes, file.checksum])
        _write(cache, FIRST, notes)


def _row(cache: Path, repo: str) -> dict[str, Any]:
    row = _read(cache, FIRST).get(repo)
    return row if isinstance(row, dict) else {}


def _read(cache: Path, name: str) -> dict[str, Any]:
    """What is noted; nothing if that is damaged, which costs a second look at the files."""
    try:
        value = guarded_files.read_json(cache / ".locks" / name)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s in %s can't be read, so a new one is begun: %s", name, cache, error)
        return {}
    return value if isinstance(value, dict) else {}


def _write(cache: Path, name: str, value: dict[str, Any]) -> None:
    """Write notes; two processes that write at once may cost one of them its own, and it looks at the files again."""
    file = cache / ".locks" / name
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write(file, json.dumps(value, indent=1, sort_keys=True).encode())
    except OSError as error:
        log.warning("%s can't be written: %s", file, error)
