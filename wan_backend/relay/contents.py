"""The files that a request needs, with the hashes of their contents.

A file is hashed once for each time that it changes: a long film isn't read again for the next take from it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..frames.marks import mark_alone, mark_of
from ..protocol.errors import Refusal
from ..protocol.messages import LoraUse, ProblemKind, Source, TakeRequest
from ..protocol.sentences import Sentence
from ..protocol.transfer import Content, SharedParams
from ..storage import private_files, whole_file
from ..storage.disk_errors import reason
from . import shared_folders
from .places import PathPair, Places, id_of, mapped

log = logging.getLogger(__name__)

FILE = "hashes.json"
MAX_KEPT = 20_000
CHUNK_BYTES = 1 << 20


class Stopped(Exception):
    """Nobody wants the files any more."""


@dataclass(frozen=True)
class NearFile:
    """A file of this machine that is needed over there."""

    path: Path
    content: Content


@dataclass(frozen=True)
class Group:
    """Files that lie in one folder over there, by their names."""

    folder_id: str
    files: dict[str, NearFile]


@dataclass(frozen=True)
class Cargo:
    """What a request needs over there, and the request as it is sent."""

    groups: list[Group]
    request: TakeRequest
    place: str
    """The id of the place for its take; empty if both machines see the media folder."""
    shared: list[tuple[PathPair, SharedParams]] = field(default_factory=list)
    """The shared folders that it reads or writes, with what the other machine is asked of each."""

    def files(self) -> dict[str, NearFile]:
        """Each content once, by its hash."""
        return {file.content.sha256: file for group in self.groups for file in group.files.values()}


class Hashes:
    """The hashes of files; for one thread at a time."""

    def __init__(self, state: Path) -> None:
        self._file = state / FILE
        self._known: dict[str, list[object]] = {}
        try:
            self._known = dict(whole_file.read_json(self._file))
        except (OSError, ValueError, TypeError):
            log.info("No hashes are known yet")

    def of(self, path: Path, stopped: Callable[[], bool], anew: bool = False) -> Content:
        """The content of a file. Raises OSError, and Stopped."""
        found = path.stat()
        stamp: list[object] = [found.st_size, found.st_mtime_ns]
        kept = self._known.get(str(path))
        if not anew and kept is not None and kept[:2] == stamp:
            return Content(str(kept[2]), found.st_size)
        digest, size = hashlib.sha256(), 0
        with open(path, "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                if stopped():
                    raise Stopped
                digest.update(chunk)
                size += len(chunk)
        content = Content(digest.hexdigest(), size)
        self._known.pop(str(path), None)
        self._known[str(path)] = [*stamp, content.sha256]
        while len(self._known) > MAX_KEPT:
            del self._known[next(iter(self._known))]
        return content

    def save(self) -> None:
        """Keep them for the next process. Never raises."""
        try:
            whole_file.write_json(self._file, self._known, flushed=False)
        except (OSError, ValueError) as error:
            log.warning("%s can't be written: %s", self._file, error)


def cargo_of(
    request: TakeRequest, places: Places, hashes: Hashes, marks: Path, stopped: Callable[[], bool], anew: bool
) -> Cargo:
    """What the request needs. Takes as long as its files are read; `anew`: also those that seem unchanged.

    Files that pictures were rendered of, or frames taken out of, stay here; what they say of being generated themselves
    goes over, in small files that are made in the folder `marks`.

    Raises Refusal if a file can't be read, and Stopped.
    """
    groups: list[Group] = []

    def group(folder: str, paths: Iterable[Path]) -> str:
        files = {path.name: _content(path, hashes, stopped, anew) for path in paths}
        parts = [f"{name}\0{file.content.sha256}" for name, file in sorted(files.items())]
        folder_id, far = places.folder(folder, *parts)
        groups.append(Group(folder_id, files))
        return far

    def source(each: Source) -> Source:
        shared = places.shared(each.folder)
        if shared is not None:
            return _with(each, shared)
        names = dict.fromkeys(read_names(each))
        far = group(each.folder, (Path(each.folder, name) for name in names))
        shown = [f"{group(str(file.parent), [file])}/{file.name}" for file in _marks_alone(each, marks)]
        return _with(each, far, shown_files=shown)

    def lora(use: LoraUse) -> LoraUse:
        shared = places.shared(use.path)
        if shared is not None:
            return LoraUse(shared, use.strength, use.expert)
        path = Path(use.path)
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() == ".safetensors")
            return LoraUse(group(use.path, inside), use.strength, use.expert)
        far = group(str(path.parent), [path])
        return LoraUse(f"{far}/{path.name}", use.strength, use.expert)

    media_folder, place = places.shared(request.media_folder), ""
    if media_folder is None:
        place, media_folder = places.takes(request.media_folder)
    sent = replace(mapped(request, source, lora), media_folder=media_folder)
    hashes.save()
    return Cargo(groups, sent, place, _shared(request, places))


def _shared(request: TakeRequest, places: Places) -> list[tuple[PathPair, SharedParams]]:
    """The shared folders that the request names. Raises Refusal if this machine lacks one."""
    paths = [each.folder for each in request.sources] + [use.path for use in request.loras] + [request.media_folder]
    pairs = dict.fromkeys(pair for path in paths if (pair := places.pair_of(path)) is not None)
    try:
        return [(pair, shared_folders.question(pair)) for pair in pairs]
    except shared_folders.NotHere as lacking:
        raise shared_folders.refusal(lacking.sentence) from None


def _marks_alone(source: Source, folder: Path) -> list[Path]:
    """Files with nothing but the marks of what the source's pictures show."""
    made = []
    for file in map(Path, source.shown_files):
        mark = mark_of(file)
        if mark is not None:
            alone = folder / id_of(str(file)) / file.name
            private_files.make_folder(alone.parent)
            whole_file.write(alone, mark_alone(mark))
            made.append(alone)
    return made


def _with(source: Source, folder: str, shown_files: list[str] | None = None) -> Source:
    kept = source.shown_files if shown_files is None else shown_files
    return replace(source, folder=folder, shown_files=kept)


def read_names(source: Source) -> list[str]:
    """The files that are read: a movie, or the pictures of the frames."""
    return source.files[:1] if source.is_movie else source.files[: max(1, source.frames)]


def _content(path: Path, hashes: Hashes, stopped: Callable[[], bool], anew: bool) -> NearFile:
    try:
        if not os.path.isfile(path):
            raise FileNotFoundError(2, "it is missing", str(path))
        return NearFile(path, hashes.of(path, stopped, anew))
    except (OSError, ValueError) as error:
        words = reason(error) if isinstance(error, OSError) else str(error)
        sentence = Sentence("{file} can't be sent ({reason}): put it back, or choose another.", file=path, reason=words)
        raise Refusal.of(ProblemKind.BAD_SOURCE, sentence) from None
