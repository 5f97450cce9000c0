"""Finds what the preview shows together with a strip: the strips below it, unless it hides them. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from . import animation, compat, free_space, picture_files, scene_format, strip_columns, strip_media, strip_transform

HIDING_BLENDS = frozenset({"REPLACE", "CROSS"})
"""At full opacity, these blend types show the strip alone, and black in its transparent parts."""


def below(
    scene: bpy.types.Scene,
    frames: range,
    chosen: list[compat.Strip],
    look: picture_files.FileLook,
    owner: Any = None,
) -> list[compat.Strip]:
    """The strips below the chosen ones that the preview may show in those frames; empty if they are hidden.

    `owner` is the editor or meta strip that holds the chosen ones, where that need not be the one that is open.
    """
    if not chosen:
        return []
    highest = max(strip.channel for strip in chosen)
    if len(chosen) == 1 and _hides_below(scene, chosen[0]):
        return []
    within = compat.shown_owner(scene) if owner is None else owner
    found = [strip for strip in seen(within, frames, highest) if strip not in chosen]
    if owner is None and any(_shows_outside(strip) for strip in chosen):
        found += _around_metas(scene, frames)
    if found and len(chosen) == 1 and _covers(scene, chosen[0], frames, look):
        return []
    return found


def seen(owner: Any, frames: range, below_channel: int | None = None) -> Iterator[compat.Strip]:
    """The strips of an editor or a meta strip that the preview shows in any of the frames.

    A strip that is muted, by itself or with its channel, is left out, unless its mute is animated. With
    `below_channel`, only strips on lower channels are given.
    """
    collection = () if owner is None else compat.strips(owner)
    places = strip_columns.columns(collection)
    keyed = animation.keyed_mutes(owner.id_data) if len(collection) else []
    closed = free_space.closed_channels(owner) if not any("channels[" in path for path in keyed) else ()
    shown = []
    for index in places.overlapping(frames.start, frames.stop):
        channel = places.channels[index]
        lower = below_channel is None or channel < below_channel
        muted = places.mutes[index] and not (keyed and _is_keyed(keyed, collection[index].name))
        if lower and channel not in closed and not muted:
            shown.append(index)
    return iter(strip_columns.fetch(collection, shown))


def _is_keyed(paths: list[str], name: str) -> bool:
    quoted = f'["{bpy.utils.escape_identifier(name)}"]'
    return any(quoted in path for path in paths)


def inputs(strips: list[compat.Strip]) -> Iterator[compat.Strip]:
    """The strips that effect strips are made from, all the way down; each once."""
    waiting, known = list(strips), set()
    while waiting:
        strip = waiting.pop()
        for below in (getattr(strip, "input_1", None), getattr(strip, "input_2", None)):
            if below is not None and below.name not in known:
                known.add(below.name)
                waiting.append(below)
                yield below


def input_from_above(strip: compat.Strip) -> compat.Strip | None:
    """An input of an effect strip that shows what lies below it, but isn't itself below the effect; None without one.

    What such an input shows can't be rendered without the strips between, which lie over the effect.
    """
    return next((s for s in inputs([strip]) if _shows_below(s) and s.channel >= strip.channel), None)


def shows_nothing(scene: bpy.types.Scene, strip: compat.Strip, frames: range) -> str:
    """Why a strip that only shows other strips shows nothing in those frames; empty for any other strip."""
    if strip.type == "ADJUSTMENT":
        there = any(seen(compat.shown_owner(scene), frames, strip.channel)) or _around_metas(scene, frames)
        return "" if there else _nothing_below(strip, frames)
    if strip.type == "MULTICAM":
        source = strip.multicam_source
        if 0 < source < strip.channel and any(seen(compat.shown_owner(scene), frames, source + 1)):
            return ""
        return iface_(
            "'{}' shows channel {}, where nothing is seen from frame {} to {}: put a strip with a picture there, or "
            "choose one that has a picture of its own."
        ).format(strip.name, source, frames.start, frames.stop - 1)
    return ""


def _nothing_below(strip: compat.Strip, frames: range) -> str:
    return iface_(
        "Nothing lies below '{}' from frame {} to {}: put a strip with a picture there, or choose one that has a "
        "picture of its own."
    ).format(strip.name, frames.start, frames.stop - 1)


def _hides_below(scene: bpy.types.Scene, strip: compat.Strip) -> bool:
    """True if the strip hides everything below it in all of its frames."""
    if _needs_below(strip) or animation.is_animated(scene, strip):
        return False
    return strip.blend_type == "REPLACE" or (strip.blend_type in HIDING_BLENDS and strip.blend_alpha == 1.0)


def _needs_below(strip: compat.Strip) -> bool:
    """True if the strip's own picture is made of what lies below it, or below one of its inputs."""
    return any(_shows_below(s) for s in (strip, *inputs([strip])))


def _shows_below(strip: compat.Strip) -> bool:
    return strip.type in ("ADJUSTMENT", "MULTICAM") or _shows_outside(strip)


def _shows_outside(strip: compat.Strip) -> bool:
    """True if the strip may show what lies below the meta strip that it is in.

    An adjustment strip does if nothing lies below it there, also from a meta strip inside.
    """
    waiting = [strip]
    while waiting:  # a stranger's meta strips may be nested deeper than functions may call themselves
        inner = waiting.pop()
        if inner.type == "ADJUSTMENT":
            return True
        if inner.type == "META":
            waiting += [each for each in compat.strips(inner) if not each.mute]
    return False


def _around_metas(scene: bpy.types.Scene, frames: range) -> list[compat.Strip]:
    """The strips below the meta strips that are open, if this version of Blender shows them there."""
    editor = scene.sequence_editor
    if editor is None or not compat.SHOWS_BELOW_OPEN_METAS:
        return []
    stack = list(editor.meta_stack)
    owners = [editor, *stack[:-1]] if stack else []
    return [strip for owner, meta in zip(owners, stack, strict=True) for strip in seen(owner, frames, meta.channel)]


def _covers(scene: bpy.types.Scene, strip: compat.Strip, frames: range, look: picture_files.FileLook) -> bool:
    """True if the strip is certainly opaque and fills the frame."""
    plain = strip.blend_type == "ALPHA_OVER" and strip.blend_alpha == 1.0 and strip.color_multiply == 1.0
    if not plain or len(strip.modifiers) or animation.is_animated(scene, strip):
        return False
    size = scene_format.frame_size(scene) if strip.type == "COLOR" else None
    if strip.type in ("MOVIE", "IMAGE"):
        names, indices = strip_media.names_of(strip, frames), strip_media.media_indices(strip, frames)
        pictures = strip_media.pictures(scene, strip, names, indices, look)
        if pictures is not None and pictures.alpha_bits == 0:
            size = pictures.shown_size()
    if strip.type == "IMAGE":
        found = look(strip_media.folder_of(scene, strip), names, True)
        size = size if found.opaque and found.complete else None
    return (
        size is not None
        and strip_transform.can_be_framed(strip, size)
        and strip_transform.fills_frame(scene, strip, size)
    )
