"""The generated stretches of a cut as files: markers for other editing programs (EDL, OTIO), and a list for people.

Times are counted from the first frame that is rendered, as in the film that comes out. The EDL has a marker for each
stretch, in the form in which DaVinci Resolve writes and reads markers (an event of one frame, its length behind |D:),
which other programs take as plain events with comments. An OTIO file has them on an empty track.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

from ..translation import translated

GENERATED, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
"""IPTC's terms (cv.iptc.org/newscodes/digitalsourcetype)."""
MAX_EVENTS = 9999
"""An EDL's numbers have as many digits as it takes, but programs read no longer ones."""


class Stretch(Protocol):
    """What is read of a generated range (timeline.generated_ranges)."""

    @property
    def start(self) -> int: ...
    @property
    def end_exclusive(self) -> int: ...
    @property
    def strip(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def composite(self) -> bool: ...
    @property
    def draft(self) -> bool: ...


def timecode(frames: int, rate: Fraction) -> str:
    """hh:mm:ss:ff at the rate's whole number of frames a second, without dropped numbers."""
    whole = max(1, round(rate))
    seconds, frame = divmod(max(0, frames), whole)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{frame:02}"


def edl(title: str, ranges: Sequence[Stretch], first: int, rate: Fraction) -> str:
    """CMX 3600, each stretch a marker. `first` is the scene's first rendered frame."""
    lines = ["TITLE: " + _line(title), "FCM: NON-DROP FRAME", ""]
    for number, each in enumerate(ranges[:MAX_EVENTS], start=1):
        begin = timecode(each.start - first, rate)
        end = timecode(each.start - first + 1, rate)
        lines += [
            f"{number:03}" + "  AX       V     C        " + f"{begin} {end} {begin} {end}",
            " |C:ResolveColorPurple |M:"
            + _line(_words(each)).replace("|", "/")
            + f" |D:{each.end_exclusive - each.start}",
            "* FROM CLIP NAME: " + _line(each.strip),
            "",
        ]
    return "\n".join(lines)


def otio(title: str, ranges: Sequence[Stretch], first: int, rate: Fraction) -> str:
    """An OpenTimelineIO timeline as long as the stretches reach, with a marker for each."""
    end = max((each.end_exclusive - first for each in ranges), default=0)
    gap = {"OTIO_SCHEMA": "Gap.1", "name": "", "source_range": _time_range(0, end, rate), "effects": [], "markers": []}
    markers = [
        {
            "OTIO_SCHEMA": "Marker.2",
            "name": _line(each.strip),
            "color": "PURPLE",
            "comment": _words(each),
            "marked_range": _time_range(each.start - first, each.end_exclusive - each.start, rate),
            "metadata": {"wan_vse": {"generated": True}},
        }
        for each in ranges
    ]
    track = {"OTIO_SCHEMA": "Track.1", "name": "Generated", "kind": "Video", "children": [gap] if end else []}
    tracks = {"OTIO_SCHEMA": "Stack.1", "name": "tracks", "children": [track], "markers": markers}
    timeline = {"OTIO_SCHEMA": "Timeline.1", "name": _line(title), "tracks": tracks}
    return json.dumps(timeline, indent=2)


def _time_range(start: int, length: int, rate: Fraction) -> dict[str, Any]:
    times = [{"OTIO_SCHEMA": "RationalTime.1", "rate": float(rate), "value": float(value)} for value in (start, length)]
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": times[0], "duration": times[1]}


def readable(title: str, ranges: Sequence[Stretch], first: int, rate: Fraction) -> str:
    """A line for each stretch, and how much of the film that is in all."""
    times = translated("Times are counted from the first rendered frame, at {} frames a second.")
    together = sum(end - start for start, end in _merged(ranges))
    lines = [
        translated("Generated footage in {}").format(_line(title)),
        times.format(f"{float(rate):.6g}"),
        "",
    ]
    for each in ranges:
        begin, end = timecode(each.start - first, rate), timecode(each.end_exclusive - first, rate)
        lines.append(f"{begin} - {end}  {_line(each.strip)}  ({_words(each)})")
    total = translated("In all {}, overlaps counted once.").format(timecode(together, rate))
    lines += ["", total if ranges else translated("There is none.")]
    return "\n".join(lines) + "\n"


def _words(each: Stretch) -> str:
    kind = COMPOSITE if each.composite else GENERATED
    return ", ".join(filter(None, (kind, _line(each.model), translated("draft") if each.draft else "")))


def _line(text: str) -> str:
    return " ".join(text.split()) or "-"


def _merged(ranges: Sequence[Stretch]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted((each.start, each.end_exclusive) for each in ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged
