"""A file that comes piece by piece, onto a disk that fills up."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

from wan_backend.protocol import transfer as t
from wan_backend.relay import incoming
from wan_backend.relay.incoming import Course, IncomingFile

CONTENT = bytes(range(250)) * 40


class AnsweringLine:
    """The far side has the content, and hands out what is asked of it at once."""

    def try_call(self, method: str, params: t.TakeReadParams, came: Any, failed: Any) -> None:
        piece = CONTENT[params.offset : params.offset + params.most_bytes]
        came(t.TakeReadResult(t.Piece(base64.b64encode(piece).decode("ascii")), len(CONTENT)))


class FillingFile(io.FileIO):
    """A file on a disk that has so many bytes left: it takes a part before it says that it is full."""

    room = 0

    def write(self, content: Any) -> int:
        part = memoryview(content)[: FillingFile.room]
        if not part:
            raise OSError(errno.ENOSPC, "No space left on device")
        FillingFile.room -= len(part)
        return super().write(part) or 0


@pytest.mark.parametrize("room", [0, 1, 7_000, len(CONTENT) - 1])
def test_a_disk_that_is_full_in_the_midst_of_a_piece_is_no_file_that_is_whole(tmp_path: Path, monkeypatch, room):
    monkeypatch.setattr(incoming.private_files, "opened", lambda path, mode, buffering: FillingFile(path, mode))
    file = t.TakeFile("0001.png", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    told: list[Any] = []
    course = Course(lambda: told.append("ended"), lambda: told.append("other"), told.append)
    coming = IncomingFile(AnsweringLine(), lambda: None)
    FillingFile.room = room
    coming.begin("a" * 32, file, tmp_path / "part", course)
    assert [each.errno for each in told] == [errno.ENOSPC] and not coming.job_id
    assert (tmp_path / "part").read_bytes() == CONTENT[:room]
    FillingFile.room = len(CONTENT)
    coming.begin("a" * 32, file, tmp_path / "part", course)
    assert told[1:] == ["ended"] and (tmp_path / "part").read_bytes() == CONTENT
