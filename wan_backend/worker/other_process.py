"""A process on another of the worker's cards: started, told what to do, and heard."""

from __future__ import annotations

import contextlib
import logging
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from . import payload_frames
from .payload_frames import Message, NotAMessage

log = logging.getLogger(__name__)


class Process:
    """A process on another card, with what it says. A thread reads that, another writes what it is told."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raises OSError."""
        hidden: dict[str, Any] = {}
        if sys.platform == "win32":
            hidden = {"creationflags": subprocess.CREATE_NO_WINDOW}
        # No group of its own: whoever kills the worker's group ends this process as well.
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(environment), **hidden
        )
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._heard = threading.Condition()
        self._made: dict[int, bytes] = {}
        self.ready_for = 0
        """The number of the last turn for which it has the transformer in place."""
        self.weights = ""
        """The mark of the weights that it has in place (`residency.weights_mark`), as it said it then."""
        self.card = ""
        """What its card is called, as it said it then."""
        self.failed = ""
        """What it says of why it can't go on with the job."""
        self.is_gone = False
        self.group = ""
        """The name of the group in which it computes a forward together with others."""
        self._job = 0
        """The number of the first message of this job: what comes late of the one before says nothing of it."""
        threading.Thread(target=self._read, name="other-card-stdout", daemon=True).start()
        threading.Thread(target=self._write, name="other-card-stdin", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, frame: bytes) -> None:
        """Have a message written to it."""
        self._outgoing.put(frame)

    def wait_for(self, number: int, timeout_seconds: float) -> bytes | None:
        """The answer of that number, if it comes in time."""
        with self._heard:
            self._heard.wait_for(lambda: number in self._made or self.is_lost, timeout_seconds)
            return self._made.pop(number, None)

    def wait_until_ready(self, turn: int, timeout_seconds: float) -> bool:
        """Wait until it is ready for that turn; False if it isn't in time, or fails."""
        with self._heard:
            self._heard.wait_for(lambda: self.ready_for == turn or self.is_lost, timeout_seconds)
            return self.ready_for == turn and not self.is_lost

    def wait_until_joined(self, group: str, timeout_seconds: float) -> bool:
        """Wait until it is in that group; False if it isn't in time, or fails."""
        with self._heard:
            self._heard.wait_for(lambda: self.group == group or self.is_lost, timeout_seconds)
            return self.group == group and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether it does nothing more for this job."""
        return self.is_gone or bool(self.failed)

    def fail(self, words: str) -> None:
        """It does nothing more for this job, as `words` say."""
        log.warning("process %d does no more for this job: %s", self.pid, words)
        with self._heard:
            self.failed = words
            self._heard.notify_all()

    def begin_job(self, number: int) -> None:
        """Forget what it said of another job: the messages of this one begin with that number."""
        with self._heard:
            self._made.clear()
            self.ready_for, self.failed, self._job = 0, "", number

    def wait(self, timeout_seconds: float) -> int:
        """Its exit code, once it has ended. Raises TimeoutExpired."""
        return self._process.wait(timeout_seconds)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._process.kill()
        with self._heard:
            self.is_gone = True
            self._heard.notify_all()
        self._outgoing.put(None)

    def close(self, timeout_seconds: float) -> None:
        """Have it end by itself, and kill it if it doesn't."""
        self._outgoing.put(None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        self.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError, NotAMessage), self._process.stdout as stdout:
            while (came := payload_frames.read(stdout)) is not None:
                self._hear(*came)
        self.kill()
        code = self._process.wait()
        log.info("the process %d of another card ended with %d", self.pid, code)

    def _hear(self, message: Message, payload: bytes) -> None:
        with self._heard:
            number = int(message["number"])
            if message.get("said") in ("joined", "left"):  # holds whatever job it was said in
                self.group = str(message["group"]) if message["said"] == "joined" else ""
                self._heard.notify_all()
            if number < self._job:
                return
            match message.get("said"):
                case "ready":
                    self.weights, self.card = str(message["weights"]), str(message.get("card", ""))
                    self.ready_for = number  # last: whoever sees that reads the weights, without a lock
                case "made":
                    self._made[number] = payload
                case "failed":
                    self.fail(str(message.get("words")))
            self._heard.notify_all()

    def _write(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError, ValueError):
            while (frame := self._outgoing.get()) is not None:
                stdin.write(frame)
                stdin.flush()
        with contextlib.suppress(OSError, ValueError):
            stdin.close()
