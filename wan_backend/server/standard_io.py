"""Runs the threads at the server's stdin and stdout.

stdin's thread also ends the server when its client ends, even if the main thread hangs, and it answers `ping`, so that
a busy main thread is never mistaken for a dead server. stdout's thread keeps a client that reads slowly from stopping
the server; what waits for that client is bounded.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from io import RawIOBase
from typing import BinaryIO

from ..protocol import OverlongLine, ProtocolError
from ..protocol.conversion import to_json
from ..protocol.envelope import Request, Response, parse_line
from ..protocol.messages import PingResult
from .inbox import ClientLine, Inbox, Leave

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16
MAX_UNTAKEN_BYTES = 16 << 20
"""Limit of lines that the main thread hasn't taken yet; past it, the client has to wait, with its pings too."""
LINE_BYTES = 300
"""Approximate memory for a line, besides its text."""
MAX_PING_BYTES = 200
"""A ping has nothing to say, so that a longer line is none."""
MAX_WAITING_BYTES = 32 << 20
"""Bytes that the client hasn't read yet; past half of this, progress is not sent; past this, the server leaves."""
FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_SECONDS = 0.5
"""From one try to the next if stdout is a file on a full disk."""
HARD_EXIT_SECONDS = 3.0


class Busy:
    """The current work of the main thread, which sets it; any thread may read it."""

    def __init__(self) -> None:
        self._now: tuple[float, str] | None = None

    def begin(self, what: str) -> None:
        """It has something to do now."""
        self._now = (time.monotonic(), what)

    def name_work(self, what: str) -> None:
        """Name the work that it is doing."""
        self._now = (self._now[0] if self._now is not None else time.monotonic(), what)

    def end(self) -> None:
        """It waits for something to do."""
        self._now = None

    def status(self) -> PingResult:
        """Its current work, and for how long it has been at it."""
        now = self._now
        return PingResult() if now is None else PingResult(max(0.0, time.monotonic() - now[0]), now[1])


class StandardInput:
    """Reads the client's lines into the inbox; at the end of stdin, asks the server to leave, then makes it."""

    def __init__(
        self,
        inbox: Inbox,
        stream: BinaryIO,
        lines: Callable[[bytes], Iterator[bytes | OverlongLine]],
        send: Callable[[bytes], None],
        busy: Busy,
    ) -> None:
        """`lines` makes them of what is read; `send` takes the answer to a ping."""
        self._inbox = inbox
        self._stream = stream
        self._lines, self._send, self._busy = lines, send, busy
        self._untaken_bytes = 0
        self._taken = threading.Condition()

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def handled(self, line: bytes | OverlongLine) -> None:
        """The main thread is done with a line."""
        with self._taken:
            self._untaken_bytes -= _weight(line)
            self._taken.notify()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._stream.fileno(), CHUNK_BYTES):
                for line in self._lines(chunk):
                    if not self._answers_ping(line):
                        self._hand_on(line)
        except OSError as error:
            log.error("stdin can't be read: %s", error)
        exit_hard_after(HARD_EXIT_SECONDS)
        self._inbox.put(Leave("stdin ended"))

    def _hand_on(self, line: bytes | OverlongLine) -> None:
        with self._taken:
            self._taken.wait_for(lambda: self._untaken_bytes < MAX_UNTAKEN_BYTES)
            self._untaken_bytes += _weight(line)
        self._inbox.put(ClientLine(line))

    def _answers_ping(self, line: bytes | OverlongLine) -> bool:
        if isinstance(line, OverlongLine) or len(line) > MAX_PING_BYTES or b'"ping"' not in line:
            return False
        try:
            message = parse_line(line)
        except ProtocolError:
            return False
        if not isinstance(message, Request) or message.method != "ping":
            return False
        self._send(Response(message.id, to_json(self._busy.status())).line())
        return True


def _weight(line: bytes | OverlongLine) -> int:
    return LINE_BYTES + (len(line) if isinstance(line, bytes) else len(line.head))


class StandardOutput:
    """Writes lines to the client, each whole, in the order of `send`. Safe from any thread.

    Where the client has stdout in a file and its disk is full, what is to be said waits for room.
    """

    def __init__(self, inbox: Inbox, stream: RawIOBase) -> None:
        self._inbox = inbox
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._dead = False
        self._thread = threading.Thread(target=self._write, name="stdout", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def send(self, line: bytes, droppable: bool = False) -> None:
        """Have `line` written; a droppable one is left out while the client is far behind."""
        with self._changed:
            if self._dead or (droppable and self._waiting_bytes > MAX_WAITING_BYTES // 2):
                return
            self._lines.append(line)
            self._waiting_bytes += len(line)
            if self._waiting_bytes > MAX_WAITING_BYTES:
                self._dead = True
                self._lines.clear()
                self._inbox.put(Leave("the client does not read its answers"))
            self._changed.notify()

    def close(self, timeout_seconds: float) -> None:
        """Write what waits, as long as the time allows."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_seconds)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closing)
                if not self._lines:
                    return
                lines = b"".join(self._lines)
                self._lines.clear()
            try:
                self._write_whole(lines)
            except (OSError, ValueError) as error:
                with self._changed:
                    self._dead = True
                self._inbox.put(Leave(f"stdout can't be written: {error}"))
                return
            with self._changed:
                self._waiting_bytes -= len(lines)

    def _write_whole(self, lines: bytes) -> None:
        rest, was_full = memoryview(lines), False
        while rest:
            try:
                rest = rest[self._stream.write(rest) or 0 :]
            except OSError as error:
                if error.errno not in FULL or self._closing:
                    raise
                if not was_full:
                    log.error("The disk of stdout is full; what is to be said waits for room")
                was_full = True
                time.sleep(FULL_SECONDS)


def private_stdout() -> RawIOBase:
    """stdout for the protocol alone: whatever else in this process writes to it goes to stderr from now on."""
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return stream


def leave_at_signals(inbox: Inbox) -> None:
    """Have SIGTERM and SIGINT ask the server to leave, from the moment that they come.

    A handler in Python runs only once the main thread is awake, and one that arrives just before it goes to sleep at
    the inbox would wait for the next event; the bytes that signals write to a socket wake a thread at once.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    threading.Thread(target=_watch_signals, args=[ours, theirs, inbox], name="signals", daemon=True).start()


def _watch_signals(ours: socket.socket, theirs: socket.socket, inbox: Inbox) -> None:
    """`theirs` is here so that it stays open as long as it is written to."""
    while number := ours.recv(1):
        inbox.put(Leave(f"asked by {signal.Signals(number[0]).name}"))
    theirs.close()


def exit_hard_after(seconds: float) -> None:
    """End this process then, whatever its main thread does."""
    timer = threading.Timer(seconds, os._exit, [1])
    timer.daemon = True
    timer.start()
