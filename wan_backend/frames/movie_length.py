"""How long a movie is, by its header: nothing of it is decoded."""

from __future__ import annotations

import math
from pathlib import Path

import av

from .movie_frames import opened
from .unreadable_source import UnreadableSource


def seconds_of(path: Path) -> float | None:
    """The length of a movie or a sound; None where its header doesn't say, or it can't be read."""
    if not path.is_file():
        return None  # a pipe that is called like a movie would keep whoever opens it waiting
    try:
        container = opened(path)
    except (OSError, ValueError, av.FFmpegError, UnreadableSource):
        return None
    try:
        seconds = container.duration / av.time_base if container.duration else math.nan
    finally:
        container.close()
    return seconds if math.isfinite(seconds) and seconds > 0 else None
