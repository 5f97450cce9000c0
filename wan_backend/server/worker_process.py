"""Runs a worker, or the process that fetches models, as a child: its start, lines and end.

Three threads: one reads its stdout, one writes its stdin (a worker that doesn't read must not stop the server), one
waits for its end. They share nothing with the main thread but the inbox.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..protocol import LineSplitter
from ..protocol.framing import MAX_LINE_BYTES
from ..storage import compiled_kernels
from . import log_files
from .inbox import Receiver, WorkerExit, WorkerLine

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16
DRAIN_SECONDS = 1.0
"""Time to wait for a dead worker's last lines, should a child of its own hold the pipe."""


class WorkerProcess:
    """A running worker. Its lines and its end come into the inbox under `number`."""

    def __init__(
        self,
        number: int,
        command: list[str],
        environment: dict[str, str],
        logs: Path,
        inbox: Receiver,
        kind: str = "worker",
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        """Start it; `kind` is what its log and its threads are called. Raises OSError."""
        self.number, self._max_line_bytes = number, max_line_bytes
        self.message_at = time.monotonic()
        """The time of its last message, however long that waits in the inbox."""
        self._inbox = inbox
        self.log_file, log_stream = log_files.new_log(logs, kind)
        with contextlib.ExitStack() as stack:
            if log_stream is not None:
                stack.enter_context(log_stream)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_stream or subprocess.DEVNULL,
                env=environment,
                **own_group(),
            )
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        reader = threading.Thread(target=self._read, name=f"{kind}-{number}-stdout", daemon=True)
        reader.start()
        threading.Thread(target=self._write, name=f"{kind}-{number}-stdin", daemon=True).start()
        threading.Thread(target=self._wait, args=[reader], name=f"{kind}-{number}-end", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, line: bytes) -> None:
        """Have `line` written to its stdin."""
        self._outgoing.put(line)

    def close(self) -> None:
        """Close its stdin: it should end by itself."""
        self._outgoing.put(None)

    def kill(self) -> None:
        """End it and its children at once."""
        with contextlib.suppress(OSError):
            if sys.platform != "win32":
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._process.kill()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it ended in time."""
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        splitter = LineSplitter(self._max_line_bytes)
        with stdout, contextlib.suppress(OSError, ValueError):
            while chunk := os.read(stdout.fileno(), CHUNK_BYTES):
                self.message_at = time.monotonic()
                for line in splitter.feed(chunk):
                    self._inbox.put(WorkerLine(self.number, line))

    def _write(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError, ValueError):
            while (line := self._outgoing.get()) is not None:
                stdin.write(line)
                stdin.flush()
        with contextlib.suppress(OSError, ValueError):
            stdin.close()

    def _wait(self, reader: threading.Thread) -> None:
        code = self._process.wait()
        self._outgoing.put(None)
        reader.join(DRAIN_SECONDS)
        self._inbox.put(WorkerExit(self.number, code))


def own_group() -> dict[str, Any]:
    """Popen's arguments for a child that a Ctrl-C in the terminal, or a killed sibling, does not touch."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def environment(online: bool, state: Path | None = None) -> dict[str, str]:
    """The environment of a worker: this package found, nothing fetched unless a person allowed it.

    What it compiles is kept in the folder `state`, where one is given.
    """
    package = Path(__file__).resolve().parent.parent.parent
    paths = [str(package), os.environ.get("PYTHONPATH", "")]
    made = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path), "PYTHONUNBUFFERED": "1"}
    if not online:
        made["HF_HUB_OFFLINE"] = "1"
    if state is not None:
        made |= compiled_kernels.environment(state)
    return made
