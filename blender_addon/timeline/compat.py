"""Every difference between Blender 4.2 and 5.2 in the sequencer; nothing else in the add-on asks for the version.

Probes with hasattr, so that no name that a version warns about is touched. Frames are whole; ends are exclusive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

Strip = Any
"""bpy.types.Sequence up to 4.3, bpy.types.Strip since 4.4."""
Collection = Any
"""The strips of a sequence editor or of a meta strip."""


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene | None:
    """The scene whose timeline the sequencer shows; since 5.0 it may differ from the context's."""
    workspace = getattr(context, "workspace", None)
    if workspace is not None and hasattr(workspace, "sequencer_scene"):
        return workspace.sequencer_scene
    return context.scene


def strips(owner: Any) -> Collection:
    """The strips right inside a sequence editor or a meta strip."""
    return owner.strips if hasattr(owner, "strips") else owner.sequences


def all_strips(scene: bpy.types.Scene) -> Collection | tuple[()]:
    """Every strip of the scene, those inside meta strips too."""
    editor = scene.sequence_editor
    if editor is None:
        return ()
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def top_strips(scene: bpy.types.Scene) -> Collection | tuple[()]:
    """The strips of the scene's own timeline, not those inside meta strips."""
    editor = scene.sequence_editor
    return () if editor is None else strips(editor)


def walk(scene: bpy.types.Scene) -> Iterator[tuple[Strip, Collection]]:
    """Every strip of the scene with the collection that it is in."""
    editor = scene.sequence_editor
    waiting = [] if editor is None else [strips(editor)]
    while waiting:
        collection = waiting.pop()
        for strip in collection:
            yield strip, collection
            if strip.type == "META":
                waiting.append(strips(strip))


def active_strip(scene: bpy.types.Scene) -> Strip | None:
    """The strip that was clicked last."""
    editor = scene.sequence_editor
    return None if editor is None else editor.active_strip


def start(strip: Strip) -> int:
    """The first frame that the strip covers."""
    return strip.left_handle if hasattr(strip, "left_handle") else strip.frame_final_start


def end_exclusive(strip: Strip) -> int:
    """The first frame after the strip."""
    return strip.right_handle if hasattr(strip, "right_handle") else strip.frame_final_end


def length_frames(strip: Strip) -> int:
    """How many frames the strip covers."""
    return end_exclusive(strip) - start(strip)


def content_start(strip: Strip) -> int:
    """The frame at which the strip's media begins, hidden or not."""
    return round(strip.content_start if hasattr(strip, "content_start") else strip.frame_start)


def set_handles(strip: Strip, start: int, end_exclusive: int) -> None:
    """Let the strip cover [start, end_exclusive) without moving its media."""
    left, right = (
        ("left_handle", "right_handle") if hasattr(strip, "left_handle") else ("frame_final_start", "frame_final_end")
    )
    setattr(strip, left, start)
    setattr(strip, right, end_exclusive)


def new_color(collection: Collection, name: str, channel: int, start: int, length_frames: int) -> Strip:
    """A colour strip over [start, start + length_frames)."""
    place = {"name": name, "type": "COLOR", "channel": channel, "frame_start": start}
    if _effects_take_length(collection):
        return collection.new_effect(**place, length=length_frames)
    return collection.new_effect(**place, frame_end=start + length_frames)


def _effects_take_length(collection: Collection) -> bool:
    return "length" in collection.bl_rna.functions["new_effect"].parameters
