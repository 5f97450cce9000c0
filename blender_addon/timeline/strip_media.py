"""Finds what strips play, and whether it can be read: files of movies and images, and scenes. Changes nothing."""

from __future__ import annotations

import os
import time
from typing import Any

import bpy
import imbuf
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import MAX_TAKE_FRAMES, Pictures
from . import compat, movie_head, path_rules, picture_files, strip_columns
from .strip_transform import is_retimed

NAMES_SHOWN = 3
PLAYERS_KEPT_SECONDS = 2.0
"""For this long, the list of which strips play from which folder is used again."""


def folder_of(scene: bpy.types.Scene, strip: compat.Strip) -> str:
    """The absolute folder of a movie or image strip's files."""
    path = strip.directory if strip.type == "IMAGE" else os.path.dirname(strip.filepath)
    return os.path.abspath(bpy.path.abspath(path or "//", library=scene.library))


def played_folder(strip: compat.Strip) -> str | None:
    """The absolute folder that an image or movie strip plays from; None for other strips."""
    if strip.type == "IMAGE":
        return os.path.normpath(bpy.path.abspath(strip.directory))
    if strip.type == "MOVIE":
        return os.path.dirname(os.path.normpath(bpy.path.abspath(strip.filepath)))
    return None


def stored_path(strip: compat.Strip) -> str | None:
    """The path that an image or movie strip plays from, as the strip keeps it; None for other strips."""
    paths = {"IMAGE": "directory", "MOVIE": "filepath"}
    return str(getattr(strip, paths[strip.type])) if strip.type in paths else None


def set_played_folder(strip: compat.Strip, folder: str) -> None:
    """Make an image or movie strip play files of the same names from another folder."""
    if strip.type == "IMAGE":
        strip.directory = folder
    else:
        strip.filepath = os.path.join(folder, bpy.path.basename(strip.filepath))


def names_of(strip: compat.Strip, frames: range) -> list[str]:
    """The name of the file that is shown in each of the scene's frames; past the media's ends, the first or last.

    Only the pictures that these frames show are read, however many the strip has.
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
    """The names of all pictures of an image strip; of more than a take may have, that many, evenly spread."""
    count = len(strip.elements)
    if count <= MAX_TAKE_FRAMES:
        return [element.filename for element in strip.elements]
    return [strip.elements[index * (count - 1) // (MAX_TAKE_FRAMES - 1)].filename for index in range(MAX_TAKE_FRAMES)]


def is_played(folder: str, names: list[str], is_movie: bool, now: bool = False) -> bool:
    """Whether a strip of the open file plays those files; `now` for one that may have come a moment ago."""
    wanted = set(names)
    for scene_name, strip_name in _players(now).get((is_movie, folder), ()):
        scene = compat.own_scene(scene_name)
        strip = compat.strip_named(scene, strip_name) if scene is not None else None
        if strip is None or strip.type != ("MOVIE" if is_movie else "IMAGE") or folder_of(scene, strip) != folder:
            continue  # the list is older than the strip
        played = {bpy.path.basename(strip.filepath)} if is_movie else {each.filename for each in strip.elements}
        if wanted <= played:
            return True
    return False


def _players(now: bool) -> dict[tuple[bool, str], list[tuple[str, str]]]:
    """The scenes and strips that play from each folder, by kind; kept for a moment, as a thousand jobs ask at once."""
    global _last_players
    scenes = [scene for scene in bpy.data.scenes if scene.library is None]
    key = (bpy.data.filepath, tuple((scene.as_pointer(), len(compat.all_strips(scene))) for scene in scenes))
    kept_key, until, players = _last_players
    if not now and key == kept_key and time.monotonic() < until:
        return players
    players = {}
    for scene in scenes:
        for strip, _ in strip_columns.walk(scene):
            if strip.type in ("MOVIE", "IMAGE"):
                place = (strip.type == "MOVIE", folder_of(scene, strip))
                players.setdefault(place, []).append((scene.name, strip.name))
    _last_players = key, time.monotonic() + PLAYERS_KEPT_SECONDS, players
    return players


_last_players: tuple[object, float, dict[tuple[bool, str], list[tuple[str, str]]]] = (None, 0.0, {})


def media_indices(strip: compat.Strip, frames: range) -> list[int]:
    """The index of the media's frame that each of the scene's frames shows, from 0 after the trim.

    It is wrong for retimed strips.
    """
    last = compat.content_frames(strip) - 1
    start = compat.content_start(strip)
    indices = [frame - start for frame in frames]
    if strip.type == "IMAGE" and len(strip.elements) == 1:
        return [0] * len(indices)
    if strip.use_reverse_frames:
        indices = [last - max(0, index) if index <= last else 0 for index in indices]
    return [min(max(index, 0), last) for index in indices]


def files_refusal(
    scene: bpy.types.Scene,
    strip: compat.Strip,
    names: list[str],
    look: picture_files.FileLook = picture_files.look_at_all,
) -> str:
    """Why a strip's files can't be a source, as far as `look` looks: one is missing, empty or unreadable."""
    folder = folder_of(scene, strip)
    lost = look(folder, names, False).lost
    if lost:
        more = len(lost) - NAMES_SHOWN
        first = ", ".join(lost[:NAMES_SHOWN])
        if more > 0:
            return iface_(
                "'{}' plays {} and {} more, which can't be found in {}: put them back there, or find them with File > "
                "External Data > Find Missing Files."
            ).format(strip.name, path_rules.shown(first), more, path_rules.shown(folder))
        return iface_(
            "'{}' plays {}, which can't be found in {}: put it back there, or find it with File > External Data > "
            "Find Missing Files."
        ).format(strip.name, path_rules.shown(first), path_rules.shown(folder))
    if strip.type == "IMAGE":
        return _unreadable_refusal(strip, folder, names)
    if strip.type == "MOVIE" and not (strip.fps > 0 and compat.content_frames(strip) > 0 and _is_shown(folder, names)):
        return iface_(
            "'{}' plays {}, which Blender can't read: convert it to H.264 in MP4, for example, and use "
            "that in its place."
        ).format(strip.name, names[0])
    return ""


def _is_shown(folder: str, names: list[str]) -> bool:
    """Whether Blender shows anything of a movie of which it tells the length and the rate."""
    return not any(
        movie_head.is_shown_black(os.path.join(folder, name), compat.SHOWS_COVERS_OF_SOUND) for name in names[:1]
    )


def _unreadable_refusal(strip: compat.Strip, folder: str, names: list[str]) -> str:
    """Why the first or the last picture can't be a source: Blender can't read it, and would show black.

    A Blender in the background tries the others before it renders them.
    """
    for name in {*names[:1], *names[-1:]}:
        path = os.path.join(folder, name)
        if not _is_read(path):
            return iface_(
                "'{}' shows {}, which Blender can't read: convert it to PNG or JPEG, for example, and use "
                "that in its place."
            ).format(strip.name, name)
    return ""


def _is_read(path: str) -> bool:
    """Whether this Blender reads a picture; it is tried if its format isn't one of those known to be read."""
    try:
        head = picture_files.head_of(path)
    except (OSError, ValueError):
        return True  # whether it is there was looked at before
    if head.is_animated_webp and not compat.SHOWS_ANIMATED_WEBP:
        return False
    return head.is_known or _blender_reads(path)


def _blender_reads(path: str) -> bool:
    try:
        imbuf.load(path).free()
    except (OSError, RuntimeError, ValueError):
        return False
    return True


def pictures(
    scene: bpy.types.Scene, strip: compat.Strip, names: list[str], indices: list[int], look: picture_files.FileLook
) -> Pictures | None:
    """The size and depth of the strip's pictures; None if the backend may not read them as Blender does.

    `names` and `indices` are the file and the media's frame that is shown in each frame. `look` decides how many of
    the files are looked at.
    """
    if strip.type == "MOVIE":
        return _movie_pictures(scene, strip, names[0], max(indices) + compat.trim_start(strip) + 1)
    found = look(folder_of(scene, strip), names, True)
    size = next(iter(found.sizes)) if len(found.sizes) == 1 and not found.lost else None
    return None if size is None else Pictures(*size)


def _movie_pictures(scene: bpy.types.Scene, strip: compat.Strip, name: str, frames: int) -> Pictures | None:
    """The size and depth of a movie's pictures; None as well if it has fewer than `frames` frames."""
    head = movie_head.head_of(os.path.join(folder_of(scene, strip), name))
    if head is None or strip.stream_index != 0 or not head.has(frames, strip.fps):
        return None
    turn = compat.turn_shown(head.turn)
    if turn is None or not head.depth.is_within(compat.MAX_BIT_DEPTH_SHOWN):
        return None
    most = compat.MAX_BIT_DEPTH_SHOWN
    found = Pictures(head.width, head.height, turn, head.depth.alpha, most.rgb, most.gray)
    element = strip.elements[0] if len(strip.elements) else None
    remembered = element is not None and (element.orig_width, element.orig_height)
    return found if remembered == found.shown_size() else None  # else the file was replaced since the strip was added


def camera_of(strip: compat.Strip, frame: int) -> bpy.types.Object | None:
    """The camera that Blender uses at a frame of the strip's own scene.

    It is the strip's own camera; else that of the last marker at or before the frame, or of the first marker after it;
    else the scene's.
    """
    own: bpy.types.Object | None = strip.scene_camera
    usual: bpy.types.Object | None = strip.scene.camera
    if own is not None:
        return own
    bound = _bound_cameras(strip)
    if not bound:
        return usual
    before = [marker for marker in bound if marker[0] <= frame]
    chosen: bpy.types.Object = (max(before, key=lambda m: m[0]) if before else min(bound, key=lambda m: m[0]))[1]
    return chosen


def cameras_of(strip: compat.Strip, frames: range) -> list[bpy.types.Object | None]:
    """The cameras through which Blender looks in those frames of the timeline, which have no gap in the scene."""
    shown = frames_of_scene(strip, frames)
    first, last = min(shown), max(shown)
    later = [] if strip.scene_camera else [camera for at, camera in _bound_cameras(strip) if first < at <= last]
    return list(dict.fromkeys([camera_of(strip, first), *later]))


def _bound_cameras(strip: compat.Strip) -> list[tuple[int, bpy.types.Object]]:
    """The frames and the cameras of the markers in the strip's own scene."""
    return [(m.frame, m.camera) for m in strip.scene.timeline_markers if m.camera and not m.camera.hide_render]


def frames_of_scene(strip: compat.Strip, frames: range) -> list[int]:
    """The frame of the strip's own scene that each of the timeline's frames shows."""
    first = strip.scene.frame_start + compat.trim_start(strip)
    return [first + index for index in media_indices(strip, frames)]


def scene_refusal(scene: bpy.types.Scene, strip: compat.Strip, frames: range) -> str:
    """Why a scene strip can't be rendered in those frames of the timeline."""
    shown = strip.scene
    if shown is None:
        return iface_("'{}' shows no scene: choose one in the strip's properties.").format(strip.name)
    if scene in _shown_by(strip):
        return iface_("'{}' shows the scene that it is in: choose another scene for it.").format(strip.name)
    # Either each of the frames has a camera or none: one marker with a camera serves those before it, too.
    if strip.scene_input == "CAMERA" and frames and camera_of(strip, frames_of_scene(strip, frames[:1])[0]) is None:
        return iface_(
            "'{}' shows the scene '{}', which has no camera: add one there, or choose one in the strip's properties."
        ).format(strip.name, shown.name)
    return ""


def depth_refusal(scene: bpy.types.Scene, strip: compat.Strip, frames: range) -> str:
    """Why the depth of a strip can't be rendered."""
    return _unfit(
        *(scene, strip, frames),
        iface_("'{}' is not a scene strip, so it has no depth: select a scene strip."),
        iface_(
            "'{}' shows the timeline of '{}', which has no depth: set it to show the camera, in the strip's properties."
        ),
        iface_("'{}' is retimed, and its depth can't be retimed: clear its retiming, or its strobe."),
    )


def _unfit(
    scene: bpy.types.Scene, strip: compat.Strip, frames: range, no_scene: str, timeline: str, retimed: str
) -> str:
    """Why a strip doesn't show what a camera of a scene sees, frame by frame, in one of those sentences or others."""
    if strip.type != "SCENE":
        return no_scene.format(strip.name)
    refusal = scene_refusal(scene, strip, frames)
    if refusal:
        return refusal
    if strip.scene_input != "CAMERA":
        return timeline.format(strip.name, strip.scene.name)
    if is_retimed(scene, strip) or strip.strobe > 1.0:
        return retimed.format(strip.name)
    return ""


def camera_refusal(scene: bpy.types.Scene, strip: compat.Strip, frames: range) -> str:
    """Why the camera of a strip can't be followed."""
    refusal = _unfit(
        *(scene, strip, frames),
        iface_("'{}' is not a scene strip, so it has no camera: select a scene strip."),
        iface_(
            "'{}' shows the timeline of '{}', which has no camera: set it to show the camera, in the strip's "
            "properties."
        ),
        iface_("'{}' is retimed, and its camera can't be retimed: clear its retiming, or its strobe."),
    )
    if refusal:
        return refusal
    cameras = cameras_of(strip, frames)
    if len(cameras) > 1:
        return iface_("'{}' cuts from one camera to another: cut the strip there (K), and select a part of it.").format(
            strip.name
        )
    (camera,) = cameras
    if camera is None or camera.type != "CAMERA":
        return iface_("'{}' is seen by something that is no camera: choose a camera in its scene.").format(strip.name)
    lens: Any = camera.data
    if lens.type != "PERSP":
        types = lens.bl_rna.properties["type"].enum_items  # "Custom", of a script, is of Blender 4.5 and later
        return iface_(
            "The camera '{}' is of the type {}, and no model can follow that: set its type to {}, in its properties."
        ).format(camera.name, iface_(types[lens.type].name), iface_(types["PERSP"].name))
    return ""


def rendered_size(strip: compat.Strip) -> tuple[int, int]:
    """Width and height in pixels that the strip's scene is rendered in."""
    render = strip.scene.render
    percent = render.resolution_percentage
    return render.resolution_x * percent // 100, render.resolution_y * percent // 100


def _shown_by(strip: compat.Strip) -> set[bpy.types.Scene]:
    """All scenes that are rendered for a scene strip, also those that scene strips in its timeline show."""
    found: set[bpy.types.Scene] = set()
    waiting = [strip]
    while waiting:  # no recursion: a file may hold thousands of scenes, each in the next
        shown = waiting.pop()
        if shown.scene is None or shown.scene in found:
            continue
        found.add(shown.scene)
        if shown.scene_input == "SEQUENCER":
            waiting += [
                inner for inner, _ in strip_columns.walk(shown.scene) if inner.type == "SCENE" and not inner.mute
            ]
    return found
