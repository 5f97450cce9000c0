"""The heads of Matroska and WebM movies. Standard library only."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import movie_codecs
from .movie_facts import Bytes, Head, Odd, checked_size

EBML, SEGMENT, INFO, TRACKS, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
DOC_TYPE = 0x4282
TIMESTAMP_SCALE, DURATION, TIMESTAMP = 0x2AD7B1, 0x4489, 0xE7
DEFAULT_SCALE = 1_000_000
MOST_SECONDS = 1e7
TRACK, TRACK_NUMBER, TRACK_TYPE, CODEC, CODEC_PRIVATE, VIDEO = 0xAE, 0xD7, 0x83, 0x86, 0x63A2, 0xE0
WIDTH, HEIGHT = 0xB0, 0xBA
COLOUR, MATRIX = 0x55B0, 0x55B1
GROUP, BLOCKS = 0xA0, (0xA1, 0xA3)
LOOKED_AT_BLOCKS = 40
SEVERAL_IN_A_BLOCK = 0x06
PICTURES = 1
OTHER_TRACKS = frozenset({2, 17})
"""Sound and subtitles."""
IN_A_TRACK = frozenset(
    {TRACK_NUMBER, 0x73C5, TRACK_TYPE, 0xB9, 0x88, 0x55AA, 0x9C, 0x6DE7, 0x6DF8, 0x23E383, 0x234E7A, 0x536E, 0x22B59C,
     0x22B59D, CODEC, CODEC_PRIVATE, 0x258688, 0xAA, VIDEO, 0xEC, 0xBF, 0x55AB, 0x55AC, 0x55AD, 0x55AE, 0x55AF, 0x55EE}
)  # fmt: skip
"""What a picture's track may say without a change of its pictures: numbers, names, languages, flags, durations."""
IN_A_VIDEO = frozenset({WIDTH, HEIGHT, 0x9A, 0x9D, 0x54B0, 0x54BA, 0x54B2, 0x55B0, 0xEC, 0xBF, 0x53B8, 0x53C0})
"""Of its picture: sizes, how it is interlaced, its colours; the last two (stereo, transparency) as nought."""
MUST_BE_NOUGHT = frozenset({0x53B8, 0x53C0, 0x55EE})


@dataclass(frozen=True)
class _Element:
    number: int
    begin: int
    """Where what is in it begins."""
    end: int


@dataclass(frozen=True)
class _Start:
    """How the first cluster begins."""

    ticks: int
    firsts: dict[int, _Element] = field(default_factory=dict)
    """The first picture or sound of each track, by the track's number."""


def read(file: Bytes) -> Head:
    """Raises Odd, StopIteration, struct.error, ValueError or OSError where that can't be known."""
    segment = _segment(file)
    scale, duration, start, tracks = DEFAULT_SCALE, 0.0, None, None
    for element in _elements(file, segment.begin, segment.end):
        if element.number == INFO:
            scale, duration = _scale_and_duration(file, element)
        elif element.number == TRACKS and tracks is None:
            tracks = element
        elif element.number == CLUSTER:
            start = _start(file, element)
            break
    if tracks is None or start is None:
        raise Odd
    seconds = (duration - start.ticks) * scale / 1e9
    if not 0 < seconds < MOST_SECONDS:
        raise Odd
    shown = [
        _track(file, track, seconds, start)
        for track in _elements(file, tracks.begin, tracks.end)
        if track.number == TRACK
    ]
    pictures = [track for track in shown if track is not None]
    if len(pictures) != 1:
        raise Odd
    return pictures[0]


def _segment(file: Bytes) -> _Element:
    """What holds all but the file's first words."""
    start = next(_elements(file, 0, file.size))
    if start.number != EBML:
        raise Odd
    kinds = [_text(file, element) for element in _elements(file, start.begin, start.end) if element.number == DOC_TYPE]
    segment = next(_elements(file, start.end, file.size))
    if kinds not in (["matroska"], ["webm"]) or segment.number != SEGMENT:
        raise Odd
    return segment


def _start(file: Bytes, cluster: _Element) -> _Start:
    """How the first cluster begins. Raises Odd where it has pictures or sound before nought."""
    parts = _elements(file, cluster.begin, cluster.end)
    start = _Start(next(_whole(file, part) for part in parts if part.number == TIMESTAMP))
    for part in itertools.islice(parts, LOOKED_AT_BLOCKS):
        block = next(_elements(file, part.begin, part.end)) if part.number == GROUP else part
        if block.number in BLOCKS:
            track, at = _number(file, block.begin, block.end, keep_mark=False)
            after, flags = struct.unpack(">hB", file.at(at, 3))
            if start.ticks + after < 0 or track is None:
                raise Odd
            if not flags & SEVERAL_IN_A_BLOCK:
                start.firsts.setdefault(track, _Element(block.number, at + 3, block.end))
    return start


def _elements(file: Bytes, begin: int, end: int) -> Iterator[_Element]:
    at = begin
    while at < end:
        number, at = _number(file, at, end, keep_mark=True)
        length, at = _number(file, at, end, keep_mark=False)
        if length is None:  # unknown: a segment or cluster that was written as it came
            if number not in (SEGMENT, CLUSTER):
                raise Odd
            length = end - at
        if at + length > end:
            if number not in (SEGMENT, CLUSTER):
                raise Odd
            length = end - at
        assert number is not None
        yield _Element(number, at, at + length)
        at += length


def _number(file: Bytes, at: int, end: int, keep_mark: bool) -> tuple[int | None, int]:
    """A number of variable length and where it ends; None for the length that says "unknown"."""
    first = file.at(at, 1)[0]
    count = 9 - first.bit_length()
    if count > (4 if keep_mark else 8) or at + count > end:
        raise Odd
    value = int.from_bytes(file.at(at, count), "big")
    if not keep_mark:
        value &= (1 << 7 * count) - 1
        if value == (1 << 7 * count) - 1:
            return None, at + count
    return value, at + count


def _content(file: Bytes, element: _Element, most: int) -> bytes:
    if element.end - element.begin > most:
        raise Odd
    return file.at(element.begin, element.end - element.begin)


def _whole(file: Bytes, element: _Element) -> int:
    return int.from_bytes(_content(file, element, 8), "big")


def _text(file: Bytes, element: _Element) -> str:
    return _content(file, element, 64).rstrip(b"\0").decode("ascii")


def _scale_and_duration(file: Bytes, info: _Element) -> tuple[int, float]:
    """Nanoseconds of a tick, and how many ticks the last picture ends after nought."""
    scale, duration = DEFAULT_SCALE, 0.0
    for element in _elements(file, info.begin, info.end):
        if element.number == TIMESTAMP_SCALE:
            scale = _whole(file, element)
        elif element.number == DURATION:
            content = _content(file, element, 8)
            (duration,) = struct.unpack(">f" if len(content) == 4 else ">d", content)
    return scale, duration


def _track(file: Bytes, track: _Element, seconds: float, start: _Start) -> Head | None:
    """The track's Head; None where it shows no pictures."""
    parts = {element.number: element for element in _elements(file, track.begin, track.end)}
    kind = _whole(file, parts[TRACK_TYPE]) if TRACK_TYPE in parts else 0
    if kind in OTHER_TRACKS:
        return None
    if kind != PICTURES or not {CODEC, VIDEO} <= set(parts) or set(parts) - IN_A_TRACK:
        raise Odd
    video = {element.number: element for element in _elements(file, parts[VIDEO].begin, parts[VIDEO].end)}
    if not {WIDTH, HEIGHT} <= set(video) or set(video) - IN_A_VIDEO:
        raise Odd  # a part of the picture, a turned or round one
    if any(_whole(file, video[number]) for number in MUST_BE_NOUGHT & set(video)):
        raise Odd
    codec = _text(file, parts[CODEC])
    private = _content(file, parts[CODEC_PRIVATE], 1 << 16) if CODEC_PRIVATE in parts else b""
    size = checked_size(_whole(file, video[WIDTH]), _whole(file, video[HEIGHT]))
    colour = list(_elements(file, video[COLOUR].begin, video[COLOUR].end)) if COLOUR in video else []
    is_rgb = any(part.number == MATRIX and _whole(file, part) == 0 for part in colour)

    def sample(count: int) -> bytes:
        first = start.firsts[_whole(file, parts[TRACK_NUMBER])]
        return file.at(first.begin, min(count, first.end - first.begin))

    depth = movie_codecs.depth_in_matroska(codec, private, is_rgb, sample)
    return Head("matroska", codec, *size, seconds, depth=depth)
