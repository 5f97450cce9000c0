"""What is believed of files from the hub: those whose checksum was right, and what a repository was at first.

Beside the cache's own locks, so that whoever reads the cache passes over it. Standard library only.

    .locks/wan_vse_checked.json   file -> its stamp and the checksum that it was seen to have
    .locks/wan_vse_first.json     repository -> the commit that was fetched first, and its files with their checksums

The hub may give other files under the same name one day, by its owner's will or another's. What was fetched once stays
what it is: later downloads ask for that commit, and a file that differs is refused; so is one that differs from what
the catalogue knows of it. A person who was told may accept it as it is now, which is noted, too.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..storage import guarded_files, whole_file
from ..storage.file_stamp import stamp
from .hub_listing import HubFile

log = logging.getLogger(__name__)

CHECKED, FIRST = "wan_vse_checked.json", "wan_vse_first.json"
READ_BYTES = 1 << 22


class Changed(Exception):
    """A file of the hub isn't the one that was fetched first, or that is known; the message is its name."""

    def __init__(self, name: str, was_fetched: bool) -> None:
        super().__init__(name)
        self.was_fetched = was_fetched


def checksum(file: Path, like: str, on_read: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of the file, or git's SHA-1 where `like` is one. Raises OSError; `on_read` is called again and again."""
    if len(like) == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    with guarded_files.opened(file) as stream:
        while chunk := stream.read(READ_BYTES):
            digest.update(chunk)
            on_read()
    return digest.hexdigest()


def is_right(cache: Path, file: Path, wanted: str, on_read: Callable[[], None] = lambda: None) -> bool:
    """Whether the file has that checksum: read once, and believed as long as it is unchanged. Raises OSError."""
    whole = file.resolve(strict=True)
    now = [*stamp(whole), wanted]
    known = _read(cache, CHECKED)
    if known.get(str(whole)) == now:
        return True
    if checksum(whole, wanted, on_read) != wanted:
        log.warning("%s has another checksum than %s", whole, wanted)
        return False
    remember(cache, whole, wanted)
    return True


def remember(cache: Path, file: Path, seen: str) -> None:
    """That the file was seen to have that checksum."""
    whole = file.resolve()
    known = {name: row for name, row in _read(cache, CHECKED).items() if Path(name).is_file()}
    _write(cache, CHECKED, {**known, str(whole): [*stamp(whole), seen]})


def first_commit(cache: Path, repo: str) -> str:
    """The commit of the repository that was fetched first; empty where none was."""
    commit = _row(cache, repo).get("commit")
    return commit if isinstance(commit, str) else ""


def first_checksum(cache: Path, repo: str, name: str) -> str:
    """Of a file of the repository, as it was fetched first; empty where it wasn't."""
    files = _row(cache, repo).get("files")
    was = files.get(name) if isinstance(files, dict) else None
    return was[1] if isinstance(was, list) and len(was) == 2 and isinstance(was[1], str) else ""


def check(cache: Path, repo: str, files: Iterable[HubFile], known: Mapping[str, str]) -> None:
    """Raise Changed where a file is another than it was at first, or than is `known`: name -> checksum."""
    row = _row(cache, repo)
    first = row.get("files")
    accepted = row.get("accepted") is True
    for file in files:
        was = first.get(file.name) if isinstance(first, dict) else None
        if was is not None and was != [file.size_bytes, file.checksum]:
            raise Changed(f"{repo}/{file.name}", was_fetched=True)
        if not accepted and known.get(file.name, file.checksum) != file.checksum:
            raise Changed(f"{repo}/{file.name}", was_fetched=False)


def keep_first(cache: Path, files: Iterable[HubFile], accepted: bool = False) -> None:
    """Note what was fetched now, where nothing is known of it yet; `accepted`: in place of what is known."""
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
    """What is noted; nothing where that is damaged, which costs a second look at the files."""
    try:
        value = guarded_files.read_json(cache / ".locks" / name)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s in %s can't be read, so it is begun anew: %s", name, cache, error)
        return {}
    return value if isinstance(value, dict) else {}


def _write(cache: Path, name: str, value: dict[str, Any]) -> None:
    """Two processes that write at once may cost one of them what it noted: it is looked at again then."""
    file = cache / ".locks" / name
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        whole_file.write(file, json.dumps(value, indent=1, sort_keys=True).encode())
    except OSError as error:
        log.warning("%s can't be written: %s", file, error)
