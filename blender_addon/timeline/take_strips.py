"""Puts placeholders onto the timeline, and takes in their place. Undo steps are pushed by the callers.

Takes are opaque and fill the frame, so ALPHA_OVER, Blender's own default for strips, shows them exactly, and fades
to what lies below still work; REPLACE would fade to black.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import TakeRequest
from . import (
    animation,
    compat,
    free_space,
    identity,
    path_rules,
    picture_files,
    scene_format,
    strip_columns,
    strip_transform,
)

NAME_CHARACTERS = 40
PLACEHOLDER_COLOR = (0.16, 0.13, 0.27)
UNSEEN = 0.0
"""A placeholder's opacity: the shot below it stays visible, and a film rendered meanwhile shows no placeholder."""


@dataclass(frozen=True)
class TakeFiles:
    """A finished take's files, as strips play them."""

    folder: str
    """An absolute path."""
    files: tuple[str, ...]
    """The names of its PNG files in order, or of its one movie."""
    frames: int
    """Their number, with those of the handles."""
    is_movie: bool
    handle_before: int = 0
    """How many of the first ones come before the frame on which the take begins."""
    handle_after: int = 0

    @property
    def own_frames(self) -> int:
        """How many frames it has without its handles."""
        return self.frames - self.handle_before - self.handle_after


def strip_name(request: TakeRequest) -> str:
    """The prompt's first words, short enough for a strip's name; the task's name if there is no prompt."""
    words = " ".join(request.shown_prompt.split()) or request.task.replace("_", " ").capitalize()
    if len(words) <= NAME_CHARACTERS:
        return words or "Take"
    return words[:NAME_CHARACTERS].rsplit(" ", 1)[0].rstrip(" ,.;:") or "Take"


def add_placeholder(
    scene: bpy.types.Scene, name: str, channel: int, start: int, length_frames: int, activate: bool = True
) -> compat.Strip:
    """Put a color strip where the take will be. It hides nothing of the cut, and the selection stays.

    A selected placeholder would change the task that the panel shows, while the next prompt is half typed.
    """
    scene.sequence_editor_create()
    strip = compat.new_color(compat.strips(compat.shown_owner(scene)), name, channel, start, length_frames)
    strip.color = PLACEHOLDER_COLOR
    strip.blend_alpha = UNSEEN
    strip.select = False
    if activate:
        scene.sequence_editor.active_strip = strip
    return strip


def put_in_place(found: identity.Marked, take: TakeFiles, asked_frames: int) -> compat.Strip:
    """Let the take replace its placeholder and keep its channel, start, length, name, mute, lock, tag and effects.

    Its handles are hidden by the strip's trims. The take's files must be there, see `missing_refusal`. `asked_frames`
    is the length that was asked for.
    """
    old = found.strip
    start, length = compat.start(old), compat.length_frames(old)
    offset = min(identity.offset_frames(old), take.own_frames - 1)
    if take.own_frames < asked_frames:
        length = min(length, take.own_frames - offset)  # no model could make more; a gap is better than a held frame
    channel, begins = old.channel, start - offset - take.handle_before
    aside = free_space.channel_aside(found.collection, min(begins, start), max(begins + take.frames, start + length))
    new = _new_strip(found.scene, found.collection, old.name, take, aside, begins)
    compat.set_handles(new, start, start + length)
    for name in ("mute", "lock", "color_tag", "blend_type", "blend_alpha", "select"):
        if name == "blend_alpha" and old.blend_alpha == UNSEEN:
            continue
        if getattr(new, name) != getattr(old, name):  # setting some of these makes Blender redo the whole timeline
            setattr(new, name, getattr(old, name))
    editor = found.scene.sequence_editor
    was_active = editor.active_strip == old
    _hand_over(found.scene, found.collection, old, new)
    new.channel = channel
    if was_active:
        editor.active_strip = new
    return new


def put_on_timeline(
    scene: bpy.types.Scene, name: str, take: TakeFiles, channel: int, start: int, length_frames: int
) -> compat.Strip | str:
    """Put the take on `channel` if it is free there, else on the first free one above or below; or why it can't be.

    The first frame that is none of its handle is at `start`.
    """
    length = min(length_frames, take.own_frames)
    scene.sequence_editor_create()
    free = free_space.first_free_channel(scene, start, start + length, channel)
    free = free or free_space.first_free_channel(scene, start, start + length)
    if free is None:
        return iface_("Every channel is taken at frame {}: make room, then place the take again.").format(start)
    refusal = missing_refusal(take)
    if refusal:
        return refusal
    collection = compat.strips(compat.shown_owner(scene))
    begins = start - take.handle_before
    aside = free_space.channel_aside(collection, begins, begins + take.frames)
    strip = _new_strip(scene, collection, name, take, aside, begins)
    compat.set_handles(strip, start, start + length)
    strip.channel = free
    strip.select = False  # who works on other strips goes on; a click chooses it, see `choose`
    return strip


def choose(scene: bpy.types.Scene, strip: compat.Strip) -> None:
    """Let the strip be the active one and the only one that is selected, since a click has put it there."""
    for other in compat.all_strips(scene):
        if other.select and other != strip:
            other.select = False
    strip.select = True
    scene.sequence_editor.active_strip = strip


def path_in_strip(folder: str) -> str:
    """The path that a strip keeps for `folder`: relative beside the .blend, so that both can be moved together."""
    blend = bpy.data.filepath
    if not blend:
        return folder
    beside = os.path.dirname(os.path.abspath(blend))
    return bpy.path.relpath(path_rules.plain(folder)) if path_rules.lies_in(folder, beside) else folder


def missing_refusal(take: TakeFiles) -> str:
    """Why the take can't be placed: one of its files is missing, which can crash Blender when it renders."""
    missing = path_rules.missing(take.files, picture_files.files_in(take.folder))
    if missing:
        return iface_("The take's {} is missing from {}: make the take again.").format(
            missing[0], path_rules.shown(take.folder)
        )
    return ""


def _new_strip(
    scene: bpy.types.Scene, collection: compat.Collection, name: str, take: TakeFiles, channel: int, start: int
) -> compat.Strip:
    path = os.path.join(path_in_strip(take.folder), take.files[0])
    if take.is_movie:
        strip = compat.new_movie(collection, name, path, channel, start)
        _fill_frame(scene, strip)
        return strip
    strip = compat.new_image(collection, name, path, channel, start)
    _fill_frame(scene, strip)
    for file in take.files[1:]:
        strip.elements.append(file)
    strip.colorspace_settings.name = "sRGB"
    return strip


def _hand_over(scene: bpy.types.Scene, collection: compat.Collection, old: compat.Strip, new: compat.Strip) -> None:
    """Give `new` the name, the animation and the effects of `old`, and remove `old`.

    The strips are renamed before the removal because 5.2 remembers which effects depend on which strip until a strip is
    renamed: it would remove the effects of `old` although they were given to `new`.
    """
    name = old.name
    new.name = f"{name[:48]} (take)"
    beside = strip_columns.columns(collection).overlapping(compat.start(old), compat.end_exclusive(old))
    for strip in [collection[index] for index in beside]:
        for side in ("input_1", "input_2"):
            if getattr(strip, side, None) == old:
                setattr(strip, side, new)
    animation.give_curves(scene, old, new)
    old.name = f"{name[:48]} (old)"
    collection.remove(old)
    new.name = name


def _fill_frame(scene: bpy.types.Scene, strip: compat.Strip) -> None:
    """Undo what Blender's own fit does to a take in a scene whose pixels aren't square: it squeezes the picture."""
    if scene_format.square_size(scene) == scene_format.frame_size(scene):
        return
    first = strip.elements[0] if len(strip.elements) else None
    if first is not None and first.orig_width > 0 and first.orig_height > 0:
        strip.transform.scale_x, strip.transform.scale_y = strip_transform.filling_scale(
            scene, (first.orig_width, first.orig_height)
        )
