"""The stretches of a cut in which generated footage plays, for whoever must mark the film: a render drops all marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol.messages import Quality
from . import compat, identity, layers, strip_mark, strip_media, strip_transform

MAX_DEPTH = 16
"""So many scene strips and meta strips inside one another are followed."""
MAX_LOOKS = 2000
"""So many timelines and meta strips are looked into in all: a few scenes that show each other many times over are, from
one level to the next, as many more. What lies behind that is named as a whole."""


@dataclass(frozen=True)
class GeneratedRange:
    """Frames [start, end_exclusive) of the cut in which a take plays."""

    start: int
    end_exclusive: int
    strip: str
    """Its name; of one in another scene, with that scene's strip before it."""
    channel: int
    model: str = ""
    """The id of the catalogue; "" if the strip doesn't tell."""
    task: str = ""
    composite: bool = False
    """True if it was made from footage, pictures or a scene; False if from words alone."""
    draft: bool = False


def of(scene: bpy.types.Scene, start: int, end_exclusive: int) -> list[GeneratedRange]:
    """Those in [start, end_exclusive) that aren't muted, in order; also in meta strips and timelines of scenes."""
    return in_order(each(scene, start, end_exclusive))


def each(scene: bpy.types.Scene, start: int, end_exclusive: int) -> Iterator[GeneratedRange]:
    """As `of`, one by one as they are found. It holds strips: once some are gone, it must not be asked for more."""
    if scene.sequence_editor is not None:
        frames = range(start, end_exclusive)
        yield from _within(scene, scene.sequence_editor, frames, (scene,), iter(range(MAX_LOOKS)))


def in_order(found: Iterable[GeneratedRange]) -> list[GeneratedRange]:
    """Each once, the earliest first."""
    return sorted(set(found), key=lambda each: (each.start, each.channel, each.end_exclusive, each.strip))


def _within(
    scene: bpy.types.Scene, owner: Any, frames: range, above: tuple[bpy.types.Scene, ...], looks: Iterator[int]
) -> Iterator[GeneratedRange]:
    for strip in layers.seen(owner, frames):
        part = range(max(frames.start, compat.start(strip)), min(frames.stop, compat.end_exclusive(strip)))
        if not part:
            continue
        if identity.role_of(strip) == identity.TAKE_ROLE or strip_mark.of(strip) is not None:
            yield _range(strip, part)
        elif strip.type == "META":
            if len(above) > MAX_DEPTH or next(looks, None) is None:
                yield _range(strip, part)
                continue
            found = _within(scene, strip, part, (*above, scene), looks)
            yield from (replace(each, channel=strip.channel) for each in found)
        elif strip.type == "SCENE" and strip.scene_input == "SEQUENCER" and strip.scene is not None:
            yield from _in_scene(scene, strip, part, above, looks)


def _in_scene(
    scene: bpy.types.Scene,
    strip: compat.Strip,
    part: range,
    above: tuple[bpy.types.Scene, ...],
    looks: Iterator[int],
) -> Iterator[GeneratedRange]:
    inner = strip.scene
    if inner in above or inner.sequence_editor is None:
        return
    if len(above) > MAX_DEPTH or next(looks, None) is None:
        yield _range(strip, part)
        return
    shown = strip_media.frames_of_scene(strip, part)
    span = range(min(shown), max(shown) + 1)
    found = list(_within(inner, inner.sequence_editor, span, (*above, inner), looks))
    by = part.start - shown[0]
    straight = shown == list(range(shown[0], shown[0] + len(shown))) and not strip_transform.is_retimed(scene, strip)
    for each in found:
        named = replace(each, strip=f"{strip.name}: {each.strip}", channel=strip.channel)
        if straight:
            yield replace(named, start=each.start + by, end_exclusive=each.end_exclusive + by)
        else:  # held, backwards or retimed: somewhere in the strip
            yield replace(named, start=part.start, end_exclusive=part.stop)


def _range(strip: compat.Strip, part: range) -> GeneratedRange:
    made = identity.request_of(strip)
    found = GeneratedRange(part.start, part.stop, strip.name, strip.channel)
    if made is None:
        mark = strip_mark.of(strip)
        composite = mark is not None and mark.kind == strip_mark.COMPOSITE
        return replace(found, model=mark.model if mark is not None else "", composite=composite)
    draft = made.quality is Quality.DRAFT
    return replace(found, model=made.model, task=made.task.value, composite=made.is_composite, draft=draft)
