"""Lays a cut that came from elsewhere onto a timeline, above what is there. Undo steps are pushed by the callers.

The cut was checked, and its media is there, before it comes here. Missing media and takes that aren't made yet become
color strips, which keep the place and start nothing.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.cut import ClipMedia, ClipMediaKind, Cut, CutClip, TrackKind
from . import compat, free_space, identity, scene_format, strip_takes, take_strips, untrusted

MISSING_COLOR = (0.45, 0.05, 0.25)
MAX_CLIPS = 500
"""Blender's window waits while they are laid out."""
ASIDE = free_space.HIGHEST_CHANNEL


@dataclass(frozen=True)
class MadeTake:
    """How a take was made, as its folder says."""

    request: str = ""
    take: str = ""


FindTake = Callable[[ClipMedia], MadeTake | None]
"""What the folder of a take says; None if it isn't one."""


@dataclass(frozen=True)
class LaidOut:
    """What was laid out, and what of it isn't as it was."""

    strips: int
    unreadable: int = 0
    """Clips whose media this Blender can't read."""
    speeds: int = 0
    """Clips that play at one frame of their media in each of the scene's here."""


@dataclass(frozen=True)
class _Span:
    """A clip as a strip covers it, with what plays under dissolves; its start is one of the cut's."""

    clip: CutClip
    kind: TrackKind
    channel: int


@dataclass(frozen=True)
class _Cross:
    """A dissolve between two spans, by their places in the list."""

    name: str
    first: int
    second: int
    channel: int


def lay(scene: bpy.types.Scene, cut: Cut, find_take: FindTake) -> LaidOut | str:
    """Put the cut onto the timeline, or say why it can't be."""
    if sum(len(track.clips) for track in cut.tracks) > MAX_CLIPS:
        return iface_("The file holds more than 500 clips, which is more than can be imported at once.")
    spans, crosses = _planned(cut, own_channels=True)
    if _collide(spans, crosses):
        spans, crosses = _planned(cut, own_channels=False)
    if not spans:
        return iface_("The file holds no clips.")
    scene.sequence_editor_create()
    origin = scene.frame_start if cut.first_frame is None else cut.first_frame
    if not all(abs(edge + origin) < scene_format.LAST_FRAME for edge in (spans[0].clip.start, _end(spans))):
        return iface_("The file holds a longer cut than Blender's timeline.")
    up = _free_offset(scene, spans, crosses, origin)
    if up is None:
        return iface_("There are not enough free channels: make room above the strips that are there.")
    collection = compat.strips(compat.shown_owner(scene))
    strips: list[compat.Strip] = []
    unreadable = 0
    for span in spans:
        start = span.clip.start + origin
        strip = _new(scene, collection, span, start, find_take)
        if strip is None:
            unreadable += 1
            strip = _color(collection, span.clip, start, iface_("Unreadable: {}"))
        strip.channel = span.channel + up
        strip.mute = not span.clip.enabled
        strips.append(strip)
    for cross in crosses:
        first, second = strips[cross.first], strips[cross.second]
        start = compat.start(second)
        length = compat.end_exclusive(first) - start
        compat.new_cross(collection, cross.name or "Cross", cross.channel + up, start, length, first, second)
    _add_markers(scene, cut, origin)
    return LaidOut(len(strips), unreadable, sum(abs(span.clip.speed) != 1.0 for span in spans))


def _add_markers(scene: bpy.types.Scene, cut: Cut, origin: int) -> None:
    for marker in cut.markers:
        if not marker.generated:
            scene.timeline_markers.new(marker.name or "Marker", frame=marker.start + origin)


def _planned(cut: Cut, own_channels: bool) -> tuple[list[_Span], list[_Cross]]:
    """The strips and dissolves, on the channels that they had, or with channels for each track."""
    spans: list[_Span] = []
    crosses: list[_Cross] = []
    lowest = 1
    for track in cut.tracks:
        dissolves = {each.clip: each for each in track.dissolves}
        upper = 0
        for index, clip in enumerate(track.clips):
            before = dissolves[index - 1].frames_before if index - 1 in dissolves else 0
            after = dissolves[index].frames_after if index in dissolves else 0
            if index - 1 in dissolves:
                upper = 1 - upper
                cross = dissolves[index - 1]
                channel = cross.channel if own_channels else lowest + 2
                crosses.append(_Cross(cross.name, len(spans) - 1, len(spans), channel))
            channel = clip.channel if own_channels else lowest + upper
            spans.append(_Span(_extended(clip, before, after), track.kind, channel))
        lowest += 3 if dissolves else 1
    return spans, crosses


def _extended(clip: CutClip, before: int, after: int) -> CutClip:
    shown = clip.media[clip.active]
    held = shown.kind not in (ClipMediaKind.FILE, ClipMediaKind.PICTURES) or _is_still(shown)
    earlier = 0 if held else before
    start, length = clip.start - before, clip.length + before + after
    return replace(clip, start=start, length=length, media_start=clip.media_start - earlier)


def _is_still(media: ClipMedia) -> bool:
    return media.kind is ClipMediaKind.PICTURES and len(media.files) == 1


def _end(spans: list[_Span]) -> int:
    return max(each.clip.start + each.clip.length for each in spans)


def _collide(spans: list[_Span], crosses: list[_Cross]) -> bool:
    """Whether some have no channel, or two would lie on one another."""
    by_channel: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for each in spans:
        by_channel[each.channel].append((each.clip.start, each.clip.start + each.clip.length))
    for cross in crosses:
        first, second = spans[cross.first].clip, spans[cross.second].clip
        by_channel[cross.channel].append((second.start, first.start + first.length))
    if any(not 0 < channel < ASIDE for channel in by_channel):
        return True
    rows = (sorted(row) for row in by_channel.values())
    return any(one[1] > other[0] for row in rows for one, other in itertools.pairwise(row))


def _free_offset(scene: bpy.types.Scene, spans: list[_Span], crosses: list[_Cross], origin: int) -> int | None:
    """By how many channels everything goes up so that it lies on nothing; None if there is no room."""
    wanted = {each.channel for each in spans} | {each.channel for each in crosses}
    start = min(each.clip.start for each in spans) + origin
    taken = free_space.taken_channels(compat.shown_strips(scene), start, _end(spans) + origin)
    channels = compat.shown_owner(scene).channels
    closed = {number for number, channel in enumerate(channels) if channel.lock or channel.mute}
    room = range(ASIDE - max(wanted))  # the highest one stays free: strips are trimmed there
    return next((up for up in room if not {each + up for each in wanted} & (taken | closed)), None)


def _new(
    scene: bpy.types.Scene, collection: compat.Collection, span: _Span, start: int, find_take: FindTake
) -> compat.Strip | None:
    """The strip of a clip, off its channel; None if Blender can't read its media."""
    clip = span.clip
    shown = clip.media[clip.active]
    if shown.kind in (ClipMediaKind.COLOR, ClipMediaKind.PLACEHOLDER, ClipMediaKind.MISSING):
        return _without_file(collection, clip, shown, start)
    path = os.path.join(take_strips.path_in_strip(shown.folder), shown.files[0])
    begins = start - clip.media_start
    try:
        if span.kind is TrackKind.AUDIO:
            strip = compat.new_sound(collection, clip.name or "Sound", path, ASIDE, begins)
        elif shown.kind is ClipMediaKind.FILE:
            strip = compat.new_movie(collection, clip.name or "Movie", path, ASIDE, begins)
        else:
            strip = compat.new_image(collection, clip.name or "Pictures", path, ASIDE, begins)
            for name in shown.files[1:]:
                strip.elements.append(name)
    except RuntimeError:
        return None
    if clip.speed < 0 and span.kind is TrackKind.VIDEO:
        strip.use_reverse_frames = True
    compat.set_handles(strip, start, start + clip.length)
    _give_takes(strip, clip, find_take)
    return strip


def _without_file(collection: compat.Collection, clip: CutClip, shown: ClipMedia, start: int) -> compat.Strip:
    if shown.kind is ClipMediaKind.MISSING:
        return _color(collection, clip, start, iface_("Missing: {}"))
    strip = _color(collection, clip, start, "{}")
    if shown.kind is ClipMediaKind.COLOR:
        strip.color = shown.color or (0.0, 0.0, 0.0)
        return strip
    strip.color, strip.blend_alpha = take_strips.PLACEHOLDER_COLOR, take_strips.UNSEEN
    if untrusted.request(shown.request) is not None:
        strip[identity.REQUEST] = shown.request  # without a job: it is settings to look at, which start nothing
    return strip


def _color(collection: compat.Collection, clip: CutClip, start: int, words: str) -> compat.Strip:
    name = words.format(clip.name or clip.media[clip.active].name or iface_("Clip"))
    strip = compat.new_color(collection, name, ASIDE, start, clip.length)
    strip.color = MISSING_COLOR
    return strip


def _give_takes(strip: compat.Strip, clip: CutClip, find_take: FindTake) -> None:
    """Let the strip have the clip's takes, as far as their folders are those of takes; the shown one must be one."""
    is_movie = strip.type == "MOVIE"
    kept: list[strip_takes.KeptTake] = []
    shown = clip.media[clip.active]
    made = find_take(shown) if shown.job_id and strip.type in ("MOVIE", "IMAGE") else None
    if made is None:
        return
    for media in clip.media[: strip_takes.MAX_TAKES]:
        found = made if media is shown else find_take(media) if media.job_id else None
        if media.job_id and found is not None:
            take = untrusted.take(found.take)
            of_movie = media.kind is ClipMediaKind.FILE
            frames = media.frames if of_movie else len(media.files)
            kept.append(
                strip_takes.KeptTake(
                    media.job_id,
                    media.folder,
                    media.files[0],
                    max(1, frames),
                    of_movie,
                    media.mark,
                    media.note,
                    0 if take is None else take.handle_before,
                    0 if take is None else take.handle_after,
                )
            )
    identity.mark_take(strip, shown.job_id, made.request, made.take)
    if len(kept) > 1 or shown.mark or shown.note or is_movie:
        strip_takes.set_takes(strip, kept)
