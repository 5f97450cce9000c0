"""A cut as an OpenTimelineIO timeline.

What OpenTimelineIO has a place for stands there; the rest, such as a take's job and its star, is metadata under
METADATA, which other programs keep or drop. A movie's frames are counted at its own rate, as other programs expect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import opentimelineio as otio

from ..protocol import bounds, name_runs
from ..protocol.cut import ClipMedia, ClipMediaKind, Cut, CutClip, CutDissolve, CutMarker, CutTrack, TrackKind
from . import media_urls

METADATA = "wan_vse"
SOLID_COLOR, TAKE_TO_BE = "SolidColor", "wan_vse.take"
"""Kinds of generators."""
Place = Callable[[ClipMedia], str]
"""The folder in which media is to be looked for: its own, or a relative one."""


def timeline_of(cut: Cut, place: Place = lambda media: media.folder) -> Any:
    """The timeline."""
    rate = float(cut.frame_rate.exact())
    made = otio.schema.Timeline(name=cut.name)
    own: dict[str, Any] = {"rate": [cut.frame_rate.fps, cut.frame_rate.fps_base]}
    if cut.first_frame is not None:
        own["first_frame"] = cut.first_frame
    made.metadata[METADATA] = own
    for track in _Writer(cut, place).tracks():
        made.tracks.append(track)
    for marker in cut.markers:
        made.tracks.markers.append(_marker(marker, rate))
    return made


def text_of(timeline: Any) -> str:
    """The timeline as it stands in a file."""
    return str(otio.core.serialize_json_to_string(timeline, {}, 2))


def is_sequence(media: ClipMedia) -> bool:
    """Whether an image sequence reference can name its pictures: they count up."""
    if len(media.files) < 2:
        return False
    packed = name_runs.pack(media.files)
    return len(packed) == 1 and isinstance(packed[0], dict) and packed[0]["digits"] > 0 and packed[0]["step"] > 0


class _Writer:
    def __init__(self, cut: Cut, place: Place) -> None:
        self._cut, self._place = cut, place
        self._rate = float(cut.frame_rate.exact())

    def tracks(self) -> list[Any]:
        """The tracks of the cut, with what is nested in them."""
        return [self._track(track) for track in self._cut.tracks]

    def _track(self, track: CutTrack) -> Any:
        kind = otio.schema.TrackKind.Audio if track.kind is TrackKind.AUDIO else otio.schema.TrackKind.Video
        made = otio.schema.Track(name=track.name, kind=kind)
        dissolves = {each.clip: each for each in track.dissolves}
        at = 0
        for index, clip in enumerate(track.clips):
            if clip.start > at:
                made.append(otio.schema.Gap(source_range=_span(0, clip.start - at, self._rate)))
            made.append(self._item(clip))
            if index in dissolves:
                made.append(_dissolve(dissolves[index], self._rate))
            at = clip.start + clip.length
        return made

    def _item(self, clip: CutClip) -> Any:
        """A clip, or the tracks that play as one."""
        shown = clip.media[clip.active]
        is_nested = shown.kind is ClipMediaKind.NESTED
        own_rate = shown.rate or self._rate
        made = otio.schema.Stack(name=clip.name) if is_nested else otio.schema.Clip(name=clip.name)
        first = first_used(clip.media_start, clip.length, clip.speed, shown.frames)
        start = otio.opentime.RationalTime(first, own_rate)
        made.source_range = otio.opentime.TimeRange(start, otio.opentime.RationalTime(clip.length, self._rate))
        if is_nested:
            for track in self._cut.nested[shown.nested].tracks:
                made.append(self._track(track))
        else:
            self._give_media(made, clip)
        made.enabled = clip.enabled
        facts = _facts_of_clip(clip)
        if is_nested and shown.frames:
            facts["frames"] = shown.frames
        if facts:
            made.metadata[METADATA] = facts
        scalar = clip.speed * self._rate / own_rate
        if not clip.speed:
            made.effects.append(otio.schema.FreezeFrame(name="speed"))
        elif abs(scalar - 1) > 1e-9:
            made.effects.append(otio.schema.LinearTimeWarp(name="speed", time_scalar=scalar))
        return made

    def _give_media(self, made: Any, clip: CutClip) -> None:
        references, keys = {}, _keys(clip.media)
        for index, (key, media) in enumerate(zip(keys, clip.media, strict=True)):
            references[key] = _reference(media, self._rate, self._place)
            references[key].metadata[METADATA] = _facts(media, index)
        made.set_media_references(references, keys[clip.active])


def _facts_of_clip(clip: CutClip) -> dict[str, Any]:
    """What a clip has no place for; only what isn't as usual."""
    facts = {"channel": clip.channel, "speed_channel": clip.speed_channel, "locked": clip.locked, "shot": clip.shot}
    return {key: value for key, value in facts.items() if value} | ({} if clip.volume == 1 else {"volume": clip.volume})


def first_used(media_start: int, length: int, speed: float, frames: int) -> int:
    """The lowest frame of the media that a clip uses, and back: the same sum gives `media_start` of it."""
    return frames - media_start - round(length * -speed) if speed < 0 and frames else media_start


def _keys(media: list[ClipMedia]) -> list[str]:
    """A key for each; takes are numbered from the oldest, which is the last."""
    if len(media) == 1 and not media[0].job_id:
        return [otio.schema.Clip.DEFAULT_MEDIA_KEY]
    return [f"take {len(media) - index:03d}" for index in range(len(media))]


def _reference(media: ClipMedia, rate: float, place: Place) -> Any:
    available = _span(0, media.frames, media.rate or rate) if media.frames else None
    if media.kind in (ClipMediaKind.MISSING, ClipMediaKind.NESTED):
        return otio.schema.MissingReference(name=media.name, available_range=available)
    if media.kind is ClipMediaKind.COLOR:
        parameters = {"color": list(media.color)}
        return otio.schema.GeneratorReference(media.name, SOLID_COLOR, available, parameters)
    if media.kind is ClipMediaKind.PLACEHOLDER:
        return otio.schema.GeneratorReference(media.name, TAKE_TO_BE, available, {})
    folder = place(media)
    if is_sequence(media):
        return _sequence(media, folder, available, media.rate or rate)
    made = otio.schema.ExternalReference(media_urls.url_of(_joined(folder, media.files[0])), available)
    made.name = media.name
    return made


def _sequence(media: ClipMedia, folder: str, available: Any, rate: float) -> Any:
    run = name_runs.pack(media.files)[0]
    return otio.schema.ImageSequenceReference(
        target_url_base=media_urls.url_of(folder).rstrip("/") + "/",
        name_prefix=media_urls.part_of_url(run["before"]),
        name_suffix=media_urls.part_of_url(run["after"]),
        start_frame=run["first"],
        frame_step=run["step"],
        rate=rate,
        frame_zero_padding=run["digits"],
        available_range=available or _span(0, len(media.files), rate),
        metadata={},
    )


def _joined(folder: str, name: str) -> str:
    return folder.rstrip("/\\") + "/" + name


def _facts(media: ClipMedia, index: int) -> dict[str, Any]:
    """What a reference has no place for; only what there is."""
    facts: dict[str, Any] = {"index": index, "kind": media.kind.value, "frames": media.frames, "rate": media.rate}
    facts |= {key: value for key, value in (("job", media.job_id), ("mark", media.mark), ("note", media.note)) if value}
    if media.kind is ClipMediaKind.PICTURES:
        if media.name:
            facts["name"] = media.name
        if len(media.files) > 1 and not is_sequence(media):
            facts["files"] = name_runs.pack(media.files)
    if media.request:
        facts["request"] = bounds.parsed(media.request)
    return facts


def _dissolve(dissolve: CutDissolve, rate: float) -> Any:
    made = otio.schema.Transition(
        name=dissolve.name,
        transition_type=otio.schema.TransitionTypes.SMPTE_Dissolve,
        in_offset=otio.opentime.RationalTime(dissolve.frames_before, rate),
        out_offset=otio.opentime.RationalTime(dissolve.frames_after, rate),
    )
    if dissolve.channel:
        made.metadata[METADATA] = {"channel": dissolve.channel}
    return made


def _marker(marker: CutMarker, rate: float) -> Any:
    color = otio.schema.MarkerColor.PURPLE if marker.generated else otio.schema.MarkerColor.GREEN
    made = otio.schema.Marker(name=marker.name, marked_range=_span(marker.start, marker.length, rate), color=color)
    made.comment = marker.note
    made.metadata[METADATA] = {"generated": marker.generated}
    return made


def _span(start: int, length: int, rate: float) -> Any:
    time = otio.opentime.RationalTime
    return otio.opentime.TimeRange(time(start, rate), time(length, rate))
