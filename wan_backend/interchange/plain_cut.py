"""A cut with no more than another format has a place for, and what was taken out of it.

What a format can't hold would make its writer fail, or be dropped in silence. Here it is taken out before, and counted.
All frames are counted at the cut's rate then: other programs ask the media itself for its own.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from ..protocol.cut import ClipMedia, ClipMediaKind, Cut, CutClip, CutDissolve, CutTrack, NestedCut, TrackKind
from ..protocol.sentences import Sentence
from .writing import first_used

OTHER_TAKES, REQUESTS = Sentence("takes that aren't shown"), Sentence("requests of placeholders")
SPEEDS, HELD, DISSOLVES = Sentence("speeds"), Sentence("held frames"), Sentence("dissolves")
MARKERS, COLORS, MUTED = Sentence("markers"), Sentence("colors"), Sentence("muted clips")
TRACKS, NESTED, VOLUMES = Sentence("tracks"), Sentence("nested timelines"), Sentence("volumes")
PICTURES = Sentence("picture sequences")
_UNPRINTABLE = re.compile("[\0-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""No XML may hold these, and no line of a list."""
HELD_KINDS = (ClipMediaKind.COLOR, ClipMediaKind.PLACEHOLDER, ClipMediaKind.MISSING)


@dataclass(frozen=True)
class Room:
    """What a format has a place for."""

    speeds: bool = True
    held: bool = True
    """A frame that is held."""
    nested: bool = False
    """Otherwise what is nested is laid out on tracks of its own."""
    muted: bool = False
    colors: bool = False
    """Otherwise they are clips without media, as placeholders are."""
    markers: bool = False
    picture_tracks: int | None = None
    """How many; None for any number."""
    sound_tracks: int | None = None


@dataclass
class Plain:
    """Takes out of a cut what a format has no place for."""

    room: Room
    lost: Counter[Sentence] = field(default_factory=Counter)
    _rate: float = 24.0

    def cut(self, cut: Cut) -> Cut:
        """What is left."""
        self._rate = float(cut.frame_rate.exact())
        tracks = cut.tracks if self.room.nested else self._flat(cut.tracks, cut)
        tracks = self._as_many(tracks, TrackKind.VIDEO, self.room.picture_tracks)
        tracks = self._as_many(tracks, TrackKind.AUDIO, self.room.sound_tracks)
        nested = cut.nested if self.room.nested else []
        if not self.room.markers:
            self.lost[MARKERS] += len(cut.markers)
        return replace(
            cut,
            name=_printable(cut.name),
            tracks=[self._track(each) for each in tracks],
            nested=[NestedCut([self._track(each) for each in inner.tracks]) for inner in nested],
            markers=[
                replace(each, name=_printable(each.name), note=_printable(each.note))
                for each in (cut.markers if self.room.markers else [])
            ],
        )

    def _as_many(self, tracks: list[CutTrack], kind: TrackKind, room: int | None) -> list[CutTrack]:
        of_kind = [each for each in tracks if each.kind is kind and each.clips]
        over = of_kind[room:] if room is not None else []
        self.lost[TRACKS] += len(over)
        return [each for each in tracks if not any(each is other for other in over)]

    def _flat(self, tracks: list[CutTrack], cut: Cut) -> list[CutTrack]:
        flat: list[CutTrack] = []
        for track in tracks:
            rows = _Rows(track.kind)
            for index, clip in enumerate(track.clips):
                shown = clip.media[clip.active]
                if shown.kind is not ClipMediaKind.NESTED:
                    rows.put(index, [clip])
                    continue
                self.lost[SPEEDS] += clip.speed != 1.0
                self.lost[NESTED] += not clip.enabled
                inner = self._flat(cut.nested[shown.nested].tracks, cut) if clip.enabled else []
                self.lost[DISSOLVES] += rows.put_nested(index, clip, inner)
            self.lost[DISSOLVES] += rows.put_dissolves(track.dissolves)
            flat += rows.tracks(track.name)
        return flat

    def _track(self, track: CutTrack) -> CutTrack:
        before = {each.clip + 1: each.frames_before for each in track.dissolves}
        after = {each.clip: each.frames_after for each in track.dissolves}
        kept: list[CutClip] = []
        places: dict[int, int] = {}
        for index, clip in enumerate(track.clips):
            plain = self._clip(clip, before.get(index, 0), after.get(index, 0))
            if plain is not None:
                places[index] = len(kept)
                kept.append(plain)
        dissolves = [
            replace(each, clip=places[each.clip])
            for each in track.dissolves
            if track.kind is TrackKind.VIDEO
            and each.clip in places
            and each.clip + 1 in places
            and _has_room(each, kept[places[each.clip]], kept[places[each.clip + 1]])
        ]
        self.lost[DISSOLVES] += len(track.dissolves) - len(dissolves)
        return replace(track, name=_printable(track.name), clips=kept, dissolves=dissolves)

    def _clip(self, clip: CutClip, before: int, after: int) -> CutClip | None:
        """The clip; `before` and `after` are how long it dissolves beyond its ends."""
        shown = clip.media[clip.active]
        self.lost[OTHER_TAKES] += len(clip.media) - 1
        self.lost[VOLUMES] += clip.volume != 1.0
        if not clip.enabled and not self.room.muted:
            self.lost[MUTED] += 1
            return None
        speed = clip.speed * self._rate / (shown.rate or self._rate)
        speed = 1.0 if abs(speed - 1) < 1e-6 else round(speed, 9)
        if (speed and speed != 1.0 and not self.room.speeds) or (not speed and not self.room.held):
            self.lost[SPEEDS if speed else HELD] += 1
            clip = replace(clip, media_start=first_used(clip.media_start, clip.length, clip.speed, shown.frames))
            speed = 1.0
        media = self._media(shown)
        scale = self._rate / shown.rate if shown.rate else 1.0
        starts, frames = round(clip.media_start * scale), round(media.frames * scale)
        if _is_held(media):
            starts, speed, frames = before, 1.0, before + clip.length + after
        frames = frames or max(0, starts) + round((clip.length + after) * max(abs(speed), 1.0))
        media = replace(media, name=_printable(media.name), frames=frames, rate=0.0)
        name = _printable(clip.name)
        return replace(clip, name=name, media=[media], active=0, media_start=starts, speed=speed, volume=1.0)

    def _media(self, shown: ClipMedia) -> ClipMedia:
        """What plays: a file, what is nested, a color where there is a place for it, or nothing but a name."""
        if shown.kind in (ClipMediaKind.FILE, ClipMediaKind.NESTED) or _is_still(shown):
            return replace(shown, job_id="", mark="", note="")
        if shown.kind is ClipMediaKind.COLOR and self.room.colors:
            return shown
        counted = {ClipMediaKind.PLACEHOLDER: REQUESTS, ClipMediaKind.COLOR: COLORS, ClipMediaKind.PICTURES: PICTURES}
        if shown.kind in counted:
            self.lost[counted[shown.kind]] += 1
        return ClipMedia(ClipMediaKind.MISSING, shown.name)


class _Rows:
    """The clips of a track with what was nested in them: the lowest on it, the others on tracks above."""

    def __init__(self, kind: TrackKind) -> None:
        self._kind = kind
        self._rows: dict[tuple[TrackKind, int], tuple[list[CutClip], list[CutDissolve]]] = {(kind, 0): ([], [])}
        self._ends: dict[int, tuple[int, int]] = {}
        """Of each clip of the track, where its own begin in the lowest row, and end."""

    def put(self, index: int, clips: list[CutClip]) -> None:
        lowest, _ = self._rows[self._kind, 0]
        self._ends[index] = len(lowest), len(lowest) + len(clips)
        lowest += clips

    def put_nested(self, index: int, clip: CutClip, inner: list[CutTrack]) -> int:
        """Lay out what plays in a clip; returns how many of its dissolves have no place."""
        numbers: Counter[TrackKind] = Counter()
        lost = 0
        self.put(index, [])
        for track in inner:
            row = self._rows.setdefault((track.kind, numbers[track.kind]), ([], []))
            first_row = (track.kind, numbers[track.kind]) == (self._kind, 0)
            numbers[track.kind] += 1
            cut = [_cut_to(each, clip.media_start, clip.media_start + clip.length) for each in track.clips]
            places: dict[int, int] = {}
            for number, each in enumerate(cut):
                if each is not None:
                    places[number] = len(row[0])
                    row[0].append(replace(each, start=each.start + clip.start - clip.media_start))
            for dissolve in track.dissolves:
                fits = dissolve.clip in places and dissolve.clip + 1 in places
                lost += not (fits and _put_dissolve(row, places[dissolve.clip], dissolve))
            if first_row:
                self._ends[index] = self._ends[index][0], len(row[0])
        return lost

    def put_dissolves(self, dissolves: list[CutDissolve]) -> int:
        """Dissolves between clips of the track; returns how many have no place."""
        row = self._rows[self._kind, 0]
        lost = 0
        for dissolve in dissolves:
            first = self._ends[dissolve.clip][1] - 1
            second = self._ends[dissolve.clip + 1][0]
            fits = first >= 0 and second == first + 1 and second < len(row[0])
            lost += not (fits and _put_dissolve(row, first, dissolve))
        row[1].sort(key=lambda each: each.clip)
        return lost

    def tracks(self, name: str) -> list[CutTrack]:
        """The rows as tracks, the lowest first."""
        return [CutTrack(kind, name, *row) for (kind, _), row in self._rows.items()]


def _put_dissolve(row: tuple[list[CutClip], list[CutDissolve]], place: int, dissolve: CutDissolve) -> bool:
    """Whether two clips of a row are long enough for a dissolve, and it is there now."""
    first, second = row[0][place : place + 2]
    fits = (
        first.start + first.length == second.start
        and dissolve.frames_before <= first.length
        and dissolve.frames_after <= second.length
    )
    if fits:
        row[1].append(replace(dissolve, clip=place))
    return fits


def _cut_to(clip: CutClip, start: int, end: int) -> CutClip | None:
    """The part of a clip that lies between two frames."""
    first, last = max(clip.start, start), min(clip.start + clip.length, end)
    if first >= last:
        return None
    moved = round((first - clip.start) * abs(clip.speed))
    return replace(clip, start=first, length=last - first, media_start=clip.media_start + moved)


def _has_room(dissolve: CutDissolve, first: CutClip, second: CutClip) -> bool:
    """Whether both clips have media for as long as they are seen in a dissolve."""
    if dissolve.frames_before >= first.length:
        return False
    ends = first.media_start + round((first.length + dissolve.frames_after) * abs(first.speed))
    return ends <= first.media[0].frames and second.media_start >= round(dissolve.frames_before * abs(second.speed))


def _printable(name: str) -> str:
    return _UNPRINTABLE.sub("", name)


def _is_still(media: ClipMedia) -> bool:
    return media.kind is ClipMediaKind.PICTURES and len(media.files) == 1


def _is_held(media: ClipMedia) -> bool:
    return media.kind in HELD_KINDS or _is_still(media)
