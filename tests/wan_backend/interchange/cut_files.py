"""Files of cuts for tests: written and read as the process does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from wan_backend.interchange import process
from wan_backend.protocol import cut_file
from wan_backend.protocol.cut import (
    ClipMedia,
    ClipMediaKind,
    Cut,
    CutClip,
    CutTrack,
    ExportTimelineParams,
    ImportTimelineParams,
)
from wan_backend.protocol.messages import FrameRate

JOBS = [digit * 32 for digit in "abc"]


def take(media: Path, job: str, frames: int = 3) -> ClipMedia:
    """A take's files, and what a cut says of it."""
    folder = media / job
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index + 1:04d}.png" for index in range(frames)]
    for name in (*names, "take.json"):
        (folder / name).write_text(job + name)
    return ClipMedia(ClipMediaKind.PICTURES, "", str(folder), names, frames, job_id=job, mark="star")


def cut_of(*media: ClipMedia, active: int = 0) -> Cut:
    """A cut with one clip."""
    clip = CutClip("Shot", 4, 3, list(media), active, channel=2)
    return Cut("Film", FrameRate(24), [CutTrack(clips=[clip])], first_frame=1)


def export(cut: Cut, file: Path, as_movies: bool = False) -> Any:
    order = file.with_name("cut.json")
    order.write_text("".join(cut_file.lines_of(cut)))
    return process.export(ExportTimelineParams(str(order), str(file), as_movies))


def import_(file: Path, media: Path, folder: Path | None = None, search: Path | None = None) -> tuple[Any, Cut]:
    read = media.parent / "read.json"
    result = process.import_(ImportTimelineParams(str(file), str(read), [str(media)], str(search or "")), folder)
    return result, process.read_cut(read)


def tool(name: str, *arguments: object) -> str:
    """What one of OpenTimelineIO's own tools says."""
    words = [sys.executable, "-m", f"opentimelineio.console.{name}", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
