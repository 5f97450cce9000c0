"""Packages whose checksums nobody states: noted when they are first installed, compared ever after. Standard library.

    first_files.json     system and Python -> pin ("torch==2.13.0") -> the SHA-256 of the file that was installed

Beside the environment, so that it outlives it.
"""

from __future__ import annotations

import json
import logging
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..storage import whole_file

log = logging.getLogger(__name__)

NAME = "first_files.json"


def note_of(environment: Path) -> Path:
    """The file of notes beside an environment."""
    return environment.parent / NAME


def known(note: Path, pins: Sequence[str], python: tuple[int, int]) -> dict[str, str]:
    """Pin -> checksum, of those that were installed here before."""
    row = _read(note).get(_key(python))
    return {pin: str(row[pin]) for pin in pins if pin in row} if isinstance(row, dict) else {}


def keep(note: Path, report: Path, pins: Sequence[str], python: tuple[int, int]) -> None:
    """Note what pip's report says that it installed now; if that can't be, it's told in the log."""
    wanted = {_plain(pin.partition("==")[0]): pin for pin in pins}
    try:
        notes, found = _read(note), {}
        for row in json.loads(report.read_text("utf-8"))["install"]:
            pin = wanted.get(_plain(row["metadata"]["name"]))
            if pin is not None:
                found[pin] = _checksum(row["download_info"]["archive_info"])
                log.info("%s is %s", row["download_info"]["url"].rpartition("/")[2], found[pin])
        notes[_key(python)] = {**notes.get(_key(python), {}), **found}
        whole_file.write(note, json.dumps(notes, indent=1, sort_keys=True).encode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("what was installed can't be noted in %s: %r", note, error)


def _checksum(archive: dict[str, Any]) -> str:
    """In pip's report; before pip 23.1, in other words."""
    hashes = archive.get("hashes") or {}
    return str(hashes["sha256"] if "sha256" in hashes else archive["hash"].removeprefix("sha256="))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _key(python: tuple[int, int]) -> str:
    return f"{sys.platform} {platform.machine()} Python {python[0]}.{python[1]}"


def _read(note: Path) -> dict[str, Any]:
    """What is noted; a note that can't be read stops the set-up, for it would be believed anew."""
    try:
        value = json.loads(note.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{note} is not an object")
    return value
