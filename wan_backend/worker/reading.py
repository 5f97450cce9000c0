"""`python -m wan_backend.worker.reading`: reads sources for the worker, in a process of its own.

A file that ends its decoder ends this process and nothing else; what is read here has limits of memory. It takes an
Asked as a line of JSON from stdin, and answers with frames (`Answer`), one source after another, until stdin ends.
Imports no torch.
"""

from __future__ import annotations

import contextlib
import enum
import faulthandler
import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ..frames import process_limits, source_frames
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import Refusal
from ..protocol.messages import Source
from .channel import guard_standard_streams
from .parent_death import die_with_parent

PICTURE_BYTES = 3 << 30
"""Of addresses, beside what the process has: a picture's own budget, and as much for what is made of it."""
MOVIE_BYTES = 8 << 30
"""A decoder of the largest movies holds a score of pictures on each of its threads."""
LENGTH_BYTES = 8


@dataclass(frozen=True)
class Asked:
    """What is to be read: the arguments of `source_frames.read`."""

    source: Source
    frames: list[int]
    width: int
    height: int
    scene_width: int
    scene_height: int


class Answer(enum.Enum):
    """The kinds of answers, by their first byte."""

    FRAME = b"F"
    """A frame follows: height * width * 3 bytes."""
    AGAIN = b"A"
    """The frame before once more."""
    REFUSED = b"R"
    """The length (LENGTH_BYTES) and the JSON of a Problem follow, and nothing else of this source."""
    END = b"E"
    """Those were all frames of this source."""


def answers(asked: Asked) -> Iterator[tuple[Answer, bytes | memoryview]]:
    """All that is said of one source."""
    before: np.ndarray | None = None
    scene_size = asked.scene_width, asked.scene_height
    try:
        for frame in source_frames.read(asked.source, asked.frames, asked.width, asked.height, scene_size):
            if frame is before:
                yield Answer.AGAIN, b""
            else:
                before = frame
                yield Answer.FRAME, np.ascontiguousarray(frame).data
    except Refusal as refusal:
        said = json.dumps(to_json(refusal.problem)).encode()
        yield Answer.REFUSED, len(said).to_bytes(LENGTH_BYTES, "little") + said
    else:
        yield Answer.END, b""


def serve(lines: BinaryIO, sink: BinaryIO) -> None:
    """Answer line after line."""
    for line in lines:
        asked = from_json(Asked, json.loads(line), "asked")
        with process_limits.memory(MOVIE_BYTES if asked.source.is_movie else PICTURE_BYTES):
            for answer, content in answers(asked):
                sink.write(answer.value)
                sink.write(content)
                sink.flush()


def main() -> int:
    """Serve the worker until it ends."""
    source, sink = guard_standard_streams()
    faulthandler.enable(sys.stderr)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    die_with_parent()
    with contextlib.suppress(BrokenPipeError), os.fdopen(source, "rb") as lines, os.fdopen(sink, "wb") as answered:
        serve(lines, answered)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
