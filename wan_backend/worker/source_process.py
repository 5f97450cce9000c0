"""`python -m wan_backend.worker.source_process`: reads sources for the worker, in a process of its own.

A file that crashes its decoder ends this process and nothing else, and what is read here has limits of memory. The
process takes a ReadRequest as a line of JSON from stdin and answers with frames (see `AnswerKind`), one source after
another, until stdin ends. It starts quickly because it imports no torch.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ..frames import process_limits, source_frames
from ..protocol import process_setup
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import Refusal
from ..protocol.messages import Source

PICTURE_BYTES = 3 << 30
"""Address space for a picture, beyond what the process has already: its own budget, and as much for what it becomes."""
MOVIE_BYTES = 8 << 30
"""Address space for a movie: a decoder of the largest ones holds twenty pictures on each of its threads."""
LENGTH_BYTES = 8


@dataclass(frozen=True)
class ReadRequest:
    """The frames to read; these are the arguments of `source_frames.read`."""

    source: Source
    frames: list[int]
    width: int
    height: int
    scene_width: int
    scene_height: int


class AnswerKind(enum.Enum):
    """The kinds of answers; each begins with this byte."""

    FRAME = b"F"
    """A frame follows: height * width * 3 bytes."""
    AGAIN = b"A"
    """The frame before is shown again."""
    REFUSED = b"R"
    """The length (LENGTH_BYTES) and the JSON of a Problem follow; it's the last answer for this source."""
    END = b"E"
    """There are no more frames of this source."""


def answers(request: ReadRequest) -> Iterator[tuple[AnswerKind, bytes | memoryview]]:
    """The answers for one source, each with the bytes that follow it."""
    before: np.ndarray | None = None
    scene_size = request.scene_width, request.scene_height
    try:
        for frame in source_frames.read(request.source, request.frames, request.width, request.height, scene_size):
            if frame is before:
                yield AnswerKind.AGAIN, b""
            else:
                before = frame
                yield AnswerKind.FRAME, np.ascontiguousarray(frame).data
    except Refusal as refusal:
        problem = json.dumps(to_json(refusal.problem)).encode()
        yield AnswerKind.REFUSED, len(problem).to_bytes(LENGTH_BYTES, "little") + problem
    else:
        yield AnswerKind.END, b""


def serve(lines: BinaryIO, sink: BinaryIO) -> None:
    """Answer each line of `lines` until they end."""
    for line in lines:
        request = from_json(ReadRequest, json.loads(line), "request")
        with process_limits.memory(MOVIE_BYTES if request.source.is_movie else PICTURE_BYTES):
            for answer, content in answers(request):
                sink.write(answer.value)
                sink.write(content)
                sink.flush()


def main() -> int:
    """Serve the worker until it ends."""
    source, sink = process_setup.begin()
    with contextlib.suppress(BrokenPipeError), os.fdopen(source, "rb") as lines, os.fdopen(sink, "wb") as answered:
        serve(lines, answered)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
