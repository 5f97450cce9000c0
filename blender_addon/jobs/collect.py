"""Copies what a film needs to beside its .blend, a slice in each tick, then points its strips to the copies.

Takes that were made while the film had no place are collected by itself once it has one. What else a colleague needs
is collected by a press: takes from elsewhere, used or all, the footage, and a list of what could not be brought along.
The originals stay: an undo, or another file, may still show them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.media import PARTIAL_SUFFIX
from ...wan_backend.storage import folder_trees
from ...wan_backend.storage.whole_file import UNFINISHED_SUFFIX, replace
from ..timeline import compat, identity, path_rules, strip_columns, strip_media, strip_takes
from . import blender_handlers, collect_report, film_footage, film_takes, folders, project, take_folders
from .request import MEDIA_FOLDER, Refused
from .take_folders import files_of_take, is_take_folder

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 20
MAX_FOLDERS_ASKED = 8
"""`any_elsewhere` looks for at most this many folders on the disk."""


@dataclass(frozen=True)
class Wanted:
    """What is collected."""

    all_takes: bool = False
    """Also the takes of the film that no strip shows or keeps."""
    footage: bool = False
    """Also the other movies, pictures and sounds of the film."""
    only_ours: bool = False
    """Only takes in the extension's own folder, where no other file needs them; nobody pressed anything."""


@dataclass
class _Folder:
    source: Path
    target: Path
    files: deque[str] = field(default_factory=deque)
    listed: bool = False
    is_footage: bool = False
    completes: bool = False
    """The target is there already and lacks some of the files."""
    """Files of it join what lies in the target; a take's folder appears whole."""

    @property
    def partial(self) -> Path:
        return (
            self.target
            if self.is_footage or self.completes
            else self.target.with_name(self.target.name + PARTIAL_SUFFIX)
        )


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
        self._wanted = Wanted()
        self._copying: tuple[BinaryIO, BinaryIO, Path] | None = None

    @property
    def busy(self) -> bool:
        """True until the strips are pointed at the copies."""
        return bool(self._todo or self._moved)

    def begin(self, wanted: Wanted = Wanted()) -> None:
        """Find what is to be copied. Raises Refused with the reason why nothing is."""
        if not bpy.data.filepath:
            raise Refused("Save the .blend file first: the takes are copied beside it.")
        if self.busy:
            raise Refused("The takes are already being copied.")
        target = Path(project.path()).parent / MEDIA_FOLDER
        far = folders_elsewhere(wanted)
        sources = [folder for folder in far if is_take_folder(folder)]
        footage = film_footage.folders_elsewhere() if wanted.footage else {}
        self._left_out = len(far) - len(sources)
        if not footage:
            if far and not sources:
                raise Refused(
                    "The takes that are elsewhere are not in folders as Wan VSE makes them: copy them yourself."
                )
            if not sources:
                self._report(wanted)
                raise Refused("All takes are already beside the .blend file.")
        self._wanted = wanted
        self._todo = deque()
        for source in sources:
            taken = {folder.target for folder in self._todo}
            self._todo.append(_Folder(source, take_folders.place_for(source, target, taken)))
        for folder, (place, names) in footage.items():
            self._todo.append(_Folder(folder, place, deque(names), listed=True, is_footage=True))
        self._count, self.progress, self.sentence = len(self._todo), 0.0, "Copying takes."

    def begin_by_itself(self) -> bool:
        """Bring the film's takes out of the extension's own folder, now that the film has a place; True if it does."""
        if self.busy or not project.path():
            return False
        try:
            self.begin(Wanted(only_ours=True))
        except Refused:
            return False
        return True

    def stop(self) -> None:
        """Stop, because another file was opened; what is half copied is removed."""
        self._close(failed=True)
        for folder in self._todo:
            if folder.partial != folder.target:
                folder_trees.remove(folder.partial, ignore_errors=True)
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
            if folder.target.is_dir():
                folder.completes = True
                folder.files.extend(_lacking(folder))
            else:
                folder_trees.remove(folder.partial, ignore_errors=True)
                folder_trees.make(folder.partial.parent)
                folder.partial.mkdir()  # what couldn't be removed isn't ours, and nothing is written where it leads
                folder.files.extend(files_of_take(folder.source))
        elif self._copying is not None:
            self._copy_piece()
        elif folder.files:
            self._open(folder, folder.files.popleft())
        else:
            if folder.partial != folder.target:
                folder.partial.rename(folder.target)
            self._moved[str(folder.source)] = str(folder.target)
            self._todo.popleft()
            self.progress = len(self._moved) / self._count

    def _open(self, folder: _Folder, name: str) -> None:
        """Begin to copy a file; footage that is there as it was is not copied again, and what is gone is left out."""
        source, file = folder.source / name, folder.partial / name
        if folder.is_footage:
            if not source.is_file() or film_footage.is_copy(file, source):
                return
            folder_trees.make(file.parent)
        unfinished = file.with_name(file.name + UNFINISHED_SUFFIX)
        self._copying = (source.open("rb"), unfinished.open("wb"), file)

    def _copy_piece(self) -> None:
        assert self._copying is not None
        source, target, _ = self._copying
        piece = source.read(PIECE_BYTES)
        if piece:
            target.write(piece)
        else:
            self._close()

    def _close(self, failed: bool = False) -> None:
        """End the copy of a file: it gets its name, or goes, as where the last of it finds the disk full."""
        if self._copying is None:
            return
        source, target, file = self._copying
        self._copying = None
        unfinished = file.with_name(file.name + UNFINISHED_SUFFIX)
        try:
            with source, target:
                stamp = os.fstat(source.fileno()).st_mtime_ns
            if not failed:
                os.utime(unfinished, ns=(stamp, stamp))  # by which a copy is told from another file of that name
                replace(unfinished, file)
                return
        except OSError:
            if not failed:
                raise
        finally:
            with contextlib.suppress(OSError):  # it isn't there any more once it has its name
                unfinished.unlink()

    def _point_strips(self) -> None:
        was_saved = not bpy.data.is_dirty
        for found in identity.all_marked():
            strip_takes.follow(found.strip, self._moved)
        if self._wanted.footage:
            film_footage.point(self._moved)
        takes = sum(os.path.basename(os.path.dirname(target)) == MEDIA_FOLDER for target in self._moved.values())
        self.sentence = _outcome(takes, self._left_out, len(self._moved) - takes)
        self._moved.clear()
        bpy.ops.ed.undo_push(message="Collect takes")
        if self._wanted.only_ours and was_saved:
            self._save_again()
        self._report(self._wanted)

    def _save_again(self) -> None:
        """The film was saved, nothing else was changed since, and its takes lie beside it: its file says so, too."""
        try:
            bpy.ops.wm.save_mainfile()
            self.sentence = ""
        except RuntimeError as error:
            log.warning("The film is not saved again: %s", error)

    def _report(self, wanted: Wanted) -> None:
        if not wanted.only_ours:
            try:
                collect_report.write(project.path())
            except OSError as error:
                log.warning("The list of what a colleague needs could not be written: %s", error)


def _lacking(folder: _Folder) -> list[str]:
    """What a copy of a take that is there already lacks, as where a person removed some of it."""
    there = set(os.listdir(folder.target))
    return [name for name in files_of_take(folder.source) if name not in there]


def _outcome(moved: int, left_out: int, footage: int = 0) -> str:
    """How many takes were copied, and how many folders were not."""
    words = "{} takes are beside the .blend file now. Save the file to keep that."
    if footage:
        words = "{} takes and the footage are beside the .blend file now. Save the file to keep that."
    elif moved == 1:
        words = "1 take is beside the .blend file now. Save the file to keep that."
    copied = iface_(words).format(moved)
    if not left_out:
        return copied
    words = "{} {} folders stay where they are: they are not takes as Wan VSE makes them."
    if left_out == 1:
        words = "{} 1 folder stays where it is: it is not a take as Wan VSE makes them."
    return iface_(words).format(copied, left_out)


def folders_elsewhere(wanted: Wanted = Wanted()) -> list[Path]:
    """The folders of the open file's takes that do not lie beside the .blend, each once."""
    beside = os.path.dirname(project.path())
    if not beside:
        return []
    own = str(folders.user_folder())
    inside = {str(folder) for folder in _folders_of_takes(wanted) if not path_rules.lies_in(str(folder), beside)}
    far = [folder for folder in inside if not wanted.only_ours or path_rules.lies_in(folder, own)]
    return sorted(Path(folder) for folder in far if os.path.isdir(folder))


def _folders_of_takes(wanted: Wanted) -> Iterator[str]:
    for found in identity.all_marked():
        if not found.is_placeholder:
            yield strip_media.played_folder(found.strip) or ""
            yield from (take.folder for take in strip_takes.takes_of(found.strip))
    if wanted.all_takes:
        own = project.ids()
        yield from (take.folder for take in film_takes.library().takes() if take.project_id in own)


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
