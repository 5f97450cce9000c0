"""Copies takes from elsewhere to beside the .blend, a slice in each tick, then points their strips to the copies.

The originals stay: an undo, or another file, may still show them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import stat
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.media import MOVIE_FILES, PARTIAL_SUFFIX, SETTINGS_FILE
from ...wan_backend.protocol.plain_names import is_id
from ..timeline import compat, identity, path_rules, strip_columns, strip_media, take_strips
from . import blender_handlers, project
from .request import MEDIA_FOLDER, Refused

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 20
_OF_TAKE = re.compile(r"[0-9]{4,6}\.png|" + "|".join(map(re.escape, (SETTINGS_FILE, *MOVIE_FILES.values()))))
MAX_FOLDERS_ASKED = 8
"""`any_elsewhere` looks for at most this many folders on the disk."""


@dataclass
class _Folder:
    source: Path
    target: Path
    files: deque[str] = field(default_factory=deque)
    listed: bool = False

    @property
    def partial(self) -> Path:
        return self.target.with_name(self.target.name + PARTIAL_SUFFIX)


class Collector:
    """Copies takes, one collection at a time."""

    def __init__(self) -> None:
        self.sentence = ""
        """How the collection goes or how it ended."""
        self.progress = 0.0
        self._todo: deque[_Folder] = deque()
        self._moved: dict[str, str] = {}
        self._count = 0
        self._left_out = 0
        self._copying: tuple[BinaryIO, BinaryIO] | None = None

    @property
    def busy(self) -> bool:
        """True until the strips are pointed at the copies."""
        return bool(self._todo or self._moved)

    def begin(self) -> None:
        """Find what is to be copied. Raises Refused with the reason why nothing is."""
        if not bpy.data.filepath:
            raise Refused("Save the .blend file first: the takes are copied beside it.")
        if self.busy:
            raise Refused("The takes are already being copied.")
        target = Path(project.path()).parent / MEDIA_FOLDER
        far = folders_elsewhere()
        sources = [folder for folder in far if is_take_folder(folder)]
        self._left_out = len(far) - len(sources)
        if far and not sources:
            raise Refused("The takes that are elsewhere are not in folders as Wan VSE makes them: copy them yourself.")
        if not sources:
            raise Refused("All takes are already beside the .blend file.")
        self._todo = deque(_Folder(source, target / source.name) for source in sources)
        self._count, self.progress, self.sentence = len(sources), 0.0, "Copying takes."

    def stop(self) -> None:
        """Stop, because another file was opened; what is half copied is removed."""
        self._close()
        for folder in self._todo:
            shutil.rmtree(folder.partial, ignore_errors=True)
        self._todo.clear()
        self._moved.clear()

    def tick(self, deadline: float) -> bool:
        """Copy until `deadline` (of time.perf_counter); True if something changed."""
        if not self.busy:
            return False
        try:
            while self._todo and time.perf_counter() < deadline:
                self._step(self._todo[0])
        except OSError as error:
            self.stop()
            self.sentence = iface_("The takes could not be copied ({}): fix that, then collect again.").format(error)
            return True
        if not self._todo and blender_handlers.may_change_strips():
            self._point_strips()
        return True

    def _step(self, folder: _Folder) -> None:
        if not folder.listed:
            folder.listed = True
            if not folder.target.is_dir():
                shutil.rmtree(folder.partial, ignore_errors=True)
                folder.partial.mkdir(parents=True)
                folder.files.extend(files_of_take(folder.source))
        elif self._copying is not None:
            self._copy_piece()
        elif folder.files:
            name = folder.files.popleft()
            source = (folder.source / name).open("rb")
            self._copying = (source, (folder.partial / name).open("wb"))
        else:
            if folder.partial.is_dir():
                folder.partial.rename(folder.target)
            self._moved[str(folder.source)] = str(folder.target)
            self._todo.popleft()
            self.progress = len(self._moved) / self._count

    def _copy_piece(self) -> None:
        assert self._copying is not None
        source, target = self._copying
        piece = source.read(PIECE_BYTES)
        if piece:
            target.write(piece)
        else:
            self._close()

    def _close(self) -> None:
        for file in self._copying or ():
            with contextlib.suppress(OSError):
                file.close()
        self._copying = None

    def _point_strips(self) -> None:
        for found in identity.all_marked():
            target = self._moved.get(str(strip_media.played_folder(found.strip) or ""))
            if target is not None:
                strip_media.set_played_folder(found.strip, take_strips.path_in_strip(target))
        self.sentence = _outcome(len(self._moved), self._left_out)
        self._moved.clear()
        bpy.ops.ed.undo_push(message="Collect takes")


def _outcome(moved: int, left_out: int) -> str:
    """How many takes were copied, and how many folders were not."""
    words = "{} takes are beside the .blend file now. Save the file to keep that."
    if moved == 1:
        words = "1 take is beside the .blend file now. Save the file to keep that."
    copied = iface_(words).format(moved)
    if not left_out:
        return copied
    words = "{} {} folders stay where they are: they are not takes as Wan VSE makes them."
    if left_out == 1:
        words = "{} 1 folder stays where it is: it is not a take as Wan VSE makes them."
    return iface_(words).format(copied, left_out)


def is_take_folder(folder: Path) -> bool:
    """Whether it is the folder of a take, with the name of a job and with its settings. A strip may name any folder."""
    settings = folder / SETTINGS_FILE
    return is_id(folder.name) and not folder.is_symlink() and settings.is_file() and not settings.is_symlink()


def files_of_take(folder: Path) -> list[str]:
    """The names of what a worker writes into a take's folder; whatever else lies there is left alone."""
    return [name for name in sorted(os.listdir(folder)) if _OF_TAKE.fullmatch(name) and _is_plain(folder / name)]


def _is_plain(file: Path) -> bool:
    """Whether it is a file: a link may lead elsewhere, and a read from a pipe would wait."""
    return stat.S_ISREG(file.lstat().st_mode)


def folders_elsewhere() -> list[Path]:
    """The folders of the open file's takes that do not lie beside the .blend, each once."""
    beside = os.path.dirname(project.path())
    if not beside:
        return []
    folders = (strip_media.played_folder(found.strip) for found in identity.all_marked() if not found.is_placeholder)
    far = {folder for folder in folders if folder and not path_rules.lies_in(str(folder), beside)}
    return sorted(Path(folder) for folder in far if os.path.isdir(folder))


def any_elsewhere() -> bool:
    """True if some take may not be beside the .blend. Cheap enough for a draw: few folders are looked for."""
    looked = set()
    beside = os.path.dirname(project.path())
    if not beside:
        return False
    for strip in _media_strips():
        path = strip_media.stored_path(strip) or ""
        if (path.startswith("//") and ".." not in path) or identity.role_of(strip) != identity.TAKE_ROLE:
            continue
        folder = strip_media.played_folder(strip) or ""
        if os.name == "nt" and folder.startswith("\\\\"):
            return True  # a share that doesn't answer would hold the window up at every draw
        if folder in looked or path_rules.lies_in(folder, beside):
            continue
        if os.path.isdir(folder):
            return True
        looked.add(folder)
        if len(looked) >= MAX_FOLDERS_ASKED:
            return False
    return False


def _media_strips() -> Iterator[compat.Strip]:
    waiting = [compat.top_strips(scene) for scene in bpy.data.scenes if scene.library is None]
    while waiting:
        collection = waiting.pop()
        yield from strip_columns.of_kinds(collection, "IMAGE", "MOVIE")
        waiting += [compat.strips(meta) for meta in strip_columns.of_kinds(collection, "META")]
