"""What scene strips show: which scene, through which camera, at which of its frames. Reads, changes nothing."""

from __future__ import annotations

import bpy

from . import compat
from .framing import is_retimed
from .media_files import Unusable, media_indices


def camera_of(strip: compat.Strip, frame: int) -> bpy.types.Object | None:
    """The camera that Blender looks through at a frame of the strip's own scene.

    The strip's own; else that of the last marker at or before the frame, or of the first marker after it; else
    the scene's.
    """
    if strip.scene_camera is not None:
        return strip.scene_camera
    bound = [(m.frame, m.camera) for m in strip.scene.timeline_markers if m.camera and not m.camera.hide_render]
    if not bound:
        return strip.scene.camera
    before = [marker for marker in bound if marker[0] <= frame]
    return max(before, key=lambda m: m[0])[1] if before else min(bound, key=lambda m: m[0])[1]


def own_frames(strip: compat.Strip, frames: range) -> list[int]:
    """The frame of the strip's own scene that is shown in each of the timeline's."""
    first = strip.scene.frame_start + compat.trim_start(strip)
    return [first + index for index in media_indices(strip, frames)]


def check(scene: bpy.types.Scene, strip: compat.Strip, frames: range) -> None:
    """Raise Unusable where a scene strip can't be rendered in those frames of the timeline."""
    shown = strip.scene
    if shown is None:
        raise Unusable(f"“{strip.name}” shows no scene: choose one in the strip's properties.")
    if scene in _shown_by(strip, set()):
        raise Unusable(f"“{strip.name}” shows the scene that it is cut in: let it show another scene.")
    # Either each of the frames has a camera or none: one marker with a camera serves those before it, too.
    if strip.scene_input == "CAMERA" and frames and camera_of(strip, own_frames(strip, frames[:1])[0]) is None:
        raise Unusable(
            f"“{strip.name}” shows the scene “{shown.name}”, which has no camera: add one there, or choose one "
            "in the strip's properties."
        )


def check_depth(scene: bpy.types.Scene, strip: compat.Strip, frames: range) -> None:
    """Raise Unusable where the depth of a strip can't be rendered."""
    if strip.type != "SCENE":
        raise Unusable(f"“{strip.name}” is not a scene strip, so nobody knows how far away things are in it.")
    check(scene, strip, frames)
    if strip.scene_input != "CAMERA":
        raise Unusable(
            f"“{strip.name}” shows the timeline of “{strip.scene.name}”, which has no depth: let it show the camera, "
            "in the strip's properties."
        )
    if is_retimed(scene, strip) or strip.strobe > 1.0:
        raise Unusable(f"“{strip.name}” is retimed, and its depth can't be: clear its retiming, or its strobe.")


def picture_size(strip: compat.Strip) -> tuple[int, int]:
    """The size that the strip's scene is rendered in."""
    render = strip.scene.render
    percent = render.resolution_percentage
    return render.resolution_x * percent // 100, render.resolution_y * percent // 100


def _shown_by(strip: compat.Strip, seen: set[bpy.types.Scene]) -> set[bpy.types.Scene]:
    """The scenes that are rendered for a scene strip, through the timelines of those that show theirs."""
    if strip.scene is None or strip.scene in seen:
        return seen
    seen.add(strip.scene)
    if strip.scene_input == "SEQUENCER":
        for inner, _ in compat.walk(strip.scene):
            if inner.type == "SCENE" and not inner.mute:
                _shown_by(inner, seen)
    return seen
