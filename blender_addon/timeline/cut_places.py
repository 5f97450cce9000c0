"""Where the clips of a cut are to lie on Blender's channels, with what plays under dissolves. Changes nothing."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import bpy

from ...wan_backend.protocol.cut import ClipMedia, ClipMediaKind, CutClip, CutTrack, TrackKind
from . import compat, free_space

ASIDE = free_space.HIGHEST_CHANNEL
"""It stays free: strips are trimmed there."""
DRIFT_FRAMES = 0.5
"""A speed that doesn't show in the whole clip is none: 23.976 frames a second in a cut with 24."""


@dataclass(frozen=True)
class Span:
    """A clip as a strip covers it, with what plays under dissolves; its start is one of the cut's."""

    clip: CutClip
    kind: TrackKind
    channel: int
    start: int
    length: int
    media_start: int
    effect_channel: int = 0
    """That of the effect that gives it its speed; 0 if it needs none."""

    @property
    def end(self) -> int:
        """The first frame after it."""
        return self.start + self.length


@dataclass(frozen=True)
class Cross:
    """A dissolve between two spans, by their places in the list."""

    name: str
    first: int
    second: int
    channel: int


Places = tuple[list[Span], list[Cross]]


def planned(tracks: Iterable[CutTrack]) -> Places:
    """The strips and dissolves, on the channels that they had if they can lie there, else with some for each track."""
    tracks = list(tracks)
    spans, crosses = _planned(tracks, own_channels=True)
    return _planned(tracks, own_channels=False) if _collide(spans, crosses) else (spans, crosses)


def _planned(tracks: Iterable[CutTrack], own_channels: bool) -> Places:
    spans: list[Span] = []
    crosses: list[Cross] = []
    lowest = 1
    for track in tracks:
        dissolves = {each.clip: each for each in track.dissolves}
        lanes = 2 if dissolves else 1
        speeds = lanes if any(needs_effect(clip, track.kind) for clip in track.clips) else 0
        upper = 0
        for index, clip in enumerate(track.clips):
            before = dissolves[index - 1].frames_before if index - 1 in dissolves else 0
            after = dissolves[index].frames_after if index in dissolves else 0
            if index - 1 in dissolves:
                upper = 1 - upper
                cross = dissolves[index - 1]
                channel = cross.channel if own_channels else lowest + lanes + speeds
                crosses.append(Cross(cross.name, len(spans) - 1, len(spans), channel))
            channel = clip.channel if own_channels else lowest + upper
            effect = clip.speed_channel if own_channels else lowest + lanes + upper
            if not needs_effect(clip, track.kind):
                effect = 0
            elif not effect:
                effect = -1  # there is none
            spans.append(_span(clip, track.kind, before, after, channel, effect))
        lowest += lanes + speeds + bool(dissolves)
    return spans, crosses


def _span(clip: CutClip, kind: TrackKind, before: int, after: int, channel: int, effect: int) -> Span:
    earlier = 0 if _is_held(clip.media[clip.active]) else round(before * abs(clip.speed))
    length = clip.length + before + after
    return Span(clip, kind, channel, clip.start - before, length, clip.media_start - earlier, effect)


def needs_effect(clip: CutClip, kind: TrackKind) -> bool:
    """Whether Blender needs an effect to play the clip at its speed."""
    if kind is TrackKind.AUDIO or _is_held(clip.media[clip.active]):
        return False
    return abs(abs(clip.speed) - 1.0) * clip.length >= DRIFT_FRAMES


def _is_held(media: ClipMedia) -> bool:
    """Whether it shows one picture, however long."""
    plays = media.kind in (ClipMediaKind.FILE, ClipMediaKind.PICTURES, ClipMediaKind.NESTED)
    return not plays or (media.kind is ClipMediaKind.PICTURES and len(media.files) == 1)


def _taken(spans: list[Span], crosses: list[Cross]) -> Iterator[tuple[int, int, int]]:
    """Channel, start and end of all strips that they need."""
    for span in spans:
        yield span.channel, span.start, span.end
        if span.effect_channel:
            yield span.effect_channel, span.start, span.end
    for cross in crosses:
        yield cross.channel, spans[cross.second].start, spans[cross.first].end


def _collide(spans: list[Span], crosses: list[Cross]) -> bool:
    """Whether some have no channel, or two would lie on one another."""
    by_channel: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for channel, start, end in _taken(spans, crosses):
        by_channel[channel].append((start, end))
    if any(not 0 < channel < ASIDE for channel in by_channel):
        return True
    rows = (sorted(row) for row in by_channel.values())
    return any(one[1] > other[0] for row in rows for one, other in itertools.pairwise(row))


def free_offset(scene: bpy.types.Scene, spans: list[Span], crosses: list[Cross], origin: int) -> int | None:
    """By how many channels everything goes up so that it lies on nothing; None if there is no room."""
    wanted = {channel for channel, _, _ in _taken(spans, crosses)}
    start, end = min(span.start for span in spans) + origin, max(span.end for span in spans) + origin
    taken = free_space.taken_channels(compat.shown_strips(scene), start, end)
    channels = compat.shown_owner(scene).channels
    closed = {number for number, channel in enumerate(channels) if channel.lock or channel.mute}
    room = range(ASIDE - max(wanted))
    return next((up for up in room if not {each + up for each in wanted} & (taken | closed)), None)
