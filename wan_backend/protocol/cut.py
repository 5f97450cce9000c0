"""The messages that describe a cut, as it leaves a timeline for other programs or comes back from them.

A cut is as long as its film, so it travels as a file, as `cut_file` has it, whose path is in the message. Positions and
lengths are whole frames at the cut's rate, counted from where its tracks begin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from . import bounds, name_runs
from .conversion import CODEC, Codec
from .plain_names import is_folder, is_id, is_name
from .sentences import Sentence
from .takes import MAX_TAKE_FRAMES, FrameRate

MAX_CUT_BYTES = 64 << 20
MAX_TRACKS = 256
MAX_NESTED = 2000
MAX_NESTED_DEPTH = 16
MAX_CLIPS = 20_000
MAX_MEDIA = 1000
"""Of one clip."""
MAX_MARKERS = 20_000
MAX_SPEED = 1000.0
MAX_VOLUME = 100.0
MAX_NOTE_CHARACTERS = 1000
MAX_LOST = 100
"""Sentences about what could not be kept."""


class TrackKind(StrEnum):
    """What a track holds."""

    VIDEO = "video"
    AUDIO = "audio"


class ClipMediaKind(StrEnum):
    """What plays in a clip."""

    FILE = "file"
    """A movie or a sound."""
    PICTURES = "pictures"
    """Pictures in files of their own, one a frame; a single one is held."""
    COLOR = "color"
    PLACEHOLDER = "placeholder"
    """A take that isn't made yet."""
    MISSING = "missing"
    """Files that aren't to be found; those that were named are told."""
    NESTED = "nested"
    """Tracks of their own."""


@dataclass(frozen=True)
class ClipMedia:
    """One thing that can play in a clip: a file, a sequence of pictures, or something that needs no file."""

    kind: ClipMediaKind
    name: str = ""
    folder: str = ""
    """An absolute path."""
    files: list[str] = field(
        default_factory=list, metadata={CODEC: Codec(name_runs.pack, name_runs.unpack, "names and runs of names")}
    )
    """Names in `folder`: of the one movie or sound, or of all pictures in order."""
    frames: int = 0
    """How many frames it has; 0 if that isn't known."""
    rate: float = 0.0
    """Its own frames a second; 0 for those of the cut."""
    color: list[float] = field(default_factory=list)
    """Red, green and blue, from 0 to 1, of a COLOR."""
    job_id: str = ""
    """Of a take, that of its job."""
    mark: str = ""
    """Of a take: `star`, `reject` or nothing."""
    note: str = ""
    """Of a take, what a person wrote about it."""
    request: str = ""
    """Of a PLACEHOLDER, the TakeRequest as JSON."""
    nested: int = 0
    """Of NESTED, which of the cut's nested ones; those inside of nested ones stand before them."""


@dataclass(frozen=True)
class CutClip:
    """A clip of a track."""

    name: str
    start: int
    length: int
    media: list[ClipMedia] = field(default_factory=list)
    active: int = 0
    """Which of `media` plays."""
    media_start: int = 0
    """The frame of the media that plays first, from 0; of media that plays backwards, counted from its end."""
    speed: float = 1.0
    """Frames of the media for each of the cut; negative: backwards; 0: the first is held."""
    enabled: bool = True
    channel: int = 0
    """The channel that it lay on; 0 if that isn't known."""
    speed_channel: int = 0
    """The channel of the effect that gives it its speed; 0 if there is none, or that isn't known."""
    locked: bool = False
    volume: float = 1.0
    """Of sound."""
    shot: str = ""
    """The shot that it belongs to, as the studio's tracker calls it."""


@dataclass(frozen=True)
class CutDissolve:
    """A cross dissolve between a clip of a track and the one that follows it at once."""

    clip: int
    """The index of the first of the two in the track."""
    frames_before: int
    """How long it goes on before the cut between both: so long does the second begin earlier."""
    frames_after: int
    name: str = ""
    channel: int = 0


@dataclass(frozen=True)
class CutTrack:
    """A track; its clips stand in order and don't overlap."""

    kind: TrackKind = TrackKind.VIDEO
    name: str = ""
    clips: list[CutClip] = field(default_factory=list)
    dissolves: list[CutDissolve] = field(default_factory=list)


@dataclass(frozen=True)
class NestedCut:
    """Tracks that play as one clip; their positions are counted from where the clip's media begins."""

    tracks: list[CutTrack] = field(default_factory=list)
    """The lowest first."""


@dataclass(frozen=True)
class CutMarker:
    """A marker, or a stretch in which generated footage plays."""

    name: str
    start: int
    length: int = 0
    generated: bool = False
    note: str = ""


@dataclass(frozen=True)
class Cut:
    """A cut."""

    name: str
    frame_rate: FrameRate
    tracks: list[CutTrack] = field(default_factory=list)
    """The lowest first."""
    markers: list[CutMarker] = field(default_factory=list)
    first_frame: int | None = None
    """The frame of the scene on which the tracks begin; None if that isn't known."""
    nested: list[NestedCut] = field(default_factory=list)
    """What plays in clips whose media is NESTED."""

    def all_tracks(self) -> Iterator[CutTrack]:
        """Its tracks, and those of what is nested."""
        for nested in self.nested:
            yield from nested.tracks
        yield from self.tracks


@dataclass(frozen=True)
class ExportTimelineParams:
    """A cut that is to be written. A file of that name is replaced once the new one is whole."""

    cut_file: str
    """A file with the Cut."""
    file: str
    """What is written: its name ends in .otio, in .otioz, which carries the media as well, or in .xml, .aaf or .edl."""
    as_movies: bool = False
    """Whether pictures that count up are told as movies, which are made of them beside the file."""


@dataclass(frozen=True)
class ExportTimelineResult:
    """What was written."""

    clips: int
    takes: int
    """How many takes the clips have together."""
    lost: list[Sentence] = field(default_factory=list)
    """Sentences on what isn't in the file."""


@dataclass(frozen=True)
class ImportTimelineParams:
    """A file that is to be read. Nothing that it names is opened, run or fetched; files are looked for, by name."""

    file: str
    cut_file: str
    """Where the Cut is written."""
    media_folders: list[str]
    """Where takes of the film may lie; the media of an .otioz goes into a new folder in the first."""
    search_folder: str = ""
    """Where media is looked for by its name and length, with all folders in it, if it isn't at its path or beside the
    file."""
    frame_rate: FrameRate = field(default_factory=lambda: FrameRate(24))
    """That of the scene: an .edl names none, and is read at this one."""


@dataclass(frozen=True)
class ImportTimelineResult:
    """What was read; the Cut is in its file."""

    clips: int
    missing: int
    """How many clips have media that wasn't found."""
    lost: list[Sentence] = field(default_factory=list)
    """Sentences on what couldn't be taken over."""


def is_sane_cut(cut: Cut) -> bool:
    """Whether every value of it is within what can be meant, and its clips are in order."""
    return has_sane_form(cut) and all(is_sane_clip(clip) for track in cut.all_tracks() for clip in track.clips)


def has_sane_form(cut: Cut) -> bool:
    """As `is_sane_cut`, of clips that are."""
    tracks = list(cut.all_tracks())
    return (
        _is_name(cut.name)
        and bounds.is_sane_rate(cut.frame_rate)
        and (cut.first_frame is None or abs(cut.first_frame) < bounds.LAST_FRAME)
        and len(cut.tracks) <= MAX_TRACKS
        and len(cut.nested) <= MAX_NESTED
        and all(len(each.tracks) <= MAX_TRACKS for each in cut.nested)
        and sum(len(track.clips) for track in tracks) <= MAX_CLIPS
        and len(cut.markers) <= MAX_MARKERS
        and all(map(_is_sane_track, tracks))
        and all(_is_name(each.name) and _is_name(each.note) and _is_span(each) for each in cut.markers)
        and _is_nested_well(cut)
    )


def _is_sane_track(track: CutTrack) -> bool:
    at = 0
    for clip in track.clips:
        if clip.start < at:
            return False
        at = clip.start + clip.length
    pairs = [each.clip for each in track.dissolves]
    return (
        _is_name(track.name) and pairs == sorted(set(pairs)) and all(_is_sane(each, track) for each in track.dissolves)
    )


def _is_nested_well(cut: Cut) -> bool:
    """Whether nothing is nested in itself, too deep, or twice: each would play its part over and over."""
    depths: list[int] = []
    used: list[int] = []
    for place, tracks in enumerate([*(each.tracks for each in cut.nested), cut.tracks]):
        inner = [
            media.nested
            for track in tracks
            for clip in track.clips
            for media in clip.media
            if media.kind is ClipMediaKind.NESTED
        ]
        if not all(0 <= each < place for each in inner):
            return False
        used += inner
        depths.append(1 + max((depths[each] for each in inner), default=0))
    return len(set(used)) == len(used) and max(depths) <= MAX_NESTED_DEPTH


def _is_sane(dissolve: CutDissolve, track: CutTrack) -> bool:
    if not 0 <= dissolve.clip < len(track.clips) - 1:
        return False
    first, second = track.clips[dissolve.clip : dissolve.clip + 2]
    return (
        _is_name(dissolve.name)
        and 0 <= dissolve.channel <= bounds.MAX_NAME
        and first.start + first.length == second.start
        and 0 <= dissolve.frames_before <= first.length
        and 0 <= dissolve.frames_after <= second.length
        and dissolve.frames_before + dissolve.frames_after > 0
    )


def is_sane_clip(clip: CutClip) -> bool:
    """Whether every value of it is within what can be meant."""
    return (
        _is_name(clip.name)
        and _is_span(clip)
        and clip.length > 0
        and abs(clip.media_start) < bounds.MAX_MOVIE_FRAMES
        and abs(clip.speed) <= MAX_SPEED
        and 0 <= clip.channel <= bounds.MAX_NAME
        and 0 <= clip.speed_channel <= bounds.MAX_NAME
        and 0 <= clip.volume <= MAX_VOLUME
        and _is_name(clip.shot)
        and 0 < len(clip.media) <= MAX_MEDIA
        and 0 <= clip.active < len(clip.media)
        and all(map(is_sane_media, clip.media))
    )


def is_sane_media(media: ClipMedia) -> bool:
    """Whether every value of it is within what can be meant."""
    needs_files = media.kind in (ClipMediaKind.FILE, ClipMediaKind.PICTURES)
    return (
        _is_name(media.name)
        and len(media.files) <= name_runs.MAX_NAMES
        and all(map(is_name, set(media.files)))
        and (not needs_files or (is_folder(media.folder) and bool(media.files)))
        and (media.kind is not ClipMediaKind.FILE or len(media.files) == 1)
        and 0 <= media.frames <= bounds.MAX_MOVIE_FRAMES
        and math.isfinite(media.rate)
        and 0 <= media.rate <= bounds.MAX_PIXELS_A_SIDE
        and len(media.color) in (0, 3)
        and all(0 <= level <= 1 for level in media.color)
        and (not media.job_id or (is_id(media.job_id) and media.frames <= MAX_TAKE_FRAMES))
        and media.mark in ("", "star", "reject")
        and len(media.note) <= MAX_NOTE_CHARACTERS
        and len(media.request) <= bounds.MAX_JSON_CHARACTERS
    )


def _is_span(each: CutClip | CutMarker) -> bool:
    return abs(each.start) < bounds.LAST_FRAME and 0 <= each.length < bounds.LAST_FRAME


def _is_name(text: str) -> bool:
    return len(text) <= bounds.MAX_NAME
