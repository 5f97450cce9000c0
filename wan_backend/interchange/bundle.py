"""The files of an .otioz: a zip with content.otio and the media beside it, packed and unpacked.

OpenTimelineIO's own packer takes no image sequences, and its unpacker whatever the zip says, so this has both. A zip
from elsewhere is looked through before anything is written: its names, kinds and sizes.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ..protocol.cut import MAX_CUT_BYTES, ClipMedia, ClipMediaKind, Cut
from ..protocol.errors import Refusal
from ..protocol.media import SETTINGS_FILE
from ..protocol.messages import ProblemKind
from ..protocol.plain_names import is_name
from ..protocol.sentences import Sentence
from ..storage import folder_trees
from ..storage.byte_sizes import size_in_words
from ..storage.media_folder import RESERVE_BYTES
from .endings import ALL

CONTENT, VERSION_FILE, VERSION, MEDIA = "content.otio", "version.txt", "1.0.0", "media"
MAX_ENTRIES = 200_000
MAX_DEPTH = 4
MAX_SWELLING = 4
"""Media is stored as it is; a zip that becomes many times as large is no cut."""
SMALL_BYTES = 64 << 20
PIECE_BYTES = 1 << 20


@dataclass
class Packer:
    """Gives each folder of media a name of its own in the zip."""

    missing: int = 0
    """Files that aren't there."""
    _names: dict[str, str] = field(default_factory=dict)
    _files: dict[str, str] = field(default_factory=dict)
    """By their name in the zip."""

    def place(self, media: ClipMedia) -> str:
        """The folder of the media in the zip; its own where a file is missing, which a zip can't carry."""
        folder = media.folder
        paths = [os.path.join(folder, name) for name in dict.fromkeys(media.files)]
        if not all(map(os.path.isfile, paths)):
            self.missing += 1
            return folder
        inside = f"{MEDIA}/{self._name(folder)}"
        settings = os.path.join(folder, SETTINGS_FILE)
        if media.job_id and os.path.isfile(settings):
            paths.append(settings)
        for path in paths:
            self._files[f"{inside}/{os.path.basename(path)}"] = path
        return inside

    def _name(self, folder: str) -> str:
        if folder not in self._names:
            stem = os.path.basename(folder.rstrip("/\\"))
            stem = stem if is_name(stem, windows=True) else "media"
            taken = {name.lower() for name in self._names.values()}
            numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
            name = stem if stem.lower() not in taken else next(each for each in numbered if each.lower() not in taken)
            self._names[folder] = name
        return self._names[folder]

    def write(self, file: Path, content: str) -> None:
        """Write the zip; a file of that name is replaced once the new one is whole. Raises OSError and Refusal."""
        needed = sum(os.path.getsize(path) for path in self._files.values()) + len(content)
        free = shutil.disk_usage(file.parent).free
        if needed + RESERVE_BYTES > free:
            raise Refusal.of(
                ProblemKind.DISK_FULL,
                Sentence(
                    "The file needs {needed} in {folder}, but only {free} are free; make room on that disk or choose "
                    "another folder.",
                    needed=size_in_words(needed),
                    folder=file.parent,
                    free=size_in_words(free),
                ),
            )
        partial = file.with_name(file.name + ".partial")
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
                packed.writestr(VERSION_FILE, VERSION)
                packed.writestr(CONTENT, content)
                for name, path in self._files.items():
                    info = zipfile.ZipInfo(name)  # without the file's time, which a zip can't always hold
                    info.external_attr = 0o644 << 16
                    with open(path, "rb") as source, packed.open(info, "w", force_zip64=True) as target:
                        shutil.copyfileobj(source, target, PIECE_BYTES)
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)


def content_of(file: Path) -> str:
    """The text of a zip's timeline. Raises Refusal, OSError and zipfile.BadZipFile."""
    with zipfile.ZipFile(file) as packed:
        _checked(packed, file)
        try:
            info = packed.getinfo(CONTENT)
        except KeyError:
            raise _refused(Sentence("holds no {file}, so it is no cut", file=CONTENT)) from None
        if info.file_size > MAX_CUT_BYTES:
            raise _refused(Sentence("holds a timeline that is too large to be one"))
        with packed.open(info) as stream:
            return stream.read(MAX_CUT_BYTES).decode("utf-8", "replace")


def unpack(file: Path, target: Path) -> None:
    """Unpack the media into the new folder `target`, which appears once it is whole. Raises as `content_of`."""
    with zipfile.ZipFile(file) as packed:
        wanted = [info for info in _checked(packed, file) if _is_media(info)]
        parent = target.parent
        folder_trees.make(parent)
        needed, free = sum(info.file_size for info in wanted), shutil.disk_usage(parent).free
        if needed + RESERVE_BYTES > free:
            raise Refusal.of(
                ProblemKind.DISK_FULL,
                Sentence(
                    "The media needs {needed} in {folder}, but only {free} are free; make room on that disk or choose "
                    "another media folder.",
                    needed=size_in_words(needed),
                    folder=parent,
                    free=size_in_words(free),
                ),
            )
        partial = partial_of(target)
        partial.mkdir()
        for info in wanted:
            path = partial.joinpath(*info.filename.split("/"))
            folder_trees.make(path.parent)
            with packed.open(info) as source, open(path, "xb") as written:
                _copy(source, written, info.file_size)
        partial.rename(target)


def partial_of(target: Path) -> Path:
    """Where a folder is while it is being unpacked."""
    return target.with_name(target.name + ".partial")


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    left = size
    while piece := source.read(min(PIECE_BYTES, left + 1)):
        left -= len(piece)
        if left < 0:
            raise _refused(Sentence("holds a file that is larger than it says"))
        target.write(piece)


def _checked(packed: zipfile.ZipFile, file: Path) -> list[zipfile.ZipInfo]:
    """What is in the zip, once it is certain that it is harmless. Raises Refusal."""
    entries = packed.infolist()
    if len(entries) > MAX_ENTRIES:
        raise _refused(Sentence("holds {count} files, more than any cut has", count=len(entries)))
    if sum(info.file_size for info in entries) > MAX_SWELLING * os.path.getsize(file) + SMALL_BYTES:
        raise _refused(Sentence("would become many times as large when unpacked, as no cut does"))
    names = [info.filename.rstrip("/").lower() for info in entries]
    if len(set(names)) != len(names):
        raise _refused(Sentence("holds two files of one name"))
    for info in entries:
        _check(info)
    return entries


def _check(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or info.flag_bits & 1:
        raise _refused(Sentence("holds a link or a locked file"))
    parts = info.filename.rstrip("/").split("/")
    if len(parts) > MAX_DEPTH or not all(is_name(part, windows=True) for part in parts):
        raise _refused(
            Sentence("holds a file that would lie outside of its folder, or has a name that no system takes")
        )


def _is_media(info: zipfile.ZipInfo) -> bool:
    """Whether it is media by its name, or a take's settings; anything else stays in the zip."""
    folder, _, name = info.filename.rpartition("/")
    is_inside = folder == MEDIA or folder.startswith(MEDIA + "/")
    return not info.is_dir() and is_inside and (name.lower().endswith(ALL) or name == SETTINGS_FILE)


def _refused(what: Sentence) -> Refusal:
    return Refusal.of(
        ProblemKind.BAD_SOURCE,
        Sentence("The file {what}: export it anew from the program that it comes from.", what=what),
    )


def files_of(cut: Cut) -> Iterable[ClipMedia]:
    """All media of the cut that has files."""
    kinds = (ClipMediaKind.FILE, ClipMediaKind.PICTURES)
    return (media for track in cut.all_tracks() for clip in track.clips for media in clip.media if media.kind in kinds)
