"""`serve --stay`: a server that outlasts its line, for a client on another machine.

Three processes: this one has the line's stdin and stdout and passes them on; a keeper, which belongs to no line, has
the server as its child. They meet at a socket in the state folder, which nobody else can reach. A keeper whose last
client has gone stays until nothing is left to be made; the next `serve --stay` finds it, or starts another.

    ssh -> serve --stay -> <state folder>/keeper.sock -> keeper -> serve

Several clients may be there at once. Each sees every event; answers go to the one that asked, so the keeper puts its
client's number before each id on the way in, and takes it away on the way out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..protocol import PROTOCOL_VERSION, LineSplitter, ProtocolError
from ..protocol.envelope import Request, Response, parse_line
from ..protocol.errors import INVALID_REQUEST
from ..protocol.messages import Hold, JobState
from ..storage import file_locks, private_files
from . import log_files

log = logging.getLogger(__name__)

SOCKET, LOCK = "keeper.sock", "keeper.lock"
CANT_START = 3
START_SECONDS = 60.0
LOOK_SECONDS = 5.0
"""While no client is there, the keeper looks this often whether anything is left to be made."""
CHUNK_BYTES = 1 << 16
MAX_WAITING_BYTES = 32 << 20
"""A client that is further behind is let go; it asks for what it missed when it comes again."""
_ID = re.compile(rb'^(\s*\{"jsonrpc": ?"2\.0", ?"id": ?)(-?\d{1,18})(?=[,}\s])')
_OURS = re.compile(rb'^(\{"jsonrpc":"2\.0","id":)"(\d+)\|(-?\d+)"')
_OWN_CLIENT = 0
"""The keeper itself asks, too."""


def is_possible() -> bool:
    """Whether this system has what it takes."""
    return hasattr(socket, "AF_UNIX")


def main(state: Path, serve_arguments: list[str]) -> int:
    """Pass this line on to the keeper, which is started where none is; the exit code."""
    private_files.begin()
    try:
        private_files.make_folder(state)
        line = _connected(state, serve_arguments)
    except OSError as error:
        sys.stderr.write(f"The server can't be kept in {state}: {error}\n")
        return CANT_START
    if line is None:
        sys.stderr.write(f"The server did not start; {state / 'logs' / 'keeper.log'} says why.\n")
        return CANT_START
    _pump(line)
    return 0


def _connected(state: Path, serve_arguments: list[str]) -> socket.socket | None:
    """The way to a keeper of this version. One of another version is asked to go: the jobs go on at the next."""
    until = time.monotonic() + START_SECONDS
    started = 0.0
    while time.monotonic() < until:
        line = _try(state)
        if line is not None:
            if _greeting(line) == PROTOCOL_VERSION:
                return line
            with contextlib.suppress(OSError):
                line.sendall(b'{"leave": true}\n')
            line.close()
            time.sleep(0.2)
        elif time.monotonic() - started > START_SECONDS / 3:
            started = time.monotonic()
            _start_keeper(state, serve_arguments)
        time.sleep(0.05)
    return None


def _try(state: Path) -> socket.socket | None:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _in_folder(state):
            line.connect(SOCKET)
    except OSError:
        line.close()
        return None
    return line


@contextlib.contextmanager
def _in_folder(folder: Path) -> Any:
    """With that as the current folder: a socket's path may have about 100 characters."""
    before = os.open(".", os.O_RDONLY)
    os.chdir(folder)
    try:
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def _greeting(line: socket.socket) -> int:
    """The protocol's version that the keeper speaks, which it says first."""
    line.settimeout(START_SECONDS)
    said = b""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        while not said.endswith(b"\n") and len(said) < 200:
            byte = line.recv(1)
            if not byte:
                break
            said += byte
        line.settimeout(None)
        return int(json.loads(said)["keeper"])
    return 0


def _start_keeper(state: Path, serve_arguments: list[str]) -> None:
    logs = state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "wan_backend.server.stay", "--state", str(state), "--", *serve_arguments]
    with private_files.opened(logs / "keeper.out") as out:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, close_fds=True
        )


def _pump(line: socket.socket) -> None:
    """stdin to the socket on a thread, the socket to stdout here; either end ends both."""

    def there() -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(0, CHUNK_BYTES):
                line.sendall(chunk)
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=there, name="stdin", daemon=True).start()
    with contextlib.suppress(OSError):
        while chunk := line.recv(CHUNK_BYTES):
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(1, rest) :]
    os._exit(0)  # a thread that waits at stdin can't be joined


# The keeper


class _Client:
    """One line. What waits for a slow one is bounded."""

    def __init__(self, number: int, line: socket.socket, gone: Callable[[int], None]) -> None:
        self.number = number
        self._line, self._gone = line, gone
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        threading.Thread(target=self._write, name=f"client-{number}", daemon=True).start()

    def send(self, line: bytes) -> None:
        """Have a line written."""
        self._waiting_bytes += len(line)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self.close()
        else:
            self._outgoing.put(line)

    def lines(self) -> Any:
        """The lines that come, until it is gone."""
        splitter = LineSplitter()
        with contextlib.suppress(OSError):
            while chunk := self._line.recv(CHUNK_BYTES):
                for line in splitter.feed(chunk):
                    if isinstance(line, bytes):
                        yield line
        self.close()
        self._gone(self.number)

    def close(self) -> None:
        """Let it go."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._outgoing.put(None)

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (line := self._outgoing.get()) is not None:
                self._line.sendall(line)
                self._waiting_bytes -= len(line)
        self._line.close()


class Keeper:
    """Has the server as its child, and clients at a socket."""

    def __init__(self, state: Path, serve_arguments: list[str]) -> None:
        self._state = state
        self._clients: dict[int, _Client] = {}
        self._next = _OWN_CLIENT + 1
        self._lock = threading.Lock()
        self._to_server = threading.Lock()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _in_folder(state):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(SOCKET)  # of one that was killed: the lock says that none lives
            self._listener.bind(SOCKET)
            os.chmod(SOCKET, 0o600)
        self._listener.listen()
        command = [sys.executable, "-m", "wan_backend", "serve", "--state", str(state), *serve_arguments]
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def run(self) -> None:
        """Until the server ends, or nobody is there and nothing is left to be made."""
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        threading.Thread(target=self._look_after, name="look", daemon=True).start()
        stdout = self._server.stdout
        assert stdout is not None
        splitter = LineSplitter()
        while chunk := os.read(stdout.fileno(), CHUNK_BYTES):
            for line in splitter.feed(chunk):
                if isinstance(line, bytes):
                    self._from_server(line)
        log.info("The server has ended (exit code %s)", self._server.wait())
        with contextlib.suppress(OSError), _in_folder(self._state):
            os.unlink(SOCKET)
        for client in list(self._clients.values()):
            client.close()
        time.sleep(0.2)  # for their last lines
        os._exit(0)

    def _accept(self) -> None:
        while True:
            line, _ = self._listener.accept()
            with self._lock:
                number, self._next = self._next, self._next + 1
                client = self._clients[number] = _Client(number, line, self._gone)
            log.info("Client %d has come", number)
            client.send(json.dumps({"keeper": PROTOCOL_VERSION}).encode() + b"\n")
            threading.Thread(target=self._read, args=[client], name=f"read-{number}", daemon=True).start()

    def _gone(self, number: int) -> None:
        with self._lock:
            self._clients.pop(number, None)
        log.info("Client %d is gone", number)

    def _read(self, client: _Client) -> None:
        for line in client.lines():
            if line == b'{"leave": true}':
                log.info("One of another version comes: leaving")
                self._leave()
                return
            self._ask(client.number, line)

    def _ask(self, number: int, line: bytes) -> None:
        """Pass a client's line on, with its number before the id."""
        changed, count = _ID.subn(rb'\1"%d|\2"' % number, line, count=1)
        if not count and self._is_answered(number, line):
            return
        stdin = self._server.stdin
        assert stdin is not None
        with self._to_server, contextlib.suppress(OSError, ValueError):
            stdin.write(changed + b"\n")
            stdin.flush()

    def _is_answered(self, number: int, line: bytes) -> bool:
        """Whether a line was a request whose id no answer could be told by; it is answered here."""
        try:
            message = parse_line(line)
        except ProtocolError as unreadable:
            answer = Response.failure(None, unreadable)
        else:
            if not isinstance(message, Request):
                return False
            words = "Through a keeper, ids are whole numbers right behind the version."
            answer = Response.failure(message.id, ProtocolError(INVALID_REQUEST, words))
        with self._lock:
            client = self._clients.get(number)
        if client is not None:
            client.send(answer.line())
        return True

    def _from_server(self, line: bytes) -> None:
        found = _OURS.match(line)
        if found is None:
            with self._lock:
                clients = list(self._clients.values())
            for client in clients:
                client.send(line + b"\n")
            return
        number = int(found[2])
        own = found[1] + found[3] + line[found.end() :]
        if number == _OWN_CLIENT:
            self._answers.put(own)
            return
        with self._lock:
            asker = self._clients.get(number)
        if asker is not None:
            asker.send(own + b"\n")

    def _look_after(self) -> None:
        """Leave once nobody is there and nothing is left to be made. The first client has time to come."""
        idle_looks, patient_until = 0, time.monotonic() + START_SECONDS / 2
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                is_alone = not self._clients
                if self._next == _OWN_CLIENT + 1 and time.monotonic() < patient_until:
                    continue
            idle_looks = idle_looks + 1 if is_alone and not self._goes_on() else 0
            if idle_looks >= 2:
                log.info("Nobody is there, and nothing is left to be made: leaving")
                self._leave()
                return

    def _goes_on(self) -> bool:
        """Whether a job runs, or will have its turn."""
        self._ask(_OWN_CLIENT, Request(1, "list").line().rstrip(b"\n"))
        with contextlib.suppress(queue.Empty, ProtocolError, KeyError, TypeError):
            answer = parse_line(self._answers.get(timeout=60.0))
            if isinstance(answer, Response) and answer.error is None:
                return any(
                    not JobState(job["state"]).ended and job["hold"] == Hold.NONE and not job["held_elsewhere"]
                    for job in answer.result["jobs"]
                )
            return False  # nobody has greeted it yet
        return True

    def _leave(self) -> None:
        stdin = self._server.stdin
        assert stdin is not None
        self._ask(_OWN_CLIENT, Request(2, "shutdown").line().rstrip(b"\n"))  # a job that runs goes on at the next
        with self._to_server, contextlib.suppress(OSError):
            stdin.close()


def keep(arguments: list[str]) -> int:
    """Be the keeper, unless there is one; the exit code."""
    parser = argparse.ArgumentParser(prog="wan_backend.server.stay")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("serve", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    private_files.begin()
    log_files.start_logging(options.state / "logs" / "keeper.log")
    lock = private_files.opened(options.state / LOCK, "ab")
    if not file_locks.lock(lock):
        log.info("There is a keeper")
        return 0
    given = options.serve[1:] if options.serve[:1] == ["--"] else options.serve
    Keeper(options.state, given).run()
    return 0


if __name__ == "__main__":
    sys.exit(keep(sys.argv[1:]))
