"""What the model sees lies exactly where a take of it will be shown."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wan_backend.frames.color import FrameReader
from wan_backend.frames.resampling import PlaneResampler, axes
from wan_backend.protocol.messages import Framing

SOURCES = [(1920, 1080), (1280, 720), (1080, 1920), (2048, 858)]
MODELS = {(1920, 1080): (832, 480), (1280, 720): (832, 480), (1080, 1920): (480, 832), (2048, 858): (976, 416)}
LAYS = {
    "as it is": lambda w, h: Framing(w, h, 0.0, 0.0, w, h),
    "cropped": lambda w, h: Framing(w, h, 130.0, 41.0, w - 230.5, h - 90.0, 130.0, 41.0, 100.5, 49.0),
    "moved and grown": lambda w, h: Framing(w, h, -97.3, -55.8, w * 1.17, h * 1.17),
    "moved and shrunk": lambda w, h: Framing(w, h, 61.4, 80.2, w * 0.71, h * 0.71),
    "mirrored": lambda w, h: Framing(w, h, 0.0, 0.0, w, h, mirror_x=True, mirror_y=True),
}


def scene(x, y):
    """A smooth picture in 0..255, of places in pixels: nothing in it is finer than a model's picture can hold."""
    red = 128 + 60 * np.sin(x / 29 + 0.4) * np.cos(y / 37) + 40 * np.sin((x + 2 * y) / 61)
    green = 120 + 80 * np.cos(x / 43 - y / 33)
    blue = 128 + 50 * np.sin(y / 27) + 50 * np.cos(x / 71 + 1)
    return np.stack(np.broadcast_arrays(red, green, blue), axis=-1)


def places(width, height):
    return np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)


def shown_by_blender(lies, picture):
    """What of the scene's picture is where on the canvas (see Framing), and where it is black."""
    x, y = places(lies.canvas_width, lies.canvas_height)
    across, down = (x - lies.x) / lies.width, (y - lies.y) / lies.height
    covered = (across >= 0) & (across < 1) & (down >= 0) & (down < 1)
    across, down = (1 - across if lies.mirror_x else across), (1 - down if lies.mirror_y else down)
    u = lies.crop_left + across * (picture[0] - lies.crop_left - lies.crop_right)
    v = lies.crop_top + down * (picture[1] - lies.crop_top - lies.crop_bottom)
    return scene(u, v) * covered[..., None], covered


def filled(take, width, height):
    """The take over the whole frame, as fit FILL shows it, centered: each of the frame's pixels from where it lies."""
    h, w = take.shape[:2]
    scale = max(width / w, height / h)
    x = (np.arange(width) + 0.5 - width / 2) / scale + w / 2 - 0.5
    y = (np.arange(height) + 0.5 - height / 2) / scale + h / 2 - 0.5
    across, down = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return cv2.remap(take, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def shift(one, other):
    """How far `other` lies from `one`, in pixels, by least squares over the slopes."""
    gray = [np.asarray(p, np.float64).mean(axis=2) for p in (one, other)]
    down, across = np.gradient(gray[0])
    slopes, apart = (across, down), gray[0] - gray[1]
    normal = np.array([[np.sum(one * other) for other in slopes] for one in slopes])
    return np.abs(np.linalg.solve(normal, [np.sum(one * apart) for one in slopes])).max()


def psnr(one, other):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


# Every lay and every size once; all of them together in the long run.
LAID = [(lay, size) for lay in LAYS for size in SOURCES]
AT_ONCE = {("as it is", SOURCES[0]), ("cropped", SOURCES[1]), ("moved and grown", SOURCES[2]),
           ("moved and shrunk", SOURCES[3]), ("mirrored", SOURCES[2]), ("cropped", SOURCES[3])}  # fmt: skip


@pytest.mark.parametrize(
    ("lay", "size"),
    [pytest.param(*each, marks=[] if each in AT_ONCE else pytest.mark.long) for each in LAID],
    ids=[f"{lay}-{size[0]}x{size[1]}" for lay, size in LAID],
)
def test_there_and_back_is_the_canvas(size, lay):
    lies = LAYS[lay](*size)
    picture = np.rint(scene(*places(*size))).astype(np.float32)
    seen = FrameReader(*axes(lies, size, MODELS[size], (1, 1))).from_rgb(picture)
    assert seen.shape[1::-1] == MODELS[size]
    truth, covered = shown_by_blender(lies, size)
    back = filled(seen, *size)
    inside = cv2.erode(covered.astype(np.uint8), np.ones((13, 13), np.uint8), borderValue=1).astype(bool)
    assert psnr(back[inside], truth[inside]) >= 45
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    part = slice(rows[0] + 8, rows[-1] - 8), slice(columns[0] + 8, columns[-1] - 8)
    assert shift(truth[part], back[part]) <= 0.25 / 4  # well under a quarter of a pixel
    outside = cv2.erode((~covered).astype(np.uint8), np.ones((13, 13), np.uint8), borderValue=1).astype(bool)
    assert not outside.any() or back[outside].max() <= 1


@pytest.mark.parametrize("size", SOURCES, ids=lambda size: "x".join(map(str, size)))
def test_at_the_native_size_every_pixel_comes_back(size):
    """Models need multiples of 16; what is past the canvas repeats its edge, and is cut off again."""
    model = tuple((side + 15) // 16 * 16 for side in size)
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (size[1], size[0], 3)).astype(np.float32)
    seen = FrameReader(*axes(None, size, model, size)).from_rgb(picture)
    left, top = (model[0] - size[0]) // 2, (model[1] - size[1]) // 2
    assert np.array_equal(seen[top : top + size[1], left : left + size[0]], picture.astype(np.uint8))
    assert np.array_equal(seen[0, left], seen[top, left]) and np.array_equal(seen[top, 0], seen[top, left])


def test_a_letterbox_is_black_to_the_pixel():
    lies = Framing(1920, 1080, 0.0, 140.0, 1920.0, 800.0)
    seen = FrameReader(*axes(lies, (1920, 800), (960, 540), (1, 1))).from_rgb(np.full((800, 1920, 3), 200, np.float32))
    assert (seen[:70] == 0).all() and (seen[70:470] == 200).all() and (seen[470:] == 0).all()


def test_a_picture_half_over_a_pixel_is_half_as_bright_there():
    lies = Framing(100, 50, 10.5, 0.0, 50.0, 50.0)
    seen = FrameReader(*axes(lies, (50, 50), (100, 50), (1, 1))).from_rgb(np.full((50, 50, 3), 200, np.float32))
    assert seen[0, 9, 0] == 0 and seen[0, 10, 0] == 100 and seen[0, 11, 0] == 200 and seen[0, 60, 0] == 100


def test_a_plane_of_half_the_pixels_lies_on_the_whole_one():
    """Chroma: the same places, found on half as many pixels."""
    x, y = places(1920, 1080)
    whole = (128 + 60 * np.sin(x / 91) * np.cos(y / 83)).astype(np.float32)
    half = cv2.resize(whole, (960, 540), interpolation=cv2.INTER_AREA)
    across, down = axes(Framing(1920, 1080, 31.7, -12.0, 1800.0, 1100.0), (1920, 1080), (832, 480), (1, 1))
    one = PlaneResampler(across, down, 1920, 1080)(whole)
    other = PlaneResampler(across.scaled(0.5), down.scaled(0.5), 960, 540, smooth=True)(half)
    assert np.abs(one - other)[3:-3, 16:-60].max() < 1


def test_growing_rings_little_and_shrinking_shows_no_pattern():
    """Lanczos on a step overshoots by under an eighth; the finest stripes shrink to gray."""
    step = np.zeros((20, 20, 3), np.float32)
    step[:, 10:] = 160
    grown = FrameReader(*axes(None, (20, 20), (160, 160), (20, 20))).from_rgb(step)
    assert 160 < grown.max() <= 180 and grown[80, 0, 0] == 0 and grown[80, -1, 0] == 160
    stripes = np.zeros((90, 600, 3), np.float32)
    stripes[:, ::2] = 200
    shrunk = FrameReader(*axes(None, (600, 90), (100, 15), (600, 90))).from_rgb(stripes)
    assert np.abs(shrunk.astype(int) - 100).max() <= 1


@pytest.mark.parametrize("model", [(16, 16), (832, 480)])
@pytest.mark.parametrize("canvas", [(1, 1), (16, 9), (4096, 30)])
def test_any_size_is_framed(model, canvas):
    picture = np.full((7, 5, 3), 90, np.float32)
    seen = FrameReader(*axes(None, (5, 7), model, canvas)).from_rgb(picture)
    assert seen.shape == (model[1], model[0], 3) and (seen == 90).all()


@pytest.mark.parametrize(
    "lies",
    [
        Framing(0, 1080, 0.0, 0.0, 1.0, 1.0),
        Framing(1920, 1080, 0.0, 0.0, 0.0, 1.0),
        Framing(1920, 1080, 0.0, 0.0, 9.0, 9.0, crop_left=3.0, crop_right=2.0),
    ],
)
def test_nothing_to_be_seen_is_an_error(lies):
    with pytest.raises(ValueError, match=r"no size|leaves nothing"):
        axes(lies, (5, 5), (16, 16), (1, 1))


def test_a_picture_beside_the_frame_is_black():
    lies = Framing(100, 100, 300.0, 0.0, 50.0, 50.0)
    seen = FrameReader(*axes(lies, (50, 50), (64, 64), (1, 1))).from_rgb(np.full((50, 50, 3), 200, np.float32))
    assert (seen == 0).all()
