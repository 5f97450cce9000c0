"""Which takes other .blend files in a film's folder name: those must not be cleaned away from here.

It needs no Blender. The ids of jobs and the names of their folders stand in a .blend as they are, so its bytes are
looked through, in slices. A .blend that is compressed can't be read so; it is named, and the person decides.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from ..timeline import path_rules

PIECE_BYTES = 1 << 20
OVERLAP_BYTES = 300
MAX_FILMS = 200
_JOB_ID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_FOLDER = re.compile(rb"[0-9]{4,6} [^\x00-\x1f/\\]{1,250}?, seed [0-9]{1,20}(?=[/\\])")
"""In the path of a strip that has none of our marks."""
_HEAD = b"BLENDER"


class OtherFilms:
    """A look through the .blend files beside one, as far as it has come."""

    def __init__(self, film: str) -> None:
        """`film` is the path of the one that is open; its own backups count for nothing."""
        self.named: set[str] = set()
        """The ids, and the names of takes' folders, that the others name."""
        self.unreadable: list[str] = []
        """The names of those that can't be looked through."""
        self._steps = self._look(film)
        self.done = False

    def step(self) -> None:
        """Look through the next piece."""
        if next(self._steps, None) is None:
            self.done = True

    def _look(self, film: str) -> Iterator[bool]:
        folder = os.path.dirname(film)
        names = []
        if film:
            try:
                names = sorted(name for name in os.listdir(folder) if name.lower().endswith(".blend"))
            except OSError:
                self.unreadable.append(path_rules.shown(folder))
        others = [name for name in names if os.path.normcase(name) != os.path.normcase(os.path.basename(film))]
        for name in others[:MAX_FILMS]:
            yield from self._read(Path(folder, name))
        self.unreadable += map(path_rules.shown, others[MAX_FILMS:])

    def _read(self, file: Path) -> Iterator[bool]:
        try:
            if not file.is_file():
                return
            with open(file, "rb") as stream:
                piece = stream.read(PIECE_BYTES)
                if not piece.startswith(_HEAD):
                    self.unreadable.append(path_rules.shown(file.name))
                    return
                while piece:
                    self.named.update(found.decode() for found in _JOB_ID.findall(piece))
                    names = (found.decode("utf-8", "replace") for found in _FOLDER.findall(piece))
                    self.named.update(unicodedata.normalize("NFC", name) for name in names)
                    yield True
                    more = stream.read(PIECE_BYTES)
                    piece = piece[-OVERLAP_BYTES:] + more if more else b""
        except OSError:
            self.unreadable.append(path_rules.shown(file.name))
