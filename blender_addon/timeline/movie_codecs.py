"""How many bits a movie's samples have, by what its head says about the codec; and the bytes that heads are read from.

The codecs named here are those that the backend decodes as Blender does. A movie in any other is rendered by Blender.
A head may be made by an attacker: at most MAX_BYTES are read of it in MAX_STEPS steps, whatever it says.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

MAX_BYTES = 1 << 20
MAX_STEPS = 3000
MAX_PIXELS_A_SIDE = 1 << 16
DEEP = 16
"""In place of any depth of more than eight bits: how many more makes no difference."""


class UnusualMovie(Exception):
    """The head is damaged, or describes a movie that the backend may not decode as Blender does."""


class BlackMovie(UnusualMovie):
    """Every Blender shows the movie black, though it says its length and its rate."""


class CoverAlone(UnusualMovie):
    """The file is sound with a cover, which Blender 4.2 shows black."""


@dataclass(frozen=True)
class BitDepth:
    """How many bits samples may have: 8 or DEEP. YUV samples have no entry: all depths are decoded alike."""

    alpha: int = 0
    """0 if no pixel is transparent."""
    rgb: int = 8
    gray: int = 8

    def is_within(self, other: BitDepth) -> bool:
        """True if no kind of sample is deeper than `other` allows."""
        return self.alpha <= other.alpha and self.rgb <= other.rgb and self.gray <= other.gray


@dataclass(frozen=True)
class MovieHead:
    """The one picture track of a movie."""

    container: str
    codec: str
    """The container's name for it, such as "avc1" or "V_VP9"."""
    width: int
    """In pixels, of the pictures as they are stored."""
    height: int
    seconds: float
    """The duration."""
    frames: int = 0
    """The number of pictures; 0 if the head doesn't give it."""
    turn: int | None = 0
    """Degrees clockwise by which the file asks for its pictures to be turned: 0, 90, 180 or 270; None if it asks for
    another transform, such as a mirrored picture."""
    depth: BitDepth = BitDepth()

    def has(self, frames: int, rate: float) -> bool:
        """True if the movie has at least `frames` pictures, by its duration and `rate` (per second) if need be."""
        return frames <= (self.frames or self.seconds * rate + 0.5)


class LimitedFile:
    """A file of which at most MAX_BYTES are read, in at most MAX_STEPS."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left, self._steps = MAX_BYTES, MAX_STEPS
        self.size = file.seek(0, os.SEEK_END)

    def at(self, offset: int, count: int) -> bytes:
        """Read `count` bytes from `offset`. Raises UnusualMovie if they aren't there, or too much was read."""
        self._left -= count
        self._steps -= 1
        if offset < 0 or count < 0 or offset + count > self.size or self._left < 0 or self._steps < 0:
            raise UnusualMovie
        self._file.seek(offset)
        found = self._file.read(count)
        if len(found) != count:
            raise UnusualMovie
        return found


Sample = Callable[[int], bytes]
"""Reads that many of the first picture's first bytes. Raises UnusualMovie."""


def checked_size(width: int, height: int) -> tuple[int, int]:
    """The size, if a picture may have it. Raises UnusualMovie otherwise."""
    if not (0 < width <= MAX_PIXELS_A_SIDE and 0 < height <= MAX_PIXELS_A_SIDE):
        raise UnusualMovie
    return width, height


OPAQUE_IN_MP4 = frozenset({"mp4v", "apco", "apcs", "apcn", "apch", "AVdn", "AVdh", "jpeg"})
"""Codecs without transparency whose depth makes no difference."""
PRORES_4444 = frozenset({"ap4h", "ap4x"})
IN_MATROSKA = frozenset(
    {"V_MPEG4/ISO/AVC", "V_MPEGH/ISO/HEVC", "V_MPEG4/ISO/ASP", "V_VP9", "V_AV1", "V_FFV1", "V_MJPEG"}
)
"""VP8 isn't listed: calls and browsers record in it, and their pictures change size within the file."""
AS_IN_AVI, BITMAP_HEAD_BYTES = "V_MS/VFW/FOURCC", 40
ALPHA_MESSAGE, TURN_MESSAGE = 165, 47
"""Numbers of H.265's supplemental (SEI) messages for transparency and for a turned display."""
GRAY, FULL_COLOR = 0, 3
"""Chroma formats, as H.264 and H.265 number them: none (4:0:0), and full resolution (4:4:4), which may be RGB."""
PNG_GRAY, PNG_ALPHA = (0, 4), (4, 6)


def bit_depth_in_mp4(codec: str, bits: int, configurations: dict[bytes, bytes], sample: Sample) -> BitDepth:
    """How deep the samples may be; `bits` is the depth that the sample entry gives.

    Raises UnusualMovie if the codec isn't known, or is configured unusually.
    """
    if codec in ("avc1", "avc3"):
        return _avc(configurations.get(b"avcC", b""))
    if codec in ("hvc1", "hev1"):
        return _hevc(configurations.get(b"hvcC", b""))
    if codec == "av01":
        return _av1(configurations.get(b"av1C", b""))
    if codec == "vp09":
        return _vp9(configurations.get(b"vpcC", b""))
    if codec in OPAQUE_IN_MP4:
        return BitDepth()
    if codec in PRORES_4444:
        head = sample(26)
        if head[4:8] != b"icpf":
            raise UnusualMovie
        return BitDepth(alpha=DEEP if head[25] & 0x0F else 0)
    if codec == "png ":
        return _png(sample(26))
    if codec == "rle ":
        return _animation(bits)
    raise UnusualMovie


def _animation(bits: int) -> BitDepth:
    if bits not in (16, 24, 32):
        raise BlackMovie  # up to 256 colors or grays, by a palette that Blender leaves out
    return BitDepth(alpha=8 if bits == 32 else 0)


def bit_depth_in_matroska(codec: str, private: bytes, is_rgb: bool, sample: Sample) -> BitDepth:
    """How deep the samples may be, by Matroska's name of the codec; `is_rgb` is what the track's color matrix says.

    Raises UnusualMovie if the codec isn't known, or is configured unusually.
    """
    if codec == AS_IN_AVI and private[16:20] == b"FFV1":  # as Blender itself writes it
        return ffv1_bit_depth(private[BITMAP_HEAD_BYTES:], sample)
    if codec not in IN_MATROSKA:
        raise UnusualMovie
    if codec == "V_MPEG4/ISO/AVC":
        return _avc(private)
    if codec == "V_MPEGH/ISO/HEVC":
        return _hevc(private)
    if codec == "V_AV1":
        return _av1(private)
    if codec == "V_FFV1":
        return ffv1_bit_depth(private, sample)
    return BitDepth(rgb=DEEP if is_rgb else 8)


def _of_chroma(kind: int, deep: bool) -> BitDepth:
    return BitDepth(rgb=DEEP if deep and kind == FULL_COLOR else 8, gray=DEEP if deep and kind == GRAY else 8)


def _png(head: bytes) -> BitDepth:
    if head[12:16] != b"IHDR":
        raise UnusualMovie
    bits, kind = head[24], head[25]
    if bits <= 8:
        return BitDepth(alpha=8)
    return BitDepth(
        alpha=DEEP if kind in PNG_ALPHA else 0,
        rgb=8 if kind in PNG_GRAY else DEEP,
        gray=DEEP if kind in PNG_GRAY else 8,
    )


def _avc(configuration: bytes) -> BitDepth:
    """By an AVCDecoderConfigurationRecord. Raises UnusualMovie unless all pictures use one sequence parameter set."""
    if len(configuration) < 7 or configuration[5] & 0x1F != 1:
        raise UnusualMovie
    at = 6
    at += 2 + int.from_bytes(configuration[at : at + 2], "big")
    count = configuration[at]
    at += 1
    for _ in range(count):
        at += 2 + int.from_bytes(configuration[at : at + 2], "big")
    if len(configuration) >= at + 3:  # later profiles give chroma format and depth
        return _of_chroma(configuration[at] & 3, configuration[at + 1] & 7 > 0)
    return BitDepth()


def _hevc(configuration: bytes) -> BitDepth:
    """By an HEVCDecoderConfigurationRecord. Raises UnusualMovie unless all pictures use one sequence parameter set.

    Several layers, transparency and a turned display raise it as well.
    """
    if len(configuration) < 23:
        raise UnusualMovie
    at, parameters = 23, 0
    for _ in range(configuration[22]):
        kind, count = configuration[at] & 0x3F, int.from_bytes(configuration[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(configuration[at : at + 2], "big")
            unit = configuration[at + 2 : at + 2 + size]
            at += 2 + size
            if len(unit) != size or size < 4:
                raise UnusualMovie
            _check_unit(kind, unit)
            parameters += kind == 33
    if parameters != 1:
        raise UnusualMovie
    return _of_chroma(configuration[16] & 3, configuration[17] & 7 > 0)


def _check_unit(kind: int, unit: bytes) -> None:
    layer = (unit[0] & 1) << 5 | unit[1] >> 3
    if layer:
        raise UnusualMovie
    if kind == 32 and (unit[2] & 3) << 4 | unit[3] >> 4:  # the parameters of several layers
        raise UnusualMovie
    if kind in (39, 40) and unit[2] in (ALPHA_MESSAGE, TURN_MESSAGE):
        raise UnusualMovie


def _av1(configuration: bytes) -> BitDepth:
    if len(configuration) < 4 or configuration[0] != 0x81:
        raise UnusualMovie
    flags = configuration[2]
    kind = GRAY if flags & 0x10 else 1 if flags & 0x0C else FULL_COLOR
    return _of_chroma(kind, bool(flags & 0x40))


def _vp9(configuration: bytes) -> BitDepth:
    if len(configuration) < 10:
        raise UnusualMovie
    depth_and_chroma = configuration[6]
    return _of_chroma(FULL_COLOR if depth_and_chroma >> 1 & 7 == 3 else 1, depth_and_chroma >> 4 > 8)


ONE = 1 << 32
FACTOR = ONE // 20
MAX_STATE = 256 - 8
"""Of ffmpeg's range coder: the fixed-point one, how quickly chances adapt, and the highest state."""
CUSTOM_TABLE = 2
"""The kind of range coder that begins with a table of its own states."""
RGB = 1
FIRST_BYTES = 1024
"""Of a first picture; no head is longer."""


def ffv1_bit_depth(record: bytes, sample: Sample) -> BitDepth:
    """How deep an FFV1 movie's samples are, by its configuration record (RFC 9043, 4.3).

    Up to version 1 there is no record, and the first picture holds the same values (4.2). Raises UnusualMovie if
    they can't be read, or chroma is coarser than half of luma's resolution.
    """
    if record:
        coder = _RangeDecoder(record)
        if coder.symbol() not in (3, 4):  # the version
            raise UnusualMovie
        coder.symbol()  # the micro version
        return _ffv1_head(coder, has_bits=True)
    coder = _RangeDecoder(sample(FIRST_BYTES))
    if not coder.bit(0):  # whether it is a key frame
        raise UnusualMovie
    coder.reset()
    version = coder.symbol()
    if version > 1:
        raise UnusualMovie
    return _ffv1_head(coder, has_bits=version == 1)


def _ffv1_head(coder: _RangeDecoder, has_bits: bool) -> BitDepth:
    if coder.symbol() == CUSTOM_TABLE:
        for _ in range(255):
            coder.symbol(signed=True)
    is_rgb = coder.symbol() == RGB
    bits = DEEP if has_bits and coder.symbol() > 8 else 8
    has_color = bool(coder.bit(0)) or is_rgb
    if max(coder.symbol(), coder.symbol()) > 1 and not is_rgb:
        raise UnusualMovie
    alpha = bits if coder.bit(0) else 0
    return BitDepth(alpha, bits if is_rgb else 8, 8 if has_color else bits)


class _RangeDecoder:
    """ffmpeg's range coder, with one set of states."""

    def __init__(self, content: bytes) -> None:
        if len(content) < 3:
            raise UnusualMovie
        self._content, self._at = content, 2
        self._low, self._range = int.from_bytes(content[:2], "big"), 0xFF00
        if self._low >= 0xFF00:
            raise UnusualMovie
        self._ones = _next_states()
        self.reset()

    def reset(self) -> None:
        """Reset all states: forget what was learned of the bits before."""
        self._states = [128] * 32

    def bit(self, place: int) -> int:
        """Decode one bit with the state at `place`."""
        state = self._states[place]
        upper = self._range * state >> 8
        self._range -= upper
        found = int(self._low >= self._range)
        if found:
            self._low -= self._range
            self._range = upper
            self._states[place] = self._ones[state]
        else:
            self._states[place] = 256 - self._ones[256 - state]
        if self._range < 0x100:
            self._range <<= 8
            self._low <<= 8
            if self._at < len(self._content):
                self._low += self._content[self._at]
                self._at += 1
        return found

    def symbol(self, signed: bool = False) -> int:
        """Decode one number. Raises UnusualMovie if it is far too long."""
        if self.bit(0):
            return 0
        length = 0
        while self.bit(1 + min(length, 9)):
            length += 1
            if length > 31:
                raise UnusualMovie
        value = 1
        for place in reversed(range(length)):
            value += value + self.bit(22 + min(place, 9))
        return -value if signed and self.bit(11 + min(length, 10)) else value


def _next_states() -> list[int]:
    """The state that follows a one, by the state before it; as ffmpeg builds its table."""
    states = [0] * 257
    last, chance = 0, ONE // 2
    for _ in range(128):
        now = max((256 * chance + ONE // 2) >> 32, last + 1)
        if 0 < last < 256 and now <= MAX_STATE:
            states[last] = now
        chance += ((ONE - chance) * FACTOR + ONE // 2) >> 32
        last = now
    for state in range(256 - MAX_STATE, MAX_STATE + 1):
        if not states[state]:
            chance = (state * ONE + 128) >> 8
            chance += ((ONE - chance) * FACTOR + ONE // 2) >> 32
            states[state] = min(max((256 * chance + ONE // 2) >> 32, state + 1), MAX_STATE)
    return states
