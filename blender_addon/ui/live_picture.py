"""The live preview of a running job on the strip that waits for its take, at the right end of what is seen of it.

Drawn only where the strip is tall enough to show something, and wide enough to leave room for its words. A texture is
made once for each step.
"""

from __future__ import annotations

from typing import Any

import gpu

from ...wan_backend.protocol.messages import JobStatus
from ..operators.browser_grid import Box
from . import browser_shapes, live_preview_icon

LEAST_HEIGHT = 22
"""In pixels at 100 %: a channel as Blender opens a timeline is about 30."""
LEAST_SHARE_LEFT = 0.5
"""So much of the strip is left to its name, its bar and its words."""
MOST_TEXTURES = 16

_textures: dict[str, tuple[int, Any]] = {}
"""The step and its texture, by the path of the job's preview; the newest last."""


def unregister() -> None:
    """Let the textures go."""
    _textures.clear()


def place(job: JobStatus, strip: Box, region_width: int, scale: float) -> Box | None:
    """Where in a strip's box the picture goes; None if there is none, or no room for it."""
    height = strip.top - strip.bottom - 2
    if height < LEAST_HEIGHT * scale:
        return None
    picture = live_preview_icon.small_of(job)
    if picture is None:
        return None
    left, right = max(strip.left, 0.0), min(strip.right, float(region_width))
    width = height * picture.width / picture.height
    if width > (right - left) * LEAST_SHARE_LEFT:
        return None
    return Box(right - width - 1, strip.bottom + 1, right - 1, strip.top - 1)


def draw(job: JobStatus, there: Box) -> None:
    """The picture of the newest step that was read, in that place."""
    picture = live_preview_icon.small_of(job)
    if picture is None:
        return
    step, texture = _textures.pop(job.preview, (-1, None))
    if step != picture.step:
        buffer = gpu.types.Buffer("FLOAT", len(picture.values), picture.values)
        texture = gpu.types.GPUTexture((picture.width, picture.height), format="RGBA8", data=buffer)
    _textures[job.preview] = picture.step, texture
    while len(_textures) > MOST_TEXTURES:
        del _textures[next(iter(_textures))]
    browser_shapes.picture(there, texture, 0, 1)
