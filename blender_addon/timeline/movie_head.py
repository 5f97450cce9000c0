"""Reads from a movie's head what its pictures are, if the backend certainly decodes them as Blender does.

MP4, QuickTime, Matroska and WebM are understood. Nothing is known of other files, of damaged ones, and of those whose
head holds anything unusual: Blender renders such a strip.
"""

from __future__ import annotations

import itertools
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from .movie_codecs import (
    BitDepth,
    BlackMovie,
    CoverAlone,
    LimitedFile,
    MovieHead,
    Sample,
    UnusualMovie,
    bit_depth_in_matroska,
    bit_depth_in_mp4,
    checked_size,
)

_EBML = b"\x1a\x45\xdf\xa3"

_Known = MovieHead | type[UnusualMovie] | None
_known_heads: dict[str, tuple[tuple[int, int], _Known]] = {}
_MAX_KNOWN_HEADS = 2_000


def head_of(path: str) -> MovieHead | None:
    """Read a file's head, once for each version of the file; None if it isn't known what the movie holds."""
    known = _known(path)
    return known if isinstance(known, MovieHead) else None


def is_shown_black(path: str, shows_covers: bool = True) -> bool:
    """True if Blender shows nothing of the movie; `shows_covers` says whether it shows the cover of mere sound."""
    known = _known(path)
    return known is BlackMovie or (known is CoverAlone and not shows_covers)


def _known(path: str) -> _Known:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        known = _known_heads.get(path)
        if known is None or known[0] != stamp:
            if len(_known_heads) >= _MAX_KNOWN_HEADS:
                _known_heads.clear()
            known = _known_heads[path] = (stamp, _read(path))
        return known[1]
    except (OSError, ValueError):
        return None


def _read(path: str) -> _Known:
    try:
        with open(path, "rb") as stream:
            file = LimitedFile(stream)
            return read_matroska(file) if file.at(0, 4) == _EBML else read_mp4(file)
    except (BlackMovie, CoverAlone) as found:
        return type(found)
    except (UnusualMovie, struct.error, ValueError, ArithmeticError, LookupError, StopIteration):
        return None


FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
TURNS: dict[tuple[float, ...], int] = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}
"""Degrees clockwise by the upper left four numbers of a track's matrix."""
OTHER_HANDLERS = frozenset({b"soun", b"tmcd", b"text", b"sbtl", b"subt", b"clcp", b"meta", b"hint", b"url "})
"""Handlers of tracks without pictures."""
KNOWN_IN_AN_ENTRY = frozenset(
    {b"avcC", b"hvcC", b"av1C", b"vpcC", b"esds", b"glbl", b"colr", b"pasp", b"fiel", b"gama", b"btrt", b"chrm",
     b"clli", b"mdcv", b"SmDm", b"CoLL", b"amve", b"ccst", b"dvcC", b"dvvC", b"dvwC", b"hvcE", b"ACLR", b"ARES",
     b"APRG", b"ADHR", b"jp2h", b"free", b"CALI", b"cali", b"lens"}
)  # fmt: skip
"""Boxes in a sample entry that change no picture; a clean aperture, a second eye or an alpha layer would."""
ENTRY_BYTES = 86
"""The length of a sample entry before the boxes in it."""


@dataclass(frozen=True)
class _Box:
    kind: bytes
    begin: int
    """Where its content begins."""
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


def read_mp4(file: LimitedFile) -> MovieHead:
    """Read the head of an MP4 or QuickTime file.

    Raises UnusualMovie, struct.error, ValueError or OSError if it isn't known what the movie holds.
    """
    first = file.at(4, 4)
    if first not in FIRST_BOXES:
        raise UnusualMovie
    moov = None
    for box in _boxes(file, 0, file.size):
        if box.kind == b"moof" or (box.kind == b"moov" and moov):
            raise UnusualMovie  # fragmented: the number of pictures isn't in one place
        if box.kind == b"moov":
            moov = box
    if moov is None:
        raise UnusualMovie
    inner = list(_boxes(file, moov.begin, moov.end))
    kinds = [box.kind for box in inner]
    if b"mvex" in kinds or b"cmov" in kinds or b"rmra" in kinds:
        raise UnusualMovie
    if _matrix(file, _only(inner, b"mvhd"), 36, 48) != IDENTITY:
        raise UnusualMovie
    shown = [track for track in map(lambda box: _picture_track(file, box), inner) if track is not None]
    if len(shown) != 1:
        raise UnusualMovie if shown or b"trak" not in kinds else CoverAlone
    return shown[0]


def _boxes(file: LimitedFile, begin: int, end: int) -> Iterator[_Box]:
    at = begin
    while at + 8 <= end:
        size, kind = struct.unpack(">I4s", file.at(at, 8))
        body = at + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.at(body, 8))
            body += 8
        elif size == 0:
            size = end - at
        if not body <= at + size <= end:
            raise UnusualMovie
        yield _Box(kind, body, at + size)
        at += size


def _only(boxes: list[_Box], kind: bytes) -> _Box:
    found = [box for box in boxes if box.kind == kind]
    if len(found) != 1:
        raise UnusualMovie
    return found[0]


def _inside(file: LimitedFile, box: _Box, *kinds: bytes) -> _Box:
    for kind in kinds:
        box = _only(list(_boxes(file, box.begin, box.end)), kind)
    return box


def _matrix(file: LimitedFile, box: _Box, short: int, long: int) -> tuple[int, ...]:
    version = file.at(box.begin, 1)[0]
    return struct.unpack(">9i", file.at(box.begin + (long if version == 1 else short), 36))


def _turn(matrix: tuple[int, ...]) -> int | None:
    corner = matrix[0] / (1 << 16), matrix[1] / (1 << 16), matrix[3] / (1 << 16), matrix[4] / (1 << 16)
    if (matrix[2], matrix[5], matrix[8]) != (0, 0, 1 << 30):
        return None
    return TURNS.get(corner)  # a move (the last row) is heeded by nobody


def _picture_track(file: LimitedFile, box: _Box) -> MovieHead | None:
    """The head of a track with pictures; None for any other box."""
    if box.kind != b"trak":
        return None
    media = _inside(file, box, b"mdia")
    handler = file.at(_inside(file, media, b"hdlr").begin + 8, 4)
    if handler in OTHER_HANDLERS:
        return None
    if handler != b"vide":
        raise UnusualMovie
    parts = list(_boxes(file, box.begin, box.end))
    _check_edits(file, parts)
    table = list(_boxes(file, *_span(_inside(file, media, b"minf", b"stbl"))))
    frames, seconds = _length(file, _only(table, b"stts"), _time_scale(file, media))

    def sample(count: int) -> bytes:
        return _first_bytes(file, table, count)

    codec, size, depth = _entry(file, _only(table, b"stsd"), sample)
    turn = _turn(_matrix(file, _only(parts, b"tkhd"), 40, 52))
    return MovieHead("mp4", codec, *size, seconds, frames, turn, depth)


def _span(box: _Box) -> tuple[int, int]:
    return box.begin, box.end


def _time_scale(file: LimitedFile, media: _Box) -> int:
    head = _inside(file, media, b"mdhd")
    version = file.at(head.begin, 1)[0]
    (scale,) = struct.unpack(">I", file.at(head.begin + (20 if version == 1 else 12), 4))
    if not scale:
        raise UnusualMovie
    return int(scale)


def _check_edits(file: LimitedFile, parts: list[_Box]) -> None:
    """Raise UnusualMovie unless the track is shown in one piece, perhaps after a pause."""
    for edits in (box for box in parts if box.kind == b"edts"):
        box = _inside(file, edits, b"elst")
        version = file.at(box.begin, 1)[0]
        (count,) = struct.unpack(">I", file.at(box.begin + 4, 4))
        form = ">Qqi" if version == 1 else ">Iii"
        if not 1 <= count <= 2 or box.size < 8 + count * struct.calcsize(form):
            raise UnusualMovie
        entries = [
            struct.unpack(form, file.at(box.begin + 8 + index * struct.calcsize(form), struct.calcsize(form)))
            for index in range(count)
        ]
        if any(rate != 1 << 16 for *_, rate in entries) or (count == 2 and entries[0][1] != -1):
            raise UnusualMovie
        if entries[-1][1] < 0:
            raise UnusualMovie


def _length(file: LimitedFile, box: _Box, scale: int) -> tuple[int, float]:
    """The number of pictures and their duration in seconds.

    Raises UnusualMovie if a picture other than the last is shown longer than others.
    """
    (count,) = struct.unpack(">I", file.at(box.begin + 4, 4))
    if not 1 <= count <= 2 or box.size < 8 + 8 * count:
        raise UnusualMovie
    runs = [struct.unpack(">II", file.at(box.begin + 8 + 8 * index, 8)) for index in range(count)]
    if runs[0][1] == 0 or (count == 2 and runs[1][0] != 1):
        raise UnusualMovie
    return sum(many for many, _ in runs), sum(many * ticks for many, ticks in runs) / scale


def _first_bytes(file: LimitedFile, table: list[_Box], count: int) -> bytes:
    for box in table:
        if box.kind in (b"stco", b"co64"):
            form = ">I" if box.kind == b"stco" else ">Q"
            (offset,) = struct.unpack(form, file.at(box.begin + 8, struct.calcsize(form)))
            return file.at(offset, count)
    raise UnusualMovie


def _entry(file: LimitedFile, box: _Box, sample: Sample) -> tuple[str, tuple[int, int], BitDepth]:
    """Codec, size and depth, from the one description that all samples share."""
    (count,) = struct.unpack(">I", file.at(box.begin + 4, 4))
    entries = list(_boxes(file, box.begin + 8, box.end))
    if count != 1 or len(entries) != 1:
        raise UnusualMovie
    entry = entries[0]
    own = file.at(entry.begin, ENTRY_BYTES - 8)
    width, height = struct.unpack(">HH", own[24:28])
    (bits,) = struct.unpack(">H", own[74:76])
    inside = list(_boxes(file, entry.begin + ENTRY_BYTES - 8, entry.end))
    if any(part.kind not in KNOWN_IN_AN_ENTRY for part in inside):
        raise UnusualMovie
    configurations = {part.kind: file.at(part.begin, part.size) for part in inside if part.size < 1 << 16}
    codec = entry.kind.decode("latin-1")
    depth = bit_depth_in_mp4(codec, bits, configurations, sample)
    return codec, checked_size(width, height), depth


EBML, SEGMENT, INFO, TRACKS, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
DOC_TYPE = 0x4282
TIMESTAMP_SCALE, DURATION, TIMESTAMP = 0x2AD7B1, 0x4489, 0xE7
DEFAULT_SCALE = 1_000_000
MAX_SECONDS = 1e7
TRACK, TRACK_NUMBER, TRACK_TYPE, CODEC, CODEC_PRIVATE, VIDEO = 0xAE, 0xD7, 0x83, 0x86, 0x63A2, 0xE0
WIDTH, HEIGHT = 0xB0, 0xBA
COLOR, MATRIX = 0x55B0, 0x55B1
GROUP, BLOCKS = 0xA0, (0xA1, 0xA3)
LOOKED_AT_BLOCKS = 40
SEVERAL_IN_A_BLOCK = 0x06
PICTURES = 1
OTHER_TRACK_TYPES = frozenset({2, 17})
"""Types of tracks for sound and subtitles."""
IN_A_TRACK = frozenset(
    {TRACK_NUMBER, 0x73C5, TRACK_TYPE, 0xB9, 0x88, 0x55AA, 0x9C, 0x6DE7, 0x6DF8, 0x23E383, 0x234E7A, 0x536E, 0x22B59C,
     0x22B59D, CODEC, CODEC_PRIVATE, 0x258688, 0xAA, VIDEO, 0xEC, 0xBF, 0x55AB, 0x55AC, 0x55AD, 0x55AE, 0x55AF, 0x55EE}
)  # fmt: skip
"""Elements of a picture track that change no picture: numbers, names, languages, flags, durations."""
IN_A_VIDEO = frozenset({WIDTH, HEIGHT, 0x9A, 0x9D, 0x54B0, 0x54BA, 0x54B2, 0x55B0, 0xEC, 0xBF, 0x53B8, 0x53C0})
"""Elements of its video settings that may occur: sizes, interlacing, colors; stereo and transparency must be zero."""
MUST_BE_ZERO = frozenset({0x53B8, 0x53C0, 0x55EE})


@dataclass(frozen=True)
class _Element:
    number: int
    begin: int
    """Where its content begins."""
    end: int


@dataclass(frozen=True)
class _Start:
    """The beginning of the first cluster."""

    ticks: int
    firsts: dict[int, _Element] = field(default_factory=dict)
    """The first block of each track, by the track's number."""


def read_matroska(file: LimitedFile) -> MovieHead:
    """Read the head of a Matroska or WebM file.

    Raises UnusualMovie, StopIteration, struct.error, ValueError or OSError if it isn't known what the movie holds.
    """
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
        raise UnusualMovie
    seconds = (duration - start.ticks) * scale / 1e9
    if not 0 < seconds < MAX_SECONDS:
        raise UnusualMovie
    shown = [
        _matroska_track(file, track, seconds, start)
        for track in _elements(file, tracks.begin, tracks.end)
        if track.number == TRACK
    ]
    pictures = [track for track in shown if track is not None]
    if len(pictures) != 1:
        raise UnusualMovie
    return pictures[0]


def _segment(file: LimitedFile) -> _Element:
    """The segment, which holds everything after the EBML header."""
    start = next(_elements(file, 0, file.size))
    if start.number != EBML:
        raise UnusualMovie
    kinds = [
        _string(file, element) for element in _elements(file, start.begin, start.end) if element.number == DOC_TYPE
    ]
    segment = next(_elements(file, start.end, file.size))
    if kinds not in (["matroska"], ["webm"]) or segment.number != SEGMENT:
        raise UnusualMovie
    return segment


def _start(file: LimitedFile, cluster: _Element) -> _Start:
    """Read the beginning of the first cluster. Raises UnusualMovie if a block has a time before zero."""
    parts = _elements(file, cluster.begin, cluster.end)
    start = _Start(next(_integer(file, part) for part in parts if part.number == TIMESTAMP))
    for part in itertools.islice(parts, LOOKED_AT_BLOCKS):
        block = next(_elements(file, part.begin, part.end)) if part.number == GROUP else part
        if block.number in BLOCKS:
            track, at = _number(file, block.begin, block.end, keep_mark=False)
            after, flags = struct.unpack(">hB", file.at(at, 3))
            if start.ticks + after < 0 or track is None:
                raise UnusualMovie
            if not flags & SEVERAL_IN_A_BLOCK:
                start.firsts.setdefault(track, _Element(block.number, at + 3, block.end))
    return start


def _elements(file: LimitedFile, begin: int, end: int) -> Iterator[_Element]:
    at = begin
    while at < end:
        number, at = _number(file, at, end, keep_mark=True)
        length, at = _number(file, at, end, keep_mark=False)
        if length is None:  # unknown: a segment or cluster that was written as it came
            if number not in (SEGMENT, CLUSTER):
                raise UnusualMovie
            length = end - at
        if at + length > end:
            if number not in (SEGMENT, CLUSTER):
                raise UnusualMovie
            length = end - at
        assert number is not None
        yield _Element(number, at, at + length)
        at += length


def _number(file: LimitedFile, at: int, end: int, keep_mark: bool) -> tuple[int | None, int]:
    """A number of variable length, and where it ends; None for the length that means "unknown"."""
    first = file.at(at, 1)[0]
    count = 9 - first.bit_length()
    if count > (4 if keep_mark else 8) or at + count > end:
        raise UnusualMovie
    value = int.from_bytes(file.at(at, count), "big")
    if not keep_mark:
        value &= (1 << 7 * count) - 1
        if value == (1 << 7 * count) - 1:
            return None, at + count
    return value, at + count


def _content(file: LimitedFile, element: _Element, most: int) -> bytes:
    if element.end - element.begin > most:
        raise UnusualMovie
    return file.at(element.begin, element.end - element.begin)


def _integer(file: LimitedFile, element: _Element) -> int:
    return int.from_bytes(_content(file, element, 8), "big")


def _string(file: LimitedFile, element: _Element) -> str:
    return _content(file, element, 64).rstrip(b"\0").decode("ascii")


def _scale_and_duration(file: LimitedFile, info: _Element) -> tuple[int, float]:
    """Nanoseconds per tick, and the time in ticks at which the last picture ends."""
    scale, duration = DEFAULT_SCALE, 0.0
    for element in _elements(file, info.begin, info.end):
        if element.number == TIMESTAMP_SCALE:
            scale = _integer(file, element)
        elif element.number == DURATION:
            content = _content(file, element, 8)
            (duration,) = struct.unpack(">f" if len(content) == 4 else ">d", content)
    return scale, duration


def _matroska_track(file: LimitedFile, track: _Element, seconds: float, start: _Start) -> MovieHead | None:
    """The head of a track with pictures; None for a track without."""
    parts = {element.number: element for element in _elements(file, track.begin, track.end)}
    kind = _integer(file, parts[TRACK_TYPE]) if TRACK_TYPE in parts else 0
    if kind in OTHER_TRACK_TYPES:
        return None
    if kind != PICTURES or not {CODEC, VIDEO} <= set(parts) or set(parts) - IN_A_TRACK:
        raise UnusualMovie
    video = {element.number: element for element in _elements(file, parts[VIDEO].begin, parts[VIDEO].end)}
    if not {WIDTH, HEIGHT} <= set(video) or set(video) - IN_A_VIDEO:
        raise UnusualMovie  # a part of the picture, a turned or round one
    if any(_integer(file, video[number]) for number in MUST_BE_ZERO & set(video)):
        raise UnusualMovie
    codec = _string(file, parts[CODEC])
    private = _content(file, parts[CODEC_PRIVATE], 1 << 16) if CODEC_PRIVATE in parts else b""
    size = checked_size(_integer(file, video[WIDTH]), _integer(file, video[HEIGHT]))
    color = list(_elements(file, video[COLOR].begin, video[COLOR].end)) if COLOR in video else []
    is_rgb = any(part.number == MATRIX and _integer(file, part) == 0 for part in color)

    def sample(count: int) -> bytes:
        first = start.firsts[_integer(file, parts[TRACK_NUMBER])]
        return file.at(first.begin, min(count, first.end - first.begin))

    depth = bit_depth_in_matroska(codec, private, is_rgb, sample)
    return MovieHead("matroska", codec, *size, seconds, depth=depth)
