"""Lets an image or movie strip play other files in place: the strip stays the same one, with all that was done to it.

The names of pictures are added and removed at the end of their list, which takes a fraction of a millisecond for a
take; no strip is made or removed, so that Blender goes on playing. All versions from 4.2 on allow it.
"""

from __future__ import annotations

import os

import bpy

from ...wan_backend.protocol import bounds
from . import animation, compat, free_space, movie_head, picture_files, strip_columns, strip_media

Size = tuple[int, int]
CROP = "wan_vse_crop"
"""The crop as exact numbers, left, right, bottom and top, since Blender's own are whole."""
_SIDES = ("min_x", "max_x", "min_y", "max_y")


def swap(scene: bpy.types.Scene, strip: compat.Strip, folder: str, names: tuple[str, ...], earlier: int = 0) -> None:
    """Let `strip` play `names` from `folder` (as strips keep it), in the same frames, as large in the frame as before.

    The new media begins so many frames `earlier` than the old, as where it alone has a handle. The files must be there:
    a picture that is missing can crash Blender when it renders.
    """
    place = compat.start(strip), compat.end_exclusive(strip)
    before = _size_shown(strip)
    if strip.type == "IMAGE":
        _swap_pictures(strip, folder, names, earlier)
    else:
        _swap_movie(strip, os.path.join(folder, names[0]))
    if earlier and (strip.type == "MOVIE" or not keeps_length(strip)):
        _begin_earlier(scene, strip, earlier, place)
    compat.set_handles(strip, *place)  # a list of another length moved the end, where no neighbor was asked
    after = _size_in(os.path.join(bpy.path.abspath(folder), names[0]), strip.type == "MOVIE")
    if before and after and before != after:
        _keep_size(scene, strip, before, after)


def _begin_earlier(scene: bpy.types.Scene, strip: compat.Strip, earlier: int, place: tuple[int, int]) -> None:
    """Move the media under the strip, which stays where it is. It is moved aside: there it can't overlap another."""
    collection = next(each for each in strip_columns.collections(scene) if each.get(strip.name) == strip)
    begins = compat.content_start(strip) - earlier
    frames = compat.content_frames(strip) + abs(earlier)
    first, last = min(begins, place[0]) - abs(earlier), max(begins, compat.end_exclusive(strip), place[1]) + frames
    channel = strip.channel
    strip.channel = free_space.channel_aside(collection, first, last)
    with animation.unmoved(scene, strip):
        compat.move_content(strip, -earlier)
        compat.set_handles(strip, *place)
    strip.channel = channel


def keeps_length(strip: compat.Strip) -> bool:
    """True if the strip's timing is tied to the number of its media's frames: it is retimed, or trimmed for good."""
    return bool(compat.has_retiming_keys(strip) or any(compat.trims(strip)))


def _swap_pictures(strip: compat.Strip, folder: str, names: tuple[str, ...], earlier: int) -> None:
    elements, wanted = strip.elements, list(names)
    if keeps_length(strip):  # a handle can't come under it: the pictures of the frames are those that it plays
        last = len(names) - 1
        wanted = [names[min(max(index + earlier, 0), last)] for index in range(len(elements))]  # others are held
    count = len(wanted)
    strip.directory = folder
    while len(elements) > count:
        elements.pop(len(elements) - 1)  # not by -1: the list would be counted from its end only in some versions
    for element, name in zip(elements, wanted, strict=False):
        if element.filename != name:
            element.filename = name
    for name in wanted[len(elements) :]:
        elements.append(name)


def _swap_movie(strip: compat.Strip, path: str) -> None:
    colors = strip.colorspace_settings.name
    strip.filepath = path
    if strip.colorspace_settings.name != colors:  # Blender may choose it anew for another file
        strip.colorspace_settings.name = colors


def _size_shown(strip: compat.Strip) -> Size | None:
    """The size of the strip's pictures, as Blender remembers it or as the first file says."""
    element = strip.elements[0] if len(strip.elements) else None
    folder = strip_media.played_folder(strip)
    if element is None or folder is None:
        return None
    size = _size_in(os.path.join(folder, element.filename), strip.type == "MOVIE")
    remembered = (element.orig_width, element.orig_height)
    return size or (remembered if all(side > 0 for side in remembered) else None)


def _size_in(path: str, is_movie: bool) -> Size | None:
    try:
        if not is_movie:
            return picture_files.head_of(path).size
        head = movie_head.head_of(path)
        return (head.width, head.height) if head is not None else None
    except (OSError, ValueError):
        return None


def _keep_size(scene: bpy.types.Scene, strip: compat.Strip, before: Size, after: Size) -> None:
    """Scale and crop pictures of another size so that they lie where those before lay. An animated scale stays."""
    wider, higher = before[0] / after[0], before[1] / after[1]
    transform = strip.transform
    _keep_crop(strip, wider, higher)
    if not animation.is_animated(scene, strip, "transform.scale_"):
        transform.scale_x *= wider
        transform.scale_y *= higher


def _keep_crop(strip: compat.Strip, wider: float, higher: float) -> None:
    """Crop as much of the picture as before. The exact numbers are kept: flipping there and back adds nothing."""
    crop = strip.crop
    whole = [getattr(crop, side) for side in _SIDES]
    exact = _exact_crop(strip)
    if [round(side) for side in exact] != whole:  # somebody has cropped it since
        exact = whole
    fitted = [min(side / by, bounds.MAX_NUMBER) for side, by in zip(exact, (wider, wider, higher, higher), strict=True)]
    for name, side in zip(_SIDES, fitted, strict=True):
        setattr(crop, name, round(side))
    if any(fitted):
        strip[CROP] = fitted
    elif strip.get(CROP) is not None:
        del strip[CROP]


def _exact_crop(strip: compat.Strip) -> list[float]:
    """What the property holds; zeros if that can't have been written here."""
    kept = strip.get(CROP)
    try:
        sides = [float(side) for side in kept] if len(kept) == len(_SIDES) else []
    except (TypeError, ValueError):
        sides = []
    is_sane = bool(sides) and all(0 <= side <= bounds.MAX_NUMBER for side in sides)
    return sides if is_sane else [0.0] * len(_SIDES)
