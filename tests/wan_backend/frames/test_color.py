"""Colors are read as the file tags them; where it doesn't, as Blender reads them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.wan_backend.frames.written_movies import write_planes
from wan_backend.frames.source_frames import read
from wan_backend.protocol.messages import Role, Source

COLORS = [
    (0, 0, 0), (255, 255, 255), (200, 30, 40), (20, 180, 60), (30, 50, 220), (128, 128, 128), (250, 240, 10),
    (90, 10, 90),
]  # fmt: skip
WEIGHTS = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}
TAGS = {"bt709": 1, "bt601": 6, "bt2020": 9}


def patches(scale=8):
    rgb = np.array(COLORS, np.float64).reshape(2, 4, 3)
    return rgb.repeat(2 * scale, axis=0).repeat(2 * scale, axis=1)


def planes(rgb, weights, full, bits=8, halves=(1, 1)):
    """Brightness and color differences by the standard's own formula."""
    red, blue = weights
    values = rgb / 255
    luma = values @ np.array([red, 1 - red - blue, blue])
    differences = [(values[..., 2] - luma) / (2 * (1 - blue)), (values[..., 0] - luma) / (2 * (1 - red))]
    top = (1 << bits) - 1
    step = 1 << (bits - 8)
    kind = np.uint8 if bits == 8 else np.uint16
    luma = luma * top if full else (16 + 219 * luma) * step
    chroma = [d * top + (1 << (bits - 1)) if full else (128 + 224 * d) * step for d in differences]
    chroma = [c[:: halves[1], :: halves[0]] for c in chroma]
    return [np.clip(np.rint(p), 0, top).astype(kind) for p in (luma, *chroma)]


def shown(file, size):
    source = Source(Role.FOOTAGE, str(file.parent), [file.name], True, 0, 1)
    return next(iter(read(source, [0], *size, size)))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("standard", WEIGHTS)
@pytest.mark.parametrize(("pixels", "bits", "halves"), [
    ("yuv444p", 8, (1, 1)), ("yuv420p", 8, (2, 2)), ("yuv422p10le", 10, (2, 1)), ("yuv420p10le", 10, (2, 2)),
])  # fmt: skip
def test_tagged(tmp_path, standard, full, pixels, bits, halves):
    rgb = patches()
    file = write_planes(
        tmp_path / "a.mkv", planes(rgb, WEIGHTS[standard], full, bits, halves), pixels, TAGS[standard], 2 if full else 1
    )
    found = shown(file, (64, 32)).astype(int)
    centers = (slice(8, None, 16), slice(8, None, 16))
    assert np.abs(found - rgb)[centers].max() <= 2


def test_without_tags_it_is_bt601_and_limited(tmp_path):
    rgb = patches()
    file = write_planes(tmp_path / "a.mkv", planes(rgb, WEIGHTS["bt601"], False), "yuv444p")
    assert np.abs(shown(file, (64, 32)).astype(int) - rgb).max() <= 2


def test_gray_without_tags_is_full_range(tmp_path):
    gray = np.arange(256, dtype=np.uint8).reshape(8, 32).repeat(4, axis=0).repeat(4, axis=1)
    found = shown(write_planes(tmp_path / "a.mkv", [gray], "gray"), (128, 32))
    assert np.array_equal(found, gray[..., None].repeat(3, axis=2))


def test_rgb_movies_keep_every_bit(tmp_path):
    from tests.wan_backend.frames.written_movies import number_in, write

    file = write(tmp_path / "a.mkv", 3, "ffv1", "bgr0")
    source = Source(Role.FOOTAGE, str(tmp_path), [file.name], True, 0, 3)
    frames = list(read(source, range(3), 160, 64, (160, 64)))
    assert [number_in(frame) for frame in frames] == [0, 1, 2]
    assert set(np.unique(frames[2])) == {0, 255}


def test_a_movie_with_alpha_lies_over_black(tmp_path):
    rgb = patches()
    alpha = np.tile(np.linspace(0, 255, 64).round(), (32, 1)).astype(np.uint8)
    file = write_planes(
        tmp_path / "a.mkv", [*planes(rgb, WEIGHTS["bt709"], False), alpha], "yuva444p", TAGS["bt709"], 1
    )
    expected = rgb * (alpha[..., None] / 255)
    assert np.abs(shown(file, (64, 32)).astype(int) - expected).max() <= 3


def test_shrinking_before_or_after_the_conversion_is_the_same(tmp_path):
    rgb = patches(32)
    file = write_planes(tmp_path / "a.mkv", planes(rgb, WEIGHTS["bt709"], False, halves=(2, 2)), "yuv420p", 1, 1)
    small = shown(file, (64, 32)).astype(int)
    inner = np.abs(small - rgb[2::4, 2::4])[4::8, 4::8]
    assert inner.max() <= 2
