"""The codecs that the backend decodes as Blender does, and how deep a movie's samples in them are.

What isn't in these tables is rendered by Blender. Standard library only.
"""

from __future__ import annotations

from . import movie_ffv1
from .movie_facts import DEEP, Depth, Odd, Sample

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
GREY, FULL_COLOUR = 0, 3
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
        return movie_ffv1.depth(private[BITMAP_HEAD_BYTES:], sample)
    if codec not in IN_MATROSKA:
        raise Odd
    if codec == "V_MPEG4/ISO/AVC":
        return _avc(private)
    if codec == "V_MPEGH/ISO/HEVC":
        return _hevc(private)
    if codec == "V_AV1":
        return _av1(private)
    if codec == "V_FFV1":
        return movie_ffv1.depth(private, sample)
    return Depth(rgb=DEEP if is_rgb else 8)


def _of_chroma(kind: int, deep: bool) -> Depth:
    return Depth(rgb=DEEP if deep and kind == FULL_COLOUR else 8, grey=DEEP if deep and kind == GREY else 8)


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
    kind = GREY if said & 0x10 else 1 if said & 0x0C else FULL_COLOUR
    return _of_chroma(kind, bool(said & 0x40))


def _vp9(configuration: bytes) -> Depth:
    if len(configuration) < 10:
        raise Odd
    said = configuration[6]
    return _of_chroma(FULL_COLOUR if said >> 1 & 7 == 3 else 1, said >> 4 > 8)
