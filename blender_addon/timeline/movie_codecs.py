"""The codecs that the backend decodes as Blender does, and how deep the transparency of a movie in them is.

What isn't in these tables is rendered by Blender. Standard library only.
"""

from __future__ import annotations

from . import movie_ffv1
from .movie_facts import DEEP, Odd, Sample

OPAQUE_IN_MP4 = frozenset(
    {"avc1", "avc3", "hvc1", "hev1", "av01", "vp09", "mp4v", "apco", "apcs", "apcn", "apch", "AVdn", "AVdh", "jpeg",
     "mjpa", "v210", "2vuy"}
)  # fmt: skip
PRORES_4444 = frozenset({"ap4h", "ap4x"})
IN_MATROSKA = frozenset(
    {"V_MPEG4/ISO/AVC", "V_MPEGH/ISO/HEVC", "V_MPEG4/ISO/ASP", "V_VP9", "V_AV1", "V_FFV1", "V_MJPEG"}
)
"""VP8 isn't in it: calls and browsers record in it, and their pictures grow within the file."""
ALPHA_MESSAGE, TURN_MESSAGE = 165, 47
"""What H.265 says beside its pictures."""


def alpha_in_mp4(codec: str, depth: int, configurations: dict[bytes, bytes], sample: Sample) -> int:
    """How many bits the transparency has. Raises Odd where the codec isn't known, or what it says is unusual."""
    if codec in ("avc1", "avc3"):
        _check_avc(configurations.get(b"avcC", b""))
    elif codec in ("hvc1", "hev1"):
        _check_hevc(configurations.get(b"hvcC", b""))
    if codec in OPAQUE_IN_MP4:
        return 0
    if codec in PRORES_4444:
        head = sample(26)
        if head[4:8] != b"icpf":
            raise Odd
        return DEEP if head[25] & 0x0F else 0
    if codec == "png ":
        head = sample(26)
        if head[12:16] != b"IHDR":
            raise Odd
        deep, kind = head[24] > 8, head[25]
        return 8 if not deep else DEEP if kind & 4 else 0
    if codec == "rle ":
        return 0 if depth in (16, 24) else 8
    raise Odd


def alpha_in_matroska(codec: str, private: bytes) -> int:
    """The same for Matroska's names."""
    if codec not in IN_MATROSKA:
        raise Odd
    if codec == "V_MPEG4/ISO/AVC":
        _check_avc(private)
    elif codec == "V_MPEGH/ISO/HEVC":
        _check_hevc(private)
    elif codec == "V_FFV1":
        return movie_ffv1.alpha_bits(private)
    return 0


def _check_avc(configuration: bytes) -> None:
    """Raise Odd unless all pictures are made by one set of parameters."""
    if len(configuration) < 7 or configuration[5] & 0x1F != 1:
        raise Odd


def _check_hevc(configuration: bytes) -> None:
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
            if len(unit) != size or size < 3:
                raise Odd
            _check_unit(kind, unit)
            parameters += kind == 33
    if parameters != 1:
        raise Odd


def _check_unit(kind: int, unit: bytes) -> None:
    layer = (unit[0] & 1) << 5 | unit[1] >> 3
    if layer:
        raise Odd
    if kind == 32 and (unit[2] & 3) << 4 | unit[3] >> 4:  # the parameters of several layers
        raise Odd
    if kind in (39, 40) and unit[2] in (ALPHA_MESSAGE, TURN_MESSAGE):
        raise Odd
