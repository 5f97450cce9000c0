"""Covers what differs in the sequencer between Blender 4.2 and 5.2, for the add-on in the window.

`background/compat.py` does the same for the second Blender. No other module asks for the version or probes for names
that a version may lack; where one asks whether a strip has inputs, it asks for effects.

It probes with hasattr, so that no name is touched that a version warns about. Frames are whole numbers, of the scene
unless a docstring says of the media, and ends are exclusive.
"""

from __future__ import annotations

from typing import Any

import bpy

from .movie_codecs import BitDepth

STRIP_TYPE = bpy.types.Strip if hasattr(bpy.types, "Strip") else bpy.types.Sequence
"""The class of all strips: Sequence up to 4.3, Strip since 4.4."""
HANDLES = (
    ("left_handle", "right_handle")
    if "left_handle" in STRIP_TYPE.bl_rna.properties
    else ("frame_final_start", "frame_final_end")
)
"""The properties of a strip that hold its start and its exclusive end."""

CONTENT_START = "content_start" if "content_start" in STRIP_TYPE.bl_rna.properties else "frame_start"
"""The property of a strip that holds the frame at which its media begins."""
CONTENT_FRAMES = "content_duration" if "content_duration" in STRIP_TYPE.bl_rna.properties else "frame_duration"
"""The property that holds how many frames its media has."""
OFFSETS = (
    ("left_handle_offset", "right_handle_offset")
    if "left_handle_offset" in STRIP_TYPE.bl_rna.properties
    else ("frame_offset_start", "frame_offset_end")
)
"""How many frames of its media a strip hides at either end; negative where it holds a picture."""

VERSION = ".".join(map(str, bpy.app.version[:2]))
RELATIVE_PATH = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
"""Options of a property that may hold a path relative to the .blend (//): 4.5 and later warn without them."""

MAX_BIT_DEPTH_SHOWN = (
    BitDepth(alpha=16, rgb=8, gray=16) if bpy.app.version < (4, 3, 0) else BitDepth(alpha=8, rgb=16, gray=8)
)
"""How many bits a movie's samples may have for Blender to show them correctly. Of deeper ones, 4.2 shows RGB pale; 4.5
and later show what transparent parts hide, and grayscale too dark."""

SHOWS_COVERS_OF_SOUND = bpy.app.version >= (4, 5, 0)
"""Whether a file of sound with a cover is shown as that cover; 4.2 shows nothing."""
SHOWS_ANIMATED_WEBP = bpy.app.version >= (5, 2, 0)
"""Whether the first picture of an animated WebP is shown; 5.0 and earlier show nothing."""

SHOWS_BELOW_OPEN_METAS = bpy.app.version < (5, 2, 0)
"""True if an adjustment strip with nothing below it in the open meta strip shows what lies below the meta strip."""

Strip = Any
"""A strip of any type; its properties differ between versions, so annotations can't name them."""
Collection = Any
"""The strips of a sequence editor or of a meta strip."""


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene | None:
    """The scene whose timeline the sequencer shows; since 5.0 it may differ from the context's."""
    workspace = getattr(context, "workspace", None)
    if workspace is not None and hasattr(workspace, "sequencer_scene"):
        return workspace.sequencer_scene
    return context.scene


def sequencer_keymap() -> str:
    """The name of Blender's keymap for the timeline and the preview, which a later version has renamed."""
    default = bpy.context.window_manager.keyconfigs.default
    renamed = "Video Sequence Editor"
    return renamed if default is not None and renamed in default.keymaps else "SequencerCommon"


def own_scene(name: str) -> bpy.types.Scene | None:
    """The open file's own scene of that name; a scene that is linked from another file may have the same name."""
    return next((scene for scene in bpy.data.scenes if scene.name == name and scene.library is None), None)


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


def strip_named(scene: bpy.types.Scene, name: str) -> Strip | None:
    """The strip of that name, also inside a meta strip; None if there is none."""
    found: Any = all_strips(scene)
    return (
        None if isinstance(found, tuple) else found.get(name)
    )  # a tuple without an editor; `len` would count them all


def shown_owner(scene: bpy.types.Scene) -> Any:
    """The sequence editor, or the meta strip that is open in it; None if the scene has no editor yet."""
    editor = scene.sequence_editor
    if editor is not None and len(editor.meta_stack):
        return editor.meta_stack[-1]
    return editor


def shown_strips(scene: bpy.types.Scene) -> Collection | tuple[()]:
    """The strips that the timeline shows: those of the open meta strip, else those of the scene."""
    owner = shown_owner(scene)
    return () if owner is None else strips(owner)


def active_strip(scene: bpy.types.Scene) -> Strip | None:
    """The strip that was clicked last, selected or not."""
    editor = scene.sequence_editor
    return None if editor is None else editor.active_strip


def start(strip: Strip) -> int:
    """The first frame that the strip covers."""
    return getattr(strip, HANDLES[0])


def end_exclusive(strip: Strip) -> int:
    """The first frame after the strip."""
    return getattr(strip, HANDLES[1])


def length_frames(strip: Strip) -> int:
    """How many frames of the scene the strip covers."""
    return end_exclusive(strip) - start(strip)


def content_start(strip: Strip) -> int:
    """The frame at which the strip's media begins, hidden or not."""
    return round(getattr(strip, CONTENT_START))


def move_content(strip: Strip, by: int) -> None:
    """Move the strip with its media, and the curves that animate it."""
    setattr(strip, CONTENT_START, getattr(strip, CONTENT_START) + by)


def content_frames(strip: Strip) -> int:
    """How many frames the strip's media has, without those that were trimmed off (not merely hidden)."""
    return int(getattr(strip, CONTENT_FRAMES))


def trim_start(strip: Strip) -> int:
    """How many of the media's first frames were trimmed off (not merely hidden)."""
    return strip.content_trim_start if hasattr(strip, "content_trim_start") else strip.animation_offset_start


def trims(strip: Strip) -> tuple[int, int]:
    """How many of the media's first and last frames were trimmed off (not merely hidden)."""
    if hasattr(strip, "content_trim_start"):
        return strip.content_trim_start, strip.content_trim_end
    return strip.animation_offset_start, strip.animation_offset_end


def is_on_whole_frames(strip: Strip) -> bool:
    """True if the media begins on a frame and not between two."""
    return float(getattr(strip, CONTENT_START)).is_integer()


def has_retiming_keys(strip: Strip) -> bool:
    """True if the strip's speed was changed; in 4.2 movies alone can have that, later pictures and scenes, too."""
    return hasattr(strip, "retiming_keys") and len(strip.retiming_keys) > 0


def steady_speed(strip: Strip, media_frames: int) -> float | None:
    """How many of that many frames of its media a retimed strip plays in each of the scene's, if always as many.

    None where that isn't known: Blender tells at which frames the speed changes, but not to what.
    """
    keys = [key.timeline_frame for key in strip.retiming_keys]
    if len(keys) != 2 or keys[0] != content_start(strip) or keys[1] <= keys[0]:
        return None
    return round(media_frames / (keys[1] - keys[0]), 6)


def new_meta(collection: Collection, name: str, channel: int, start: int) -> Strip:
    """Add an empty meta strip."""
    return collection.new_meta(name=name, channel=channel, frame_start=start)


def new_speed(
    collection: Collection, name: str, channel: int, start: int, length_frames: int, of: Strip, speed: float
) -> Strip:
    """Add an effect over [start, start + length_frames) that plays another strip faster or slower; at 0 it is held."""
    parameters = collection.bl_rna.functions["new_effect"].parameters
    place = {"name": name, "type": "SPEED", "channel": channel, "frame_start": start}
    place["input1" if "input1" in parameters else "seq1"] = of
    length = {"length": length_frames} if _effects_take_length(collection) else {"frame_end": start + length_frames}
    effect = collection.new_effect(**place, **length)
    effect.speed_control = "MULTIPLY" if speed else "FRAME_NUMBER"
    if speed:
        effect.speed_factor = speed
    else:
        effect.speed_frame_number = 0.0
    return effect


def set_handles(strip: Strip, start: int, end_exclusive: int) -> None:
    """Let the strip cover [start, end_exclusive) without moving its media.

    If that overlaps another strip, Blender may bump this one to another channel.
    """
    wanted = [(HANDLES[0], start), (HANDLES[1], end_exclusive)]
    if start >= getattr(strip, HANDLES[1]):
        wanted.reverse()  # a handle can't be pulled past the other one
    for name, frame in wanted:
        if getattr(strip, name) != frame:
            setattr(strip, name, frame)


def new_color(collection: Collection, name: str, channel: int, start: int, length_frames: int) -> Strip:
    """Add a color strip over [start, start + length_frames)."""
    return _new_effect(collection, "COLOR", name, channel, start, length_frames)


def new_text(collection: Collection, name: str, channel: int, start: int, length_frames: int) -> Strip:
    """Add a text strip over [start, start + length_frames)."""
    return _new_effect(collection, "TEXT", name, channel, start, length_frames)


def _new_effect(collection: Collection, kind: str, name: str, channel: int, start: int, length_frames: int) -> Strip:
    place: dict[str, Any] = {"name": name, "type": kind, "channel": channel, "frame_start": start}
    if _effects_take_length(collection):
        return collection.new_effect(**place, length=length_frames)
    return collection.new_effect(**place, frame_end=start + length_frames)


def _effects_take_length(collection: Collection) -> bool:
    """Whether `new_effect` takes a length, as in later versions, or the frame at which the effect ends."""
    return "length" in collection.bl_rna.functions["new_effect"].parameters


def new_image(collection: Collection, name: str, path: str, channel: int, start: int) -> Strip:
    """Add an image strip of one frame, scaled to fill the scene's frame. The file must exist."""
    return collection.new_image(name=name, filepath=path, channel=channel, frame_start=start, fit_method="FILL")


def new_movie(collection: Collection, name: str, path: str, channel: int, start: int) -> Strip:
    """Add a movie strip that plays one of its frames in each of the scene's, scaled to fill the scene's frame."""
    return collection.new_movie(name=name, filepath=path, channel=channel, frame_start=start, fit_method="FILL")


def new_sound(collection: Collection, name: str, path: str, channel: int, start: int) -> Strip:
    """Add a sound strip."""
    return collection.new_sound(name=name, filepath=path, channel=channel, frame_start=start)


def new_cross(
    collection: Collection, name: str, channel: int, start: int, length_frames: int, first: Strip, second: Strip
) -> Strip:
    """Add a cross dissolve over [start, start + length_frames)."""
    names = ("input1", "input2")
    if names[0] not in collection.bl_rna.functions["new_effect"].parameters:
        names = ("seq1", "seq2")
    place = {
        "name": name,
        "type": "CROSS",
        "channel": channel,
        "frame_start": start,
        **dict(zip(names, (first, second), strict=True)),
    }
    if _effects_take_length(collection):
        return collection.new_effect(**place, length=length_frames)
    return collection.new_effect(**place, frame_end=start + length_frames)


def curves(scene: bpy.types.Scene) -> list[Any]:
    """The animation curves of the scene's action, not its drivers."""
    animation = scene.animation_data
    action = None if animation is None else animation.action
    if action is None:
        return []
    if not hasattr(action, "layers"):  # since 4.4, curves are in the layers of an action
        return list(action.fcurves)
    bags = (bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags)
    return [curve for bag in bags for curve in bag.fcurves]


def curves_of(animation: Any) -> list[Any]:
    """The animation curves that change the owner of this `animation_data`, not its drivers or tracks."""
    action = None if animation is None else animation.action
    if action is None:
        return []
    if not hasattr(action, "layers"):
        return list(action.fcurves)
    slot = animation.action_slot  # an action may hold the curves of several owners, each in a slot
    if slot is None:
        return []
    bags = (bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags)
    return [curve for bag in bags if bag.slot_handle == slot.handle for curve in bag.fcurves]


def turn_shown(turn: int | None) -> int | None:
    """By how many degrees clockwise Blender turns a movie whose file asks for `turn`; None if that isn't known.

    Up to 4.2 it ignores what files ask for, and since 4.5 it turns them; the versions between were not examined.
    """
    if bpy.app.version < (4, 3, 0) or turn == 0:
        return 0
    return turn if bpy.app.version >= (4, 5, 0) else None


def held_frames(strip: Strip) -> tuple[int, int]:
    """How many frames the strip covers before and after its media, where Blender holds the first or last picture."""
    before, after = (max(0, -round(getattr(strip, name))) for name in OFFSETS)
    return before, after


def part(owner: Any, name: str) -> Any:
    """What an owner has of that name; None where its kind, or this Blender, has no such thing."""
    return getattr(owner, name, None)


def property_of_others(strip: Strip, group: str, name: str) -> Any:
    """What another add-on keeps on a strip, in a group of its own; None if that is nothing.

    While that add-on isn't enabled, its group is a plain property up to 4.5, and later can't be read.
    """
    found = getattr(strip, group, None)
    if found is not None:
        return getattr(found, name, None)
    plain = strip.get(group)
    return plain.get(name) if hasattr(plain, "get") else None


def view_layer_name(strip: Strip) -> str:
    """The view layer that a scene strip shows; empty if it has none of its own, as before 5.2."""
    layer = getattr(strip, "view_layer", None)
    return layer if isinstance(layer, str) else getattr(layer, "name", "")


def compositing_tree(scene: bpy.types.Scene) -> Any:
    """The nodes through which the scene's pictures go when they are rendered; None without them."""
    if not scene.render.use_compositing:
        return None
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def nodes_of(owner: Any) -> Any:
    """The nodes of a material, a light or a world; None where it has none, or doesn't use them."""
    tree = part(owner, "node_tree")
    return tree if bpy.app.version >= (5, 0, 0) or part(owner, "use_nodes") else None  # from 5.0 on, they are used
