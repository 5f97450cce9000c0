"""The pictures that are compared (ui/comparison.py draws them): read from their files in slices, and kept for a while.

Blender reads a picture whole or not at all, and forgets it in the same breath here: the data-block that reading needs
is never in an undo step or a saved file. What takes longer than a frame of the window that way is read by the backend,
into a reel (jobs/reels.py), of which a tick takes a band of rows. Without a backend Blender reads it nevertheless, but
not while it plays.
"""

from __future__ import annotations

import logging
import os
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from ..jobs import session
from ..jobs.reels import Frame, ReelPicture
from ..stopwatch import LIMIT_SECONDS, timed
from ..timeline import movie_head, picture_files
from ..timeline.take_pictures import Picture, Point

log = logging.getLogger(__name__)

READING_SECONDS = LIMIT_SECONDS
"""Takes whose pictures Blender reads more slowly are not read by it while it plays."""
MAX_SLOW_READS = 2
"""So many reads may take longer before that is settled: one alone may have waited for the disk."""
MAX_COSTS = 256
QUICK_PIXELS = 160_000
"""Blender reads so many, and hands them to the card, in half a frame of the window."""
BAND_PIXELS = 200_000
"""So many of a reel are handed to the card in a tick."""
PLAYED_SIDE = 480
STILL_SIDES = (480, 640, 960, 1280)
"""The most pixels a side of what the backend reads: while Blender plays, and as large as it is seen."""
WHOLE = 1 << 20
"""The side of what was read as it is."""
MAX_BYTES = 256 << 20
"""What is kept of pictures that were drawn."""
MAX_PIXELS = 4096 * 4096
AHEAD = 48
"""So many of the next frames are asked of the backend while Blender plays."""
READ_AHEAD = 4
"""So many of them are at hand for the next draws."""
SLICE_SECONDS = LIMIT_SECONDS / 3
"""So long a tick reads from reels: in a window that is drawn slowly there are few ticks."""
WAITING_SECONDS = 0.03
"""From one look for the backend's answer to the next."""
_BYTES_OF_PIXEL = 16


class Band(NamedTuple):
    """Some rows of a picture on the card, from `low` to `top` of its height."""

    low: float
    top: float
    texture: Any
    is_packed: bool
    """Whether each pixel is a number whose bits are its colors."""


class Read(NamedTuple):
    """A picture that was read; without bands, it can't be."""

    size: tuple[int, int]
    """Of its file."""
    bands: tuple[Band, ...]
    side: int = WHOLE
    """So many pixels a side were read."""
    pixels: int = 0


class _Begun(NamedTuple):
    picture: Picture
    frame: Frame
    reel: ReelPicture
    size: tuple[int, int]
    bands: list[Band]
    rows: int


_kept: dict[Picture, Read] = {}
"""By what was asked for, the longest unused first."""
_asked: dict[Picture, int] = {}
"""What is to be read next, and at which side."""
_begun: _Begun | None = None
_slow: dict[str, int] = {}
"""By folder or movie, how many reads by Blender in a row took too long to be done while it plays."""
_sizes: dict[str, tuple[int, int] | None] = {}
"""By folder or movie, the size of pictures that the backend reads as Blender does."""
_room = array("f")
"""Where pixels are read into, the same place each time: clearing a new one takes a fourth of what reading does."""
on_read: list[Callable[[], None]] = []
"""Called when something came that was asked for."""


def of(picture: Picture) -> Read | None:
    """The picture, as far as it was read."""
    return _kept.get(picture)


def want(now: Sequence[Picture], following: Sequence[Sequence[Picture]], side: int, rate: float) -> None:
    """Have the timer read these, one for each side that is compared, and those that follow them while Blender plays.

    `side`: how many pixels a side are seen; `rate`: how many frames a second Blender plays, 0 if it doesn't. The
    backend is not asked for frames that are over before it answers.
    """
    asked_side = PLAYED_SIDE if rate else next((each for each in STILL_SIDES if each >= side), STILL_SIDES[-1])
    _asked.clear()
    soon = zip(*(series[:READ_AHEAD] for series in following), strict=False)
    for picture in (*now, *(picture for each in soon for picture in each)):
        known = _kept.get(picture)
        if known is not None:
            _kept[picture] = _kept.pop(picture)  # used last
        if known is None or (known.side < min(asked_side, max(known.size)) and not rate):
            _asked[picture] = asked_side
    series = [[picture, *after] for picture, after in zip(now, following, strict=True)]
    _ask_backend(series, asked_side, rate)
    if (_asked or _begun) and not bpy.app.timers.is_registered(_read):
        bpy.app.timers.register(_read, first_interval=0.0)


def _ask_backend(series: list[list[Picture]], side: int, rate: float) -> None:
    reels = session.current().server.reels
    asked: list[tuple[list[Frame], tuple[int, int]]] = []
    for pictures in series:
        size = reel_size(pictures[0])
        if size is None or not _has_backend():
            continue
        frames = [Frame(picture.path, picture.movie_frame, side) for picture in pictures]
        coming = frames[min(int(reels.seconds * rate), len(frames) // 2) :]
        if rate and not all(map(reels.is_known, coming[: len(coming) // 2 + 1])):
            asked.append((coming, size))
        elif not rate and pictures[0] in _asked and not reels.is_known(frames[0]):
            asked.append((frames[:1], size))
    if asked and not reels.busy:
        reels.want(asked)
        session.hurry()


def is_asking() -> bool:
    """Whether the backend has yet to answer: nothing more is asked of it meanwhile."""
    return session.current().server.reels.busy


def _has_backend() -> bool:
    return session.current().server.status.state == "ready" and _packed_shader() is not None


def reel_size(picture: Picture) -> tuple[int, int] | None:
    """The size of a picture that the backend reads as Blender does, and for which it is worth the while; else None."""
    source = _source(picture)
    if source not in _sizes:
        _sizes[source] = _size(picture)
    return _sizes[source]


def _size(picture: Picture) -> tuple[int, int] | None:
    try:
        if picture.is_movie:
            movie = movie_head.head_of(picture.path)
            return None if movie is None or movie.turn != 0 else (movie.width, movie.height)
        head = picture_files.head_of(picture.path)
    except OSError:
        return None
    quick = head.size is not None and head.size[0] * head.size[1] <= QUICK_PIXELS
    return head.size if head.is_opaque and not quick else None


def is_late(picture: Picture) -> bool:
    """True if the picture is not read while Blender plays."""
    return is_slow(picture) and (reel_size(picture) is None or not _has_backend())


def _can_read() -> bool:
    return _begun is not None or any(_is_at_hand(picture, side) for picture, side in _asked.items())


def _is_at_hand(picture: Picture, side: int) -> bool:
    """Whether the picture can be read now: from a reel, or by Blender."""
    frame, reels = Frame(picture.path, picture.movie_frame, side), session.current().server.reels
    if reels.of(frame) is not None:
        return True
    if picture in _kept:
        return False  # it is seen; finer, it comes from the backend alone
    by_backend = reel_size(picture) is not None and _has_backend() and not reels.is_known(frame)
    return not by_backend and not (plays() and is_slow(picture))


def plays() -> bool:
    """Whether Blender plays."""
    screen: Any = getattr(bpy.context, "screen", None)
    return screen is not None and screen.is_animation_playing


@timed("timer: comparison")
def _read() -> float | None:
    """Read some rows of what was asked for from reels, as time allows, or one picture by Blender."""
    until = time.perf_counter() + SLICE_SECONDS
    while _read_some() and time.perf_counter() < until:
        pass
    return _next()


def _read_some() -> bool:
    """One step; False if none is left, or if it was a long one."""
    global _begun
    was_quick = True
    if _begun is None:
        picture = next((each for each, side in _asked.items() if _is_at_hand(each, side)), None)
        if picture is None:
            return False
        frame = Frame(picture.path, picture.movie_frame, _asked.pop(picture))
        reel = session.current().server.reels.of(frame)
        size = reel_size(picture)
        if reel is not None and size is not None:
            _begun = _Begun(picture, frame, reel, size, [], max(1, BAND_PIXELS // reel.width))
        else:
            began, was_quick = time.perf_counter(), False
            _kept[picture] = read(picture)
            note_cost(picture, time.perf_counter() - began)
    if _begun is not None:
        _read_band(_begun)
    if _begun is None:
        _drop_old()
        for callback in on_read:
            callback()
    return was_quick


def _next() -> float | None:
    """When the timer goes on: at once, when the backend may have answered, or not before the next draw."""
    if _can_read():
        return 0.0
    return WAITING_SECONDS if _asked and is_asking() else None


def _read_band(begun: _Begun) -> None:
    global _begun
    reel, first = begun.reel, begun.rows * len(begun.bands)
    end = min(first + begun.rows, reel.height)
    try:
        texture = packed_texture(reel.width, end - first, reel.rows(first, end))
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        log.info("%s can't be compared from its reel: %s", begun.picture.path, error)
        session.current().server.reels.lost(begun.frame)
        _begun = None
        return
    begun.bands.append(Band(first / reel.height, end / reel.height, texture, True))
    if end == reel.height:
        side = max(reel.width, reel.height)
        if side == max(begun.size):
            side = WHOLE
        _kept[begun.picture] = Read(begun.size, tuple(begun.bands), side, reel.width * reel.height)
        _begun = None


def packed_texture(width: int, height: int, rows: bytes) -> Any:
    """Rows of four bytes a pixel on the card, as they are. Raises RuntimeError."""
    buffer = gpu.types.Buffer("FLOAT", width * height, memoryview(rows).cast("f"))
    return gpu.types.GPUTexture((width, height), format="R32F", data=buffer)


def note_cost(picture: Picture, seconds: float) -> None:
    """Remember whether Blender reads pictures of this take quickly enough while it plays."""
    source = _source(picture)
    if seconds <= READING_SECONDS:
        _slow.pop(source, None)
    elif len(_slow) < MAX_COSTS:
        _slow[source] = _slow.get(source, 0) + 1


def is_slow(picture: Picture) -> bool:
    """True if Blender doesn't read the pictures of this take while it plays."""
    return _slow.get(_source(picture), 0) >= MAX_SLOW_READS


def _source(picture: Picture) -> str:
    return picture.path if picture.is_movie else os.path.dirname(picture.path)


def _drop_old() -> None:
    used = sum(each.pixels for each in _kept.values()) * _BYTES_OF_PIXEL // 2
    while used > MAX_BYTES and len(_kept) > 2 * (READ_AHEAD + 1):
        used -= _kept.pop(next(iter(_kept))).pixels * _BYTES_OF_PIXEL // 2


def forget() -> None:
    """Drop all that is kept or asked for."""
    global _room, _begun
    _room, _begun = array("f"), None
    for each in (_kept, _asked, _slow, _sizes):
        each.clear()


def unregister() -> None:
    """End the timer."""
    if bpy.app.timers.is_registered(_read):
        bpy.app.timers.unregister(_read)
    forget()


def read(picture: Picture) -> Read:
    """The picture as Blender reads it, on the card; without bands where it can't."""
    try:
        found = pixels(picture)
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        log.info("%s can't be compared: %s", picture.path, error)
        found = None
    if found is None:
        return Read((0, 0), ())
    width, height, values = found
    buffer = gpu.types.Buffer("FLOAT", len(values), values)
    texture = gpu.types.GPUTexture((width, height), format="RGBA16F", data=buffer)
    return Read((width, height), (Band(0.0, 1.0, texture, False),), pixels=width * height)


def pixels(picture: Picture) -> tuple[int, int, array[float]] | None:
    """Width, height and the pixels as the file has them, from the lowest row up; None if there are none."""
    if not os.path.isfile(picture.path):  # a named pipe would be waited for
        return None
    image: Any = bpy.data.images.load(picture.path, check_existing=False)
    try:
        if picture.is_movie:
            image.gl_load(frame=picture.movie_frame + 1)
        width, height = image.size
        if not 0 < width * height <= MAX_PIXELS or image.channels != 4:
            return None
        values = _scratch(4 * width * height)
        image.pixels.foreach_get(values)
        return width, height, values
    finally:
        bpy.data.images.remove(image)


def _scratch(count: int) -> array[float]:
    """Room for so many numbers."""
    global _room
    if len(_room) != count:
        _room = array("f", bytes(4 * count))
    return _room


def draw(read: Read, points: Sequence[Point]) -> None:
    """The picture over a parallelogram: lower left, lower right, upper right, upper left."""
    gpu.state.blend_set("ALPHA")
    for band in read.bands:
        shader = _packed_shader() if band.is_packed else gpu.shader.from_builtin("IMAGE")
        if shader is None:
            continue
        low_left, top_left = (_between(points[0], points[3], at) for at in (band.low, band.top))
        low_right, top_right = (_between(points[1], points[2], at) for at in (band.low, band.top))
        corners = (low_left, low_right, top_right, low_left, top_right, top_left)
        places = ((0, 0), (1, 0), (1, 1), (0, 0), (1, 1), (0, 1))
        shader.uniform_sampler("image", band.texture)
        batch_for_shader(shader, "TRIS", {"pos": corners, "texCoord": places}).draw(shader)


def _between(one: Point, other: Point, share: float) -> Point:
    return one[0] + (other[0] - one[0]) * share, one[1] + (other[1] - one[1]) * share


_VERTEX = """
void main()
{
  uv = texCoord;
  gl_Position = ModelViewProjectionMatrix * vec4(pos, 0.0, 1.0);
}
"""
_FRAGMENT = """
vec3 color_at(ivec2 at)
{
  ivec2 last = textureSize(image, 0) - ivec2(1);
  uint bits = floatBitsToUint(texelFetch(image, clamp(at, ivec2(0), last), 0).r);
  return vec3(float(bits & 255u), float((bits >> 8u) & 255u), float((bits >> 16u) & 255u)) / 255.0;
}

void main()
{
  vec2 at = uv * vec2(textureSize(image, 0)) - vec2(0.5);
  ivec2 low = ivec2(floor(at));
  vec2 part = at - vec2(low);
  vec3 below = mix(color_at(low), color_at(low + ivec2(1, 0)), part.x);
  vec3 above = mix(color_at(low + ivec2(0, 1)), color_at(low + ivec2(1, 1)), part.x);
  fragColor = vec4(mix(below, above, part.y), 1.0);
}
"""
_shader: Any = None
_has_no_shader = False


def _packed_shader() -> Any:
    """Draws what `packed_texture` makes; None if the card can't."""
    global _shader, _has_no_shader
    if _shader is None and not _has_no_shader and not bpy.app.background:
        try:
            with timed("shader of the comparison, once"):
                _shader = _made_shader()
        except Exception as error:  # noqa: BLE001 - what a driver's compiler raises isn't said anywhere
            log.warning("Compared pictures are read by Blender alone: %s", error)
            _has_no_shader = True
    return _shader


def _made_shader() -> Any:
    description = gpu.types.GPUShaderCreateInfo()
    between: Any = gpu.types.GPUStageInterfaceInfo("wan_vse_compared")
    between.smooth("VEC2", "uv")
    description.push_constant("MAT4", "ModelViewProjectionMatrix")
    description.sampler(0, "FLOAT_2D", "image")
    description.vertex_in(0, "VEC2", "pos")
    description.vertex_in(1, "VEC2", "texCoord")
    description.vertex_out(between)
    description.fragment_out(0, "VEC4", "fragColor")
    description.vertex_source(_VERTEX)
    description.fragment_source(_FRAGMENT)
    return gpu.shader.create_from_info(description)
