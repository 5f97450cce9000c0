"""What a person said of transformers' files of which nothing else says whether they are a whole model or an expert.

An answer is of a file as it was: another file under its name is asked about anew. It counts only where `a14b_experts`
would ask; a name that says something goes first.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..protocol.choices import TransformerPart
from ..storage import whole_file

log = logging.getLogger(__name__)

FORMAT = 1
MAX_ANSWERS = 500
"""The number that is kept, the newest."""
MAX_BYTES = 4_000_000

Answers = Mapping[tuple[str, int], TransformerPart]
"""The answer by the path and the length of the file; a folder has no length, and 0 stands for it."""


class TransformerAnswers:
    """The answers in `file`, which several servers may read and write; None keeps none."""

    def __init__(self, file: Path | None = None, given: Mapping[str, TransformerPart] | None = None) -> None:
        """`given` are answers by path, such as a command line's; they go before those in the file."""
        self._file = file
        self._lock = threading.Lock()
        self._given = {os.path.abspath(path): part for path, part in (given or {}).items()}

    def all(self) -> Answers:
        """Every answer."""
        found = {key: part for entry in self._read() if (key := _key(entry)) and (part := _part(entry))}
        return found | {(path, length(Path(path))): part for path, part in self._given.items()}

    def record(self, place: Path, part: TransformerPart) -> None:
        """Keep the answer for the file or folder in place of the one before; UNKNOWN forgets it. Raises OSError."""
        if self._file is None:
            return
        with self._lock:
            kept = [entry for entry in self._read() if entry.get("file") != str(place)]
            if part is not TransformerPart.UNKNOWN:
                kept.append({"file": str(place), "length": length(place), "part": part.value})
            whole_file.write_json(self._file, {"format": FORMAT, "transformers": kept[-MAX_ANSWERS:]})

    def _read(self) -> Sequence[dict[str, Any]]:
        if self._file is None:
            return []
        try:
            value = whole_file.read_json(self._file, MAX_BYTES)
            entries = value["transformers"] if value["format"] == FORMAT else []
            return [each for each in entries if isinstance(each, dict)]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("%s can't be read, so which part a transformer is will be asked again: %s", self._file, error)
            return []


def length(place: Path) -> int:
    """The length of a file; 0 for a folder, and for what can't be looked at."""
    try:
        return 0 if place.is_dir() else place.stat().st_size
    except (OSError, ValueError):
        return 0


def _key(entry: Mapping[str, Any]) -> tuple[str, int] | None:
    file, size = entry.get("file"), entry.get("length")
    return (file, size) if isinstance(file, str) and isinstance(size, int) else None


def _part(entry: Mapping[str, Any]) -> TransformerPart | None:
    part = entry.get("part")
    return TransformerPart(part) if part in (TransformerPart.WHOLE, TransformerPart.HIGH, TransformerPart.LOW) else None
