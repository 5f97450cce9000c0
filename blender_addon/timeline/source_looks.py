"""Reads what the sources of a take are made of now: which strips are seen in them, how, and what these play.

What files hold and what scenes show isn't read here, only which files and scenes they are: that takes longer, and is
done in slices (jobs.file_digests, timeline.scene_digests). Nothing here depends on where the playhead is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol.messages import Role
from . import animation, compat, layers, node_digests, picture_files, strip_media, strip_transform
from .footage import FootageRange, name_of
from .plain_values import IdKey, id_key, plain, told
from .seen_sources import MAX_STRIPS, SeenFiles, SeenStrip, digest

SAMPLES = 25
"""Curves are read at so many frames of a range at most."""
SOURCE_PERCENT = 100
"""Sources are read and rendered at this percentage of the film's size, whatever people set for a quick preview."""
MAX_DEPTH = 6
"""So many meta strips and timelines of scenes are followed into one another."""
_PLAIN = (
    "alpha_mode", "blend_alpha", "blend_type", "color_multiply", "color_saturation", "effect_fader", "multiply_alpha",
    "stream_index", "strobe", "use_deinterlace", "use_flip_x", "use_flip_y", "use_float",
)  # fmt: skip
"""Properties that strips of each version of Blender have, if any; a digest of one version holds in the next."""
_OF_EFFECTS = (
    "blur_radius", "boost_factor", "box_color", "clamp", "color", "font_size", "interpolation", "location",
    "multicam_source", "outline_color", "outline_width", "quality", "rotation_start", "scale_start_x", "scale_start_y",
    "scene_input", "shadow_color", "size_x", "size_y", "speed_control", "speed_factor", "speed_frame_number",
    "speed_length", "text", "threshold", "translate_start_x", "translate_start_y", "use_annotations", "use_bold",
    "use_box", "use_italic", "use_only_boost", "use_outline", "use_shadow", "wrap_width",
)  # fmt: skip
_OF_TRANSFORM = ("filter", "offset_x", "offset_y", "origin", "rotation", "scale_x", "scale_y")
_OF_CUT = ("filter",)
"""Of a reference picture, which is seen whole wherever it lies, only what says how the edges of its crop are cut."""
_OF_CROP = ("max_x", "max_y", "min_x", "min_y")
_OF_MODIFIERS = (
    "adaptation", "bright", "color_multiply", "contrast", "correction", "intensity", "gamma", "key", "name", "mute",
    "offset", "slope", "power", "lift", "gain", "tonemap_type", "type", "white_value",
)  # fmt: skip


@dataclass(frozen=True)
class ShownScene:
    """The scene that a strip shows, and what tells what is seen of it."""

    scene: IdKey
    frames: tuple[int, ...]
    """Of that scene; those that are looked at."""
    cameras: tuple[IdKey | None, ...]
    """The camera at each of them."""
    view_layer: str
    depth: bool
    """Whether its depth alone counts, and so no light and no color."""
    camera_alone: bool = False
    """Whether only the camera counts, and what leads it."""


@dataclass(frozen=True)
class Looked:
    """A strip that is seen in a source. What it holds are texts and numbers, so it outlives a tick."""

    seen: SeenStrip
    folder: str = ""
    names: tuple[str, ...] = ()
    """The files that it plays there, each once."""
    shown: ShownScene | None = None
    is_take: bool = False
    """Whether it shows a take."""


class Unknown(Exception):
    """A strip that a take was made from is no longer on the timeline."""


def read(scene: bpy.types.Scene, wanted: FootageRange, owner: Any, below_channel: int | None = None) -> list[Looked]:
    """The strips that are seen in a range, the named ones first. Raises Unknown.

    `owner` is the editor or meta strip in which a range without names is seen, up to `below_channel`.
    """
    chosen = [compat.strip_named(scene, name) for name in wanted.strip_names]
    if None in chosen:
        raise Unknown
    if chosen:
        owner = chosen[0].parent_meta() or scene.sequence_editor
        others = [*layers.inputs(chosen), *layers.below(scene, wanted.frames, chosen, _look_at_ends, owner)]
    else:
        others = list(layers.seen(owner, wanted.frames, below_channel))
    found: list[Looked] = []
    for strip in dict.fromkeys([*chosen, *(() if wanted.depth or wanted.is_alone else others)]):
        found += _of_strip(scene, strip, wanted, strip in chosen)
    return found[:MAX_STRIPS]


def _look_at_ends(folder: str, names: Sequence[str], sizes: bool) -> picture_files.FilesFound:
    """Let the first and the last picture speak for all: the answer is the same each time, and costs two questions."""
    return picture_files.look_at_all(folder, [*names[:1], *names[-1:]], sizes)


def _of_strip(
    scene: bpy.types.Scene, strip: compat.Strip, wanted: FootageRange, chosen: bool, depth: int = 0, above: str = ""
) -> Iterator[Looked]:
    """The strip, and those that are seen in it if it is a meta strip or the timeline of a scene."""
    frames = wanted.frames if chosen else _overlap(strip, wanted.frames)
    played, folder, names = _played(scene, strip, frames)
    where = () if chosen else (frames.start - wanted.start, len(frames))
    frames_digest = digest([played, where, _retiming(strip), _curves(scene, strip, frames)])
    files = SeenFiles(_name(names[0]), len(names)) if names else None
    seen = SeenStrip(_name(above + strip.name), name_of(wanted), chosen, frames_digest, "", files)
    nodes = "" if wanted.depth else _nodes(strip, frames)
    seen = replace(seen, look=digest(_look(scene, strip, wanted)), nodes=nodes, blender=compat.VERSION)
    shown = _shown_scene(strip, frames, wanted) if strip.type == "SCENE" else None
    yield Looked(seen, folder, names, shown, bool(strip.get("wan_vse_job")) and bool(names))
    if depth < MAX_DEPTH and frames:
        inner_scene, inner, part = _inside(scene, strip, frames)
        within = replace(wanted, start=part.start, end_exclusive=part.stop)
        for each in inner:
            yield from _of_strip(inner_scene, each, within, False, depth + 1, f"{above}{strip.name}: ")


def _inside(
    scene: bpy.types.Scene, strip: compat.Strip, frames: range
) -> tuple[bpy.types.Scene, list[compat.Strip], range]:
    """The strips that a meta strip or a scene's timeline shows, the scene that they are in, and the frames there."""
    if strip.type == "META":
        return scene, list(layers.seen(strip, frames)), frames
    if strip.type != "SCENE" or strip.scene is None or strip.scene_input != "SEQUENCER" or strip.scene == scene:
        return scene, [], frames
    there = strip_media.frames_of_scene(strip, frames)
    part = range(min(there), max(there) + 1)
    editor = strip.scene.sequence_editor
    return strip.scene, [] if editor is None else list(layers.seen(editor, part)), part


def _overlap(strip: compat.Strip, frames: range) -> range:
    return range(max(frames.start, compat.start(strip)), min(frames.stop, compat.end_exclusive(strip)))


def _played(scene: bpy.types.Scene, strip: compat.Strip, frames: range) -> tuple[list[int], str, tuple[str, ...]]:
    """Which frames of its media a strip plays, and the folder and the files of these."""
    if strip.type not in ("MOVIE", "IMAGE", "SCENE", "MOVIECLIP") or not frames:
        return [], "", ()
    indices = strip_media.media_indices(strip, frames)
    played = [indices[0] + compat.trim_start(strip), *(later - first for first, later in itertools.pairwise(indices))]
    if strip.type == "MOVIE":
        return played, strip_media.folder_of(scene, strip), (bpy.path.basename(strip.filepath),)
    if strip.type == "IMAGE":
        names = tuple(sorted(set(strip_media.names_of(strip, frames))))
        still = len(strip.elements) == 1
        return [] if still else played, strip_media.folder_of(scene, strip), names
    return played, "", ()


def _retiming(strip: compat.Strip) -> list[int]:
    if not compat.has_retiming_keys(strip):
        return []
    return [round(key.timeline_frame) - compat.content_start(strip) for key in strip.retiming_keys]


def _curves(scene: bpy.types.Scene, strip: compat.Strip, frames: range) -> list[object]:
    """What animates the strip, in those frames."""
    path = f'["{bpy.utils.escape_identifier(strip.name)}"]'
    data = scene.animation_data
    if data is None or not frames:
        return []
    at = sampled(frames)
    curves = [curve for curve in compat.curves_of(data) if path in curve.data_path]
    drivers = [curve for curve in data.drivers if path in curve.data_path]
    return [
        *([_end(each, path), each.array_index, *(plain(each.evaluate(frame)) for frame in at)] for each in curves),
        *([_end(each, path), each.array_index, each.driver.expression] for each in drivers),
    ]


def _end(curve: bpy.types.FCurve, path: str) -> str:
    return curve.data_path.partition(path)[2]


def _look(scene: bpy.types.Scene, strip: compat.Strip, wanted: FootageRange) -> list[object]:
    """How the strip's pictures are shown, but for what is animated, which `_curves` has."""
    moving = {_end(each, "]").strip(".") for each in _animating(scene, strip)}
    in_no_frame = wanted.role is Role.REFERENCE and strip_transform.is_read_upright(scene, strip)
    framing: list[object] = [
        _values(compat.part(strip, "transform"), _OF_CUT if in_no_frame else _OF_TRANSFORM, moving, "transform."),
        _values(compat.part(strip, "crop"), _OF_CROP, moving, "crop."),
    ]
    if wanted.depth:
        return framing
    space = compat.part(strip, "colorspace_settings")
    size = () if in_no_frame else (scene.render.resolution_x, scene.render.resolution_y, SOURCE_PERCENT)
    return [
        *framing,
        strip.type,
        size,
        _values(strip, _PLAIN, moving),
        _values(strip, _OF_EFFECTS, moving),
        "" if space is None else space.name,
        [_modifier(each) for each in strip.modifiers],
        [each.name for each in (compat.part(strip, name) for name in ("input_1", "input_2")) if each is not None],
    ]


def _nodes(strip: compat.Strip, frames: range) -> str:
    """What the nodes of its modifiers make, as a digest; empty if it has none."""
    with_nodes = [each for each in strip.modifiers if compat.part(each, "node_group") is not None]
    return digest([node_digests.modifier(each, sampled(frames)) for each in with_nodes]) if with_nodes else ""


def _animating(scene: bpy.types.Scene, strip: compat.Strip) -> list[bpy.types.FCurve]:
    if not animation.is_animated(scene, strip):
        return []
    path = f'["{bpy.utils.escape_identifier(strip.name)}"]'
    data = scene.animation_data
    return [each for each in (*compat.curves_of(data), *data.drivers) if path in each.data_path]


def _modifier(modifier: Any) -> list[object]:
    values: list[object] = [_values(modifier, _OF_MODIFIERS, set())]
    balance = compat.part(modifier, "color_balance")
    if balance is not None:
        values.append(_values(balance, _OF_MODIFIERS, set()))
    mapping = compat.part(modifier, "curve_mapping")
    if mapping is not None:
        values.append([[plain(point.location) for point in curve.points] for curve in mapping.curves])
    return values


def _values(owner: Any, names: Sequence[str], moving: set[str], within: str = "") -> list[object]:
    """Name and value of those that the owner has, but for the `moving` ones, whose values follow the playhead."""
    return [] if owner is None else told(owner, names, {name for name in names if within + name in moving})


def sampled(frames: Sequence[int]) -> list[int]:
    """The first, the last and evenly spread ones between, SAMPLES at most."""
    count = len(frames)
    if count <= SAMPLES:
        return list(frames)
    return [frames[index * (count - 1) // (SAMPLES - 1)] for index in range(SAMPLES)]


def _shown_scene(strip: compat.Strip, frames: range, wanted: FootageRange) -> ShownScene | None:
    if strip.scene is None or strip.scene_input != "CAMERA" or not frames:
        return None
    at = sampled(strip_media.frames_of_scene(strip, frames))
    cameras = [strip_media.camera_of(strip, frame) for frame in at]
    keys = tuple(id_key(each) if each is not None else None for each in cameras)
    layer = compat.view_layer_name(strip)
    return ShownScene(id_key(strip.scene), tuple(at), keys, layer, wanted.depth, wanted.role is Role.CAMERA)


def _name(name: str) -> str:
    """A name that fits, and that can be written as text."""
    return name.encode("utf-8", "replace").decode()[:200]
