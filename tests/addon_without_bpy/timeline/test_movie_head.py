"""What the add-on knows of a movie from its head; of what may be shown otherwise than it is read, it knows nothing."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wan_backend.frames.written_movies import SIZE, write

KNOWN = {
    "h264.mp4": ("libx264", "yuv420p", {"preset": "ultrafast"}, 0),
    "h264.mov": ("libx264", "yuv444p", {"preset": "ultrafast", "bf": "2"}, 0),
    "h264.mkv": ("libx264", "yuv420p", {"preset": "ultrafast"}, 0),
    "h265.mp4": ("libx265", "yuv420p10le", {"preset": "ultrafast", "x265-params": "log-level=none"}, 0),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}, 0),
    "av1.mp4": ("libsvtav1", "yuv420p", {"preset": "12", "svtav1-params": "rc=0"}, 0),
    "prores.mov": ("prores_ks", "yuv422p10le", {}, 0),
    "opaque prores 4444.mov": ("prores_ks", "yuv444p10le", {"profile": "4444"}, 0),
    "prores 4444.mov": ("prores_ks", "yuva444p10le", {"profile": "4444"}, 16),
    "qtrle.mov": ("qtrle", "rgb24", {}, 0),
    "qtrle of 15 bits.mov": ("qtrle", "rgb555be", {}, 0),
    "transparent qtrle.mov": ("qtrle", "argb", {}, 8),
    "png.mov": ("png", "rgba", {}, 8),
    "deep png.mov": ("png", "rgba64be", {}, 16, 16),
    "deep opaque png.mov": ("png", "rgb48be", {}, 0, 16),
    "deep gray png.mov": ("png", "gray16be", {}, 0, 8, 16),
    "deep RGB h265.mp4": ("libx265", "gbrp10le", {"preset": "ultrafast", "x265-params": "log-level=none"}, 0, 16),
    "deep gray h265.mp4": ("libx265", "gray10le", {"preset": "ultrafast", "x265-params": "log-level=none"}, 0, 8, 16),
    "deep gray h264.mp4": ("libx264", "gray10le", {"preset": "ultrafast"}, 0, 8, 16),
    "ffv1.mkv": ("ffv1", "bgr0", {"level": "3"}, 0),
    "transparent ffv1.mkv": ("ffv1", "bgra", {"level": "3"}, 8),
    "deep RGB ffv1.mkv": ("ffv1", "gbrp16le", {"level": "3"}, 0, 16),
    "deep gray ffv1.mkv": ("ffv1", "gray10le", {"level": "3"}, 0, 8, 16),
    "ffv1 as Blender writes it.mkv": ("ffv1", "bgr0", {}, 0),
    "old ffv1.mkv": ("ffv1", "yuv420p", {"level": "0"}, 0),
    "transparent old ffv1.mkv": ("ffv1", "bgra", {"level": "1"}, 8),
    "deep old ffv1.mkv": ("ffv1", "yuv420p10le", {"level": "1", "coder": "range_tab"}, 0),
    "deep gray old ffv1.mkv": ("ffv1", "gray10le", {"level": "1", "coder": "range_def"}, 0, 8, 16),
    "gray ffv1.mkv": ("ffv1", "gray", {"level": "3"}, 0),
    "deep ffv1.mkv": ("ffv1", "yuv444p16le", {"level": "3"}, 0),
    "deep transparent ffv1.mkv": ("ffv1", "yuva444p10le", {"level": "3"}, 16),
    "deep transparent ffv1 with contexts.mkv": ("ffv1", "yuva444p10le", {"level": "3", "coder": "range_tab"}, 16),
}
"""Codec, pixel format, options; how deep the transparency may be, RGB and gray."""
UNKNOWN = {
    "vp8.webm": ("libvpx", "yuv420p", {"deadline": "realtime"}),
    "h264.avi": ("libx264", "yuv420p", {"preset": "ultrafast"}),
    "h264.ts": ("libx264", "yuv420p", {"preset": "ultrafast"}),
    "h264.flv": ("libx264", "yuv420p", {"preset": "ultrafast"}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {}),
    "mpeg2.mxf": ("mpeg2video", "yuv420p", {}),
    "wmv2.wmv": ("wmv2", "yuv420p", {}),
    "cineform.mov": ("cfhd", "gbrap12le", {}),
    "gray qtrle.mov": ("qtrle", "gray", {}),
    "coarse ffv1.mkv": ("ffv1", "yuv410p", {"level": "3"}),
    "in fragments.mp4": ("libx264", "yuv420p", {"preset": "ultrafast"}),
}
FRAMES = 6


@pytest.fixture(scope="module")
def head_of(addon):
    return addon("timeline.movie_head").head_of


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """One small movie of each container, as bytes."""
    folder = tmp_path_factory.mktemp("plain")
    return {name: written(folder, name, *KNOWN[name][:3]).read_bytes() for name in ("h264.mp4", "ffv1.mkv", "h265.mp4")}


def written(folder: Path, name: str, codec: str, pixels: str, options: dict[str, str], **more) -> Path:
    return write(folder / name, FRAMES, codec, pixels, Fraction(25), options, **more)


def boxed(content: bytearray, kind: bytes) -> int:
    """Where what is in the first box of that kind begins."""
    at = content.find(kind)
    assert at > 0
    return at + 4


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_is_as_it_was_written(tmp_path, head_of, name):
    codec, pixels, options, alpha, *more = KNOWN[name]
    rgb, gray = (*more, 8, 8)[:2]
    head = head_of(str(written(tmp_path, name, codec, pixels, options)))
    assert head is not None
    assert ((head.width, head.height), head.turn) == (SIZE, 0)
    assert (head.depth.alpha, head.depth.rgb, head.depth.gray) == (alpha, rgb, gray)
    assert head.has(FRAMES, 25) and not head.has(FRAMES + 1, 25)


@pytest.mark.parametrize("name", UNKNOWN)
def test_nothing_is_known_of_the_rest(tmp_path, head_of, name):
    file = written(tmp_path, name, *UNKNOWN[name])
    if name.startswith("in fragments"):
        file = remuxed(file, tmp_path / "fragments.mp4", {"movflags": "frag_keyframe+empty_moov"})
    assert head_of(str(file)) is None


def test_what_every_blender_shows_black_is_told(tmp_path, addon, plain):
    is_shown_black = addon("timeline.movie_head").is_shown_black
    assert is_shown_black(str(written(tmp_path, "gray qtrle.mov", *UNKNOWN["gray qtrle.mov"])))
    assert not is_shown_black(str(written(tmp_path, "qtrle.mov", *KNOWN["qtrle.mov"][:3])))
    sound = bytearray(plain["h264.mp4"])
    place = boxed(sound, b"hdlr") + 8
    sound[place : place + 4] = b"soun"
    (tmp_path / "song.m4a").write_bytes(sound)
    for shows_covers in (False, True):
        assert is_shown_black(str(tmp_path / "song.m4a"), shows_covers) is not shows_covers
    for name in ("nothing.mov", "text.mov"):
        (tmp_path / "text.mov").write_text("hello")
        assert not is_shown_black(str(tmp_path / name), False)


def remuxed(
    file: Path, to: Path, options: dict[str, str] | None = None, tracks: int = 1, said: dict[str, str] | None = None
) -> Path:
    """Another file with equal pictures; `said` is put into the head of their track."""
    with av.open(str(file)) as source, av.open(str(to), "w", options=options or {}) as target:
        streams = [target.add_stream_from_template(source.streams.video[0]) for _ in range(tracks)]
        for stream in streams:
            stream.metadata.update(said or {})
        for packet in source.demux(video=0):
            for stream in streams if packet.dts is not None else ():
                packet.stream = stream
                target.mux(packet)
    return to


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_nothing_is_known_where_there_are_two_picture_tracks(tmp_path, head_of, ending):
    file = written(tmp_path, f"one.{ending}", *KNOWN["h264.mp4"][:3])
    assert head_of(str(file)) is not None
    assert head_of(str(remuxed(file, tmp_path / f"two.{ending}", tracks=2))) is None


@pytest.mark.parametrize(
    ("corner", "turn"),
    [((1, 0, 0, 1), 0), ((0, 1, -1, 0), 90), ((-1, 0, 0, -1), 180), ((0, -1, 1, 0), 270),
     ((-1, 0, 0, 1), None), ((1, 0, 0, -1), None), ((0, 1, 1, 0), None), ((2, 0, 0, 1), None)],
)  # fmt: skip
def test_the_turn_that_a_phone_writes(tmp_path, head_of, plain, corner, turn):
    content = bytearray(plain["h264.mp4"])
    numbers = [number << 16 for number in corner]
    struct.pack_into(">9i", content, boxed(content, b"tkhd") + 40, *numbers[:2], 0, *numbers[2:], 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(content)
    assert head_of(str(tmp_path / "a.mp4")).turn == turn


def test_nothing_is_known_where_times_are_uneven(tmp_path, head_of):
    codec, pixels, options, _ = KNOWN["h264.mp4"]
    file = written(tmp_path, "a.mp4", codec, pixels, {**options, "bf": "0"}, times=[0, 1, 2, 4, 5, 6])
    assert head_of(str(file)) is None


@pytest.mark.parametrize("what", [b"clap", b"lhvC", b"vexu", b"almo", b"xxxx"])
def test_nothing_is_known_where_an_entry_says_more(tmp_path, head_of, plain, what):
    """A clean aperture, a second eye, a layer of transparency; here in the place of a box that is harmless."""
    content = bytearray(plain["h265.mp4"])
    at = boxed(content, b"stsd")
    place = content.find(b"btrt", at)
    assert place > 0
    content[place : place + 4] = what
    (tmp_path / "a.mp4").write_bytes(content)
    assert head_of(str(tmp_path / "a.mp4")) is None


@pytest.mark.parametrize("said", [{"alpha_mode": "1"}, {"stereo_mode": "left_right"}])
def test_nothing_is_known_of_webm_with_transparency_or_a_second_eye(tmp_path, head_of, said):
    codec, pixels, options, _ = KNOWN["vp9.webm"]
    file = written(tmp_path, "a.mkv", codec, pixels, options)
    assert head_of(str(file)) is not None
    assert head_of(str(remuxed(file, tmp_path / "b.mkv", said=said))) is None


@pytest.mark.parametrize("number", [b"\x54\xaa", b"\x76\x70"])
def test_nothing_is_known_of_matroska_with_a_cut_or_a_projection(tmp_path, head_of, number):
    """In the place of what says that there is no second eye."""
    codec, pixels, options, _ = KNOWN["vp9.webm"]
    file = remuxed(
        written(tmp_path, "a.mkv", codec, pixels, options), tmp_path / "b.mkv", said={"stereo_mode": "left_right"}
    )
    eyes = b"\x53\xb8\x81"
    content = file.read_bytes()
    assert content.count(eyes + b"\x01") == 1
    file.write_bytes(content.replace(eyes + b"\x01", eyes + b"\0"))
    assert head_of(str(file)) is not None
    file.write_bytes(content.replace(eyes + b"\x01", number + b"\x81\0"))
    assert head_of(str(file)) is None


def test_ffv1_as_in_avi_is_known_and_nothing_else_is(addon, tmp_path):
    """Blender's own files are so."""
    codecs, odd = addon("timeline.movie_codecs"), addon("timeline.movie_codecs").UnusualMovie
    content = written(tmp_path, "a.mkv", "ffv1", "bgra", {"level": "3"}).read_bytes()
    at = content.index(b"\x63\xa2") + 3
    record = content[at : at + (content[at - 1] & 0x7F)]
    for name, known in ((b"FFV1", True), (b"H264", False)):
        private = bytes(16) + name + bytes(20) + record
        if known:
            assert codecs.bit_depth_in_matroska("V_MS/VFW/FOURCC", private, False, None).alpha == 8
        else:
            with pytest.raises(odd):
                codecs.bit_depth_in_matroska("V_MS/VFW/FOURCC", private, False, None)


@pytest.mark.parametrize("where", ["layer", "layers", "alpha", "turn", "two"])
def test_h265_with_a_layer_of_transparency_is_not_known(addon, where):
    codecs, odd = addon("timeline.movie_codecs"), addon("timeline.movie_codecs").UnusualMovie
    units = [(32, b"\x40\x01\x0c\x01"), (33, b"\x42\x01\x01\x01"), (34, b"\x44\x01\xc0\x73")]

    def configuration(more=()):
        arrays = b"".join(bytes([kind]) + struct.pack(">HH", 1, len(unit)) + unit for kind, unit in [*units, *more])
        return bytes(22) + bytes([len(units) + len(more)]) + arrays

    codecs.bit_depth_in_mp4("hvc1", 24, {b"hvcC": configuration()}, None)
    more = {
        "layer": (34, b"\x44\x09\xc0\x73"),
        "layers": (32, b"\x40\x01\x0c\x11"),
        "alpha": (39, b"\x4e\x01\xa5\x04"),
        "turn": (39, b"\x4e\x01\x2f\x04"),
        "two": (33, b"\x42\x01\x01\x02"),
    }[where]
    with pytest.raises(odd):
        codecs.bit_depth_in_mp4("hvc1", 24, {b"hvcC": configuration([more])}, None)


def test_vp9_says_whether_it_may_be_rgb(addon):
    """Four times four, and deeper than eight bits; in WebM it says that of its colors."""
    codecs = addon("timeline.movie_codecs")
    for bits, chroma, rgb in ((8, 3, 8), (10, 1, 8), (10, 3, 16)):
        configuration = bytes([1, 0, 0, 0, 1, 20, bits << 4 | chroma << 1, 1, 1, 0, 0, 0])
        assert codecs.bit_depth_in_mp4("vp09", 24, {b"vpcC": configuration}, None).rgb == rgb
    assert [codecs.bit_depth_in_matroska("V_VP9", b"", said, None).rgb for said in (False, True)] == [8, 16]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_head_is_nothing_known_or_something_sensible(tmp_path, addon, plain, data):
    content = bytearray(plain[data.draw(st.sampled_from(sorted(plain)))])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.one_of(st.integers(0, min(900, len(content) - 1)), st.integers(0, len(content) - 1)))
        content[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFE, 0xFF]) | st.integers(0, 255))
    end = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    (tmp_path / "a.mp4").write_bytes(content[:end])
    head = addon("timeline.movie_head")._read(str(tmp_path / "a.mp4"))
    if head is not None:
        assert 0 < head.width <= 1 << 16 and 0 < head.height <= 1 << 16 and head.depth.alpha in (0, 8, 16)


@pytest.mark.parametrize("start", [b"\0\0\0\x08ftyp", b"\0\0\0\x08free"])
def test_no_more_is_read_than_a_little(tmp_path, addon, start):
    """A million empty boxes, or one that holds itself for ever."""
    codecs, mp4 = addon("timeline.movie_codecs"), addon("timeline.movie_head")
    (tmp_path / "a.mp4").write_bytes(start * 200_000)
    with open(tmp_path / "a.mp4", "rb") as stream:
        file = codecs.LimitedFile(stream)
        with pytest.raises(codecs.UnusualMovie):
            mp4.read_mp4(file)
        assert file._steps == -1, "it stopped by its steps"


def test_a_file_that_changed_is_read_again(tmp_path, head_of):
    codec, pixels, options, _ = KNOWN["h264.mp4"]
    file = written(tmp_path, "a.mp4", codec, pixels, options)
    assert head_of(str(file)) is not None
    file.write_bytes(b"no movie")
    assert head_of(str(file)) is None
    file.unlink()
    assert head_of(str(file)) is None
    file.mkdir()
    assert head_of(str(file)) is None
