"""The files that strips play: where they are, and whether they are there. Reads, changes nothing."""

from __future__ import annotations

import os

import bpy

from ...wan_backend.protocol.messages import MAX_TAKE_FRAMES, Pictures
from . import compat, file_look, movie_head

NAMES_SHOWN = 3


class Unusable(Exception):
    """What was asked for can't be a source; `sentence` says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def folder_of(scene: bpy.types.Scene, strip: compat.Strip) -> str:
    """The absolute folder of a movie's or image strip's files."""
    path = strip.directory if strip.type == "IMAGE" else os.path.dirname(strip.filepath)
    return os.path.abspath(bpy.path.abspath(path or "//", library=scene.library))


def names_of(strip: compat.Strip, frames: range) -> list[str]:
    """The file that is shown in each of the scene's frames; the first and last are held past the media's ends.

    Of a strip with many pictures, only those that these frames show are touched.
    """
    if strip.type == "MOVIE":
        return [bpy.path.basename(strip.filepath)]
    trim, last = compat.trim_start(strip), len(strip.elements) - 1
    indices = [min(index + trim, last) for index in media_indices(strip, frames)]
    if not indices:
        return []
    first = min(indices)
    names = [element.filename for element in strip.elements[first : max(indices) + 1]]
    return [names[index - first] for index in indices]


def all_names(strip: compat.Strip) -> list[str]:
    """Every picture of an image strip, shown or not; of very many, so many as a take may have, spread over all."""
    count = len(strip.elements)
    if count <= MAX_TAKE_FRAMES:
        return [element.filename for element in strip.elements]
    return [strip.elements[index * (count - 1) // (MAX_TAKE_FRAMES - 1)].filename for index in range(MAX_TAKE_FRAMES)]


def media_indices(strip: compat.Strip, frames: range) -> list[int]:
    """Which of the media's frames, from 0 after the trim, is shown in each of the scene's; not for retimed strips."""
    last = compat.content_frames(strip) - 1
    start = compat.content_start(strip)
    indices = [frame - start for frame in frames]
    if strip.type == "IMAGE" and len(strip.elements) == 1:
        return [0] * len(indices)
    if getattr(strip, "use_reverse_frames", False):
        indices = [last - max(0, index) if index <= last else 0 for index in indices]
    return [min(max(index, 0), last) for index in indices]


def check_there(
    scene: bpy.types.Scene, strip: compat.Strip, names: list[str], look: file_look.Look = file_look.whole
) -> None:
    """Raise Unusable where one of a strip's files is missing, empty or not to be read, as far as `look` looks."""
    folder = folder_of(scene, strip)
    lost = look(folder, names, False).lost
    if lost:
        more = f" and {len(lost) - NAMES_SHOWN} more" if len(lost) > NAMES_SHOWN else ""
        raise Unusable(
            f"“{strip.name}” plays {', '.join(lost[:NAMES_SHOWN])}{more}, which can't be found in {folder}: put it "
            "back there, or find it with File > External Data > Find Missing Files."
        )
    if strip.type == "MOVIE" and not (strip.fps > 0 and compat.content_frames(strip) > 0):
        raise Unusable(
            f"“{strip.name}” plays {names[0]}, which Blender can't read: convert it to H.264 in MP4, for example, "
            "and put that in its place."
        )


def pictures(
    scene: bpy.types.Scene, strip: compat.Strip, names: list[str], indices: list[int], look: file_look.Look
) -> Pictures | None:
    """What the strip's pictures are, as far as `look` looks; None where the backend may not see them as Blender does.

    `names` and `indices` are what is shown in each frame: the files, and which of the media's frames.
    """
    if strip.type == "MOVIE":
        return _movie_pictures(scene, strip, names[0], max(indices) + compat.trim_start(strip) + 1)
    found = look(folder_of(scene, strip), names, True)
    size = next(iter(found.sizes)) if len(found.sizes) == 1 and not found.lost else None
    return None if size is None else Pictures(*size)


def _movie_pictures(scene: bpy.types.Scene, strip: compat.Strip, name: str, frames: int) -> Pictures | None:
    """Of a movie that must have so many frames."""
    head = movie_head.head_of(os.path.join(folder_of(scene, strip), name))
    if head is None or strip.stream_index != 0 or not head.has(frames, strip.fps):
        return None
    turn = compat.turn_shown(head.turn)
    if turn is None or not head.depth.is_within(compat.DEEP_SAMPLES_SHOWN):
        return None
    most = compat.DEEP_SAMPLES_SHOWN
    found = Pictures(head.width, head.height, turn, head.depth.alpha, most.rgb, most.grey)
    element = strip.elements[0] if len(strip.elements) else None
    remembered = element is not None and (element.orig_width, element.orig_height)
    return found if remembered == found.shown_size() else None  # else the file isn't the one that was laid there
