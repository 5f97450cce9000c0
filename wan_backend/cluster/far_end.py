"""On a node of the cluster: the ordinary worker as a child process, and its lines as they are asked for."""

from __future__ import annotations

import collections
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..protocol import OverlongLine
from ..server import worker_process
from ..server.inbox import Event, WorkerExit, WorkerLine
from ..server.worker_process import WorkerProcess
from ..server.worker_pulse import read_signs
from ..storage.disk_errors import reason
from . import actor

READ_SECONDS = 2.0
"""So long `read` waits for something to come."""
BATCH_BYTES = 4 << 20
SIGNS_SECONDS = 3.0
MARK_SECONDS = 10.0
"""A share may show a new file a moment later."""
THREADS = "OMP_NUM_THREADS"
LINE, LONG, EXIT = "line", "long", "exit"


class FarEnd:
    """The worker of one actor."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._silent_seconds = float(order["silent_seconds"])
        self._process: WorkerProcess | None = None
        self._events: collections.deque[tuple[str, bytes]] = collections.deque()
        self._first = 0
        self._written = 0
        self._changed = threading.Condition()
        self._asked_at = time.monotonic()
        self._signs: tuple[float, int, bool] | None = None
        self._signs_at = 0.0

    def begin(self) -> dict[str, Any]:
        """Start the worker; how that ended, as actor.py has it."""
        if not self._sees_mark():
            return {"how": actor.UNSEEN}
        ended: list[dict[str, Any]] = []
        # The worker dies with the thread that starts it, so that is one that ends with this process only.
        threading.Thread(target=self._hold, args=[ended], name="hold", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: bool(ended))
        return ended[0]

    def put(self, event: Event) -> None:
        """What the worker's pipe gives; from its threads."""
        with self._changed:
            if isinstance(event, WorkerLine):
                line = event.line
                self._events.append((LONG, line.head) if isinstance(line, OverlongLine) else (LINE, line))
            elif isinstance(event, WorkerExit):
                self._events.append((EXIT, str(event.code).encode()))
            self._changed.notify_all()

    def read(self, seen: int) -> tuple[int, list[tuple[str, bytes]], tuple[float, int, bool] | None]:
        """The events from number `seen` on, waited for; those before it have arrived and are forgotten."""
        with self._changed:
            self._asked_at = time.monotonic()
            while self._events and self._first < seen:
                self._events.popleft()
                self._first += 1
            self._changed.wait_for(lambda: bool(self._events), READ_SECONDS)
            batch: list[tuple[str, bytes]] = []
            size = 0
            for event in self._events:
                size += len(event[1])
                if batch and size > BATCH_BYTES:
                    break
                batch.append(event)
            first = self._first
        self._look()
        return first, batch, self._signs

    def write(self, number: int, line: bytes) -> None:
        """Hand a line to the worker, once; an empty one ends its stdin."""
        if number <= self._written or self._process is None:
            return
        self._written = number
        if line:
            self._process.send(line)
        else:
            self._process.close()

    def kill(self) -> None:
        """End the worker at once."""
        if self._process is not None:
            self._process.kill()

    def _sees_mark(self) -> bool:
        """Whether this node sees the server's own folder, by a file that the server has just written there."""
        mark, words = Path(self._order["mark"]), self._order["words"]
        until = time.monotonic() + MARK_SECONDS
        while True:
            try:
                if mark.read_text("utf-8") == words:
                    return True
            except (OSError, ValueError):
                pass
            if time.monotonic() > until:
                return False
            time.sleep(0.5)

    def _hold(self, ended: list[dict[str, Any]]) -> None:
        try:
            self._process = self._started()
            answer = {"how": actor.BEGAN, "log": str(self._process.log_file)}
        except OSError as error:
            answer = {"how": actor.UNSTARTED, "reason": str(reason(error))}
        with self._changed:
            ended.append(answer)
            self._changed.notify_all()
        while self._process is not None:
            time.sleep(1.0)
            if time.monotonic() - self._asked_at > self._silent_seconds:
                # Nobody asks any more, so the job is about to go on elsewhere, if it doesn't yet.
                self._process.kill()

    def _started(self) -> WorkerProcess:
        order = self._order
        state = Path(order["state"])
        around = worker_process.environment(order["online"], state)
        if order["cards"] and around.get(THREADS) == "1":
            del around[THREADS]  # Ray's, for one processor; on a card's node the worker has the others as well
        command = order["command"] or [sys.executable, "-m", "wan_backend.worker"]
        return WorkerProcess(order["number"], command, around, Path(order["logs"]), self)

    def _look(self) -> None:
        now = time.monotonic()
        if self._process is None or now - self._signs_at < SIGNS_SECONDS:
            return
        self._signs_at = now
        signs = read_signs(self._process.pid)
        self._signs = None if signs is None else (signs.cpu_seconds, signs.moved, signs.at_disk)
