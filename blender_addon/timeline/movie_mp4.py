"""The heads of MP4 and QuickTime movies. Standard library only."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from . import movie_codecs
from .movie_facts import Bytes, Depth, Head, Odd, Sample, checked_size

FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
TURNS: dict[tuple[float, ...], int] = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}
"""By the upper left four numbers of a track's matrix."""
OTHER_TRACKS = frozenset({b"soun", b"tmcd", b"text", b"sbtl", b"subt", b"clcp", b"meta", b"hint", b"url "})
"""Handlers of tracks that show no picture."""
KNOWN_IN_AN_ENTRY = frozenset(
    {b"avcC", b"hvcC", b"av1C", b"vpcC", b"esds", b"glbl", b"colr", b"pasp", b"fiel", b"gama", b"btrt", b"chrm",
     b"clli", b"mdcv", b"SmDm", b"CoLL", b"amve", b"ccst", b"dvcC", b"dvvC", b"dvwC", b"hvcE", b"ACLR", b"ARES",
     b"APRG", b"ADHR", b"jp2h", b"free", b"CALI", b"cali", b"lens"}
)  # fmt: skip
"""What may stand in a sample entry and changes no picture; a clean aperture, a second eye or an alpha layer does."""
ENTRY_BYTES = 86
"""A sample entry's own, before the boxes in it."""


@dataclass(frozen=True)
class _Box:
    kind: bytes
    begin: int
    """Where what is in it begins."""
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


def read(file: Bytes) -> Head:
    """Raises Odd, struct.error, ValueError or OSError where that can't be known."""
    first = file.at(4, 4)
    if first not in FIRST_BOXES:
        raise Odd
    moov = None
    for box in _boxes(file, 0, file.size):
        if box.kind == b"moof" or (box.kind == b"moov" and moov):
            raise Odd  # in fragments: how many pictures there are isn't said in one place
        if box.kind == b"moov":
            moov = box
    if moov is None:
        raise Odd
    inner = list(_boxes(file, moov.begin, moov.end))
    kinds = [box.kind for box in inner]
    if b"mvex" in kinds or b"cmov" in kinds or b"rmra" in kinds:
        raise Odd
    if _matrix(file, _only(inner, b"mvhd"), 36, 48) != IDENTITY:
        raise Odd
    shown = [track for track in map(lambda box: _picture_track(file, box), inner) if track is not None]
    if len(shown) != 1:
        raise Odd
    return shown[0]


def _boxes(file: Bytes, begin: int, end: int) -> Iterator[_Box]:
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
            raise Odd
        yield _Box(kind, body, at + size)
        at += size


def _only(boxes: list[_Box], kind: bytes) -> _Box:
    found = [box for box in boxes if box.kind == kind]
    if len(found) != 1:
        raise Odd
    return found[0]


def _inside(file: Bytes, box: _Box, *kinds: bytes) -> _Box:
    for kind in kinds:
        box = _only(list(_boxes(file, box.begin, box.end)), kind)
    return box


def _matrix(file: Bytes, box: _Box, short: int, long: int) -> tuple[int, ...]:
    version = file.at(box.begin, 1)[0]
    return struct.unpack(">9i", file.at(box.begin + (long if version == 1 else short), 36))


def _turn(matrix: tuple[int, ...]) -> int | None:
    corner = matrix[0] / (1 << 16), matrix[1] / (1 << 16), matrix[3] / (1 << 16), matrix[4] / (1 << 16)
    if (matrix[2], matrix[5], matrix[8]) != (0, 0, 1 << 30):
        return None
    return TURNS.get(corner)  # a move (the last row) is heeded by nobody


def _picture_track(file: Bytes, box: _Box) -> Head | None:
    """The track's Head; None where the box is no track, or one without pictures."""
    if box.kind != b"trak":
        return None
    media = _inside(file, box, b"mdia")
    handler = file.at(_inside(file, media, b"hdlr").begin + 8, 4)
    if handler in OTHER_TRACKS:
        return None
    if handler != b"vide":
        raise Odd
    parts = list(_boxes(file, box.begin, box.end))
    _check_edits(file, parts)
    table = list(_boxes(file, *_span(_inside(file, media, b"minf", b"stbl"))))
    frames, seconds = _length(file, _only(table, b"stts"), _time_scale(file, media))

    def sample(count: int) -> bytes:
        return _first_bytes(file, table, count)

    codec, size, depth = _entry(file, _only(table, b"stsd"), sample)
    turn = _turn(_matrix(file, _only(parts, b"tkhd"), 40, 52))
    return Head("mp4", codec, *size, seconds, frames, turn, depth)


def _span(box: _Box) -> tuple[int, int]:
    return box.begin, box.end


def _time_scale(file: Bytes, media: _Box) -> int:
    head = _inside(file, media, b"mdhd")
    version = file.at(head.begin, 1)[0]
    (scale,) = struct.unpack(">I", file.at(head.begin + (20 if version == 1 else 12), 4))
    if not scale:
        raise Odd
    return int(scale)


def _check_edits(file: Bytes, parts: list[_Box]) -> None:
    """Raise Odd unless the track is shown in one piece, perhaps after a pause."""
    for edits in (box for box in parts if box.kind == b"edts"):
        box = _inside(file, edits, b"elst")
        version = file.at(box.begin, 1)[0]
        (count,) = struct.unpack(">I", file.at(box.begin + 4, 4))
        form = ">Qqi" if version == 1 else ">Iii"
        if not 1 <= count <= 2 or box.size < 8 + count * struct.calcsize(form):
            raise Odd
        entries = [
            struct.unpack(form, file.at(box.begin + 8 + index * struct.calcsize(form), struct.calcsize(form)))
            for index in range(count)
        ]
        if any(rate != 1 << 16 for *_, rate in entries) or (count == 2 and entries[0][1] != -1):
            raise Odd
        if entries[-1][1] < 0:
            raise Odd


def _length(file: Bytes, box: _Box, scale: int) -> tuple[int, float]:
    """How many pictures, in how many seconds. Raises Odd where some are shown longer than others, but for the last."""
    (count,) = struct.unpack(">I", file.at(box.begin + 4, 4))
    if not 1 <= count <= 2 or box.size < 8 + 8 * count:
        raise Odd
    runs = [struct.unpack(">II", file.at(box.begin + 8 + 8 * index, 8)) for index in range(count)]
    if runs[0][1] == 0 or (count == 2 and runs[1][0] != 1):
        raise Odd
    return sum(many for many, _ in runs), sum(many * ticks for many, ticks in runs) / scale


def _first_bytes(file: Bytes, table: list[_Box], count: int) -> bytes:
    for box in table:
        if box.kind in (b"stco", b"co64"):
            form = ">I" if box.kind == b"stco" else ">Q"
            (offset,) = struct.unpack(form, file.at(box.begin + 8, struct.calcsize(form)))
            return file.at(offset, count)
    raise Odd


def _entry(file: Bytes, box: _Box, sample: Sample) -> tuple[str, tuple[int, int], Depth]:
    """Codec, size and depth, from the one description that all samples have."""
    (count,) = struct.unpack(">I", file.at(box.begin + 4, 4))
    entries = list(_boxes(file, box.begin + 8, box.end))
    if count != 1 or len(entries) != 1:
        raise Odd
    entry = entries[0]
    own = file.at(entry.begin, ENTRY_BYTES - 8)
    width, height = struct.unpack(">HH", own[24:28])
    (bits,) = struct.unpack(">H", own[74:76])
    inside = list(_boxes(file, entry.begin + ENTRY_BYTES - 8, entry.end))
    if any(part.kind not in KNOWN_IN_AN_ENTRY for part in inside):
        raise Odd
    configurations = {part.kind: file.at(part.begin, part.size) for part in inside if part.size < 1 << 16}
    codec = entry.kind.decode("latin-1")
    depth = movie_codecs.depth_in_mp4(codec, bits, configurations, sample)
    return codec, checked_size(width, height), depth
