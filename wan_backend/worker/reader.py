"""Reads sources in a process of its own (`reading`), which a damaged file may end. May import numpy, protocol.

The process is started by the first source and kept for the next; where it dies, takes too long or is told to stop, it
is ended, and the next source gets another. So no file ends the worker, and where a share doesn't answer the take can be
cancelled.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..frames import process_limits, source_frames
from ..pipelines.stopping import ShouldStop, check
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import ProtocolError, Refusal
from ..protocol.messages import Problem, ProblemKind, Source
from .reading import LENGTH_BYTES, Answer, Asked

log = logging.getLogger(__name__)

FRAME_SECONDS = 600.0
"""For one frame: a share that answers by then is waited for, and so is a decoder that comes to it from far."""
LOOK_SECONDS = 0.1
"""So soon a take that is cancelled is heard of."""
FRAMES_AHEAD = 4
ADVICE = "convert it to MP4 or PNG, or choose another strip"


class Read(Protocol):
    """How sources are read: as `source_frames.read` does."""

    def __call__(
        self, source: Source, frames: Sequence[int], width: int, height: int, scene_size: tuple[int, int]
    ) -> Iterator[np.ndarray]:
        """The frames that are asked for. Raises Refusal."""


class Ended(Exception):
    """The process answers no more; the message is half a sentence that says why."""


class Reader:
    """At most one reading process that is idle; one that reads belongs to whoever takes its frames."""

    def __init__(self, command: Sequence[str] = (), frame_seconds: float = FRAME_SECONDS) -> None:
        """`command` is what is run in place of `reading`."""
        self._command = list(command) or [sys.executable, "-m", "wan_backend.worker.reading"]
        self._frame_seconds = frame_seconds
        self._idle: subprocess.Popen[bytes] | None = None

    def reads(self, should_stop: ShouldStop) -> Read:
        """`read` for a job that may be stopped."""

        def read(
            source: Source, frames: Sequence[int], width: int, height: int, scene_size: tuple[int, int]
        ) -> Iterator[np.ndarray]:
            return self.read(Asked(source, list(frames), width, height, *scene_size), should_stop)

        return read

    def read(self, asked: Asked, should_stop: ShouldStop) -> Iterator[np.ndarray]:
        """A frame for each that is asked for. Raises Refusal, Stopped."""
        process = self._taken()
        if process is None:  # as well as it goes
            size, scene_size = (asked.width, asked.height), (asked.scene_width, asked.scene_height)
            yield from source_frames.read(asked.source, asked.frames, *size, scene_size)
            return
        conversation, given = Conversation(process, asked, self._frame_seconds), 0
        try:
            for frame in conversation.frames(should_stop):
                yield frame
                given += 1
        except Ended as end:
            raise _refusal(asked, given, str(end)) from None
        finally:
            if conversation.over:
                self._idle = process
            else:
                conversation.give_up()

    def close(self) -> None:
        """End the process that is idle."""
        process, self._idle = self._idle, None
        if process is not None:
            _end(process)

    def _taken(self) -> subprocess.Popen[bytes] | None:
        """The idle process, or a new one; None where none can be started."""
        process, self._idle = self._idle, None
        if process is not None and process.poll() is None:
            return process
        if process is not None:
            _end(process)
        paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
        found = os.pathsep.join(path for path in paths if path)
        hidden: dict[str, Any] = {}
        if sys.platform == "win32":
            hidden = {"creationflags": subprocess.CREATE_NO_WINDOW}
        try:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **process_limits.FEW_ARENAS, "PYTHONPATH": found},
                **hidden,
            )
        except OSError as error:
            log.warning("Sources are read in the worker itself: %s", error)
            return None


class Conversation:
    """One source, asked of a process; a thread hears the answers, so that whoever waits for them can be stopped."""

    def __init__(self, process: subprocess.Popen[bytes], asked: Asked, frame_seconds: float) -> None:
        self._process, self._asked, self._frame_seconds = process, asked, frame_seconds
        self._came: queue.Queue[np.ndarray | Problem | Ended | None] = queue.Queue(FRAMES_AHEAD)
        self._left = threading.Event()
        self.over = False
        """All was said, and the process waits for the next source."""
        threading.Thread(target=self._listen, name="reader's answers", daemon=True).start()

    def frames(self, should_stop: ShouldStop) -> Iterator[np.ndarray]:
        """As they come. Raises Refusal, Stopped, Ended."""
        until = time.monotonic() + self._frame_seconds
        while True:
            check(should_stop)
            try:
                answer = self._came.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if time.monotonic() > until:
                    raise Ended("a picture of it is not read in ten minutes, as on a share that hangs") from None
                continue
            if isinstance(answer, np.ndarray):
                yield answer
                until = time.monotonic() + self._frame_seconds
            elif isinstance(answer, Ended):
                raise answer
            else:
                self.over = True
                if answer is not None:
                    raise Refusal(answer)
                return

    def give_up(self) -> None:
        """End the process, and hear nothing more of it."""
        self._left.set()
        _end(self._process)

    def _listen(self) -> None:
        """Ask, and pass on what is answered, the end last."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(to_json(self._asked)).encode() + b"\n")
            self._process.stdin.flush()
            for answer in self._answers():
                if not self._pass_on(answer):
                    return
        except (OSError, ValueError, EOFError, ProtocolError) as error:  # broken off, or said by one who has lost it
            log.info("The reader's answers end: %r", error)
            self._pass_on(Ended(self._how_it_ended()))

    def _answers(self) -> Iterator[np.ndarray | Problem | None]:
        stream: Any = self._process.stdout
        shape = (self._asked.height, self._asked.width, 3)
        shown = np.empty(shape, np.uint8)
        while True:
            kind = Answer(bytes(_exactly(stream, 1)))
            if kind is Answer.END:
                yield None
                return
            if kind is Answer.REFUSED:
                length = int.from_bytes(_exactly(stream, LENGTH_BYTES), "little")
                yield from_json(Problem, json.loads(_exactly(stream, length)), "problem")
                return
            if kind is Answer.FRAME:
                shown = np.frombuffer(_exactly(stream, shown.nbytes), np.uint8).reshape(shape)
            yield shown

    def _pass_on(self, answer: np.ndarray | Problem | Ended | None) -> bool:
        """False where nobody listens any more."""
        while not self._left.is_set():
            with contextlib.suppress(queue.Full):
                self._came.put(answer, timeout=LOOK_SECONDS)
                return True
        return False

    def _how_it_ended(self) -> str:
        code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(5.0)
        log.error("The process that reads sources ended (%s)", code)
        if code == -9:
            return "the system ended what decodes it, most likely because the memory (RAM) ran out"
        return "what decodes it crashed, so it is damaged, or was changed while it was read"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have it end, and don't wait for it: one that hangs at a share ends when the share does."""
    process.kill()
    threading.Thread(target=_see_it_end, args=[process], name="reader's end", daemon=True).start()


def _see_it_end(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _exactly(stream: Any, count: int) -> bytearray:
    content = bytearray(count)
    view = memoryview(content)
    while view:
        got = stream.readinto(view)
        if not got:
            raise EOFError("the process ended")
        view = view[got:]
    return content


def _refusal(asked: Asked, given: int, why: str) -> Refusal:
    source = asked.source
    if source.is_movie:
        kind, name = "movie", source.files[0]
    else:
        kind, name = "picture", source.files[min(asked.frames[given], len(source.files) - 1)]
    sentence = f"The {kind} {Path(source.folder) / name} can't be used: {why}; {ADVICE}."
    return Refusal(Problem(ProblemKind.BAD_SOURCE, sentence))
