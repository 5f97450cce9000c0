"""Requests of every task, for tests of lengths and times. Their sources are said to be rendered: no file is needed."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.protocol.messages import FrameRate, Role, Source, TakeRequest, Task

RATES = [
    FrameRate(24, 1.001), FrameRate(24), FrameRate(25), FrameRate(30, 1.001), FrameRate(30), FrameRate(50),
    FrameRate(60),
]  # fmt: skip
TASKS = {
    "text": (Task.TEXT_TO_VIDEO, ()),
    "image": (Task.IMAGE_TO_VIDEO, (Role.FIRST, Role.LAST)),
    "restyle": (Task.RESTYLE, (Role.FOOTAGE,)),
    "fill": (Task.FILL_GAP, (Role.BEFORE, Role.AFTER)),
    "extend": (Task.EXTEND, (Role.BEFORE,)),
    "extend backward": (Task.EXTEND, (Role.AFTER,)),
    "previs": (Task.PREVIS, (Role.DEPTH, Role.LOOK)),
}

A_TASK, A_RATE, A_LENGTH = st.sampled_from(list(TASKS)), st.sampled_from(RATES), st.integers(1, 250)


def source(role: Role, frames: int, **changes: Any) -> Source:
    """A rendered movie of so many frames."""
    values: dict[str, Any] = {
        "role": role, "folder": "/nowhere", "files": ["a.mp4"], "is_movie": True, "frames": frames, "rendered": True,
    }  # fmt: skip
    return Source(**{**values, **changes})


def asked(name: str, length: int, rate: FrameRate, neighbor_frames: int = 100, **changes: Any) -> TakeRequest:
    """A request of the task, with sources as long as they must be."""
    task, roles = TASKS[name]
    frames = {
        Role.FOOTAGE: length, Role.DEPTH: length, Role.BEFORE: neighbor_frames, Role.AFTER: neighbor_frames,
    }  # fmt: skip
    sources = [source(role, frames.get(role, 1)) for role in roles]
    return take_request("/tmp", task=task, length_frames=length, frame_rate=rate, sources=sources, **changes)
