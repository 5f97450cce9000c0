"""How deep a movie's samples are, by what its head says of the codec; and the bytes that heads are read from.

The codecs named here are those that the backend decodes as Blender does. A movie in any other is rendered by Blender.
A head may be made by an attacker: only so many bytes are read of it in so many steps, whatever it says.
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
"""Bits of samples that have more than eight; how many more makes no difference."""


class Odd(Exception):
    """The head is damaged, or says what isn't known to be read as Blender reads it."""


@dataclass(frozen=True)
class Depth:
    """How deep samples may be: 8 or DEEP bits. Those of brightness with colours beside it are all read alike."""

    alpha: int = 0
    """0 where nothing is transparent."""
    rgb: int = 8
    grey: int = 8

    def is_within(self, other: Depth) -> bool:
        """True where none of them is deeper than the other's."""
        return self.alpha <= other.alpha and self.rgb <= other.rgb and self.grey <= other.grey


@dataclass(frozen=True)
class MovieHead:
    """The one picture track of a movie."""

    container: str
    codec: str
    """As the container calls it."""
    width: int
    """Of its pictures as they lie in the file."""
    height: int
    seconds: float
    """How long it is shown."""
    frames: int = 0
    """How many pictures there are; 0 where the head doesn't say."""
    turn: int | None = 0
    """Degrees clockwise by which the file wants its pictures turned: 0, 90, 180, 270; None where it wants them
    mirrored, slanted or turned by less."""
    depth: Depth = Depth()

    def has(self, frames: int, rate: float) -> bool:
        """True where there are so many pictures, at that many a second."""
        return frames <= (self.frames or self.seconds * rate + 0.5)


class Bytes:
    """A file of which little is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left, self._steps = MAX_BYTES, MAX_STEPS
        self.size = file.seek(0, os.SEEK_END)

    def at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on. Raises Odd where they aren't there, or too much was read."""
        self._left -= count
        self._steps -= 1
        if offset < 0 or count < 0 or offset + count > self.size or self._left < 0 or self._steps < 0:
            raise Odd
        self._file.seek(offset)
        found = self._file.read(count)
        if len(found) != count:
            raise Odd
        return found


Sample = Callable[[int], bytes]
"""So many of the first bytes of the first picture. Raises Odd."""


def checked_size(width: int, height: int) -> tuple[int, int]:
    """Width and height. Raises Odd where no picture is so large or small."""
    if not (0 < width <= MAX_PIXELS_A_SIDE and 0 < height <= MAX_PIXELS_A_SIDE):
        raise Odd
    return width, height


OPAQUE_IN_MP4 = frozenset({"mp4v", "apco", "apcs", "apcn", "apch", "AVdn", "AVdh", "jpeg"})
"""Beside those that say how deep they are."""
PRORES_4444 = frozenset({"ap4h", "ap4x"})
IN_MATROSKA = frozenset(
    {"V_MPEG4/ISO/AVC", "V_MPEGH/ISO/HEVC", "V_MPEG4/ISO/ASP", "V_VP9", "V_AV1", "V_FFV1", "V_MJPEG"}
)
"""VP8 isn't in it: calls and browsers record in it, and their pictures grow within the file."""
AS_IN_AVI, BITMAP_HEAD_BYTES = "V_MS/VFW/FOURCC", 40
ALPHA_MESSAGE, TURN_MESSAGE = 165, 47
"""What H.265 says beside its pictures."""
GREY, FULL_COLOR = 0, 3
"""Kinds of chroma, as H.264 and H.265 number them: none, and as fine as the brightness (which may be RGB)."""
PNG_GREY, PNG_ALPHA = (0, 4), (4, 6)


def depth_in_mp4(codec: str, bits: int, configurations: dict[bytes, bytes], sample: Sample) -> Depth:
    """How deep the samples may be; `bits` is what the sample entry says.

    Raises Odd where nothing is known of the codec, or what it says is unusual.
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
        return Depth()
    if codec in PRORES_4444:
        head = sample(26)
        if head[4:8] != b"icpf":
            raise Odd
        return Depth(alpha=DEEP if head[25] & 0x0F else 0)
    if codec == "png ":
        return _png(sample(26))
    if codec == "rle " and bits in (16, 24, 32):
        return Depth(alpha=8 if bits == 32 else 0)
    raise Odd


def depth_in_matroska(codec: str, private: bytes, is_rgb: bool, sample: Sample) -> Depth:
    """The same for Matroska's names; `is_rgb` where the track says so."""
    if codec == AS_IN_AVI and private[16:20] == b"FFV1":  # as Blender itself writes it
        return ffv1_depth(private[BITMAP_HEAD_BYTES:], sample)
    if codec not in IN_MATROSKA:
        raise Odd
    if codec == "V_MPEG4/ISO/AVC":
        return _avc(private)
    if codec == "V_MPEGH/ISO/HEVC":
        return _hevc(private)
    if codec == "V_AV1":
        return _av1(private)
    if codec == "V_FFV1":
        return ffv1_depth(private, sample)
    return Depth(rgb=DEEP if is_rgb else 8)


def _of_chroma(kind: int, deep: bool) -> Depth:
    return Depth(rgb=DEEP if deep and kind == FULL_COLOR else 8, grey=DEEP if deep and kind == GREY else 8)


def _png(head: bytes) -> Depth:
    if head[12:16] != b"IHDR":
        raise Odd
    bits, kind = head[24], head[25]
    if bits <= 8:
        return Depth(alpha=8)
    return Depth(
        alpha=DEEP if kind in PNG_ALPHA else 0,
        rgb=8 if kind in PNG_GREY else DEEP,
        grey=DEEP if kind in PNG_GREY else 8,
    )


def _avc(configuration: bytes) -> Depth:
    """Raises Odd unless all pictures are made by one set of parameters."""
    if len(configuration) < 7 or configuration[5] & 0x1F != 1:
        raise Odd
    at = 6
    at += 2 + int.from_bytes(configuration[at : at + 2], "big")
    count = configuration[at]
    at += 1
    for _ in range(count):
        at += 2 + int.from_bytes(configuration[at : at + 2], "big")
    if len(configuration) >= at + 3:  # the later profiles say more
        return _of_chroma(configuration[at] & 3, configuration[at + 1] & 7 > 0)
    return Depth()


def _hevc(configuration: bytes) -> Depth:
    """The same; and there must be one layer, without transparency or a turn beside it."""
    if len(configuration) < 23:
        raise Odd
    at, parameters = 23, 0
    for _ in range(configuration[22]):
        kind, count = configuration[at] & 0x3F, int.from_bytes(configuration[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(configuration[at : at + 2], "big")
            unit = configuration[at + 2 : at + 2 + size]
            at += 2 + size
            if len(unit) != size or size < 4:
                raise Odd
            _check_unit(kind, unit)
            parameters += kind == 33
    if parameters != 1:
        raise Odd
    return _of_chroma(configuration[16] & 3, configuration[17] & 7 > 0)


def _check_unit(kind: int, unit: bytes) -> None:
    layer = (unit[0] & 1) << 5 | unit[1] >> 3
    if layer:
        raise Odd
    if kind == 32 and (unit[2] & 3) << 4 | unit[3] >> 4:  # the parameters of several layers
        raise Odd
    if kind in (39, 40) and unit[2] in (ALPHA_MESSAGE, TURN_MESSAGE):
        raise Odd


def _av1(configuration: bytes) -> Depth:
    if len(configuration) < 4 or configuration[0] != 0x81:
        raise Odd
    said = configuration[2]
    kind = GREY if said & 0x10 else 1 if said & 0x0C else FULL_COLOR
    return _of_chroma(kind, bool(said & 0x40))


def _vp9(configuration: bytes) -> Depth:
    if len(configuration) < 10:
        raise Odd
    said = configuration[6]
    return _of_chroma(FULL_COLOR if said >> 1 & 7 == 3 else 1, said >> 4 > 8)


ONE = 1 << 32
FACTOR = ONE // 20
MAX_STATE = 256 - 8
CUSTOM_TABLE = 2
RGB = 1
FIRST_BYTES = 1024
"""More than any head takes."""


def ffv1_depth(record: bytes, sample: Sample) -> Depth:
    """Raises Odd where that can't be read, or the colours are coarser than half of the brightness.

    Up to version 1 there is no record, and the first picture says it.
    """
    if record:
        coder = _RangeDecoder(record)
        if coder.symbol() not in (3, 4):  # the version
            raise Odd
        coder.symbol()  # and its smaller part
        return _ffv1_head(coder, says_bits=True)
    coder = _RangeDecoder(sample(FIRST_BYTES))
    if not coder.bit(0):  # whether it can be decoded without another one
        raise Odd
    coder.begin_anew()
    version = coder.symbol()
    if version > 1:
        raise Odd
    return _ffv1_head(coder, says_bits=version == 1)


def _ffv1_head(coder: _RangeDecoder, says_bits: bool) -> Depth:
    if coder.symbol() == CUSTOM_TABLE:
        for _ in range(255):
            coder.symbol(signed=True)
    is_rgb = coder.symbol() == RGB
    bits = DEEP if says_bits and coder.symbol() > 8 else 8
    has_color = bool(coder.bit(0)) or is_rgb
    if max(coder.symbol(), coder.symbol()) > 1 and not is_rgb:
        raise Odd
    alpha = bits if coder.bit(0) else 0
    return Depth(alpha, bits if is_rgb else 8, 8 if has_color else bits)


class _RangeDecoder:
    """ffmpeg's range coder, with one set of states."""

    def __init__(self, content: bytes) -> None:
        if len(content) < 3:
            raise Odd
        self._content, self._at = content, 2
        self._low, self._range = int.from_bytes(content[:2], "big"), 0xFF00
        if self._low >= 0xFF00:
            raise Odd
        self._ones = _next_states()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was learnt of the bits before."""
        self._states = [128] * 32

    def bit(self, place: int) -> int:
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
        if self.bit(0):
            return 0
        length = 0
        while self.bit(1 + min(length, 9)):
            length += 1
            if length > 31:
                raise Odd
        value = 1
        for place in reversed(range(length)):
            value += value + self.bit(22 + min(place, 9))
        return -value if signed and self.bit(11 + min(length, 10)) else value


def _next_states() -> list[int]:
    """Which state follows a one, by the state before it."""
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
