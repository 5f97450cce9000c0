"""Requests of every task, for tests of lengths and times. Their sources are said to be rendered: no file is needed."""

from __future__ import annotations

from typing import Any

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.protocol.messages import FrameRate, Role, Source, TakeRequest

RATES = [
    FrameRate(24, 1.001), FrameRate(24), FrameRate(25), FrameRate(30, 1.001), FrameRate(30), FrameRate(50),
    FrameRate(60),
]  # fmt: skip
TASKS = {
    "text": ("text_to_video", ()),
    "image": ("image_to_video", (Role.FIRST, Role.LAST)),
    "restyle": ("restyle", (Role.FOOTAGE,)),
    "fill": ("fill_gap", (Role.BEFORE, Role.AFTER)),
    "extend": ("extend", (Role.BEFORE,)),
    "extend backward": ("extend", (Role.AFTER,)),
    "previs": ("previs", (Role.DEPTH, Role.LOOK)),
}


def rate_name(rate: FrameRate) -> str:
    return f"{float(rate.exact()):.3f}"


def source(role: Role, frames: int, **changes: Any) -> Source:
    """A rendered movie of so many frames."""
    values: dict[str, Any] = {
        "role": role, "folder": "/nowhere", "files": ["a.mp4"], "is_movie": True, "frames": frames, "rendered": True,
    }  # fmt: skip
    return Source(**{**values, **changes})


def asked(name: str, length: int, rate: FrameRate, neighbour_frames: int = 100, **changes: Any) -> TakeRequest:
    """A request of the task, with sources as long as they must be."""
    task, roles = TASKS[name]
    frames = {
        Role.FOOTAGE: length, Role.DEPTH: length, Role.BEFORE: neighbour_frames, Role.AFTER: neighbour_frames,
    }  # fmt: skip
    sources = [source(role, frames.get(role, 1)) for role in roles]
    return take_request("/tmp", task=task, length_frames=length, frame_rate=rate, sources=sources, **changes)
