"""The server's words where the client has them in a file: a full disk delays them, and loses and doubles none."""

from __future__ import annotations

import errno
import io
import queue

import pytest

from tests.wan_backend.server.served import wait_until
from wan_backend.server import standard_io
from wan_backend.server.inbox import Leave

LINES = [b"%d %s\n" % (number, b"x" * number) for number in range(200)]


class Disk(io.RawIOBase):
    """A file on a disk that takes so many bytes at a time, and is full in between."""

    def __init__(self, error: int) -> None:
        self.written, self.tries = b"", 0
        self._error = error

    def write(self, data) -> int:
        self.tries += 1
        if self.tries % 3 == 0:
            raise OSError(self._error, "no")
        self.written += bytes(data[:700])
        return min(700, len(data))


@pytest.fixture
def inbox(monkeypatch):
    monkeypatch.setattr(standard_io, "FULL_SECONDS", 0.001)
    return queue.SimpleQueue()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_what_a_full_disk_does_not_take_is_written_when_there_is_room(inbox, error):
    disk = Disk(error)
    output = standard_io.StandardOutput(inbox, disk)
    output.start()
    for line in LINES:
        output.send(line)
    wait_until(lambda: len(disk.written) == sum(map(len, LINES)))
    output.close(30.0)
    assert disk.written == b"".join(LINES) and inbox.empty()


def test_whatever_else_is_wrong_with_it_ends_the_server(inbox):
    output = standard_io.StandardOutput(inbox, Disk(errno.EIO))
    output.start()
    for line in LINES:
        output.send(line)
    assert isinstance(inbox.get(timeout=60), Leave)
