"""Brings files of jobs over the line, one after another: piece by piece, and on from where one broke off."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from ..protocol import ProtocolError
from ..protocol import transfer as t
from ..protocol.errors import GONE
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage import private_files
from .line import Line
from .pieces import UNDER_WAY, Pace


@dataclass(frozen=True)
class Course:
    """What is called of a file that comes: one of them, once, unless it is dropped or the line ends."""

    ended: Callable[[], None]
    """It is whole, and what was announced."""
    is_other: Callable[[], None]
    """It isn't the file that was announced: it was replaced over there, or is gone."""
    disk_failed: Callable[[OSError], None]


@dataclass(kw_only=True)
class Announced:
    """The files that a job has over there, and those of them that are still to come."""

    known: dict[str, t.TakeFile] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    looks: bool = False
    """It was asked which files there are, and no answer has come."""
    look_at: float = 0.0
    """When to ask again, by `time.monotonic`."""
    problem: Sentence = NO_SENTENCE
    """Why the last of them could not be kept here; empty once one could."""

    @property
    def total_bytes(self) -> int:
        """How much they are, as far as they are known."""
        return sum(file.size_bytes for file in self.known.values())

    def done_bytes(self, written: int) -> int:
        """How much is here, with what is `written` of the file that comes now."""
        missing = set(self.missing)
        return sum(file.size_bytes for name, file in self.known.items() if name not in missing) + written


@dataclass
class _Coming:
    """The file that comes now."""

    job_id: str
    file: t.TakeFile
    part: Path
    stream: BinaryIO
    digest: Any
    course: Course
    asked: int = 0
    """Up to where it was asked for."""
    written: int = 0
    under_way: int = 0


class IncomingFile:
    """One file at a time. For the main thread."""

    def __init__(self, line: Line, on_change: Callable[[], None]) -> None:
        self._line, self._on_change = line, on_change
        self._coming: _Coming | None = None
        self._generation = 0
        self._pace = Pace()

    @property
    def job_id(self) -> str:
        """The job whose file comes now; empty if none does."""
        return "" if self._coming is None else self._coming.job_id

    def written_of(self, job_id: str) -> int:
        """How much is here of the file that comes, if it is that job's."""
        return self._coming.written if self._coming is not None and self._coming.job_id == job_id else 0

    def line_opened(self) -> None:
        """There is a line again: what was under way on the one before is begun anew."""
        self._pace.line_opened()
        self.drop()

    def begin(self, job_id: str, file: t.TakeFile, part: Path, course: Course) -> None:
        """Fetch a file of a job into `part`, which may have its beginning already."""
        try:
            private_files.make_folder(part.parent)
            digest = digest_of(part) if part.exists() else hashlib.sha256()
            there = part.stat().st_size if part.exists() else 0
            if there > file.size_bytes:
                part.unlink()
                there, digest = 0, hashlib.sha256()
            stream = private_files.opened(part, "ab", buffering=0)
        except OSError as error:
            self._disk_failed(course, error)
            return
        self._generation += 1
        self._coming = _Coming(job_id, file, part, stream, digest, course, there, there)
        if there == file.size_bytes:
            self._ended()
        else:
            self._ask_pieces()

    def drop(self) -> None:
        """Fetch no more of it; what is here stays."""
        self._generation += 1
        if self._coming is not None:
            with contextlib.suppress(OSError):
                self._coming.stream.close()
        self._coming = None

    def drop_of(self, job_id: str) -> None:
        """The same, if the file is that job's."""
        if self.job_id == job_id:
            self.drop()

    def _ask_pieces(self) -> None:
        coming, generation = self._coming, self._generation
        while coming is not None and coming.asked < coming.file.size_bytes and coming.under_way < UNDER_WAY:
            offset, length = coming.asked, min(self._pace.piece_bytes, coming.file.size_bytes - coming.asked)
            coming.asked += length
            coming.under_way += 1
            sent_at = self._pace.sent()

            def came(result: t.TakeReadResult, offset: int = offset, sent_at: float = sent_at) -> None:
                if generation == self._generation and self._coming is not None:
                    self._pace.answered(sent_at)
                    self._take_piece(offset, result)

            def failed(error: ProtocolError) -> None:
                if generation == self._generation and self._coming is not None:
                    course = self._coming.course
                    self.drop()
                    if error.code != GONE:
                        course.is_other()

            params = t.TakeReadParams(coming.job_id, coming.file.name, offset, length)
            self._line.try_call("take_read", params, came, failed)
            if generation != self._generation:
                return

    def _take_piece(self, offset: int, result: t.TakeReadResult) -> None:
        coming = self._coming
        assert coming is not None
        coming.under_way -= 1
        try:
            piece = t.piece_bytes(result.piece)
        except ProtocolError:
            piece = b""
        if offset != coming.written or not piece or result.size_bytes != coming.file.size_bytes:
            self._is_other(coming)
            return
        try:
            rest = memoryview(piece)
            while rest:  # a disk that is nearly full takes a part before it says so
                rest = rest[coming.stream.write(rest) :]
        except OSError as error:
            self._disk_failed(coming.course, error)
            return
        coming.digest.update(piece)
        coming.written += len(piece)
        if coming.written < coming.asked and not coming.under_way:
            coming.asked = coming.written  # a piece was shorter than asked for
        if coming.written == coming.file.size_bytes:
            self._ended()
        else:
            self._ask_pieces()
        self._on_change()

    def _ended(self) -> None:
        coming = self._coming
        assert coming is not None
        if coming.digest.hexdigest() != coming.file.sha256:
            self._is_other(coming)
            return
        self.drop()
        coming.course.ended()

    def _is_other(self, coming: _Coming) -> None:
        """What lay here of it may have been of another, too."""
        self.drop()
        with contextlib.suppress(OSError):
            coming.part.unlink()
        coming.course.is_other()

    def _disk_failed(self, course: Course, error: OSError) -> None:
        self.drop()
        course.disk_failed(error)


_Arrival = TypeVar("_Arrival", bound=Announced)


class Arrivals(Generic[_Arrival]):
    """The jobs of which files come, by their ids. For the main thread. Subclasses say what comes next, in `_go_on`."""

    def __init__(self, line: Line, on_change: Callable[[], None]) -> None:
        self._line, self._on_change = line, on_change
        self._incoming = IncomingFile(line, on_change)
        self._arrivals: dict[str, _Arrival] = {}

    @property
    def current(self) -> str:
        """The job of which a file comes now; empty if none does."""
        return self._incoming.job_id

    @property
    def hindered(self) -> str:
        """The job whose files this machine's disk doesn't take; empty if there is none."""
        return next((job_id for job_id, arrival in self._arrivals.items() if arrival.problem), "")

    def done_bytes(self, job_id: str) -> int:
        """How much is here of what a job has over there."""
        arrival = self._arrivals.get(job_id)
        return 0 if arrival is None else arrival.done_bytes(self._incoming.written_of(job_id))

    def total_bytes(self, job_id: str) -> int:
        """How much a job has over there, as far as that is known."""
        arrival = self._arrivals.get(job_id)
        return 0 if arrival is None else arrival.total_bytes

    def line_opened(self) -> None:
        """There is a line again: go on."""
        self._incoming.line_opened()
        for arrival in self._arrivals.values():
            arrival.looks, arrival.look_at = False, 0.0
        self._go_on()

    def tick(self) -> None:
        """Look again where something was waited for."""
        if any(time.monotonic() >= arrival.look_at for arrival in self._arrivals.values()):
            self._go_on()

    def _go_on(self) -> None:
        """Begin the next file, or ask which there are, unless a file comes already."""
        raise NotImplementedError


def digest_of(path: Path) -> Any:
    """The SHA-256 of a file, which more can be added to. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest
