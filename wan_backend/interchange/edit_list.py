"""CMX 3600's EDL: one track of pictures with its cuts, dissolves and speeds, and up to four of sounds.

It is written here, since OpenTimelineIO's adapter gives a clip that has a speed the wrong part of its media, and reels
names with spaces, which its own reader takes for further columns. That adapter reads the lists, after what it gets
wrong has been set right: the media of the second clip of a dissolve, and where the first clip begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import opentimelineio as otio

from ..protocol.cut import ClipMedia, ClipMediaKind, Cut, CutClip, CutDissolve, CutTrack, TrackKind
from ..protocol.errors import Refusal
from ..protocol.messages import ProblemKind
from ..protocol.sentences import Sentence
from . import media_urls
from .plain_cut import Room
from .writing import first_used

ADAPTER = "cmx_3600"
ROOM = Room(picture_tracks=1, sound_tracks=4)
CHANNELS = {TrackKind.VIDEO: ("V",), TrackKind.AUDIO: ("A", "A2", "A3", "A4")}
REEL_CHARACTERS = 8
MAX_LINES = 200_000
MAX_LINE = 1 << 16
"""Characters."""
_SPEED = re.compile(r"(M2\s+\S.{0,200}?)\s+(-?\d{1,6}(?:\.\d{0,9})?)\s+(\d\d[:;]\d\d[:;]\d\d[:;]\d\d)")
_DROPS = re.compile(r"\d\d:\d\d:\d\d;\d\d")
SPEED_REMARK = "WAN_VSE SPEED"
"""The adapter keeps it as a remark, and drops the speed itself of a clip as long as its media, such as a reverse."""
MISREAD = Sentence("The times of the list contradict each other: clips were laid after one another where they do.")


def text_of(cut: Cut) -> str:
    """The list of a cut that has no more than there is a place for."""
    writer = _Writer(float(cut.frame_rate.exact()))
    lines = [f"TITLE: {_line(cut.name) or 'Timeline'}", f"FCM: {'' if writer.drops else 'NON-'}DROP FRAME", ""]
    numbers = {TrackKind.VIDEO: 0, TrackKind.AUDIO: 0}
    for track in cut.tracks:
        if track.clips:
            lines += writer.lines_of(track, CHANNELS[track.kind][numbers[track.kind]])
            numbers[track.kind] += 1
    return "\n".join(lines) + "\n"


@dataclass
class _Writer:
    rate: float
    _number: int = 0
    _reels: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def drops(self) -> bool:
        """Whether its timecode leaves out numbers, so that it keeps up with the clock."""
        return ";" in self._code(0)

    def lines_of(self, track: CutTrack, channel: str) -> Iterator[str]:
        """The events of a track."""
        dissolves = {each.clip: each for each in track.dissolves}
        for index, clip in enumerate(track.clips):
            into, out = dissolves.get(index - 1), dissolves.get(index)
            self._number += 1
            before = into.frames_before if into is not None else 0
            length = clip.length + before - (out.frames_before if out is not None else 0)
            if into is None:
                yield self._event(channel, "C", clip, 0, length)
                yield from self._remarks(clip)
            else:
                yield from self._dissolved(channel, track.clips[index - 1], clip, into, length)
            yield ""

    def _dissolved(
        self, channel: str, first: CutClip, clip: CutClip, dissolve: CutDissolve, length: int
    ) -> Iterator[str]:
        """The event of a clip into which the one before dissolves."""
        ends = first.length - dissolve.frames_before
        frames = dissolve.frames_before + dissolve.frames_after
        yield self._event(channel, "C", first, ends, 0)
        yield self._event(channel, f"D    {frames:03d}", clip, -dissolve.frames_before, length)
        yield f"* FROM CLIP NAME:  {_line(first.name)}"
        if first.media[0].files:
            yield f"* SOURCE FILE: {first.media[0].files[0]}"
        yield from self._remarks(clip, "TO")

    def _event(self, channel: str, kind: str, clip: CutClip, begin: int, length: int) -> str:
        """A line: a part of a clip that begins so many frames after the clip, and plays for so long."""
        speed = abs(clip.speed)
        frames = (round(length * speed) or 1) if length else 0
        start = first_used(clip.media_start, clip.length, clip.speed, clip.media[0].frames)
        start += round(begin * speed) if clip.speed >= 0 else round((clip.length - begin) * speed) - frames
        record = clip.start + begin
        codes = map(self._code, (max(0, start), max(0, start) + frames, record, record + length))
        return f"{self._number:03d}  {self._reel(clip.media[0]):8} {channel:5} {kind:8} {' '.join(codes)}"

    def _remarks(self, clip: CutClip, side: str = "FROM") -> Iterator[str]:
        """What an event says of its clip beside the times."""
        media = clip.media[0]
        if clip.speed != 1.0:
            start = first_used(clip.media_start, clip.length, clip.speed, media.frames)
            code = self._code(start).replace(";", ":")  # no reader of speeds takes the sign of dropped numbers
            yield f"M2   {self._reel(media):8}       {clip.speed * self.rate:07.3f}                {code}"
        yield f"* {side} CLIP NAME:  {_line(clip.name)}{'' if clip.speed else ' FF'}"
        if not clip.speed:
            yield "* * FREEZE FRAME"
        if media.files:
            yield f"* SOURCE FILE: {media.files[0]}"
            yield f"* {side} CLIP: {media_urls.url_of(media.folder.rstrip('/') + '/' + media.files[0])}"

    def _reel(self, media: ClipMedia) -> str:
        """A name of eight plain characters at most, another for each file."""
        if media.kind not in (ClipMediaKind.FILE, ClipMediaKind.PICTURES):
            return "AX"
        key = media.folder, media.files[0]
        if key not in self._reels:
            stem = re.sub(r"[^A-Z0-9]", "", media.files[0].rpartition(".")[0].upper())[:REEL_CHARACTERS] or "REEL"
            taken, number = {"AX", "BL", "BLACK", "BARS", *self._reels.values()}, 1
            reel = stem
            while reel in taken:
                number += 1
                reel = f"{stem[: REEL_CHARACTERS - len(str(number))]}{number}"
            self._reels[key] = reel
        return self._reels[key]

    def _code(self, frame: int) -> str:
        return str(otio.opentime.to_timecode(otio.opentime.RationalTime(frame, self.rate), self.rate))


def read(text: str, rate: float, lost: list[Sentence]) -> Any:
    """The timeline of a list at that many frames a second. Raises Refusal, and what the adapter raises."""
    lines = text.splitlines()
    if len(lines) > MAX_LINES or any(len(each) > MAX_LINE for each in lines):
        raise _refused(Sentence("has more in it than any cut"))
    if not otio.opentime.RationalTime.is_smpte_timecode_rate(rate):
        raise _refused(
            Sentence("has times at the scene's frame rate, for which there is no timecode: set 24, 25, 30 or another")
        )
    plain = "\n".join(_set_right(lines))
    if not any(line[0].isdigit() for line in plain.splitlines()):
        raise _refused(Sentence("has no clips: export one from the program that it comes from"))
    hour = otio.opentime.from_timecode("01:00:00;00" if _DROPS.search(text) else "01:00:00:00", rate).value
    try:
        found = otio.adapters.read_from_string(plain, ADAPTER, rate=rate)
    except otio.exceptions.OTIOError:
        found = otio.adapters.read_from_string(plain, ADAPTER, rate=rate, ignore_timecode_mismatch=True)
        lost.append(MISREAD)
    for clip in found.find_clips():
        _set_speed(clip, rate)
    _set_beginnings(found, rate, hour)
    return found


def _set_right(lines: list[str]) -> Iterator[str]:
    """The lines as the adapter understands them: each event with the remarks of the clip that it brings."""
    event: list[str] = []
    for each in lines:
        line = each.strip()
        if not line:
            continue
        if line.startswith("M2"):
            speed = _SPEED.fullmatch(line)
            line = f"{speed[1]} {speed[2]} {speed[3].replace(';', ':')}" if speed is not None else "* " + line
            event += [f"* {SPEED_REMARK} {speed[2]}"] if event and speed is not None else []
        if not line[0].isdigit():
            if event:
                event.append(line)
            elif line.startswith("TITLE:"):
                yield line
            continue
        if event and _number_of(line) != _number_of(event[0]):
            yield from _event_set_right(event)
            event = []
        event.append(line)
    yield from _event_set_right(event)


def _event_set_right(event: list[str]) -> Iterator[str]:
    """Of a dissolve, the media and the speed are those of the clip that comes."""
    if sum(each[0].isdigit() for each in event) < 2:
        yield from event
        return
    for line in event:
        if re.match(r"\*\s*FROM (CLIP|FILE):", line):
            continue
        yield re.sub(r"^\*\s*TO (CLIP|FILE):", r"* FROM \1:", line)


def _number_of(line: str) -> str:
    found = re.match(r"\d+", line)
    return found[0].lstrip("0") if found is not None else ""


def _set_speed(clip: Any, rate: float) -> None:
    """Give a clip the speed that its list says, as it was before it was told in thousandths of a frame a second."""
    own = clip.metadata.get(ADAPTER, {})
    said = [each.split()[-1] for each in own.get("comments", []) if each.startswith(SPEED_REMARK)]
    speed = float(said[-1]) / rate if said else 1.0
    speed = round(speed, 3) if abs(speed - round(speed, 3)) < 1e-5 else speed
    held = any(isinstance(each, otio.schema.FreezeFrame) for each in clip.effects)
    if not held:
        clip.effects.clear()
        if speed not in (0.0, 1.0):
            clip.effects.append(otio.schema.LinearTimeWarp(name="speed", time_scalar=speed))


def _set_beginnings(timeline: Any, rate: float, hour: float) -> None:
    """Put a gap before the first clip of each track; lists begin at a full hour."""
    starts = [-track.source_range.start_time.value if track.source_range else 0.0 for track in timeline.tracks]
    zero = min(starts, default=0.0) // hour * hour
    for track, start in zip(timeline.tracks, starts, strict=True):
        track.source_range = None
        if start > zero:
            span = otio.opentime.TimeRange(duration=otio.opentime.RationalTime(start - zero, rate))
            track.insert(0, otio.schema.Gap(source_range=span))


def _line(text: str) -> str:
    """A name in one line."""
    return " ".join(text.split())


def _refused(what: Sentence) -> Refusal:
    return Refusal.of(ProblemKind.BAD_SOURCE, Sentence("The list {what}.", what=what))
