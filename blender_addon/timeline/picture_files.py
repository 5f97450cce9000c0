"""Picture files on the disk: whether they are there, their sizes, and whether they may be transparent.

A strip remembers the size that its first file had when it was added; the file may have been replaced since, so the
first bytes of PNG and JPEG files are read instead.

A panel asks at every redraw, and thousands of files on a share would block Blender's window: `glance` looks at the
first and the last file, and goes on through the others in slices from one call to the next. A click looks at as many as
it can in a moment (`look_at_many`): whoever reads the others later reports what is wrong with them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers of JPEG's frame headers, which hold the size."""
_JPEG_PLAIN = (0xC0, 0xC1, 0xC2)
"""The frame headers of the kinds of JPEG that every program writes."""
_MAX_SEGMENTS = 1_000

_PNG_PLAIN = (0, 2, 3)
"""The color types of PNG without an alpha channel: grayscale, RGB, palette."""
_PNG_GRAY = 0
_MAX_CHUNKS = 64

_OTHERS = (
    b"BM", b"\x01\xda", b"8BPS", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
    b"v/1\x01", b"#?R", b"SDPX", b"XPDS", b"\x80\x2a\x5f\xd7", b"RIFF", b"DDS ",
)  # fmt: skip
"""The first bytes of the other formats that Blender reads. TGA has none."""
_TGA_KINDS = (1, 2, 3, 9, 10, 11)

Size = tuple[int, int]


class PictureHead(NamedTuple):
    """What a picture's first bytes tell."""

    size: Size | None
    """Width and height; None if the file is neither PNG nor JPEG, is damaged, or may not be read as Blender reads
    it: CMYK JPEG, JPEG of more than eight bits, and grayscale PNG with a transparent level."""
    is_opaque: bool = False
    """True if no pixel can be transparent."""
    is_known: bool = True
    """False if the first bytes are of no format that Blender is known to read."""
    is_animated_webp: bool = False


_known_heads: dict[str, tuple[tuple[int, int], PictureHead]] = {}
_MAX_KNOWN_HEADS = 20_000


def head_of(path: str, status: os.stat_result | None = None) -> PictureHead:
    """Read a picture's first bytes, once for each version of the file. Raises OSError if it can't be read.

    `status` is the file's, if the caller has just asked for it.
    """
    status = status or os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # a named pipe would be waited for
        raise OSError(errno.EINVAL, "it is no file", path)
    stamp = (status.st_mtime_ns, status.st_size)
    known = _known_heads.get(path)
    if known is None or known[0] != stamp:
        if len(_known_heads) >= _MAX_KNOWN_HEADS:
            _known_heads.clear()
        with open(path, "rb") as file:
            known = _known_heads[path] = (stamp, _read(file))
    return known[1]


def _read(file: BinaryIO) -> PictureHead:
    start = file.read(26)
    try:
        if start.startswith(_PNG):
            width, height, _, kind = struct.unpack(">IIBB", start[16:26])
            is_opaque = kind in _PNG_PLAIN and not _may_be_transparent(file)
            if kind == _PNG_GRAY and not is_opaque:
                return PictureHead(None)
        elif start.startswith(b"\xff\xd8"):
            file.seek(2)
            (width, height), is_opaque = _jpeg(file), True
        else:
            is_known = start.startswith(_OTHERS) or _may_be_tga(start)
            return PictureHead(None, is_known=is_known, is_animated_webp=_is_animated_webp(start))
    except (struct.error, EOFError):
        return PictureHead(None)
    return PictureHead((width, height), is_opaque) if width and height else PictureHead(None)


def _is_animated_webp(start: bytes) -> bool:
    return start[:4] == b"RIFF" and start[8:16] == b"WEBPVP8X" and len(start) > 20 and bool(start[20] & 2)


def _may_be_tga(start: bytes) -> bool:
    if len(start) < 18:
        return False
    width, height, depth = struct.unpack("<HHB", start[12:17])
    return start[1] <= 1 and start[2] in _TGA_KINDS and bool(width and height) and 0 < depth <= 32


def _may_be_transparent(file: BinaryIO) -> bool:
    """True if a chunk of the PNG makes a color transparent, or if that isn't known."""
    file.seek(len(_PNG))
    for _ in range(_MAX_CHUNKS):
        length, name = struct.unpack(">I4s", file.read(8))
        if name in (b"tRNS", b"IDAT"):
            return bool(name == b"tRNS")
        file.seek(length + 4, os.SEEK_CUR)
    return True


def _jpeg(file: BinaryIO) -> Size:
    for _ in range(_MAX_SEGMENTS):
        marker = _byte(file)
        if marker != 0xFF:
            raise EOFError
        while marker == 0xFF:  # any number of them may stand before a marker
            marker = _byte(file)
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _JPEG_SIZES:
            bits, height, width, colors = struct.unpack(">BHHB", file.read(6))
            if marker not in _JPEG_PLAIN or bits != 8 or colors not in (1, 3):
                raise EOFError
            return width, height
        if length < 2:
            raise EOFError
        file.seek(length - 2, os.SEEK_CUR)
    raise EOFError


def _byte(file: BinaryIO) -> int:
    byte = file.read(1)
    if not byte:
        raise EOFError
    return byte[0]


def files_in(folder: str) -> list[str]:
    """The names of the files in a folder, also of those that links lead to; none if it can't be read.

    Whatever else has the name of a picture doesn't count: Blender waits for a named pipe for ever.
    """
    names = []
    with contextlib.suppress(OSError, ValueError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_file():
                    names.append(entry.name)
    return names


SLICE_FILES = 100
SLICE_SECONDS = 0.003
"""A glance looks at this many further files, for this many seconds at most."""
AGAIN_SECONDS = 4.0
"""Glances start over this long after all files of a list were looked at."""
MOMENT_FILES = 100
MOMENT_SECONDS = 0.1
"""A click looks at this many files however long that takes, and at more until this much time has passed."""
MAX_KEPT_LISTS = 32
"""For this many lists, what was found is remembered."""


@dataclass
class FilesFound:
    """What is known of a list of files, as far as they were looked at."""

    lost: list[str] = field(default_factory=list)
    """The names of files that are missing, empty or unreadable."""
    sizes: set[Size | None] = field(default_factory=set)
    """The sizes of the pictures. None stands for a file whose size can't be told."""
    opaque: bool = True
    """False if a pixel of one of them may be transparent."""
    complete: bool = False
    """True if every file was looked at."""


FileLook = Callable[[str, Sequence[str], bool], FilesFound]
"""Looks at the named files of a folder; the last argument tells whether to read the pictures' sizes, too."""


def look_at_all(folder: str, names: Sequence[str], sizes: bool) -> FilesFound:
    """Look at every file now."""
    found = FilesFound(complete=True)
    for name in dict.fromkeys(names):
        _look_at(folder, name, sizes, found)
    return found


def look_at_many(folder: str, names: Sequence[str], sizes: bool) -> FilesFound:
    """Look at as many files as MOMENT_SECONDS are enough for, and add what glances found of the others."""
    found, until = FilesFound(), time.monotonic() + MOMENT_SECONDS
    looked: set[str] = set()
    for name in dict.fromkeys([*names[:1], *names[-1:], *names]):
        if len(looked) >= MOMENT_FILES and time.monotonic() > until:
            break
        _look_at(folder, name, sizes, found)
        looked.add(name)
    else:
        found.complete = True
    before = _kept.get((folder, sizes, tuple(names)))
    if before is None or found.complete:
        return found
    seen = before.found if before.before is None else before.before
    found.lost += [name for name in seen.lost if name not in looked]
    found.sizes |= seen.sizes
    found.opaque &= seen.opaque
    found.complete = seen.complete
    return found


def glance(folder: str, names: Sequence[str], sizes: bool) -> FilesFound:
    """Look at the first and the last file and a slice of the others, and add what was found so far."""
    key = (folder, sizes, tuple(names))
    kept = _kept.pop(key, None) or _Glances(list(dict.fromkeys([*names[:1], *names[-1:], *names])))
    _kept[key] = kept  # the list that was looked at last is dropped last
    if len(_kept) > MAX_KEPT_LISTS:
        del _kept[next(iter(_kept))]
    return kept.go_on(folder, sizes)


def forget() -> None:
    """Drop what is remembered, so that everything is looked at again."""
    _kept.clear()


@dataclass
class _Glances:
    """How many files of a list were looked at, and what the round before found."""

    names: list[str]
    at: int = 0
    found: FilesFound = field(default_factory=FilesFound)
    before: FilesFound | None = None
    again_at: float = 0.0

    def go_on(self, folder: str, sizes: bool) -> FilesFound:
        if self.at == len(self.names) and time.monotonic() > self.again_at:
            self.at, self.found, self.before = 0, FilesFound(), self.found
        enough, end = time.monotonic() + SLICE_SECONDS, min(len(self.names), self.at + SLICE_FILES)
        while self.at < end and (self.at < 2 or time.monotonic() < enough):
            _look_at(folder, self.names[self.at], sizes, self.found)
            self.at += 1
            if self.at == len(self.names):
                self.before, self.again_at = None, time.monotonic() + AGAIN_SECONDS
                self.found.complete = True
        return self.found if self.before is None or self.found.lost else self.before


_kept: dict[tuple[object, ...], _Glances] = {}


def _look_at(folder: str, name: str, sizes: bool, found: FilesFound) -> None:
    path = os.path.join(folder, name)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            found.lost.append(name)
        elif sizes:
            head = head_of(path, status)
            found.sizes.add(head.size)
            found.opaque &= head.is_opaque
    except (OSError, ValueError):
        found.lost.append(name)
