"""A child process that can never make Blender wait: stdin is a pipe that is never waited for, stdout and stderr are
files (output_file), and ending it takes several ticks. No bpy, no threads.

The child leaves by itself when its stdin ends, so it also goes when Blender is killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import deque
from pathlib import Path
from typing import IO, Any

from ...wan_backend.storage import private_files
from ..translation import translated
from .launch_command import BackendCommand, BackendMissing
from .output_file import OutputFile

log = logging.getLogger(__name__)

TERMINATE_AFTER_SECONDS = 4.0
"""Counted from the end of its stdin; the server itself needs 3 s at most to end in order."""
DEATH_SECONDS = 0.5
"""The longest wait for the end of a process that was killed."""
KILL_AFTER_SECONDS = 5.0
_PIECE_BYTES = 1024 if sys.platform == "win32" else 65536
"""Bytes of one write; few on Windows, where a pipe accepts a write as a whole or not at all."""
_MAX_FLUSH_BYTES = 1 << 17
"""Bytes of one `flush`, however quickly the child reads, so that no tick takes long."""
_KEPT_LOGS = 8
_OURS = re.compile(r"[a-z]+-[1-9][0-9]*-[0-9a-f]{8}\.(?:out|log)")
"""The names of a child's files: its kind, the process id of its Blender, and a random part. An id of 0 would mean a
group of processes."""

_dying: list[subprocess.Popen[bytes]] = []
"""Children that were killed and whose end nobody waited for; the next start looks whether it has come."""


class ChildProcess:
    """One child process. Raises BackendMissing if it can't be started."""

    def __init__(self, command: BackendCommand, run_folder: Path, name: str) -> None:
        self.program = command.arguments[0]
        private_files.make_folder(run_folder)
        sweep_run_folder(run_folder)
        stem = f"{name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.out_path = run_folder / f"{stem}.out"
        self.log_path = run_folder / f"{stem}.log"
        self._outbox: deque[memoryview] = deque()
        self._leaving_since: float | None = None
        self._terminated = False
        self._output = OutputFile(self.out_path)
        try:
            with self._output.for_child as out, private_files.opened(self.log_path) as log_file:
                self._process = _spawn(command, run_folder, out, log_file)
        except BaseException:
            self._output.remove()
            raise
        if self._process.stdin is not None:
            _never_wait(self._process.stdin.fileno())

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the child lives; negative if a signal ended it."""
        return self._process.poll()

    def send(self, line: bytes) -> None:
        """Write `line` to the child, now or in later ticks."""
        self._outbox.append(memoryview(line))  # what is left of a long one is not copied
        self.flush()

    def flush(self) -> None:
        """Write as much as the pipe takes without waiting."""
        stdin, left = self._process.stdin, _MAX_FLUSH_BYTES
        while self._outbox and left > 0 and stdin is not None and not stdin.closed:
            piece = self._outbox[0]
            try:
                written = os.write(stdin.fileno(), piece[:_PIECE_BYTES])
            except BlockingIOError:
                return
            except OSError:
                self._outbox.clear()  # it is gone or going; its exit code tells the rest
                return
            if written == 0:
                return
            left -= written
            if written < len(piece):
                self._outbox[0] = piece[written:]
            else:
                self._outbox.popleft()

    def read(self) -> bytes:
        """A piece of the child's output since the last read; empty if there is no more for now."""
        return self._output.read()

    @property
    def is_disk_full(self) -> bool:
        """True if the child can't write its output because the disk is full."""
        return self._output.is_disk_full

    def last_log_line(self) -> str:
        """The last line of its log, for a sentence."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 4096))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""

    def leave(self, by_force: bool = False) -> None:
        """Ask the child to end by closing its stdin. Call `has_ended` in later ticks; `by_force` kills it at once."""
        if self._leaving_since is None:
            self._leaving_since = time.monotonic()
            _close(self._process.stdin)
        if by_force and self._process.poll() is None:
            self._signal(force=True)

    def has_ended(self) -> bool:
        """True once the child has ended after `leave`. Terminates, then kills one that takes too long; never waits."""
        if self._process.poll() is not None:
            self._tidy()
            return True
        waited = time.monotonic() - (self._leaving_since or time.monotonic())
        if waited > KILL_AFTER_SECONDS:
            self._signal(force=True)
        elif waited > TERMINATE_AFTER_SECONDS and not self._terminated:
            self._terminated = True
            self._signal(force=False)
        return False

    def end_now(self, patience_seconds: float = 0.0) -> None:
        """Wait at most `patience_seconds` for the child's end, then kill it."""
        self.leave()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_seconds)
        if self._process.poll() is None:
            self._signal(force=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(DEATH_SECONDS)  # a busy machine takes its time over it; unreaped, it stays a zombie
            if self._process.poll() is None:
                _dying.append(self._process)
        self._tidy()

    def _signal(self, force: bool) -> None:
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL if force else signal.SIGTERM)

    def _tidy(self) -> None:
        _close(self._process.stdin)
        self._output.remove()


def _spawn(command: BackendCommand, folder: Path, out: IO[bytes], log_file: IO[bytes]) -> subprocess.Popen[bytes]:
    # In a group of its own: a signal then reaches the child's own children, and Ctrl+C in Blender's terminal neither.
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    _dying[:] = [process for process in _dying if process.poll() is None]
    try:
        return subprocess.Popen(
            command.arguments,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=log_file,
            env=command.environment,
            cwd=folder,
            bufsize=0,
            **apart,
        )
    except (OSError, ValueError) as error:
        program = command.arguments[0]
        sentence = translated("The backend could not be started with {} ({}).").format(program, error)
        raise BackendMissing(sentence) from None


def _never_wait(descriptor: int) -> None:
    if sys.platform != "win32":
        os.set_blocking(descriptor, False)
        return
    import ctypes
    import msvcrt

    handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
    pipe_nowait = ctypes.c_ulong(1)  # os.set_blocking knows pipes only since Python 3.12
    ctypes.windll.kernel32.SetNamedPipeHandleState(handle, ctypes.byref(pipe_nowait), None, None)


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()


def sweep_run_folder(run_folder: Path) -> None:
    """Remove the files of Blenders that have ended, except for the newest logs, which a person may want to read.

    Everything else in the folder stays, even a folder or a link with a name like ours.
    """
    dead = [path for path in _ours_in(run_folder) if not _in_use(path)]
    logs = sorted((path for path in dead if path.suffix == ".log"), key=_changed, reverse=True)
    for path in [*logs[_KEPT_LOGS:], *(path for path in dead if path.suffix == ".out")]:
        with contextlib.suppress(OSError):
            path.unlink()


def _ours_in(run_folder: Path) -> list[Path]:
    try:
        with os.scandir(run_folder) as entries:
            return [Path(entry) for entry in entries if _OURS.fullmatch(entry.name) and _is_plain(entry)]
    except OSError:
        return []


def _is_plain(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _in_use(path: Path) -> bool:
    owner = int(path.stem.split("-")[-2])
    if owner == os.getpid():
        return path.suffix == ".out"
    if sys.platform == "win32":
        return False  # an open file can't be removed there; trying is the test (os.kill would end the process)
    try:
        os.kill(owner, 0)
    except (ProcessLookupError, OverflowError):  # no system has a process of so high a number
        return False
    except OSError:
        return True
    return True
