"""Reads sources in another process (`source_process`), so that a damaged file can't end the worker.

The process is started by the first source and kept for the next. If it dies, takes too long or the job is stopped,
it is ended, and the next source gets another. If a network share doesn't answer, the take can be canceled.
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
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..frames import process_limits, source_frames
from ..pipelines.stopping import ShouldStop, check
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import ProtocolError, Refusal
from ..protocol.messages import Problem, ProblemKind, Source
from ..protocol.sentences import Sentence
from .source_process import LENGTH_BYTES, AnswerKind, ReadRequest

log = logging.getLogger(__name__)

FRAME_SECONDS = 600.0
"""The wait for one frame: for a share that is slow to answer, and a decoder that must come from far before it."""
LOOK_SECONDS = 0.1
"""How often a job looks whether it has been canceled."""
FRAMES_AHEAD = 4
ADVICE = Sentence("convert it to MP4 or PNG, or choose another strip")


class Read(Protocol):
    """A function that reads sources; `source_frames.read` is one."""

    def __call__(
        self, source: Source, frames: Sequence[int], width: int, height: int, scene_size: tuple[int, int]
    ) -> Iterator[np.ndarray]:
        """uint8 (height, width, 3) RGB for each frame asked for. Raises Refusal."""


@dataclass(frozen=True)
class _Ended:
    """The process answers no more."""

    why: Sentence
    """Half a sentence, for a person."""


class SourceReader:
    """Keeps at most one idle process; one that reads belongs to whoever takes its frames."""

    def __init__(self, command: Sequence[str] = (), frame_seconds: float = FRAME_SECONDS) -> None:
        """`command` is run in place of `source_process`."""
        self._command = list(command) or [sys.executable, "-m", "wan_backend.worker.source_process"]
        self._frame_seconds = frame_seconds
        self._idle: list[subprocess.Popen[bytes]] = []
        weakref.finalize(self, _end_all, self._idle).atexit = False  # at the worker's end, theirs is the end of stdin

    def for_job(self, should_stop: ShouldStop) -> Read:
        """The function by which a job that may be stopped reads its sources."""

        def read(
            source: Source, frames: Sequence[int], width: int, height: int, scene_size: tuple[int, int]
        ) -> Iterator[np.ndarray]:
            return self.read(ReadRequest(source, list(frames), width, height, *scene_size), should_stop)

        return read

    def read(self, request: ReadRequest, should_stop: ShouldStop) -> Iterator[np.ndarray]:
        """uint8 (height, width, 3) RGB for each frame asked for. Raises Refusal, Stopped."""
        process = self._idle_or_new()
        if process is None:  # no other can be started: here, without its limits
            size, scene_size = (request.width, request.height), (request.scene_width, request.scene_height)
            yield from source_frames.read(request.source, request.frames, *size, scene_size)
            return
        conversation = Conversation(process, request, self._frame_seconds)
        try:
            yield from conversation.frames(should_stop)
        finally:
            if conversation.over:
                self._idle.append(process)
            else:
                conversation.give_up()

    def close(self) -> None:
        """End the process that is idle."""
        _end_all(self._idle)

    def _idle_or_new(self) -> subprocess.Popen[bytes] | None:
        """The idle process, or a new one; None if none can be started."""
        process = self._idle.pop() if self._idle else None
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
            log.warning("sources are read in the worker itself: %s", error)
            return None


class Conversation:
    """One request to a process; a thread receives the answers, so that whoever waits for them can be stopped."""

    def __init__(self, process: subprocess.Popen[bytes], request: ReadRequest, frame_seconds: float) -> None:
        self._process, self._request, self._frame_seconds = process, request, frame_seconds
        self._received: queue.Queue[np.ndarray | Problem | _Ended | None] = queue.Queue(FRAMES_AHEAD)
        self._given_up = threading.Event()
        self.over = False
        """The last answer came, and the process waits for the next request."""
        threading.Thread(target=self._receive, name="source answers", daemon=True).start()

    def frames(self, should_stop: ShouldStop) -> Iterator[np.ndarray]:
        """The frames as they arrive. Raises Refusal, Stopped."""
        given = 0
        until = time.monotonic() + self._frame_seconds
        while True:
            check(should_stop)
            try:
                answer = self._received.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if time.monotonic() > until:
                    why = Sentence("one frame took over ten minutes, as on a share that hangs")
                    raise _refusal(self._request, given, why) from None
                continue
            if isinstance(answer, np.ndarray):
                yield answer
                given += 1
                until = time.monotonic() + self._frame_seconds
            elif isinstance(answer, _Ended):
                raise _refusal(self._request, given, answer.why)
            else:
                self.over = True
                if answer is not None:
                    raise Refusal(answer)
                return

    def give_up(self) -> None:
        """End the process, and drop what it still answers."""
        self._given_up.set()
        _end(self._process)

    def _receive(self) -> None:
        """Send the request, and put the answers into the queue, the end last."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(to_json(self._request)).encode() + b"\n")
            self._process.stdin.flush()
            for answer in self._answers():
                if not self._put(answer):
                    return
        except (OSError, ValueError, EOFError, ProtocolError) as error:  # broken off, or garbled
            log.info("the answers of the process that reads sources end: %r", error)
            self._put(_Ended(self._how_it_ended()))

    def _answers(self) -> Iterator[np.ndarray | Problem | None]:
        stream: Any = self._process.stdout
        shape = (self._request.height, self._request.width, 3)
        shown = np.empty(shape, np.uint8)
        while True:
            kind = AnswerKind(bytes(_exactly(stream, 1)))
            if kind is AnswerKind.END:
                yield None
                return
            if kind is AnswerKind.REFUSED:
                length = int.from_bytes(_exactly(stream, LENGTH_BYTES), "little")
                yield from_json(Problem, json.loads(_exactly(stream, length)), "problem")
                return
            if kind is AnswerKind.FRAME:
                shown = np.frombuffer(_exactly(stream, shown.nbytes), np.uint8).reshape(shape)
            yield shown

    def _put(self, answer: np.ndarray | Problem | _Ended | None) -> bool:
        """Queue an answer; False if nobody takes it any more."""
        while not self._given_up.is_set():
            with contextlib.suppress(queue.Full):
                self._received.put(answer, timeout=LOOK_SECONDS)
                return True
        return False

    def _how_it_ended(self) -> Sentence:
        code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(5.0)
        log.error("the process that reads sources ended (%s)", code)
        if code == -9:
            return Sentence("the system ended what decodes it, most likely because the memory (RAM) ran out")
        return Sentence("what decodes it crashed, so it is damaged, or was changed while it was read")


def _end_all(processes: list[subprocess.Popen[bytes]]) -> None:
    while processes:
        _end(processes.pop())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it without waiting: one that hangs at a network share ends only when the share answers."""
    process.kill()
    threading.Thread(target=_wait_and_close, args=[process], name="source process end", daemon=True).start()


def _wait_and_close(process: subprocess.Popen[bytes]) -> None:
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


def _refusal(request: ReadRequest, given: int, why: Sentence) -> Refusal:
    source = request.source
    if source.is_movie:
        kind, name = Sentence("movie"), source.files[0]
    else:
        kind, name = Sentence("picture"), source.files[min(request.frames[given], len(source.files) - 1)]
    sentence = Sentence(
        "The {kind} {file} can't be used: {reason}; {advice}.",
        kind=kind,
        file=Path(source.folder) / name,
        reason=why,
        advice=ADVICE,
    )
    return Refusal(Problem(ProblemKind.BAD_SOURCE, sentence))
