"""Media of a client on another machine: contents that it sends, and takes that it fetches.

<state folder>/sent/contents/<sha256>       a file, whole; <sha256>.part while it comes
<state folder>/sent/folders/<id>/<name>     links to contents, under the names that requests give
<state folder>/sent/takes/<id>/             the media folders of clients that see none of this machine's disks

All of it is done on one thread, in the order of the calls; a disk that stalls keeps nothing else of the server waiting.
Names and hashes come off the wire, so each is checked to be one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..protocol import ProtocolError
from ..protocol import transfer as t
from ..protocol.errors import INVALID_PARAMS, Refusal
from ..protocol.media import PARTIAL_SUFFIX, PREVIEW_FILE, PREVIEW_PIXELS_FILE
from ..protocol.messages import ProblemKind
from ..protocol.plain_names import is_id, is_name
from ..protocol.sentences import Sentence
from ..storage import folder_trees, private_files, training_folder, whole_file
from ..storage.byte_sizes import free_bytes_at, size_in_words
from ..storage.disk_errors import reason
from ..storage.media_folder import RESERVE_BYTES
from ..storage.take_folder import OF_TAKE

log = logging.getLogger(__name__)

KEPT_SECONDS = 30 * 24 * 3600
"""What was sent stays so long after its last use: the next take from the same footage needs nothing sent."""
HASHED_BYTES = 64 << 20
"""One answer about a take's files stops after so many were hashed, so that the next call isn't kept waiting."""
CHUNK_BYTES = 1 << 20


class SentMedia:
    """What clients sent; for one thread at a time. Its methods raise ProtocolError."""

    def __init__(self, state_folder: Path) -> None:
        root = state_folder / "sent"
        self._contents, self._folders, self._takes = root / "contents", root / "folders", root / "takes"
        self._hashes: dict[tuple[str, int, int], str] = {}

    def lacks(self, params: t.LacksParams) -> t.LacksResult:
        """How much of each content is there."""
        if len(params.contents) > t.MAX_FILES_AT_ONCE:
            raise _wrong("Too many contents are asked for at once.")
        return t.LacksResult([self._there(content) for content in params.contents])

    def put(self, params: t.PutParams) -> t.PutResult:
        """Take the next piece."""
        content, there = params.content, self._there(params.content)
        if (there == content.size_bytes and there) or params.offset != there:
            return t.PutResult(there)
        piece = t.piece_bytes(params.piece)
        if there + len(piece) > content.size_bytes:
            raise _wrong("A piece of a file goes beyond the file's end.")
        try:
            return t.PutResult(self._added(content, there, piece))
        except OSError as error:
            raise self._cant_keep(content.size_bytes - there, error) from None

    def gather(self, params: t.GatherParams) -> t.FolderResult:
        """Give contents their names in a folder."""
        folder = self._folders / _checked_id(params.folder)
        if len(params.files) > t.MAX_FILES_AT_ONCE:
            raise _wrong("Too many files are named at once.")
        try:
            private_files.make_folder(folder)
            for file in params.files:
                self._link(folder, file)
        except OSError as error:
            raise self._cant_keep(0, error) from None
        return t.FolderResult(str(folder))

    def place(self, params: t.PlaceParams) -> t.FolderResult:
        """The folder for a client's takes."""
        folder = self._takes / _checked_id(params.place)
        try:
            private_files.make_folder(folder)
        except OSError as error:
            raise self._cant_keep(0, error) from None
        return t.FolderResult(str(folder))

    def take_files(self, params: t.TakeFilesParams, media_folder: str, finished: str) -> t.TakeFilesResult:
        """The files of a take: `finished` is its folder if it is whole, `media_folder` where it is made."""
        folder = Path(finished) if finished else Path(media_folder) / (params.job_id + PARTIAL_SUFFIX)
        return self._listed(params.after, folder, _take_names(folder, whole=bool(finished)), bool(finished))

    def _listed(self, after: str, folder: Path, names: Iterable[tuple[str, int]], whole: bool) -> t.TakeFilesResult:
        files: list[t.TakeFile] = []
        hashed = 0
        for name, size in names:
            if name <= after:
                continue
            if hashed > HASHED_BYTES or len(files) >= t.MAX_FILES_AT_ONCE:
                return t.TakeFilesResult(files, whole, more=True)
            try:
                files.append(t.TakeFile(name, size, self._hash(folder / name)))
            except OSError:  # it went between the look and this: the next look has the new one
                continue
            hashed += size
        return t.TakeFilesResult(files, whole)

    def training_files(self, params: t.TakeFilesParams, loras_folder: str, whole: bool) -> t.TakeFilesResult:
        """The files that a training has brought so far, which may lie in folders of its own; `whole`: it is done."""
        folder = training_folder.find(Path(loras_folder), "", params.job_id)
        found = [] if folder is None else training_folder.files_of(folder)
        assert folder is not None or not found
        return self._listed(params.after, folder or Path(loras_folder), found, whole)

    def training_read(self, params: t.TakeReadParams, loras_folder: str) -> t.TakeReadResult:
        """A piece of one of these files."""
        folder = training_folder.find(Path(loras_folder), "", params.job_id)
        if folder is None or not training_folder.is_file_name(params.name):
            raise _wrong("No training has a file of that name.")
        return self._piece(params, folder)

    def take_read(self, params: t.TakeReadParams, folder: Path) -> t.TakeReadResult:
        """A piece of a file in `folder`."""
        preview = params.name in (PREVIEW_FILE, PREVIEW_PIXELS_FILE)
        if not preview and OF_TAKE.fullmatch(params.name) is None:
            raise _wrong("No take has a file of that name.")
        return self._piece(params, folder)

    def _piece(self, params: t.TakeReadParams, folder: Path) -> t.TakeReadResult:
        most = max(0, min(params.most_bytes, t.MAX_PIECE_BYTES))
        try:
            with open(folder / params.name, "rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                stream.seek(max(0, params.offset))
                return t.TakeReadResult(t.packed_piece(stream.read(most)), size)
        except OSError as error:
            sentence = Sentence("{file} can't be read ({reason}).", file=params.name, reason=reason(error))
            raise Refusal.of(ProblemKind.NOT_FOUND, sentence) from None

    def shared(self, params: t.SharedParams) -> t.SharedResult:
        """Whether a folder of this machine's is the one that a client sees."""
        if len(params.names) > t.MAX_NAMES_COMPARED or not all(map(is_name, params.names)):
            raise _wrong("A few names of one folder are compared.")
        folder = Path(params.folder)
        try:
            there = folder.is_absolute() and folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
            return t.SharedResult(there, sum(os.path.lexists(folder / name) for name in params.names) if there else 0)
        except (OSError, ValueError):
            return t.SharedResult(False, 0)

    def take_arrived(self, folder: str) -> None:
        """Remove a take that its client has, if it lies in a place that was made for a client."""
        path = Path(folder)
        if path.parent.parent == self._takes and path.is_dir() and not path.is_symlink():
            folder_trees.remove(path, ignore_errors=True)

    def prune(self) -> None:
        """Remove what nobody has used for a long time."""
        oldest = time.time() - KEPT_SECONDS
        for path in _children(self._folders):
            if _used(path) < oldest:
                folder_trees.remove(path, ignore_errors=True)
        for path in _children(self._contents):
            try:
                if path.lstat().st_mtime < oldest and path.lstat().st_nlink < 2:
                    path.unlink()
            except OSError as error:
                log.warning("%s could not be removed: %s", path, error)
        for path in (folder for place in _children(self._takes) for folder in _children(place)):
            # A take goes once its client has it; a training that was stopped and never resumed would stay for ever.
            if (path / training_folder.SETTINGS_FILE).is_file() and _used(path) < oldest:
                folder_trees.remove(path, ignore_errors=True)

    def _there(self, content: t.Content) -> int:
        if not t.is_sha256(content.sha256) or content.size_bytes < 0:
            raise _wrong("A content is named by its SHA-256 and its size.")
        whole = self._contents / content.sha256
        for file in (whole, whole.with_name(whole.name + whole_file.UNFINISHED_SUFFIX)):
            try:
                size = file.stat().st_size
            except OSError:
                continue
            if file is whole:
                os.utime(whole)  # it is used
            return min(size, content.size_bytes)
        return 0

    def _added(self, content: t.Content, there: int, piece: bytes) -> int:
        private_files.make_folder(self._contents)
        whole = self._contents / content.sha256
        part = whole.with_name(whole.name + whole_file.UNFINISHED_SUFFIX)
        with private_files.opened(part, "ab") as stream:
            try:
                stream.write(piece)
                stream.flush()
            except OSError:
                stream.truncate(there)
                raise
        if there + len(piece) == content.size_bytes:
            if _hash_of(part) != content.sha256:
                part.unlink()
                sentence = Sentence("A file was damaged on its way; it is sent again.")
                raise Refusal.of(ProblemKind.CHECKSUM, sentence)
            whole_file.replace(part, whole)
        return there + len(piece)

    def _link(self, folder: Path, file: t.NamedContent) -> None:
        if not is_name(file.name) or not t.is_sha256(file.sha256):
            raise _wrong("A file is named by one name and its SHA-256.")
        whole, name = self._contents / file.sha256, folder / file.name
        if not whole.is_file():
            sentence = Sentence("{file} has not arrived; it is sent again.", file=file.name)
            raise Refusal.of(ProblemKind.NOT_FOUND, sentence)
        if name.exists() and os.path.samefile(name, whole):
            return
        name.unlink(missing_ok=True)
        try:
            os.link(whole, name)
        except OSError:  # a file system without links
            shutil.copyfile(whole, name)

    def _hash(self, file: Path) -> str:
        found = file.stat()
        key = str(file), found.st_size, found.st_mtime_ns
        if key not in self._hashes:
            if len(self._hashes) > t.MAX_FILES_AT_ONCE * 20:
                self._hashes.clear()
            self._hashes[key] = _hash_of(file)
        return self._hashes[key]

    def _cant_keep(self, missing_bytes: int, error: OSError) -> Refusal:
        free = free_bytes_at(self._contents)
        if free < missing_bytes + RESERVE_BYTES:
            sentence = Sentence(
                "The other machine has {free} left for what is sent to it, and {missing} are missing: make room there, "
                "in {folder}.",
                free=size_in_words(free),
                missing=size_in_words(missing_bytes),
                folder=self._contents.parent,
            )
            return Refusal.of(ProblemKind.DISK_FULL, sentence)
        sentence = Sentence(
            "The other machine can't keep what is sent to it ({reason}): see to its folder {folder}.",
            reason=reason(error),
            folder=self._contents.parent,
        )
        return Refusal.of(ProblemKind.FOLDER, sentence)


def _take_names(folder: Path, whole: bool) -> Iterator[tuple[str, int]]:
    """The names and sizes of a take's files, in order; while it is made, its pictures alone: they are whole at once."""
    try:
        with os.scandir(folder) as entries:
            found = [
                (entry.name, entry.stat(follow_symlinks=False).st_size)
                for entry in entries
                if OF_TAKE.fullmatch(entry.name)
                and (whole or entry.name.endswith(".png"))
                and entry.is_file(follow_symlinks=False)
            ]
    except OSError:
        return
    yield from sorted(found)


def _hash_of(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _used(folder: Path) -> float:
    """When the newest thing in a folder was used."""
    times = [time.time()] if not folder.exists() else [folder.stat().st_mtime]
    for path in _children(folder):
        times.append(path.stat().st_mtime if path.exists() else 0.0)
    return max(times)


def _checked_id(text: str) -> str:
    if not is_id(text):
        raise _wrong("A folder is named by an id.")
    return text


def _wrong(sentence: str) -> ProtocolError:
    return ProtocolError(INVALID_PARAMS, sentence)
