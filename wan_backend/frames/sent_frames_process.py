"""`python -m wan_backend.frames.sent_frames_process FOLDER`: the frames that a take reads, for another machine.

Instead of a long film, what the worker over there would read of it crosses the line: those frames alone, at the model's
size, in PNG files that lose nothing. So the take is to the bit the one that is made here. It reads a request and its
plan as JSON from stdin and writes `<source>/<frame>.png`; `done.json` comes last, and names the files of each source.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..protocol import process_setup
from ..protocol.conversion import from_json
from ..protocol.messages import Plan, Source, TakeRequest
from ..storage import whole_file
from . import clip_frames, process_limits, source_frames
from .schedule import Schedule
from .take_writing import COMPRESSION
from .thumbnail_process import MEMORY_BYTES

DONE_FILE = "done.json"
SOURCE_SECONDS = 600.0


def extract(source: Source, request: TakeRequest, plan: Plan, folder: Path) -> list[str]:
    """Write the frames of a source that are read; returns a file's name for each frame of it. Raises Refusal, OSError.

    A frame that isn't read has the name of one that is.
    """
    if request.training is not None:
        frames = clip_frames.frames_read(source, request.frame_rate.exact() / plan.model_frame_rate.exact(), plan)
    else:
        frames = sorted(set(Schedule.of(plan, request).frames_of(source).values()))
    read = source_frames.read(source, frames, plan.width, plan.height, (request.width, request.height))
    folder.mkdir(parents=True, exist_ok=True)
    for frame, picture in zip(frames, read, strict=True):
        _write(folder / _name(frame), picture)
    if not frames:
        return []
    names, known = [], frames[0]
    for frame in range(source.frames):
        known = frame if frame in frames else known
        names.append(_name(known))
    return names


def _name(frame: int) -> str:
    return f"{frame + 1:06d}.png"


def _write(file: Path, picture: np.ndarray) -> None:
    good, png = cv2.imencode(
        ".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION]
    )
    if not good:
        raise OSError(f"OpenCV can't encode a picture of shape {picture.shape} as PNG")
    whole_file.write(file, png.data)


def main() -> int:
    """Extract what stdin asks for; the exit code."""
    process_setup.exit_after_parent()
    process_limits.limit_memory(MEMORY_BYTES)
    asked: dict[str, Any] = json.load(sys.stdin)
    request = from_json(TakeRequest, asked["request"], "request")
    plan = from_json(Plan, asked["plan"], "plan")
    out = Path(sys.argv[1])
    files: dict[str, list[str]] = {}
    for number in asked["sources"]:
        faulthandler.dump_traceback_later(SOURCE_SECONDS, exit=True)
        files[str(number)] = extract(request.sources[number], request, plan, out / str(number))
    whole_file.write_json(out / DONE_FILE, files)
    os._exit(0)  # a decoder that can't be ended must not keep it


if __name__ == "__main__":
    sys.exit(main())
