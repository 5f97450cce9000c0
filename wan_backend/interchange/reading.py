"""An OpenTimelineIO timeline as a cut.

The file may come from any program, or from somebody who means harm: every value is checked, counts have limits, and
what there is no place for is told. Media is named here as the file names it; `finding` looks where it is.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, TypeGuard

import opentimelineio as otio

from ..protocol import ProtocolError, bounds, name_runs
from ..protocol.cut import (
    MAX_CLIPS,
    MAX_LOST,
    MAX_MARKERS,
    MAX_MEDIA,
    MAX_NESTED,
    MAX_NESTED_DEPTH,
    MAX_NOTE_CHARACTERS,
    MAX_SPEED,
    MAX_TRACKS,
    MAX_VOLUME,
    ClipMedia,
    ClipMediaKind,
    Cut,
    CutClip,
    CutDissolve,
    CutMarker,
    CutTrack,
    NestedCut,
    TrackKind,
)
from ..protocol.errors import Refusal
from ..protocol.messages import FrameRate, ProblemKind
from ..protocol.plain_names import is_id, is_name
from ..protocol.sentences import Sentence
from ..protocol.takes import MAX_TAKE_FRAMES
from . import media_urls
from .endings import PICTURES
from .writing import METADATA, SOLID_COLOR, TAKE_TO_BE, first_used

NAME_CHARACTERS = 200
MAX_ITEMS = 4 * MAX_CLIPS
"""Clips, gaps and transitions that are looked at; those behind them are counted."""
NTSC = Fraction(1000, 1001)


@dataclass
class Read:
    """A cut as it was read."""

    cut: Cut
    lost: list[Sentence] = field(default_factory=list)
    """Sentences on what couldn't be taken over."""


def _unread(error: str) -> Sentence:
    """Why a text is no timeline. The library names types as its compiler does, which tells a person nothing."""
    line = re.search(r"\(near line (\d+)\)", error)
    if line is not None:
        return Sentence(
            "The file can't be read as OpenTimelineIO: what stands near line {line} is of another kind than it should "
            "be.",
            line=line.group(1),
        )
    return Sentence("The file can't be read as OpenTimelineIO ({error}).", error=" ".join(error.split())[:200])


def read(text: str, base: str) -> Read:
    """The cut in the text of an .otio file that lies in the folder `base`. Raises Refusal."""
    try:
        found = otio.core.deserialize_json_from_string(text)
    except (otio.exceptions.OTIOError, ValueError, TypeError, LookupError) as error:
        raise Refusal.of(ProblemKind.BAD_SOURCE, _unread(str(error))) from None
    return of(found, base)


def of(found: Any, base: str) -> Read:
    """The cut in what was read from a file that lies in the folder `base`. Raises Refusal."""
    timeline = next(_timelines(found), None)
    if timeline is None:
        raise Refusal.of(
            ProblemKind.BAD_SOURCE,
            Sentence("The file holds no timeline: export one from the program that it comes from."),
        )
    return _Reader(timeline, base).read()


def _timelines(found: Any) -> Iterator[Any]:
    if isinstance(found, otio.schema.Timeline):
        yield found
    elif isinstance(found, otio.schema.SerializableCollection):
        yield from (each for each in found if isinstance(each, otio.schema.Timeline))


class _Reader:
    def __init__(self, timeline: Any, base: str) -> None:
        self._timeline, self._base = timeline, base
        self._lost: Counter[Sentence] = Counter()
        self._clips = 0
        self._items = 0
        self._nested: list[NestedCut] = []
        self._depth = 1
        self._markers: list[CutMarker] = []
        self._is_heard = True
        """Whether the track that is read is one that plays."""
        self._frame_rate = self._rate_of_cut()
        self._rate = float(self._frame_rate.exact())

    def read(self) -> Read:
        """The whole cut."""
        made = self._tracks(self._timeline.tracks)
        markers = [self._marker(each) for each in list(self._timeline.tracks.markers)[:MAX_MARKERS]]
        markers += self._markers[: MAX_MARKERS - len(markers)]
        first = _own(self._timeline).get("first_frame")
        is_frame = isinstance(first, int) and not isinstance(first, bool) and abs(first) < bounds.LAST_FRAME // 2
        first = first if is_frame else None
        cut = Cut(_name(self._timeline.name), self._frame_rate, made, markers, first, self._nested)
        counted = [(count, what) for what, count in self._lost.items() if count]
        lost = [Sentence("{what} ({count})", what=what, count=count) for count, what in counted[:MAX_LOST]]
        left_out = Sentence("Left out: {parts}.", parts=Sentence.joined(lost, ", ")) if lost else None
        return Read(cut, [left_out] if left_out is not None else [])

    def _count(self, what: Sentence, number: int = 1) -> None:
        self._lost[what] += number

    def _rate_of_cut(self) -> FrameRate:
        """What the file was written at here; else the rate that most of its items have."""
        own = _own(self._timeline).get("rate")
        if _is_list(own) and len(own) == 2 and all(_is_number(each) for each in own):
            rate = FrameRate(int(own[0]), float(own[1]))
            if bounds.is_sane_rate(rate):
                return rate
        rates: Counter[float] = Counter()
        for track in self._timeline.tracks:
            for item in itertools.islice(track, MAX_ITEMS) if isinstance(track, otio.schema.Track) else ():
                span = getattr(item, "source_range", None)
                if span is not None:
                    rates[span.duration.rate] += 1
        return _frame_rate(max(rates, key=lambda rate: rates[rate], default=24.0))

    def _tracks(self, stack: Any) -> list[CutTrack]:
        """Those of a stack; what lies in it by itself is a track of its own."""
        parts = list(stack) if isinstance(stack, otio.schema.Stack) else [stack]
        self._count(Sentence("tracks"), max(0, len(parts) - MAX_TRACKS))
        return [self._track(part) for part in parts[:MAX_TRACKS]]

    def _track(self, track: Any) -> CutTrack:
        clips: list[CutClip] = []
        dissolves: list[CutDissolve] = []
        at = Fraction(0)
        waiting: Any = None
        self._is_heard = bool(getattr(track, "enabled", True))
        for item in self._first_items(track if isinstance(track, otio.schema.Track) else [track]):
            if isinstance(item, otio.schema.Transition):
                waiting = item
                continue
            length = self._length(item)
            start, end = round(at), round(at + length)
            at += length
            clip = self._item(item, start, end) if end < bounds.LAST_FRAME else None
            if waiting is not None:
                dissolve = self._dissolve(waiting, clips, clip)
                dissolves += [dissolve] if dissolve is not None else []
            waiting = None
            if clip is not None:
                clips.append(clip)
        self._count(Sentence("transitions"), waiting is not None)
        is_audio = getattr(track, "kind", "") == otio.schema.TrackKind.Audio
        return CutTrack(TrackKind.AUDIO if is_audio else TrackKind.VIDEO, _name(track.name), clips, dissolves)

    def _first_items(self, items: Any) -> list[Any]:
        """As many of a track's as there is room for."""
        room = MAX_ITEMS - self._items
        self._count(Sentence("clips"), max(0, len(items) - max(0, room)))
        found = list(itertools.islice(items, max(0, room)))
        self._items += len(found)
        return found

    def _length(self, item: Any) -> Fraction:
        """In frames of the cut."""
        try:
            span = item.trimmed_range()
            frames = self._frames(span.duration)
        except (otio.exceptions.OTIOError, ValueError, AttributeError, NotImplementedError):
            self._count(Sentence("items without a length"))
            return Fraction(0)
        return max(Fraction(0), frames)

    def _frames(self, time: Any) -> Fraction:
        """A time in frames of the cut. Raises ValueError."""
        value, rate = time.value, time.rate
        if not (math.isfinite(value) and math.isfinite(rate) and rate > 0 and abs(value) < 1 << 40):
            raise ValueError("no time")
        if abs(rate - self._rate) < 1e-6 * rate:
            return Fraction(value)
        return Fraction(value) / Fraction(rate) * self._frame_rate.exact()

    def _item(self, item: Any, start: int, end: int) -> CutClip | None:
        if isinstance(item, otio.schema.Gap):
            return None
        if end <= start:
            self._count(Sentence("clips shorter than a frame"))
            return None
        if self._clips >= MAX_CLIPS:
            self._count(Sentence("clips"))
            return None
        self._clips += 1
        self._note_markers(item, start)
        if isinstance(item, otio.schema.Clip):
            return self._clip(item, start, end)
        return self._nested_clip(item, start, end)

    def _note_markers(self, item: Any, start: int) -> None:
        """Markers of clips are the cut's where they are at a place of it."""
        for marker in item.markers if self._depth == 1 else ():
            if len(self._markers) >= MAX_MARKERS:
                return
            found = self._marker(marker)
            at = found.start + start - self._media_start(item, None, ClipMedia(ClipMediaKind.MISSING))
            if abs(at) < bounds.LAST_FRAME:
                self._markers.append(replace(found, start=at))

    def _nested_clip(self, item: Any, start: int, end: int) -> CutClip:
        """Tracks that play as one clip."""
        name = _name(item.name) or "Nested"
        is_known = isinstance(item, otio.schema.Stack | otio.schema.Track)
        if not is_known or self._depth >= MAX_NESTED_DEPTH or len(self._nested) >= MAX_NESTED:
            self._count(Sentence("nested timelines"))
            return self._clip_with(item, start, end, [ClipMedia(ClipMediaKind.MISSING, name)], 0, None)
        self._depth += 1
        is_heard = self._is_heard
        tracks = self._tracks(item)
        self._is_heard = is_heard
        self._depth -= 1
        frames = _own(item).get("frames")
        frames = frames if isinstance(frames, int) and 0 < frames < bounds.LAST_FRAME else 0
        if len(self._nested) >= MAX_NESTED:
            self._count(Sentence("nested timelines"))
            return self._clip_with(item, start, end, [ClipMedia(ClipMediaKind.MISSING, name)], 0, None)
        self._nested.append(NestedCut(tracks))
        media = ClipMedia(ClipMediaKind.NESTED, name, frames=frames, nested=len(self._nested) - 1)
        return self._clip_with(item, start, end, [media], 0, None)

    def _clip(self, item: Any, start: int, end: int) -> CutClip:
        references = dict(item.media_references())
        keys = sorted(references, key=lambda key: _index(references[key]))[:MAX_MEDIA]
        active = item.active_media_reference_key
        if active not in keys:
            keys = [*keys[:-1], active] if active in references and keys else keys
        media = [self._media(references[key], item) for key in keys] or [ClipMedia(ClipMediaKind.MISSING)]
        place = keys.index(active) if active in keys else 0
        return self._clip_with(item, start, end, media, place, references.get(active))

    def _clip_with(
        self, item: Any, start: int, end: int, media: list[ClipMedia], place: int, reference: Any
    ) -> CutClip:
        shown = media[place]
        speed = round(self._speed(item) * (shown.rate or self._rate) / self._rate, 9)
        if speed and not 1 / MAX_SPEED <= abs(speed) <= MAX_SPEED:
            self._count(Sentence("effects"))
            speed = 1.0
        own = _own(item)
        return CutClip(
            _name(item.name),
            start,
            end - start,
            media,
            place,
            first_used(self._media_start(item, reference, shown), end - start, speed, shown.frames),
            speed,
            bool(item.enabled) and self._is_heard,
            _channel(own.get("channel")),
            _channel(own.get("speed_channel")),
            own.get("locked") is True,
            _volume(own.get("volume")),
            _name(own.get("shot")),
        )

    def _media_start(self, item: Any, reference: Any, shown: ClipMedia) -> int:
        span = item.source_range
        if span is None:
            return 0
        begins = span.start_time
        available = getattr(reference, "available_range", None)
        try:
            frames = self._frames(begins) - (self._frames(available.start_time) if available is not None else 0)
        except ValueError:
            return 0
        frames = frames * Fraction(shown.rate) / self._frame_rate.exact() if shown.rate else frames
        return round(frames) if abs(frames) < bounds.LAST_FRAME else 0

    def _speed(self, item: Any) -> float:
        """In frames of the media at its own rate for each at the cut's; 0 where one is held."""
        speed = 1.0
        for effect in item.effects:
            if isinstance(effect, otio.schema.FreezeFrame):
                speed = 0.0
            elif isinstance(effect, otio.schema.LinearTimeWarp) and _is_number(effect.time_scalar):
                speed *= effect.time_scalar
            else:
                self._count(Sentence("effects"))
        return speed

    def _dissolve(self, item: Any, clips: list[CutClip], second: CutClip | None) -> CutDissolve | None:
        is_known = item.transition_type == otio.schema.TransitionTypes.SMPTE_Dissolve
        try:
            before, after = round(self._frames(item.in_offset)), round(self._frames(item.out_offset))
        except ValueError:
            is_known, before, after = False, 0, 0
        if not is_known or not clips or second is None or clips[-1].start + clips[-1].length != second.start:
            self._count(Sentence("transitions"))
            return None
        before, after = max(0, min(before, clips[-1].length)), max(0, min(after, second.length))
        if not before + after:
            return None
        return CutDissolve(len(clips) - 1, before, after, _name(item.name), _channel(_own(item).get("channel")))

    def _media(self, reference: Any, clip: Any) -> ClipMedia:
        own = _own(reference)
        frames, rate = self._available(reference, own)
        name = _name(own.get("name") or getattr(reference, "name", ""))
        if isinstance(reference, otio.schema.GeneratorReference):
            return self._generated(reference, own, name, frames, rate)
        if isinstance(reference, otio.schema.ImageSequenceReference):
            found = self._sequence(reference)
            kind = ClipMediaKind.PICTURES
        elif isinstance(reference, otio.schema.ExternalReference):
            found = self._file(reference, own)
            kind = ClipMediaKind.PICTURES if found[1] and _is_picture(found[1][0]) else ClipMediaKind.FILE
        else:
            return ClipMedia(ClipMediaKind.MISSING, name, frames=frames, rate=rate)
        folder, files = found
        if not files or not all(map(is_name, set(files))):
            return ClipMedia(ClipMediaKind.MISSING, name or _name(clip.name), frames=frames, rate=rate)
        job, mark, note = own.get("job"), own.get("mark"), own.get("note")
        return ClipMedia(
            kind,
            name,
            folder,
            files,
            frames,
            rate,
            job_id=job if isinstance(job, str) and is_id(job) and frames <= MAX_TAKE_FRAMES else "",
            mark=mark if mark in ("star", "reject") else "",
            note=note[:MAX_NOTE_CHARACTERS] if isinstance(note, str) else "",
        )

    def _available(self, reference: Any, own: Mapping[str, Any]) -> tuple[int, float]:
        """How many frames media has, and its own rate: 0 where that is unknown, or the cut's."""
        span = getattr(reference, "available_range", None)
        if span is None or not (math.isfinite(span.duration.value) and 0 < span.duration.rate < 1 << 16):
            return 0, 0.0
        rate, frames = span.duration.rate, span.duration.value
        said = own.get("rate")
        if _is_number(said) and said and abs(said - rate) < 1e-6 * rate:
            rate = float(said)
        elif said == 0 or abs(rate - self._rate) < 1e-6 * rate:
            rate = 0.0
        known = own.get("frames") != 0
        return (round(frames) if known and 0 <= frames < bounds.LAST_FRAME else 0), rate

    def _generated(self, reference: Any, own: Mapping[str, Any], name: str, frames: int, rate: float) -> ClipMedia:
        if reference.generator_kind == TAKE_TO_BE:
            request = own.get("request")
            text = _json(request) if isinstance(request, Mapping) else ""
            return ClipMedia(ClipMediaKind.PLACEHOLDER, name, frames=frames, rate=rate, request=text)
        color = reference.parameters.get("color") if reference.generator_kind == SOLID_COLOR else None
        if _is_list(color) and len(color) == 3 and all(_is_number(each) and 0 <= each <= 1 for each in color):
            levels = [float(each) for each in color]
            return ClipMedia(ClipMediaKind.COLOR, name, frames=frames, rate=rate, color=levels)
        self._count(Sentence("generators"))
        return ClipMedia(ClipMediaKind.MISSING, name or _name(reference.generator_kind), frames=frames, rate=rate)

    def _sequence(self, reference: Any) -> tuple[str, list[str]]:
        step, count = reference.frame_step, reference.number_of_images_in_sequence() if reference.rate > 0 else 0
        first, digits = reference.start_frame, reference.frame_zero_padding
        if not (0 < count <= name_runs.MAX_NAMES and 0 < step < 1 << 31 and 0 <= digits <= name_runs.MAX_DIGITS):
            return "", []
        if first < 0:
            return "", []
        base = media_urls.path_in(reference.target_url_base or "", self._base) or self._base
        prefix, suffix = (media_urls.path_part(each) for each in (reference.name_prefix, reference.name_suffix))
        numbers = (
            f"{first + index * step:0{digits}d}" if digits else str(first + index * step) for index in range(count)
        )
        return base.rstrip("/\\") or base, [f"{prefix}{number}{suffix}" for number in numbers]

    def _file(self, reference: Any, own: Mapping[str, Any]) -> tuple[str, list[str]]:
        path = media_urls.path_in(reference.target_url or "", self._base)
        folder, name = media_urls.split(path)
        if not name:
            return "", []
        packed = own.get("files")
        if _is_list(packed):
            try:
                names = name_runs.unpack(json.loads(_json(packed)), "files")
            except (ProtocolError, ValueError):
                names = []
            if names and names[0] == name:
                return folder, names
        return folder, [name]

    def _marker(self, marker: Any) -> CutMarker:
        try:
            start = round(self._frames(marker.marked_range.start_time))
            length = max(0, round(self._frames(marker.marked_range.duration)))
        except ValueError:
            start = length = 0
        if abs(start) >= bounds.LAST_FRAME or length >= bounds.LAST_FRAME:
            start = length = 0
        generated = _own(marker).get("generated") is True
        return CutMarker(_name(marker.name), start, length, generated, _name(getattr(marker, "comment", "")))


def _own(owner: Any) -> Mapping[str, Any]:
    found = owner.metadata.get(METADATA)
    return found if isinstance(found, Mapping) else {}


def _channel(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= bounds.MAX_NAME else 0


def _volume(value: Any) -> float:
    return float(value) if _is_number(value) and 0 <= value <= MAX_VOLUME else 1.0


def _index(reference: Any) -> int:
    index = _own(reference).get("index")
    return index if isinstance(index, int) else MAX_MEDIA


def _json(value: Any) -> str:
    """Values of the file as JSON; empty where they are too much."""
    try:
        text = json.dumps(_plain(value, 0), allow_nan=False)
    except (ValueError, TypeError):
        return ""
    return text if len(text) <= bounds.MAX_JSON_CHARACTERS // 4 else ""


def _plain(value: Any, depth: int) -> Any:
    if depth > 20:
        raise ValueError("it is nested too deeply")
    if isinstance(value, Mapping):
        return {str(key): _plain(each, depth + 1) for key, each in value.items()}
    if _is_list(value):
        return [_plain(each, depth + 1) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError("no plain value")


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURES)


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _name(text: object) -> str:
    """A name in one line, as Blender takes it."""
    if not isinstance(text, str):
        return ""
    return (
        " ".join(text[: 4 * NAME_CHARACTERS].split())[:NAME_CHARACTERS]
        .replace("\0", "")
        .encode(errors="ignore")
        .decode()
    )


def _frame_rate(rate: float) -> FrameRate:
    """A rate as Blender has it: whole, NTSC's, or whatever else by its base."""
    if not (math.isfinite(rate) and 1 <= rate < 1000):
        return FrameRate(24)
    whole = round(rate)
    if abs(rate - whole) < 1e-6:
        return FrameRate(whole)
    if abs(rate - float((whole or 1) * NTSC)) < 1e-3:
        return FrameRate(whole, 1.001)
    return FrameRate(math.ceil(rate), round(math.ceil(rate) / rate, 6))
